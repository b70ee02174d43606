"""Features as files people keep and hand on: safetensors shards, `index.parquet` (one line a row) and `meta.json`."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from candid import __version__
from candid.errors import InputError
from candid.files import atomic, digest, fresh_folder, read_json, write_json
from candid.types import Features, Labels, Skipped, Vectors

__all__ = ["load_features", "save_features"]

KIND, VERSION = "candid-features", 1
ROWS = 65_536  # a shard: 128 MB at 512 dimensions


def save_features(folder: str | Path, features: Features, *, exist_ok: bool = True) -> Path:
    """The folder, now holding the features; `meta.json` is written last, so a folder that has one is complete."""
    folder = fresh_folder(Path(folder), exist_ok=exist_ok)
    shards = {}
    for number, start in enumerate(range(0, max(len(features), 1), ROWS)):
        vectors = np.ascontiguousarray(features.vectors[start : start + ROWS])
        name = f"vectors-{number:05d}.safetensors"
        with atomic(folder / name) as part:
            part.write_bytes(save({"vectors": vectors}))
        shards[name] = digest(vectors.tobytes())
    with atomic(folder / "index.parquet") as part:
        pq.write_table(_index(features), part)
    meta = {
        "candid": __version__,
        "encoder": features.encoder,
        "n": len(features),
        "classes": features.classes,
        "group_names": features.group_names,
        "skipped": [[file.id, file.reason] for file in features.skipped],
        "shards": shards,
    }
    write_json(folder / "meta.json", meta, kind=KIND, version=VERSION)
    return folder


def load_features(folder: str | Path) -> Features:
    """The features `save_features` wrote; a shard that is absent or not as it was written is an `InputError`."""
    folder = Path(folder)
    meta = read_json(folder / "meta.json", kind=KIND, version=VERSION)
    try:
        index = pq.read_table(folder / "index.parquet")
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {folder / 'index.parquet'}: {error}; write the features again") from error
    return Features(
        vectors=np.concatenate([_shard(folder / name, checksum) for name, checksum in meta["shards"].items()]),
        ids=tuple(index.column("id").to_pylist()),
        encoder=meta["encoder"],
        labels=_column(index, "label"),
        groups=_column(index, "group"),
        classes=None if meta["classes"] is None else tuple(meta["classes"]),
        group_names=None if meta["group_names"] is None else tuple(meta["group_names"]),
        skipped=tuple(Skipped(name, reason) for name, reason in meta["skipped"]),
    )


def _index(features: Features) -> pa.Table:
    columns: dict[str, pa.Array] = {"id": pa.array(features.ids, pa.string())}
    if features.labels is not None:
        columns["label"] = pa.array(features.labels)
        if features.classes is not None:  # so that the table reads without meta.json
            columns["class"] = pa.array([features.classes[label] for label in features.labels], pa.string())
    if features.groups is not None:
        columns["group"] = pa.array(features.groups)
    return pa.table(columns)


def _column(index: pa.Table, name: str) -> Labels | None:
    return index.column(name).to_numpy() if name in index.column_names else None


def _shard(path: Path, checksum: str) -> Vectors:
    try:
        vectors = load_file(path)["vectors"]
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"cannot read {path}: {error}; write the features again") from error
    if digest(vectors.tobytes()) != checksum:
        raise InputError(f"{path} is damaged: its content is not what was written; write the features again")
    return vectors
