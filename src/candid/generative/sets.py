"""Two sets with what is known within each of them, and the questions that metrics share."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast, overload, runtime_checkable

import numpy as np
from jaxtyping import Float64

from candid.errors import InputError
from candid.generative.crossing import (
    Answer,
    Closest,
    Counted,
    Deepest,
    Depth,
    Inside,
    Missed,
    Question,
    Side,
    Touched,
    Within,
)
from candid.generative.neighbours import Near
from candid.generative.points import Points

__all__ = ["Answers", "NeighbourMetric", "Sets", "check_k"]

Asked = TypeVar("Asked", bound=Question)
Result = TypeVar("Result", covariant=True)


class Answers:
    """What each question was answered."""

    def __init__(self, found: Mapping[Question, Answer]) -> None:
        self._found = found

    @overload
    def __getitem__(self, question: Inside) -> Counted: ...
    @overload
    def __getitem__(self, question: Missed) -> Touched: ...
    @overload
    def __getitem__(self, question: Closest) -> Within: ...
    @overload
    def __getitem__(self, question: Deepest) -> Depth: ...
    def __getitem__(self, question: Question) -> Answer:
        return self._found[question]


@dataclass(frozen=True, eq=False)
class Sets:
    """Reals and fakes, the nearest others of each within its own set, and every question asked so far.

    A question asked twice is one question: precision, density and coverage of one k look at the same balls.
    """

    real: Points
    fake: Points
    near_real: Near
    near_fake: Near
    asked: dict[Hashable, Question] = field(default_factory=dict)

    def near(self, side: Side) -> Near:
        """What is known within one side."""
        return self.near_real if side == "real" else self.near_fake

    def radii(self, side: Side, k: int) -> Float64[np.ndarray, " n"]:
        """Distance of each of a side to its k-th nearest other."""
        return self.near(side).kth(k)

    def balls(self, side: Side, k: int, *, closed: bool = False) -> Inside:
        """What lies in the k-nearest-neighbour balls of a side."""
        return self.question(("balls", side, k, closed), lambda: Inside(side, self.radii(side, k), closed))

    def closest(self) -> Closest:
        """Who is nearest to whom."""
        return self.question("closest", Closest)

    def question(self, key: Hashable, make: Callable[[], Asked]) -> Asked:
        """The question of this name, made if it is asked for the first time."""
        return cast(Asked, self.asked.setdefault(key, make()))


@runtime_checkable
class NeighbourMetric(Protocol[Result]):
    """A metric with its settings: how many neighbours it needs, what it asks, what it makes of the answers."""

    @property
    def reach(self) -> int:
        """Nearest others needed of every row within its own set."""
        ...

    def ask(self, sets: Sets) -> tuple[Question, ...]:
        """Its questions about distances between the sets, the same ones however often it is asked."""
        ...

    def result(self, sets: Sets, answers: Answers) -> Result:
        """The metric from the answers."""
        ...


def check_k(k: int) -> None:
    """Refuses a k that names no neighbour; one that is too large is refused where the sets are known."""
    if not isinstance(k, int | np.integer) or k < 1:
        raise InputError(f"k must be a whole number, 1 or more, got {k!r}")
