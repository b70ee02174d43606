"""How far to trust a number: exact intervals for shares, the bootstrap for everything else, and the null of the ECE."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import betaincinv

from candid.errors import InputError
from candid.metrics.binning import Edges, bin_index
from candid.metrics.top import check_top
from candid.types import Estimate, Scores

__all__ = ["bootstrap", "clopper_pearson", "ece_null", "proportion"]


def proportion(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """A share of n with its exact interval, in [0, 1]: it covers at least `level`. Clopper & Pearson 1934.

    >>> none = proportion(0, 10)
    >>> none.value, none.low, round(none.high, 6), none.n
    (0.0, 0.0, 0.308497, 10)
    """
    if not 0 <= successes <= n or n == 0:
        raise InputError(f"expected 0 <= successes <= n with n > 0, got {successes} of {n}")
    low, high = clopper_pearson(np.array([float(successes)]), np.array([n]), level)
    return Estimate(successes / n, float(low[0]), float(high[0]), int(n), level)


def clopper_pearson(
    successes: Float[np.ndarray, " m"], n: np.ndarray, level: float = 0.95
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Lower and upper limits of the exact interval for each share successes / n."""
    _check_level(level)
    tail = (1.0 - level) / 2.0
    inner = np.where(successes > 0, successes, 1.0)
    low = np.where(successes > 0, betaincinv(inner, n - inner + 1.0, tail), 0.0)
    inner = np.where(successes < n, successes, n - 1.0)
    high = np.where(successes < n, betaincinv(inner + 1.0, n - inner, 1.0 - tail), 1.0)
    return low, high


def bootstrap(
    metric: Callable[..., float],
    *arrays: np.ndarray,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
    paired: bool = True,
) -> Estimate:
    """The metric with its percentile bootstrap interval. Efron 1979.

    Rows of all arrays are drawn together, because row i of each is the same image. `paired=False` draws each array by
    itself: right for two samples, such as `auroc(known, unknown)`; n is then the rows of all of them.

    >>> bootstrap(np.mean, np.array([0.0, 1.0, 1.0, 1.0]), resamples=200)
    Estimate(value=0.75, low=0.25, high=1.0, n=4, level=0.95)
    """
    _check_level(level)
    arrays = tuple(np.atleast_1d(np.asarray(array)) for array in arrays)
    lengths = [len(array) for array in arrays]
    if not lengths or min(lengths) == 0:
        raise InputError(f"bootstrap needs at least one row in every array, got lengths {lengths}")
    if paired and len(set(lengths)) > 1:
        raise InputError(f"paired arrays must have one length, got {lengths}; pass paired=False for separate samples")
    if resamples < 1:
        raise InputError(f"expected at least one resample, got {resamples}")
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for i in range(resamples):
        draws[i] = metric(*_resample(rng, arrays, paired))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(metric(*arrays)), float(low), float(high), lengths[0] if paired else sum(lengths), level)


def ece_null(
    confidence: Scores, *, bins: int = 15, edges: Edges = "(lo, hi]", seed: int = 0, resamples: int = 1000
) -> Float[np.ndarray, " resamples"]:
    """ECE values a perfectly calibrated model with these top-label confidences would show on this many rows.

    Labels are redrawn from the probabilities, so a prediction is right with probability equal to its confidence. An ECE
    inside this distribution is no evidence of miscalibration.

    >>> float(ece_null(np.full(100, 0.5), resamples=200).mean().round(3))
    0.044
    """
    conf = check_top(confidence, np.ones(len(confidence), dtype=bool)).confidence
    index = bin_index(conf, bins, edges)
    rng = np.random.default_rng(seed)
    out = np.empty(resamples)
    for i in range(resamples):
        gap = conf - (rng.random(len(conf)) < conf)
        out[i] = np.abs(np.bincount(index, weights=gap)).sum() / len(conf)
    return out


def _resample(rng: np.random.Generator, arrays: tuple[np.ndarray, ...], paired: bool) -> list[Any]:
    if paired:
        rows = rng.integers(len(arrays[0]), size=len(arrays[0]))
        return [array[rows] for array in arrays]
    return [array[rng.integers(len(array), size=len(array))] for array in arrays]


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level}; 95 % is 0.95")
