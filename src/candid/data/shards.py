"""Splitting a data set over machines without talking: a row's shard is a hash of its id."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from candid.errors import InputError
from candid.files import digest
from candid.types import Image, ImageSet

__all__ = ["shard", "subset"]


def shard(images: ImageSet, count: int, index: int) -> ImageSet:
    """The rows of shard `index` of `count`; the shards of one set are disjoint and together the whole set.

    >>> from candid import data
    >>> photos = data.sample().known
    >>> sum(len(shard(photos, 3, index)) for index in range(3)) == len(photos)
    True
    """
    if count < 1 or not 0 <= index < count:
        raise InputError(f"expected a shard index in [0, count) with count of 1 or more, got index {index} of {count}")
    rows = [row for row, name in enumerate(images.ids) if int(digest(name.encode(), length=16), 16) % count == index]
    listed = images.skipped if index == 0 else ()  # once, not once a shard
    return replace(subset(images, rows), skipped=listed)


def subset(images: ImageSet, rows: Sequence[int]) -> ImageSet:
    """These rows of the set, in this order, with the same classes; its skipped files are not listed again.

    >>> from candid import data
    >>> subset(data.sample().known, [5, 0]).ids
    ('known/0005', 'known/0000')
    """
    if any(not 0 <= row < len(images) for row in rows):
        raise InputError(f"expected rows in [0, {len(images)}), got {min(rows)} to {max(rows)}")
    picked = [int(row) for row in rows]
    return replace(
        images,
        ids=tuple(images.ids[row] for row in picked),
        read=partial(_read, images.read, picked),
        raw=partial(_raw, images.raw, picked),
        labels=None if images.labels is None else images.labels[picked],
        groups=None if images.groups is None else images.groups[picked],
        skipped=(),
    )


def _read(read: Callable[[int], Image], rows: Sequence[int], index: int) -> Image:
    return read(rows[index])


def _raw(raw: Callable[[int], bytes], rows: Sequence[int], index: int) -> bytes:
    return raw(rows[index])
