"""Names and numbers in label cells -> indices into class names, forgiving in spelling, never in meaning."""

from collections import Counter
from collections.abc import Sequence

from candid.data.natural import natural
from candid.errors import InputError, nearest

__all__ = ["Cell", "group_indices", "label_indices"]

Cell = str | int | None  # a label or group as written: a name, an index, or an empty cell
Indexed = tuple[list[int] | None, tuple[str, ...] | None]


def label_indices(
    cells: Sequence[Cell] | None,
    names: Sequence[str] | None,
    classes: Sequence[str] | None,
    *,
    ids: Sequence[str],
    where: str,
) -> Indexed:
    """Index of each row's class, and the class names; (None, names) where every cell is empty.

    Names match `classes` without regard to case, spaces, hyphens and underscores. Integers index the format's own
    `names`, else `classes`, unless the classes themselves are those numbers. Integers without any names stay as they
    are, and so the class names stay None.

    >>> label_indices(["T_shirt", "BAG"], None, ["bag", "T-shirt"], ids=["a", "b"], where="m.csv")
    ([1, 0], ('bag', 'T-shirt'))
    """
    wanted = _checked(classes) if classes is not None else _tuple(names)
    if cells is None or all(cell is None for cell in cells):
        return None, wanted
    filled = _filled(cells, ids, where, what="label")
    if names is not None:
        filled = [_named(cell, names, row, where) for cell, row in zip(filled, ids, strict=True)]
    if wanted is None and all(isinstance(cell, int) for cell in filled):
        return [_at_least_zero(cell, row, where) for cell, row in zip(filled, ids, strict=True)], None
    if wanted is None:
        wanted = tuple(sorted({str(cell) for cell in filled}, key=natural))
    match = _Matcher(wanted, where)
    if all(isinstance(cell, int) for cell in filled) and not {str(cell) for cell in filled} <= match.exact.keys():
        return [_index(cell, wanted, row, where) for cell, row in zip(filled, ids, strict=True)], wanted
    return [match(str(cell), row) for cell, row in zip(filled, ids, strict=True)], wanted


def group_indices(
    cells: Sequence[Cell] | None, names: Sequence[str] | None, *, ids: Sequence[str], where: str
) -> Indexed:
    """Index of each row's group, and the names of the groups present in natural order; integers read as names."""
    if cells is None or all(cell is None for cell in cells):
        return None, None
    filled = _filled(cells, ids, where, what="group")
    if names is not None:
        filled = [_named(cell, names, row, where) for cell, row in zip(filled, ids, strict=True)]
    present = tuple(sorted({str(cell) for cell in filled}, key=natural))
    places = {name: index for index, name in enumerate(present)}
    return [places[str(cell)] for cell in filled], present


class _Matcher:
    """Index of a class by exact name, else by forgiving spelling where that names one class only."""

    def __init__(self, classes: tuple[str, ...], where: str) -> None:
        self.classes, self.where = classes, where
        self.exact = {name: index for index, name in enumerate(classes)}
        shared = Counter(map(_spelling, classes))
        self.loose = {_spelling(name): index for name, index in self.exact.items() if shared[_spelling(name)] == 1}

    def __call__(self, text: str, row: str) -> int:
        found = self.exact.get(text, self.loose.get(_spelling(text)))
        if found is None:
            hint = nearest(text, self.classes)
            raise InputError(f"{self.where}: {row} has label {text!r}, which is not among the classes; {hint}")
        return found


def _spelling(name: str) -> str:
    folded = name.casefold().translate({ord(c): None for c in " _-"})
    return folded or name  # a name of hyphens alone is still itself


def _filled(cells: Sequence[Cell], ids: Sequence[str], where: str, *, what: str) -> list[str | int]:
    empty = [row for cell, row in zip(cells, ids, strict=True) if cell is None]
    if empty:
        raise InputError(
            f"{where}: {len(empty)} of {len(cells)} rows have no {what}, first {empty[0]}; fill every row or none"
        )
    return [cell for cell in cells if cell is not None]


def _named(cell: str | int, names: Sequence[str], row: str, where: str) -> str:
    return names[_index(cell, names, row, where)] if isinstance(cell, int) else cell


def _index(cell: str | int, classes: Sequence[str], row: str, where: str) -> int:
    if not 0 <= int(cell) < len(classes):
        raise InputError(f"{where}: labels must lie in [0, {len(classes)}), one a class, {row} has {cell}")
    return int(cell)


def _at_least_zero(cell: str | int, row: str, where: str) -> int:
    if int(cell) < 0:
        raise InputError(f"{where}: labels must be 0 or more, {row} has {cell}; leave unknown labels empty")
    return int(cell)


def _checked(classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str):
        raise InputError(f"classes must be a list of names, got the text {classes!r}")
    repeated = [name for name, count in Counter(classes).items() if count > 1]
    if not classes or repeated or "" in classes:
        raise InputError(f"classes must be different, non-empty names; got {len(classes)}, repeated: {repeated[:3]}")
    return tuple(classes)


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)
