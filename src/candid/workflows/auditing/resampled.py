"""Bootstrap intervals of many rows statistics at the cost of one: a statistic maps row indices (b, n) to b numbers.

Nothing is recomputed from logits. Each statistic starts from one number a row (confidence, correct, loss) and picks.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from candid.metrics.binning import bin_index
from candid.types import Correct, Estimate, Labels, Probs, Scores

__all__ = [
    "Statistic",
    "adaptive_ece_of",
    "aurc_of",
    "bootstrap_rows",
    "classwise_ece_of",
    "ece_of",
    "mean_of",
    "one_by_one",
    "resamples",
    "shifted_interval",
]

Rows = Int[np.ndarray, "b n"]
Draws = Float[np.ndarray, " b"]
Statistic = Callable[[Rows], Draws]

RESAMPLES = 200
BLOCK = 1 << 21  # row indices held at a time, 16 MB
LEVEL = 0.95
BINS = 15


def resamples(n: int, *, seed: int, count: int = RESAMPLES, block: int = BLOCK) -> Iterator[Rows]:
    """Row indices drawn with replacement, `count` samples of n in blocks of bounded memory."""
    rng = np.random.default_rng(seed)
    size = max(1, min(count, block // n))
    for start in range(0, count, size):
        yield rng.integers(0, n, (min(size, count - start), n))


def bootstrap_rows(
    statistic: Statistic,
    n: int,
    *,
    seed: int,
    value: float | None = None,
    count: int = RESAMPLES,
    within: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    """The statistic of all n rows (or the `value` given for it) with its interval, cut to what is possible at all.

    >>> bootstrap_rows(mean_of(np.array([1.0, 1.0, 1.0])), 3, seed=0)
    Estimate(value=1.0, low=1.0, high=1.0, n=3, level=0.95)
    """
    if value is None:
        value = float(statistic(np.arange(n)[None])[0])
    draws = np.concatenate([statistic(rows) for rows in resamples(n, seed=seed, count=count)])
    low, high = shifted_interval(value, draws, within=within)
    return Estimate(value, low, high, n, LEVEL)


def shifted_interval(value: float, draws: Draws, *, within: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
    """Percentile interval of the draws, shifted by their bias so that it stays around the value it belongs to.

    Resampling inflates statistics that add absolute gaps, so the plain percentiles of an ECE often exclude the ECE.
    """
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    bias = float(draws.mean()) - value
    return max(within[0], float(min(low - bias, value))), min(within[1], float(max(high - bias, value)))


def mean_of(values: Float[np.ndarray, " n"]) -> Statistic:
    """Mean of one number a row."""
    return lambda rows: values[rows].mean(axis=1)


def one_by_one(metric: Callable[[np.ndarray], float]) -> Statistic:
    """A statistic from a metric of one sample's rows, for those that cannot be computed for many at once."""
    return lambda rows: np.array([metric(sample) for sample in rows])


def ece_of(confidence: Scores, correct: Correct, *, bins: int = BINS) -> Statistic:
    """Expected calibration error, equal-width bins (lo, hi] with 0 in the first."""
    cell = bin_index(confidence, bins, "(lo, hi]")
    gap = confidence - correct

    def statistic(rows: Rows) -> Draws:
        draws, n = rows.shape
        cells = cell[rows] + bins * np.arange(draws)[:, None]
        sums = np.bincount(cells.ravel(), weights=gap[rows].ravel(), minlength=draws * bins)
        return np.asarray(np.abs(sums.reshape(draws, bins)).sum(axis=1) / n)

    return statistic


def adaptive_ece_of(confidence: Scores, correct: Correct, *, bins: int = BINS) -> Statistic:
    """Expected calibration error over bins of equal count."""
    order = np.argsort(confidence, kind="stable")
    gap = (confidence - correct)[order]

    def statistic(rows: Rows) -> Draws:
        n = rows.shape[1]
        starts = np.array([part[0] for part in np.array_split(np.arange(n), bins) if len(part)])
        return np.asarray(np.abs(np.add.reduceat(gap[_ranked(rows, order)], starts, axis=1)).sum(axis=1) / n)

    return statistic


def classwise_ece_of(probs: Probs, labels: Labels, *, bins: int = BINS) -> Statistic:
    """Class-wise ECE: one sparse matrix of gaps (class and bin by row) times how often each row was drawn."""
    n, k = probs.shape
    cells = bin_index(probs, bins, "(lo, hi]") + bins * np.arange(k)
    gap = probs.astype(np.float64)
    gap[np.arange(n), labels] -= 1.0
    gaps = csr_array((gap.ravel(), cells.ravel(), np.arange(n + 1) * k), shape=(n, bins * k)).T

    def statistic(rows: Rows) -> Draws:
        times = np.stack([np.bincount(sample, minlength=n) for sample in rows], axis=1).astype(np.float64)
        return np.asarray(np.abs(gaps @ times).sum(axis=0) / (rows.shape[1] * k))

    return statistic


def aurc_of(confidence: Scores, correct: Correct) -> Statistic:
    """Mean over coverages of the error among the most confident rows."""
    order = np.argsort(-confidence, kind="stable")
    wrong = (~correct)[order].astype(np.float64)

    def statistic(rows: Rows) -> Draws:
        errors = np.cumsum(wrong[_ranked(rows, order)], axis=1)
        return np.asarray((errors / np.arange(1, rows.shape[1] + 1)).mean(axis=1))

    return statistic


def _ranked(rows: Rows, order: Int[np.ndarray, " n"]) -> Rows:
    """Each sample as sorted places in `order`."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return np.sort(place[rows], axis=1)
