"""A sheet -> a data set: which column holds what, which rows belong to a split, where the images are."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from candid.data.found import Found, file_bytes, missing
from candid.data.labels import Cell
from candid.data.sheets import Sheet
from candid.errors import InputError, UnreadableImage
from candid.types import Skipped

__all__ = ["GROUPS", "IMAGES", "LABELS", "PATHS", "SPLITS", "from_sheet", "path_column", "split_name"]

# Column names understood, case apart; the first one present wins.
IMAGES = ("image", "img", "bytes", "jpg", "png")
PATHS = ("path", "file_name", "filename", "file", "filepath", "image_path", "img_path", "img_filename", "image", "img")
LABELS = ("label", "labels", "class", "class_name", "y", "target", "category", "fine_label")
GROUPS = ("group", "groups", "place", "domain")
SPLITS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
NUMBERED = {"0": "train", "1": "val", "2": "test"}  # the Waterbirds and WILDS convention


def from_sheet(
    sheet: Sheet, folder: Path, *, split: str | None = None, labels: str | None = None, groups: str | None = None
) -> Found:
    """The rows of a manifest, paths relative to `folder`; rows whose file is absent are listed as skipped.

    `split` keeps the rows of that split; without it every row counts. `labels` and `groups` name columns with other
    names than the usual.
    """
    label_column = _asked(sheet, labels, LABELS)
    group_column = _asked(sheet, groups, GROUPS)
    rows = _rows(sheet, split)
    encoded = _first(tuple(sheet.encoded), IMAGES) or (next(iter(sheet.encoded)) if len(sheet.encoded) == 1 else None)
    ids, raw, lost = _embedded(sheet, encoded, rows, folder) if encoded else _files(sheet, rows, folder)
    kept = [row for row, reason in zip(rows, lost, strict=True) if reason is None]
    at = [place for place, reason in enumerate(lost) if reason is None]
    return Found(
        where=sheet.where,
        ids=[ids[place] for place in at],
        raw=partial(_picked, raw, at),
        labels=_cells(sheet, label_column, kept),
        names=sheet.names.get(label_column or ""),
        groups=_cells(sheet, group_column, kept),
        group_names=sheet.names.get(group_column or ""),
        skipped=[Skipped(name, reason) for name, reason in zip(ids, lost, strict=True) if reason is not None],
    )


def path_column(sheet: Sheet) -> str | None:
    """The column that names image files, or None."""
    return _first(sheet.header, PATHS)


def split_name(text: str) -> str:
    """One spelling a split: train, val, test, or the text itself in lower case.

    >>> split_name("Validation")
    'val'
    """
    return SPLITS.get(text.lower(), text.lower())


def _files(sheet: Sheet, rows: list[int], folder: Path) -> tuple[list[str], Callable[[int], bytes], list[str | None]]:
    name = path_column(sheet)
    if name is None:
        raise InputError(
            f"{sheet.where} has no column of images; expected one of {', '.join(PATHS)} (paths) or image (encoded "
            f"bytes), got columns {', '.join(sheet.header)}"
        )
    cells = sheet.column(name)
    ids = [_path(cells[row], row, sheet) for row in rows]
    paths = [folder / Path(i) for i in ids]
    return ids, partial(file_bytes, paths, ids), [missing(path) for path in paths]


def _path(cell: Any, row: int, sheet: Sheet) -> str:
    if not isinstance(cell, str) or not cell:
        raise InputError(f"{sheet.where}: row {row + 1} names no image file, got {cell!r}")
    return cell


def _embedded(
    sheet: Sheet, column: str, rows: list[int], folder: Path
) -> tuple[list[str], Callable[[int], bytes], list[str | None]]:
    ids = _distinct_names(sheet, rows) or [f"{Path(sheet.where).name}:{row}" for row in rows]
    return ids, partial(_cell_bytes, sheet.encoded[column], rows, ids, folder), [None] * len(rows)


def _distinct_names(sheet: Sheet, rows: list[int]) -> list[str] | None:
    name = _first(tuple(n for n in sheet.header if n not in sheet.encoded), ("id", *PATHS))
    if name is None:
        return None
    cells = sheet.column(name)
    ids = [str(cells[row]) for row in rows if cells[row] not in (None, "")]
    return ids if len(ids) == len(set(ids)) == len(rows) else None


def _cell_bytes(
    cells: Callable[[int], Any], rows: Sequence[int], ids: Sequence[str], folder: Path, index: int
) -> bytes:
    cell = cells(rows[index])
    if isinstance(cell, dict):
        cell = cell.get("bytes") or _linked(cell.get("path"), folder, ids[index])
    if not isinstance(cell, bytes):
        raise UnreadableImage(ids[index], "no image in this row")
    return cell


def _linked(path: str | None, folder: Path, name: str) -> bytes | None:
    return file_bytes([folder / path], [name], 0) if path else None


def _picked(raw: Callable[[int], bytes], places: Sequence[int], index: int) -> bytes:
    return raw(places[index])


def _rows(sheet: Sheet, split: str | None) -> list[int]:
    if sheet.rows == 0:
        raise InputError(f"{sheet.where} has a header and no rows")
    if split is None:
        return list(range(sheet.rows))
    name = _first(sheet.header, ("split", "splits", "subset", "partition"))
    if name is None:
        raise InputError(f"{sheet.where} has no split column; leave split out, or pass the file that holds {split!r}")
    cells = [NUMBERED.get(str(cell), split_name(str(cell))) for cell in sheet.column(name)]
    rows = [row for row, cell in enumerate(cells) if cell == split_name(split)]
    if not rows:
        raise InputError(f"{sheet.where} has no rows of split {split!r}; it has {', '.join(sorted(set(cells)))}")
    return rows


def _asked(sheet: Sheet, asked: str | None, usual: tuple[str, ...]) -> str | None:
    if asked is not None and asked not in sheet.header:
        raise InputError(f"{sheet.where} has no column {asked!r}; it has {', '.join(sheet.header)}")
    return asked or _first(sheet.header, usual)


def _first(header: Sequence[str], usual: Sequence[str]) -> str | None:
    by_lower = {name.lower(): name for name in header}
    return next((by_lower[name] for name in usual if name in by_lower), None)


def _cells(sheet: Sheet, column: str | None, rows: list[int]) -> list[Cell] | None:
    if column is None:
        return None
    cells = sheet.column(column)
    picked = [_cell(cells[row], row, column, sheet) for row in rows]
    texts = [cell for cell in picked if isinstance(cell, str)]
    if texts and all(re.fullmatch("0|-?[1-9][0-9]*", text) for text in texts):  # 007 is a name
        return [int(cell) if isinstance(cell, str) else cell for cell in picked]  # CSV has no other way to say 3
    return picked


def _cell(value: Any, row: int, column: str, sheet: Sheet) -> Cell:
    if value is None or value == "" or value != value:  # NaN is how pandas writes an empty integer cell
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str | int):
        return int(value) if isinstance(value, bool) else value
    raise InputError(f"{sheet.where}: column {column} must hold names or integers, row {row + 1} holds {value!r}")
