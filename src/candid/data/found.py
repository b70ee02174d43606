"""A data set as its format states it, before names become indices; every reader ends here."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from candid.data.decode import decode
from candid.data.labels import Cell, group_indices, label_indices
from candid.errors import InputError, UnreadableImage
from candid.types import Image, ImageSet, Skipped

__all__ = ["Found", "file_bytes", "image_set", "missing"]


@dataclass(frozen=True)
class Found:
    """Rows with their encoded bytes.

    `where` is what was read; `names` are the format's own class names, in the order integer labels count.
    """

    where: str
    ids: Sequence[str]
    raw: Callable[[int], bytes]
    labels: Sequence[Cell] | None = None
    names: Sequence[str] | None = None
    groups: Sequence[Cell] | None = None
    group_names: Sequence[str] | None = None
    skipped: Sequence[Skipped] = ()


def image_set(found: Found, classes: Sequence[str] | None) -> ImageSet:
    """The image set, labels matched to `classes` where given, else to the format's own names."""
    _check_ids(found)
    labels, names = label_indices(found.labels, found.names, classes, ids=found.ids, where=found.where)
    groups, group_names = group_indices(found.groups, found.group_names, ids=found.ids, where=found.where)
    return ImageSet(
        ids=tuple(found.ids),
        read=partial(_read, found.raw, tuple(found.ids)),
        raw=found.raw,
        classes=names,
        labels=None if labels is None else np.array(labels, dtype=np.int64),
        groups=None if groups is None else np.array(groups, dtype=np.int64),
        group_names=group_names,
        skipped=tuple(found.skipped),
        source=found.where,
    )


def file_bytes(paths: Sequence[Path], ids: Sequence[str], index: int) -> bytes:
    """The content of file `index`; `UnreadableImage` names it by its id."""
    try:
        return paths[index].read_bytes()
    except OSError as error:
        raise UnreadableImage(ids[index], error.strerror or "cannot be read") from error


def missing(path: Path) -> str | None:
    """Why there is no file to read at `path`, or None where there is one."""
    if path.is_file():
        return None
    if path.is_dir():
        return "a folder, not an image file"
    return "not a regular file" if path.exists() else "no such file"


def _read(raw: Callable[[int], bytes], ids: Sequence[str], index: int) -> Image:
    return decode(raw(index), ids[index])


def _check_ids(found: Found) -> None:
    if not found.ids and not found.skipped:
        raise InputError(f"{found.where} holds no images")
    if not found.ids:
        first = found.skipped[0]
        raise InputError(
            f"{found.where} holds no images; {len(found.skipped)} files were skipped, first {first.id}: {first.reason}"
        )
    name, count = Counter(found.ids).most_common(1)[0]
    if count > 1:
        raise InputError(f"{found.where} lists {name} {count} times; every image needs its own id, remove the repeats")
