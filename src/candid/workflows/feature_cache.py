"""Features on disk, found again by content: the bytes of the images and everything that turns them into vectors.

One safetensors file a run, in a folder a model. A file carries its own checksum and is whole or absent, so a killed
process, two processes at once and a bad disk all end in the same place: the run is there, or it is encoded again.
"""

import json
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from candid import __version__
from candid.data import DECODER
from candid.files import atomic, digest, write_json
from candid.types import ImageEncoder, Vectors
from candid.workflows.runs import Run

__all__ = ["Encoded", "FeatureCache", "cache_folder", "cache_root"]

KIND, VERSION = "candid-feature-cache", 1
SUFFIX = ".safetensors"
ABANDONED = 3600  # seconds after which a half-written file of a killed process is removed


@dataclass(frozen=True)
class Encoded:
    """Vectors of the readable images of a run in order, and the reason for each place that has none."""

    vectors: Vectors
    unreadable: dict[int, str]


class FeatureCache:
    """The runs one model has encoded. Safe with any number of processes on one folder.

    `room` is the folder of this kind of vectors, `how` whatever else makes them what they are.
    """

    def __init__(
        self, root: Path, model: ImageEncoder, *, room: str = "features", how: Mapping[str, str | int] | None = None
    ) -> None:
        self.made_by = {
            "id": model.id,
            "revision": model.revision,
            "preprocessing": model.preprocessing,
            "precision": str(getattr(model, "precision", "float32")),
            "decoder": DECODER,
            **(how or {}),
        }
        slug = re.sub(r"[^A-Za-z0-9.-]+", "-", Path(model.id).name)[:40]
        key = digest(json.dumps([VERSION, self.made_by], sort_keys=True).encode(), length=16)
        self.folder = root / room / f"{slug}-{key}"

    def get(self, run: Run, part: str = "") -> Encoded | None:
        """The cached vectors of the run, or of a named part; None where the file is absent, short or damaged."""
        try:
            with safe_open(self._path(run, part), framework="np") as file:
                vectors, notes = file.get_tensor("vectors"), file.metadata()
        except (OSError, SafetensorError):
            return None
        if not notes or notes.get("checksum") != _checksum(run.key + part, vectors, notes.get("unreadable", "")):
            return None
        return Encoded(vectors, {int(place): reason for place, reason in json.loads(notes["unreadable"]).items()})

    def put(self, run: Run, encoded: Encoded, part: str = "") -> None:
        """Write the run, or a named part of what belongs to it, whole or not at all."""
        vectors = np.ascontiguousarray(encoded.vectors)
        unreadable = json.dumps(encoded.unreadable)
        notes = {"unreadable": unreadable, "checksum": _checksum(run.key + part, vectors, unreadable)}
        with atomic(self._path(run, part)) as file:
            file.write_bytes(save({"vectors": vectors}, notes))

    def prepare(self) -> None:
        """Make the folder before anything is encoded, so that a cache that cannot be written is told at once."""
        if not (self.folder / "meta.json").is_file():
            write_json(self.folder / "meta.json", {"candid": __version__, **self.made_by}, kind=KIND, version=VERSION)
        for part in self.folder.glob(".*.part"):
            _remove_abandoned(part)

    def parts(self, run: Run) -> list[str]:
        """Names of the parts there are files of."""
        return sorted(path.name[len(run.key) : -len(SUFFIX)] for path in self.folder.glob(f"{run.key}*{SUFFIX}"))

    def _path(self, run: Run, part: str) -> Path:
        return self.folder / f"{run.key}{part}{SUFFIX}"


def cache_root(cache: bool | Path) -> Path | None:
    """The folder that `cache` names: True the default one, False none."""
    if cache is False:
        return None
    return cache_folder() if cache is True else Path(cache)


def cache_folder() -> Path:
    """The default cache: CANDID_CACHE, else the platform's folder for caches."""
    if chosen := os.environ.get("CANDID_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "candid" / "Cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/candid").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "candid"


def _checksum(name: str, vectors: Vectors, unreadable: str) -> str:
    return digest(name.encode() + np.ascontiguousarray(vectors).tobytes() + unreadable.encode())


def _remove_abandoned(part: Path) -> None:
    try:
        if time.time() - part.stat().st_mtime > ABANDONED:
            part.unlink()
    except OSError:
        return  # another process was faster
