"""Ours, not the paper's: P-precision and P-recall divided by what reals score among themselves.

The values of identical sets are not 1 and depend on the dimension; one half of the reals scored against the other says
what they would be. The quotient reads as a share of good samples: it falls linearly as bad ones are mixed in.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from candid.errors import InputError
from candid.generative.comparing import Reference, compare
from candid.generative.points import checked, gathered
from candid.generative.probabilistic import ProbabilisticPrecisionRecallAt
from candid.generative.resampled import FEWEST, LARGEST, LEVEL, NORMAL
from candid.metrics.streaming import VectorRows
from candid.types import Estimate

__all__ = ["Calibrated", "calibrated_precision_recall"]


class Calibrated(NamedTuple):
    """`precision` and `recall` about 1 for equal distributions, 0 for disjoint ones, with 95 % intervals.

    `real_precision` and `real_recall` are the means of what they were divided by, `size` the rows of every set.
    """

    precision: Estimate
    recall: Estimate
    real_precision: float
    real_recall: float
    size: int


def calibrated_precision_recall(
    real: VectorRows,
    fake: VectorRows,
    *,
    at: ProbabilisticPrecisionRecallAt | None = None,
    splits: int = 20,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **engine: Any,
) -> Calibrated:
    """P-precision and P-recall over those of a real-real split of the same size, means over `splits`.

    Every split halves the reals; one half is compared with the other, and with as many fakes, half of them at most.
    `at` holds k, scale and radius; `engine`: see `compare`. The interval rests on the spread over splits.
    """
    (n, _), (m, _) = checked(real, "real"), checked(fake, "fake")
    size = min(n // 2, m // 2, LARGEST)  # no more than half the fakes, or all splits would have the same ones
    if size < FEWEST or splits < 2:
        raise InputError(
            f"calibration needs {2 * FEWEST} reals, {2 * FEWEST} fakes and 2 splits, got {n}, {m} and {splits}"
        )
    at = ProbabilisticPrecisionRecallAt() if at is None else at
    random, found = np.random.default_rng(seed), []
    for done in range(splits):
        order = random.permutation(n)
        first, second = (gathered(real, np.sort(order[part])) for part in (slice(size), slice(size, 2 * size)))
        fakes = gathered(fake, np.sort(random.choice(m, size, replace=False)))
        reference = Reference.of(first, reach=at.reach, **engine)
        own, other = (compare(reference, each, [at], **engine)[0] for each in (second, fakes))
        found.append((other.precision, other.recall, own.precision, own.recall))
        if progress is not None:
            progress(done + 1, splits)
    values = np.array(found)
    if not values[:, 2:].all():
        raise InputError("reals score 0 among themselves; take a larger scale or more reals")
    share = size / min(n, m)
    factor = float(np.sqrt(share / (1 - share)))
    return Calibrated(
        _estimate(values[:, 0], values[:, 2], factor, size),
        _estimate(values[:, 1], values[:, 3], factor, size),
        float(values[:, 2].mean()),
        float(values[:, 3].mean()),
        size,
    )


def _estimate(score: np.ndarray, own: np.ndarray, factor: float, size: int) -> Estimate:
    """A quotient of means, which a split with a low divisor does not carry away."""
    value = float(score.mean() / own.mean())
    residual = (score - value * own) / own.mean()
    half = NORMAL * factor * float(residual.std(ddof=1))
    return Estimate(value, max(0.0, value - half), value + half, size, LEVEL)
