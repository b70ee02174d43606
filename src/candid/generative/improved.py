"""Improved precision and recall: which samples lie in the k-nearest-neighbour balls of the other set."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from candid.generative.crossing import Inside
from candid.generative.sets import Answers, Sets, check_k

__all__ = ["PrecisionRecall", "PrecisionRecallAt"]


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1], higher is better: `precision` of fakes in a real ball, `recall` of reals in a fake ball.

    `fakes_inside` and `reals_inside` say which.
    """

    precision: float
    recall: float
    fakes_inside: Bool[np.ndarray, " m"]
    reals_inside: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class PrecisionRecallAt:
    """Settings of improved precision and recall. Kynkaanniemi et al. 2019, https://arxiv.org/abs/1904.06991, eq. 2.

    The ball of a sample reaches to its k-th nearest other. A distance equal to the radius is outside, as in prdc, or
    inside where `closed`, as in the paper's code and torch-fidelity.
    """

    k: int = 5
    closed: bool = False

    def __post_init__(self) -> None:
        check_k(self.k)

    @property
    def reach(self) -> int:
        return self.k

    def ask(self, sets: Sets) -> tuple[Inside, Inside]:
        return (
            sets.balls("real", self.k, closed=self.closed),
            sets.balls("fake", self.k, closed=self.closed),
        )

    def result(self, sets: Sets, answers: Answers) -> PrecisionRecall:
        real, fake = (answers[question] for question in self.ask(sets))
        fakes, reals = real.holding > 0, fake.holding > 0
        return PrecisionRecall(float(fakes.mean()), float(reals.mean()), fakes, reals)
