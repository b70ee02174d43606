"""Realism: by how much a fake lies inside the deepest real ball that might hold it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from candid.errors import InputError
from candid.generative.crossing import Deepest
from candid.generative.sets import Answers, Sets, check_k

__all__ = ["Realism", "RealismAt"]


class Realism(NamedTuple):
    """`scores` by fake, above 1 inside some ball, higher is more real, infinity for a copy; `real` gives that ball.

    `share` is that of fakes with a score of 1 or more.
    """

    share: float
    scores: Float64[np.ndarray, " m"]
    real: Int[np.ndarray, " m"]


@dataclass(frozen=True)
class RealismAt:
    """Settings: max over reals of radius / distance. Kynkaanniemi et al. 2019, https://arxiv.org/abs/1904.06991, eq. 3.

    Only reals whose radius is at most the median take part. The ratio is of distances, as in the paper; the authors'
    code takes that of squared distances, which is this one squared.
    """

    k: int = 3

    def __post_init__(self) -> None:
        check_k(self.k)

    @property
    def reach(self) -> int:
        return self.k

    def ask(self, sets: Sets) -> tuple[Deepest]:
        def make() -> Deepest:
            radii = sets.radii("real", self.k)
            counted = (radii <= np.median(radii)) & (radii > 0)
            if not counted.any():
                raise InputError(
                    f"realism needs reals whose {self.k}-th nearest other is no copy; at least half of them are copies"
                )
            return Deepest(np.where(counted, radii, np.nan))

        return (sets.question(("deepest", self.k), make),)

    def result(self, sets: Sets, answers: Answers) -> Realism:
        (depth,) = (answers[question] for question in self.ask(sets))
        return Realism(float((depth.ratio >= 1).mean()), depth.ratio, depth.real)
