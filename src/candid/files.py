"""Files that are whole or absent: atomic writes, content hashes, JSON that says its format and version."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from candid.errors import InputError

__all__ = ["atomic", "digest", "fresh_folder", "output_folder", "read_json", "write_json"]


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends, and vanishes if it fails.

    A reader sees the old file or the new one, never half of either, also after a crash or with two writers.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid4().hex}.part")
        part.touch(exist_ok=False)
        mode = part.stat().st_mode  # what the user's umask asks for; some writers narrow it to the owner
    except OSError as error:
        raise InputError(f"cannot write in {path.parent}: {error.strerror}; choose another folder") from error
    try:
        yield part
        part.chmod(mode)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; free some space or choose another folder") from error
    finally:
        part.unlink(missing_ok=True)


def digest(data: bytes, *, length: int = 32) -> str:
    """Hex BLAKE2b of the bytes, `length` characters.

    >>> digest(b"candid", length=8)
    'fb1c089d'
    """
    return hashlib.blake2b(data, digest_size=length // 2).hexdigest()


def write_json(path: Path, content: dict[str, Any], *, kind: str, version: int) -> None:
    """Write `content` atomically as JSON that names its format and version. NaN and infinities are refused."""
    with atomic(path) as part:
        text = json.dumps({"format": kind, "version": version, **content}, indent=2, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, *, kind: str, version: int) -> dict[str, Any]:
    """The content of a JSON file of this format, at this version or an older one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != kind:
        raise InputError(f"expected a {kind} file, got {found!r} in {path}")
    found_version = content.get("version")
    if not isinstance(found_version, int) or found_version > version:
        raise InputError(f"{path} has version {found_version}, this candid reads up to {version}; upgrade candid")
    return dict(content)


@contextmanager
def output_folder(path: Path, *, exist_ok: bool = False) -> Iterator[Path]:
    """A folder that can be written, told before the work starts; left behind only if something was written in it."""
    made = not path.exists()
    fresh_folder(path, exist_ok=exist_ok)
    try:
        yield path
    finally:
        if made and not any(path.iterdir()):
            path.rmdir()


def fresh_folder(path: Path, *, exist_ok: bool = False) -> Path:
    """The folder, made if absent; an existing non-empty one is refused unless `exist_ok`."""
    try:
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file, expected a folder for the output")
        if path.is_dir() and any(path.iterdir()) and not exist_ok:
            raise InputError(f"{path} already holds files; choose another -o or pass --exist-ok to write over them")
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write in {path}: {error.strerror}; choose another folder") from error
    return path
