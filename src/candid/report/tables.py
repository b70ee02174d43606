"""Numbers as a CSV file, for people who count on with other tools."""

import csv
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

from candid.errors import InputError
from candid.files import atomic

__all__ = ["write_csv"]


def write_csv(path: str | Path, rows: Sequence[Mapping[str, object]], *, columns: Sequence[str] | None = None) -> Path:
    """Path of the CSV file written, whole or not at all: UTF-8, commas, a header, one line a row.

    Columns come in the order given, else in the order in which the rows first name them; what a row lacks or holds as
    None is an empty cell. Floats are written with all their digits, truth values as true and false. NaN, infinities
    and keys outside `columns` raise `InputError`, and so do no rows without `columns`.
    """
    path = Path(path)
    names = list(columns) if columns is not None else list(dict.fromkeys(key for row in rows for key in row))
    if not names:
        raise InputError(f"expected rows or columns for {path}, got neither; pass columns to write a bare header")
    strange = sorted({key for row in rows for key in row} - set(names))
    if strange:
        raise InputError(f"expected columns {', '.join(names)} in {path}, got {', '.join(strange)} too; add them")
    lines = [[_cell(row.get(name), name, path) for name in names] for row in rows]
    with atomic(path) as part, part.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(lines)
    return path


def _cell(value: object, name: str, path: Path) -> str:
    """One value as text that reads back as the same value.

    >>> [_cell(v, "ece", Path("a.csv")) for v in (0.1 + 0.2, 3, True, None, "cat")]
    ['0.30000000000000004', '3', 'true', '', 'cat']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            raise InputError(f"expected finite numbers in {path}, got {number} in column {name}; leave it out or None")
        return repr(number)
    return str(value)
