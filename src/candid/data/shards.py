"""Splitting a data set over machines without talking: a row's shard is a hash of its id."""

from collections.abc import Callable, Sequence
from functools import partial

from candid.errors import InputError
from candid.files import digest
from candid.types import Image, ImageSet

__all__ = ["shard"]


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
    return ImageSet(
        ids=tuple(images.ids[row] for row in rows),
        read=partial(_read, images.read, rows),
        raw=partial(_raw, images.raw, rows),
        classes=images.classes,
        labels=None if images.labels is None else images.labels[rows],
        groups=None if images.groups is None else images.groups[rows],
        group_names=images.group_names,
        skipped=images.skipped if index == 0 else (),  # listed once, not once a shard
        source=images.source,
    )


def _read(read: Callable[[int], Image], rows: Sequence[int], index: int) -> Image:
    return read(rows[index])


def _raw(raw: Callable[[int], bytes], rows: Sequence[int], index: int) -> bytes:
    return raw(rows[index])
