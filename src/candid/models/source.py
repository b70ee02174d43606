"""Where a checkpoint lies: the embedded folder, a local folder, or a Hub snapshot; with its config and its revision."""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from candid.errors import InputError, nearest
from candid.models import hub

__all__ = ["Source", "complete", "find", "weight_files"]

EMBEDDED = {"tiny": Path(__file__).with_name("tiny")}
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


@dataclass(frozen=True)
class Source:
    """A checkpoint in the Hub's format. `remote` holds its Hub id until its files have been fetched."""

    name: str
    revision: str
    folder: Path
    config: dict[str, Any]
    remote: hub.Repository | None = None


def find(name: str, revision: str | None = None) -> Source:
    """The source called `name` with its config read; of a Hub model nothing but the config is fetched yet."""
    if name in EMBEDDED:
        return _local(name, EMBEDDED[name], revision)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return _local(name, folder, revision)
    if name and folder.exists():
        raise InputError(f"{name} is a file, expected the folder that holds config.json and the weights")
    if not HUB_ID.fullmatch(name) or name.startswith((".", "/", "~")):
        if "/" in name or "\\" in name:
            raise InputError(f"no folder {name}; expected a folder that holds config.json and the weights")
        raise InputError(f"no model named {name}; {nearest(name, EMBEDDED)} (a Hub id is org/name)")
    return _remote(name, revision)


def complete(source: Source) -> Source:
    """The same source with every file it needs on disk."""
    if source.remote is None:
        return source
    return replace(source, folder=hub.fetch(source.remote), remote=None)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files the weights are read from: safetensors where there are any, else PyTorch's own."""
    if names := hub.weight_names([path.name for path in folder.iterdir()]):
        return tuple(folder / name for name in names)
    raise InputError(
        f"expected model.safetensors or pytorch_model.bin in {folder}, found neither; save the weights there"
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of the checkpoint."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read {path}: {error}; the checkpoint is incomplete, save or fetch it again"
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def _local(name: str, folder: Path, revision: str | None) -> Source:
    if not (folder / "config.json").is_file():
        raise InputError(f"expected config.json in {folder}, found none; pass a folder in the Hub's format")
    config = read_json(folder / "config.json")
    found = content_hash([folder / "config.json", *weight_files(folder)])
    if revision is not None and revision != found:
        raise InputError(
            f"{name} has content {found}, expected revision {revision}; its weights or config have changed"
        )
    return Source(name, found, folder, config)


def _remote(name: str, revision: str | None) -> Source:
    repo, _, pinned = name.partition("@")
    if pinned and revision not in (None, pinned):
        raise InputError(f"two revisions for {repo}: {pinned} in its name and {revision}; give one")
    remote = hub.locate(repo, revision or pinned or None)
    return Source(repo, remote.commit, remote.config.parent, read_json(remote.config), remote)


def content_hash(files: list[Path]) -> str:
    """Hex BLAKE2b of the files' bytes in this order, 32 characters; names and dates do not count."""
    total = hashlib.blake2b(digest_size=16)
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest())
    return total.hexdigest()
