"""What a path given for one side of a comparison holds: images, saved features, or an array of vectors."""

from pathlib import Path

import numpy as np

from candid import data
from candid.errors import InputError
from candid.types import Features, ImageSet
from candid.workflows.feature_files import load_features

__all__ = ["read_side"]

ARRAY = "array file"  # stands for the encoder that an array does not name
NAMES = ("vectors", "features", "arr_0")  # of the array in a .npz, if it holds several


def read_side(path: str | Path, *, split: str | None = None) -> ImageSet | Features:
    """The images at a path (`data.read`), a folder that `candid embed` wrote, or the n x d array of a .npy or .npz."""
    path = Path(path).expanduser()
    if path.suffix in (".npy", ".npz") and path.is_file():
        return _array(path)
    if (path / "meta.json").is_file() and (path / "index.parquet").is_file():
        return load_features(path)
    return data.read(path, split=split)


def _array(path: Path) -> Features:
    try:
        found = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        vectors = found if path.suffix == ".npy" else found[_name(list(found), path)]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} as an array of numbers: {error}") from error
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise InputError(f"{path} must hold an n x d array of numbers, got {vectors.dtype} of shape {vectors.shape}")
    if vectors.dtype.kind != "f":
        vectors = vectors.astype(np.float32)
    return Features(vectors, tuple(f"row {row}" for row in range(len(vectors))), ARRAY)


def _name(names: list[str], path: Path) -> str:
    if len(names) == 1:
        return names[0]
    known = [name for name in NAMES if name in names]
    if not known:
        raise InputError(f"{path} holds {', '.join(names)}; expected one array, or one named vectors")
    return known[0]
