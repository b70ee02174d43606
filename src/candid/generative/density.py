"""Density and coverage: in how many real balls a fake lies, and how many real balls hold a fake."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from candid.generative.crossing import Inside
from candid.generative.sets import Answers, Sets, check_k

__all__ = ["DensityCoverage", "DensityCoverageAt"]


class DensityCoverage(NamedTuple):
    """`density` from 0 upwards (about 1 for equal sets), `coverage` in [0, 1]; higher is better.

    `fake_density` is the density of each fake, `reals_covered` says which reals have a fake in their ball.
    """

    density: float
    coverage: float
    fake_density: Float64[np.ndarray, " m"]
    reals_covered: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class DensityCoverageAt:
    """Settings of density and coverage. Naeem et al. 2020, https://arxiv.org/abs/2002.09797.

    A distance equal to the radius is outside, or inside where `closed`.
    """

    k: int = 5
    closed: bool = False

    def __post_init__(self) -> None:
        check_k(self.k)

    @property
    def reach(self) -> int:
        return self.k

    def ask(self, sets: Sets) -> tuple[Inside]:
        return (sets.balls("real", self.k, closed=self.closed),)

    def result(self, sets: Sets, answers: Answers) -> DensityCoverage:
        (balls,) = (answers[question] for question in self.ask(sets))
        density, covered = balls.holding / self.k, balls.held > 0
        return DensityCoverage(float(density.mean()), float(covered.mean()), density, covered)
