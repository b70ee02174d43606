"""A split by CoOp's rule for data sets whose split file is not at hand. It is never the authors' split."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from candid.data.coop import IMAGES
from candid.data.reading import read
from candid.data.shards import subset
from candid.errors import InputError
from candid.types import ImageSet

__all__ = ["OwnSplit", "own_split"]

TRAIN, VAL = 0.5, 0.2  # of each class; the rest is for testing
FOLDERS = {"caltech-101": "Caltech101", "dtd": "DescribableTextures", "eurosat": "EuroSAT", "food-101": "Food101"}
LEFT_OUT = {"caltech-101": ("BACKGROUND_Google", "Faces_easy")}
RENAMED = {
    "caltech-101": {"airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"},
    "eurosat": {
        "AnnualCrop": "Annual Crop Land",
        "HerbaceousVegetation": "Herbaceous Vegetation Land",
        "Highway": "Highway or Road",
        "Industrial": "Industrial Buildings",
        "Pasture": "Pasture Land",
        "PermanentCrop": "Permanent Crop Land",
        "Residential": "Residential Buildings",
        "SeaLake": "Sea or Lake",
    },
}


class OwnSplit(NamedTuple):
    """Three disjoint parts of a data set, made here by rule and seed."""

    train: ImageSet
    val: ImageSet
    test: ImageSet


def own_split(folder: str | Path, *, seed: int = 0) -> OwnSplit:
    """50, 20 and 30 % of every class, drawn with our seed: CoOp's rule, but not the split its authors published.

    `folder` holds class folders, or is caltech-101, dtd, eurosat or food-101 of CoOp's layout, where the classes it
    leaves out are left out and the ones it renames are renamed. Numbers on such a split are not comparable with
    published ones.
    """
    root = Path(folder).expanduser()
    nested = root / IMAGES[FOLDERS[root.name]] if root.name in FOLDERS else root
    images = _tidied(read(nested if nested.is_dir() else root), root.name)
    if images.labels is None or images.classes is None:
        raise InputError(f"{root} has no classes to split by; expected a folder of class folders")
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    random = np.random.default_rng(seed)
    for label, name in enumerate(images.classes):
        rows = random.permutation(np.flatnonzero(images.labels == label)).tolist()
        train, val = round(len(rows) * TRAIN), round(len(rows) * VAL)
        if not (train and val and len(rows) > train + val):
            raise InputError(f"class {name!r} of {root} has {len(rows)} images, too few for train, val and test")
        for part, some in zip(parts, np.split(rows, [train, train + val]), strict=True):
            part.extend(some.tolist())
    return OwnSplit(*map(partial(subset, images), parts))


def _tidied(images: ImageSet, name: str) -> ImageSet:
    """The set without the classes that are left out, the others under their new names and counted anew."""
    if images.classes is None or images.labels is None or name not in RENAMED:
        return images
    out = LEFT_OUT.get(name, ())
    stay = [label for label, old in enumerate(images.classes) if old not in out]
    kept = subset(images, [row for row, label in enumerate(images.labels) if label in stay])
    return ImageSet(
        ids=kept.ids,
        read=kept.read,
        raw=kept.raw,
        classes=tuple(RENAMED[name].get(images.classes[label], images.classes[label]) for label in stay),
        labels=np.array([stay.index(label) for label in images.labels if label in stay], dtype=np.int64),
        source=kept.source,
    )
