"""Alpha-precision and beta-recall: are the most typical shares of each set met in the right proportion?"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from candid.arrays import row_blocks
from candid.errors import InputError
from candid.generative.crossing import Closest
from candid.generative.points import CHECKED, Points
from candid.generative.sets import Answers, Sets

__all__ = ["AlphaBeta", "AlphaBetaAt"]


class AlphaBeta(NamedTuple):
    """`alpha_precision` and `beta_recall`, 1 is best: one less twice the area between curve and diagonal.

    `alphas` are the shares asked for, `precision_curve` the share of fakes within the centre ball of that share of
    reals, `recall_curve` the share of reals met by a fake within the centre ball of that share of nearest fakes.
    """

    alpha_precision: float
    beta_recall: float
    alphas: Float64[np.ndarray, " s"]
    precision_curve: Float64[np.ndarray, " s"]
    recall_curve: Float64[np.ndarray, " s"]


@dataclass(frozen=True)
class AlphaBetaAt:
    """Settings: `steps` shares from 0 to 1. Alaa et al. 2022, https://arxiv.org/abs/2102.08921.

    Centres are the means of the vectors as they are; the paper first trains a one-class embedding, whose centre it
    takes. A real is met if its nearest fake is no farther than its nearest other real.
    """

    steps: int = 30

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise InputError(f"steps must be 2 or more, got {self.steps}")

    @property
    def reach(self) -> int:
        return 1

    def ask(self, sets: Sets) -> tuple[Closest]:
        return (sets.closest(),)

    def result(self, sets: Sets, answers: Answers) -> AlphaBeta:
        found, alphas = answers[sets.closest()], np.linspace(0, 1, self.steps)
        centre, other = _mean(sets.real), _mean(sets.fake)
        limits = np.quantile(_from(sets.real, centre), alphas)
        precision = (_from(sets.fake, centre)[:, None] <= limits).mean(axis=0)
        nearest = _from(sets.fake, other)[found.fake_of_real]
        met = found.real_to_fake <= sets.radii("real", 1)
        recall = (met[:, None] & (nearest[:, None] <= np.quantile(nearest, alphas))).mean(axis=0)
        return AlphaBeta(_score(alphas, precision), _score(alphas, recall), alphas, precision, recall)


def _score(alphas: Float64[np.ndarray, " s"], curve: Float64[np.ndarray, " s"]) -> float:
    return float(1 - 2 * np.abs(alphas - curve).sum() * (alphas[1] - alphas[0]))


def _mean(points: Points) -> Float64[np.ndarray, " d"]:
    """The mean, in the frame."""
    total = np.zeros(points.width)
    for rows in row_blocks(len(points), points.width, cells=CHECKED):
        total += points.exactly(rows).sum(axis=0)
    return total / len(points)


def _from(points: Points, centre: Float64[np.ndarray, " d"]) -> Float64[np.ndarray, " n"]:
    """Distances of all rows from a point, both in the frame."""
    found = np.empty(len(points))
    for rows in row_blocks(len(points), points.width, cells=CHECKED):
        found[rows] = np.linalg.norm(points.exactly(rows) - centre, axis=1)
    return found
