"""All questions about the distances between reals and fakes, answered in one walk over their tiles."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float32, Float64, Int

from candid.generative.passing import Budget, Progress, crossed
from candid.generative.points import Points, apart
from candid.generative.tiles import Both, Tile, as_numpy, sparse

__all__ = [
    "Answer",
    "Closest",
    "Counted",
    "Deepest",
    "Depth",
    "Inside",
    "Missed",
    "Question",
    "Side",
    "Touched",
    "Within",
    "answered",
]

Side = Literal["real", "fake"]
FEW = 1 / 8  # of the lines of a tile, which are then looked at by themselves
GRID = 2.0**34  # sums of logarithms are kept on this grid, where they do not depend on the order of tiles


@dataclass(frozen=True, eq=False)
class Inside:
    """Balls around one side, a radius each: what lies in them of the other side.

    A distance equal to the radius lies outside, or inside where `closed`.
    """

    centres: Side
    radii: Float64[np.ndarray, " n"]
    closed: bool = False


class Counted(NamedTuple):
    """How many of the other side each ball holds, and in how many balls each of the other side lies."""

    held: Int[np.ndarray, " n"]
    holding: Int[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class Missed:
    """Balls of one radius around one side whose weight falls linearly to 0: how surely the other side is in none."""

    centres: Side
    radius: float


class Touched(NamedTuple):
    """By row of the other side, the sum over centres of log min(distance / radius, 1); the share of pairs within it."""

    log_miss: Float64[np.ndarray, " m"]
    share: float


@dataclass(frozen=True, eq=False)
class Closest:
    """The nearest of the other side, for both sides."""


class Within(NamedTuple):
    """For every real its nearest fake, for every fake its nearest real: which row, and how far."""

    fake_of_real: Int[np.ndarray, " n"]
    real_to_fake: Float64[np.ndarray, " n"]
    real_of_fake: Int[np.ndarray, " m"]
    fake_to_real: Float64[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class Deepest:
    """For every fake the largest radius / distance over reals; radii are positive, NaN keeps a real out."""

    radii: Float64[np.ndarray, " n"]


class Depth(NamedTuple):
    """By fake, the largest ratio, infinity for a copy, and the real that gives it."""

    ratio: Float64[np.ndarray, " m"]
    real: Int[np.ndarray, " m"]


Question = Inside | Missed | Closest | Deepest
Answer = Counted | Touched | Within | Depth


def answered(
    real: Points, fake: Points, questions: Iterable[Question], budget: Budget, progress: Progress | None = None
) -> dict[Question, "Answer"]:
    """The answer to each question, from one walk."""
    sums = {question: SUMS[type(question)](question, real, fake) for question in dict.fromkeys(questions)}

    def visit(tile: Tile, lock: Lock) -> None:
        found = [each.of(tile) for each in sums.values()]
        with lock:
            for each, part in zip(sums.values(), found, strict=True):
                each.add(tile, part)

    if sums:
        crossed(real, fake, visit, budget, progress)
    return {question: each.answer() for question, each in sums.items()}


class _Sum(Protocol):
    """Adds up one answer: `of` a tile without the lock, `add` with it, and the `answer` at the end."""

    def of(self, tile: Tile) -> Any: ...
    def add(self, tile: Tile, part: Any) -> None: ...
    def answer(self) -> Answer: ...


class _Counting:
    def __init__(self, question: Inside, real: Points, fake: Points) -> None:
        self.question, self.axis = question, "rows" if question.centres == "real" else "columns"
        self.real, self.fake = np.zeros(len(real), np.int64), np.zeros(len(fake), np.int64)

    def of(self, tile: Tile) -> Both:
        block = tile.left if self.axis == "rows" else tile.right
        return tile.inside(self.question.radii[block.rows], of=self.axis, closed=self.question.closed)

    def add(self, tile: Tile, part: Both) -> None:
        self.real[tile.left.rows] += part.rows
        self.fake[tile.right.rows] += part.columns

    def answer(self) -> Counted:
        return Counted(self.real, self.fake) if self.axis == "rows" else Counted(self.fake, self.real)


class _Missing:
    def __init__(self, question: Missed, real: Points, fake: Points) -> None:
        self.question, self.others = question, fake if question.centres == "real" else real
        self.sums, self.within, self.pairs = np.zeros(len(self.others)), 0, len(real) * len(fake)

    def of(self, tile: Tile) -> tuple[np.ndarray, int]:
        axis = 0 if self.question.centres == "real" else 1
        return tile.log_product(self.question.radius, axis)

    def add(self, tile: Tile, part: tuple[np.ndarray, int]) -> None:
        block = tile.right if self.question.centres == "real" else tile.left
        self.sums[block.rows] += np.round(part[0] * GRID) / GRID
        self.within += part[1]

    def answer(self) -> Touched:
        return Touched(self.sums, self.within / self.pairs)


class _Closing:
    def __init__(self, _: Closest, real: Points, fake: Points) -> None:
        self.real, self.fake = real, fake
        self.of_real, self.of_fake = _Lowest.of(len(real)), _Lowest.of(len(fake))

    def of(self, tile: Tile) -> tuple["_Lowest", "_Lowest"]:
        return (
            _lowest(tile.squared, 1, self.of_real.value[tile.left.rows]),
            _lowest(tile.squared, 0, self.of_fake.value[tile.right.rows]),
        )

    def add(self, tile: Tile, part: tuple["_Lowest", "_Lowest"]) -> None:
        self.of_real.join(tile.left.rows, part[0], tile.right.rows.start)
        self.of_fake.join(tile.right.rows, part[1], tile.left.rows.start)

    def answer(self) -> Within:
        fake, real = self.of_real.where, self.of_fake.where
        return Within(
            fake,
            apart(self.real, np.arange(len(fake)), self.fake, fake),
            real,
            apart(self.real, real, self.fake, np.arange(len(real))),
        )


class _Deepening:
    def __init__(self, question: Deepest, real: Points, fake: Points) -> None:
        self.radii, self.real, self.fake = question.radii, real, fake
        self.lowest = _Lowest.of(len(fake))

    def of(self, tile: Tile) -> "_Lowest":
        return _lowest(tile.relative(self.radii[tile.left.rows]), 0, self.lowest.value[tile.right.rows])

    def add(self, tile: Tile, part: "_Lowest") -> None:
        self.lowest.join(tile.right.rows, part, tile.left.rows.start)

    def answer(self) -> Depth:
        real = self.lowest.where
        distances = apart(self.real, real, self.fake, np.arange(len(real)))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(distances > 0, self.radii[real] / distances, np.inf)
        return Depth(ratio, real)


class _Lowest(NamedTuple):
    """The lowest value so far and where it was; of equal ones the first row."""

    value: Float32[np.ndarray, " n"]
    where: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, n: int) -> "_Lowest":
        return cls(np.full(n, np.inf, np.float32), np.full(n, np.iinfo(np.int64).max))

    def join(self, rows: slice, part: "_Lowest", start: int) -> None:
        value, where, place = self.value[rows], self.where[rows], part.where + start
        wins = (part.value < value) | ((part.value == value) & (place < where))
        value[wins], where[wins] = part.value[wins], place[wins]


def _lowest(squared: Any, axis: int, so_far: Float32[np.ndarray, " n"]) -> _Lowest:
    """The lowest over an axis; where it is, only if it may count."""
    lowest = array_namespace(squared).min(squared, axis=axis)
    value, where = as_numpy(lowest), np.zeros(squared.shape[1 - axis], np.int64)
    better = np.flatnonzero(value <= so_far)
    if 0 < len(better) <= FEW * len(value):
        picked = squared[better] if axis == 1 else squared[:, better]
        where[better] = _first(picked, lowest[better], axis)
    elif len(better):
        where = _first(squared, lowest, axis)
    return _Lowest(np.where(value <= so_far, value, np.float32(np.inf)), where)


def _first(squared: Any, lowest: Any, axis: int) -> Int[np.ndarray, " n"]:
    """The first place over an axis where the lowest stands; argmin over rows takes ten times as long."""
    at = sparse(squared == (lowest[:, None] if axis == 1 else lowest[None]))
    line, place = (at.rows, at.columns) if axis == 1 else (at.columns, at.rows)
    where = np.zeros(len(lowest), np.int64)
    where[line[::-1]] = place[::-1]
    return where


SUMS: dict[type, Callable[[Any, Points, Points], _Sum]] = {
    Inside: _Counting,
    Missed: _Missing,
    Closest: _Closing,
    Deepest: _Deepening,
}
