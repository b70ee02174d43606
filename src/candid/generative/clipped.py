"""Clipped density and clipped coverage: no sample and no far-off real counts for more than its share."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.special import betaln, gammaln

from candid.errors import InputError
from candid.generative.crossing import Inside
from candid.generative.sets import Answers, Sets, check_k

__all__ = ["ClippedDensityCoverage", "ClippedDensityCoverageAt"]

FAKES = 1 << 16  # numbers of fakes at a time


class ClippedDensityCoverage(NamedTuple):
    """`density` and `coverage` in [0, 1], higher is better; both read as a share of good samples.

    `fake_scores` and `real_scores` are the clipped counts behind them, by sample, in [0, 1]; their means are not the
    two numbers yet: density is divided by what reals score among themselves, coverage undone by its expectation.
    """

    density: float
    coverage: float
    fake_scores: Float64[np.ndarray, " m"]
    real_scores: Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class ClippedDensityCoverageAt:
    """Settings. Salvy et al. 2025, https://arxiv.org/abs/2507.01761.

    Density: radii no larger than the median, counts no larger than k, boundary included. Coverage: how many of k
    nearest fakes lie in a real's ball, boundary excluded, mapped so that a share g of good fakes gives about g.
    """

    k: int = 5

    def __post_init__(self) -> None:
        check_k(self.k)

    @property
    def reach(self) -> int:
        return self.k

    def ask(self, sets: Sets) -> tuple[Inside, Inside]:
        return self._clipped(sets), sets.balls("real", self.k)

    def _clipped(self, sets: Sets) -> Inside:
        def make() -> Inside:
            radii = sets.radii("real", self.k)
            return Inside("real", np.minimum(radii, np.median(radii)), closed=True)

        return sets.question(("clipped", self.k), make)

    def result(self, sets: Sets, answers: Answers) -> ClippedDensityCoverage:
        clipped = self._clipped(sets)
        fakes = np.minimum(answers[clipped].holding / self.k, 1)
        reals = np.minimum(answers[sets.balls("real", self.k)].held / self.k, 1)
        return ClippedDensityCoverage(
            density=min(1.0, float(fakes.mean()) / self._among_reals(sets, clipped)),
            coverage=_undone(float(reals.mean()), len(sets.real), len(sets.fake), self.k),
            fake_scores=fakes,
            real_scores=reals,
        )

    def _among_reals(self, sets: Sets, clipped: Inside) -> float:
        """The clipped density of the reals themselves: whatever a ball holds is among its k nearest."""
        near = sets.near_real
        held = near.distances[:, : self.k] <= clipped.radii[:, None]
        counts = np.bincount(near.rows[:, : self.k][held], minlength=len(sets.real))
        return float(np.minimum(counts / self.k, 1).mean())


def _undone(coverage: float, n: int, m: int, k: int) -> float:
    """The share of m fakes that, if as the reals, are expected to cover as much."""
    if m < k:
        raise InputError(f"clipped coverage needs at least k = {k} fakes, got {m}")
    found = np.concatenate([np.zeros(k), *(_expected(part, n, k) for part in _parts(k, m))])
    return float(np.searchsorted(found, coverage) / (m + 1))


def _parts(k: int, m: int) -> list[Float64[np.ndarray, " p"]]:
    return [np.arange(start, min(start + FAKES, m + 1), dtype=np.float64) for start in range(k, m + 1, FAKES)]


def _expected(fakes: Float64[np.ndarray, " p"], n: int, k: int) -> Float64[np.ndarray, " p"]:
    """Expected coverage by so many fakes: how many fall into a ball of k of n - 1 others is beta-binomial."""
    short = np.zeros(len(fakes))
    for j in range(k):
        ways = gammaln(fakes + 1) - gammaln(j + 1) - gammaln(fakes - j + 1)
        short += (k - j) * np.exp(ways + betaln(k + j, n - k + fakes - j) - betaln(k, n - k))
    return 1 - short / k
