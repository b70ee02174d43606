"""Precision cover and recall cover: balls that hold enough of the other set, not just one."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from candid.errors import InputError
from candid.generative.crossing import Inside
from candid.generative.sets import Answers, Sets

__all__ = ["PrecisionRecallCover", "PrecisionRecallCoverAt"]


class PrecisionRecallCover(NamedTuple):
    """Shares in [0, 1], higher is better: `precision` of fakes whose ball holds enough reals, `recall` swapped."""

    precision: float
    recall: float
    fakes_mixed: Bool[np.ndarray, " m"]
    reals_mixed: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class PrecisionRecallCoverAt:
    """Settings: a ball reaches to the (k times `factor`)-th nearest other and has to hold k of the other set.

    Cheema and Urner 2023, https://proceedings.mlr.press/v206/cheema23a.html, boundary included. The
    authors' function gives the two numbers the other way round; here precision is about fakes.
    """

    k: int = 3
    factor: int = 3

    def __post_init__(self) -> None:
        if self.k < 1 or self.factor < 1:
            raise InputError(f"k and factor must be 1 or more, got {self.k} and {self.factor}")

    @property
    def reach(self) -> int:
        return self.k * self.factor

    def ask(self, sets: Sets) -> tuple[Inside, Inside]:
        return sets.balls("real", self.reach, closed=True), sets.balls("fake", self.reach, closed=True)

    def result(self, sets: Sets, answers: Answers) -> PrecisionRecallCover:
        real, fake = (answers[question] for question in self.ask(sets))
        fakes, reals = fake.held >= self.k, real.held >= self.k
        return PrecisionRecallCover(float(fakes.mean()), float(reals.mean()), fakes, reals)
