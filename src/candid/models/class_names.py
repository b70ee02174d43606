"""A classifier's outputs under the names that a data set gives its classes, and a Head of those outputs alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from candid.errors import InputError, nearest
from candid.types import Head

__all__ = ["match_classes", "restrict"]

SHOWN = 5  # names an error lists
NAMESAKES = {"crane": ("crane bird", "construction crane")}  # ImageNet-1k has two outputs of this name, in this order


def match_classes(
    outputs: Sequence[str], wanted: Sequence[str], *, aliases: Mapping[str, int | str] | None = None
) -> Int[np.ndarray, " k"]:
    """For each wanted name the index of the output that it means, int64, no index twice.

    A name means the output spelled the same; else, with case folded and underscores and hyphens as spaces, the same
    output, the one with the same first synonym ("tench" and "tench, Tinca tinca"), or the one that lists it among its
    synonyms. Names that mean none or several outputs are an InputError that lists them; `aliases` settles those by the
    output's index or its name. ImageNet's two cranes go by "crane bird" and "construction crane". Names equal to the
    outputs throughout are those outputs, doubles included.

    >>> match_classes(["tench, Tinca tinca", "great_white_shark"], ["Great White Shark", "tench"]).tolist()
    [1, 0]
    """
    if isinstance(outputs, str) or isinstance(wanted, str):
        raise InputError("expected sequences of class names, got one string; put it in a list")
    if not wanted:
        raise InputError("expected at least one class name, got none")
    if list(outputs) == list(wanted):
        return np.arange(len(outputs))
    told = _told_apart(outputs)
    tables = [_table(told, names) for names in (_exact, _folded, _first, _synonyms)]
    found = [
        _alias(tables, (aliases or {})[n], len(outputs)) if n in (aliases or {}) else _meant(tables, n) for n in wanted
    ]
    _refuse_unclear(outputs, wanted, found)
    columns = [each[0] for each in found]
    if len(set(columns)) < len(columns):
        taken = next(column for i, column in enumerate(columns) if column in columns[:i])
        names = [name for name, column in zip(wanted, columns, strict=True) if column == taken]
        raise InputError(
            f"{' and '.join(map(repr, names))} mean one output, {outputs[taken]!r}; merge them or use aliases"
        )
    return np.asarray(columns, dtype=np.int64)


def restrict(head: Head, wanted: Sequence[str], *, aliases: Mapping[str, int | str] | None = None) -> Head:
    """The Head with only the outputs that `wanted` means (`match_classes`), in that order and under those names.

    >>> head = Head(np.eye(3, dtype=np.float32), ("tench, Tinca tinca", "goldfish", "hen"))
    >>> restrict(head, ["hen", "tench"]).weights.argmax(axis=1).tolist()
    [2, 0]
    """
    columns = match_classes(head.classes, wanted, aliases=aliases)
    bias = head.bias[columns] if isinstance(head.bias, np.ndarray) else head.bias
    return replace(head, weights=head.weights[columns], classes=tuple(wanted), bias=bias)


def _exact(name: str) -> tuple[str, ...]:
    return (name,)


def _folded(name: str) -> tuple[str, ...]:
    return (" ".join(name.casefold().replace("_", " ").replace("-", " ").split()),)


def _first(name: str) -> tuple[str, ...]:
    return _folded(name.split(",")[0])


def _synonyms(name: str) -> tuple[str, ...]:
    return tuple(_folded(part)[0] for part in name.split(","))


Table = tuple[Callable[[str], tuple[str, ...]], dict[str, list[int]]]


def _told_apart(outputs: Sequence[str]) -> list[str]:
    """The outputs, with one more synonym each for those of the same name that are known to mean different things."""
    told = list(outputs)
    for name, meanings in NAMESAKES.items():
        places = [index for index, output in enumerate(outputs) if output == name]
        if len(places) == len(meanings):
            for index, meaning in zip(places, meanings, strict=True):
                told[index] = f"{name}, {meaning}"
    return told


def _table(outputs: Sequence[str], names: Callable[[str], tuple[str, ...]]) -> Table:
    places: dict[str, list[int]] = {}
    for index, output in enumerate(outputs):
        for name in dict.fromkeys(names(output)):
            places.setdefault(name, []).append(index)
    return names, places


def _meant(tables: Sequence[Table], name: str) -> list[int]:
    """The outputs that the strictest reading of the name finds; what it lists first is what it means."""
    for names, places in tables:
        if places.get(names(name)[0]):
            return places[names(name)[0]]
    return []


def _alias(tables: Sequence[Table], target: int | str, count: int) -> list[int]:
    if isinstance(target, str):
        return _meant(tables, target)
    return [target] if 0 <= target < count else []


def _refuse_unclear(outputs: Sequence[str], wanted: Sequence[str], found: Sequence[list[int]]) -> None:
    pairs = list(zip(wanted, found, strict=True))
    if lost := [name for name, places in pairs if not places]:
        raise InputError(
            f"{len(lost)} of {len(wanted)} class names are no output of the classifier: {_listed(lost)}; "
            f"{nearest(lost[0], dict.fromkeys(output.split(',')[0] for output in outputs))}"
        )
    if unclear := [(name, places) for name, places in pairs if len(places) > 1]:
        name, places = unclear[0]
        raise InputError(
            f"{len(unclear)} class names mean several outputs, {name!r} is number {' and '.join(map(str, places))}; "
            "say which with aliases"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
