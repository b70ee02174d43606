"""The reliability diagram as data: per bin what was claimed, what was true, and how sure we can be of the latter."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from candid.metrics.binning import Edges, bin_edges, bin_index, bin_sums
from candid.metrics.intervals import clopper_pearson
from candid.metrics.top import check_top, top_of_probs
from candid.types import Correct, Labels, Probs, Scores

__all__ = ["Reliability", "reliability", "reliability_of_top"]


@dataclass(frozen=True)
class Reliability:
    """One entry a bin that holds anything, from low confidence to high; empty bins are absent.

    `confidence` and `accuracy` are means over the bin's `n` rows, `accuracy_low` and `accuracy_high` the exact
    (Clopper-Pearson) interval at `level`, `low` and `high` the bin's edges.
    """

    low: Float[np.ndarray, " bins"]
    high: Float[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]
    accuracy_low: Float[np.ndarray, " bins"]
    accuracy_high: Float[np.ndarray, " bins"]
    n: Int[np.ndarray, " bins"]
    edges: Edges
    level: float = 0.95

    def __len__(self) -> int:
        return len(self.n)


def reliability(
    probs: Probs, labels: Labels, *, bins: int = 15, edges: Edges = "(lo, hi]", level: float = 0.95
) -> Reliability:
    """Confidence against accuracy of the top label, in equal-width bins.

    >>> r = reliability(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), bins=5)
    >>> r.low.round(1).tolist(), r.confidence.tolist(), r.accuracy.tolist(), r.n.tolist()
    ([0.4, 0.8], [0.6, 0.9], [0.0, 1.0], [1, 1])
    """
    return reliability_of_top(*top_of_probs(probs, labels), bins=bins, edges=edges, level=level)


def reliability_of_top(
    confidence: Scores, correct: Correct, *, bins: int = 15, edges: Edges = "(lo, hi]", level: float = 0.95
) -> Reliability:
    """`reliability` from the confidence of each prediction and whether it was right."""
    top = check_top(confidence, correct)
    sums = bin_sums(top.confidence, top.correct.astype(np.float64), bin_index(top.confidence, bins, edges))
    limits = np.append(bin_edges(bins), 1.0)  # the extra bin of "torchmetrics" is the point 1
    held = np.flatnonzero(sums.n)
    n, right = sums.n[held], sums.correct[held]
    low, high = clopper_pearson(right, n, level)
    return Reliability(
        low=limits[held],
        high=limits[held + 1],
        confidence=sums.confidence[held] / n,
        accuracy=right / n,
        accuracy_low=low,
        accuracy_high=high,
        n=n,
        edges=edges,
        level=level,
    )
