"""The sample sets that ship with candid: real photos under free licences, to try everything on without a download.

Made by `recipes/sample_data.py`; sources and licences are in models/tiny/README.md and in each file's schema metadata.
"""

from dataclasses import dataclass
from pathlib import Path

from candid.data.reading import read
from candid.types import ImageSet

__all__ = ["Sample", "sample", "sample_folder"]


@dataclass(frozen=True)
class Sample:
    """Labelled photos in 33 classes and 3 groups, the same from a bad camera, and three sets of unknown things."""

    known: ImageSet
    shift: dict[str, ImageSet]
    ood: dict[str, ImageSet]


def sample_folder() -> Path:
    """The folder that holds the sample sets as Parquet manifests."""
    return Path(__file__).parent / "sample"


def sample() -> Sample:
    """The embedded sample sets.

    >>> photos = sample().known
    >>> len(photos), len(photos.classes), photos.group_names
    (640, 33, ('fruit', 'packages', 'vegetables'))
    """
    folder = sample_folder()
    return Sample(
        read(folder / "known.parquet"),
        {"bad camera": read(folder / "shift-bad-camera.parquet")},
        {
            name.replace("-", " "): read(folder / f"ood-{name}.parquet")
            for name in ("new-products", "clothing", "cells")
        },
    )
