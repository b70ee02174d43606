"""Authenticity: fakes that lie no nearer to a real than reals do to each other, so are not its copies."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from candid.generative.crossing import Closest
from candid.generative.sets import Answers, Sets

__all__ = ["Authenticity", "AuthenticityAt"]


class Authenticity(NamedTuple):
    """`share` of authentic fakes in [0, 1], 0 if all are copies of reals; for equal sets about a half.

    `authentic` says which, `nearest_real` and `distances` what each fake is nearest to.
    """

    share: float
    authentic: Bool[np.ndarray, " m"]
    nearest_real: Int[np.ndarray, " m"]
    distances: Float64[np.ndarray, " m"]


@dataclass(frozen=True)
class AuthenticityAt:
    """A fake is authentic if its nearest real is farther from it than from that real's own nearest real.

    Alaa et al. 2022, https://arxiv.org/abs/2102.08921; times 100 it is the AuthPct of dgm-eval. The
    authors' later code looks up that real by the wrong index.
    """

    @property
    def reach(self) -> int:
        return 1

    def ask(self, sets: Sets) -> tuple[Closest]:
        return (sets.closest(),)

    def result(self, sets: Sets, answers: Answers) -> Authenticity:
        found = answers[sets.closest()]
        own = sets.radii("real", 1)[found.real_of_fake]
        authentic = found.fake_to_real > own
        return Authenticity(float(authentic.mean()), authentic, found.real_of_fake, found.fake_to_real)
