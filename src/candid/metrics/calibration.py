"""How far stated confidence is from accuracy, in bins. Top-label errors take probs, logits or (confidence, correct).

ECE: Naeini et al. 2015; Guo et al. 2017, https://arxiv.org/abs/1706.04599, eq. 3. Adaptive ECE: Nguyen & O'Connor
2015. Class-wise ECE: Kull et al. 2019, https://arxiv.org/abs/1910.12656. All lie in [0, 1], lower is better. ECE of
even a perfectly calibrated model is above 0 on finite data: compare it with `ece_null`.
"""

import numpy as np
from jaxtyping import Float

from candid.arrays import check_labels, check_probs
from candid.errors import InputError
from candid.metrics.binning import BinSums, Edges, bin_edges, bin_index, bin_sums
from candid.metrics.rows import highest, inverse_mass, inverse_mass_single, row_blocks
from candid.metrics.top import check_top, top_of_probs
from candid.types import Correct, Labels, Logits, Probs, Scores

__all__ = [
    "adaptive_ece",
    "adaptive_ece_of_top",
    "classwise_ece",
    "classwise_ece_sum",
    "ece",
    "ece_of_logits",
    "ece_of_top",
    "mce",
    "mce_of_top",
]

DOUBT = 4e-6  # a float32 softmax is right to about 1e-6; confidences this near an edge are computed again in float64


def ece(probs: Probs, labels: Labels, *, bins: int = 15, edges: Edges = "(lo, hi]") -> float:
    """Expected calibration error of the top label: sum over bins of n_b / n * |accuracy - confidence|.

    >>> round(ece(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])), 4)
    0.35
    """
    return ece_of_top(*top_of_probs(probs, labels), bins=bins, edges=edges)


def ece_of_top(confidence: Scores, correct: Correct, *, bins: int = 15, edges: Edges = "(lo, hi]") -> float:
    """`ece` from the confidence of each prediction and whether it was right."""
    return _weighted_gap(_sums(confidence, correct, bins, edges))


def ece_of_logits(
    logits: Logits, labels: Labels, *, bins: int = 15, edges: Edges = "(lo, hi]", temperature: float = 1.0
) -> float:
    """`ece` of softmax(logits / temperature) in one pass, without the n x k probabilities.

    float32 logits are exponentiated in float32, except in rows near a bin edge: every row lands in its float64 bin, and
    the value agrees with float64 to about 1e-7.

    >>> round(ece_of_logits(np.array([[np.log(9.0), 0.0], [np.log(1.5), 0.0]]), np.array([0, 1])), 4)
    0.35
    """
    if not 1e-30 < temperature < 1e30:
        raise InputError(f"temperature must be positive and finite, got {temperature}")
    label, value = highest(logits)
    truth = check_labels(labels, classes=logits.shape[1], rows=len(logits))
    if logits.dtype != np.float32:
        confidence = inverse_mass(logits, value, 1.0 / temperature)
    else:
        confidence = inverse_mass_single(logits, value, 1.0 / temperature)
        limits = bin_edges(bins)
        near = limits[np.minimum(np.rint(confidence * bins).astype(np.int64), bins)]
        rows = np.flatnonzero(np.abs(confidence - near) < DOUBT)
        if len(rows):
            confidence[rows] = inverse_mass(logits[rows], value[rows], 1.0 / temperature)
    return ece_of_top(confidence, label == truth, bins=bins, edges=edges)


def mce(probs: Probs, labels: Labels, *, bins: int = 15, edges: Edges = "(lo, hi]") -> float:
    """Maximum calibration error: the largest |accuracy - confidence| among bins that hold anything, unweighted.

    >>> round(mce(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])), 4)
    0.6
    """
    return mce_of_top(*top_of_probs(probs, labels), bins=bins, edges=edges)


def mce_of_top(confidence: Scores, correct: Correct, *, bins: int = 15, edges: Edges = "(lo, hi]") -> float:
    """`mce` from the confidence of each prediction and whether it was right."""
    sums = _sums(confidence, correct, bins, edges)
    held = sums.n > 0
    return float((np.abs(sums.correct - sums.confidence)[held] / sums.n[held]).max())


def adaptive_ece(probs: Probs, labels: Labels, *, bins: int = 15) -> float:
    """ECE over bins of equal count: rows stably sorted by confidence, in `bins` runs that differ by at most one row.

    >>> round(adaptive_ece(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), bins=1), 4)
    0.25
    """
    return adaptive_ece_of_top(*top_of_probs(probs, labels), bins=bins)


def adaptive_ece_of_top(confidence: Scores, correct: Correct, *, bins: int = 15) -> float:
    """`adaptive_ece` from the confidence of each prediction and whether it was right."""
    top = check_top(confidence, correct)
    bin_edges(bins)
    order = np.argsort(top.confidence, kind="stable")
    gap = (top.correct.astype(np.float64) - top.confidence)[order]
    return float(sum(abs(run.sum()) for run in np.array_split(gap, bins)) / len(gap))


def classwise_ece(
    probs: Probs, labels: Labels, *, bins: int = 15, edges: Edges = "(lo, hi]", threshold: float | None = None
) -> float:
    """Mean over all k classes of the one-vs-rest ECE of that class's probability.

    A class absent from `labels` counts: every probability given to it is a miscalibration. Over 1,000 classes most
    entries are near 0 and so is the mean; see `classwise_ece_sum`, or pass `threshold` (1 / k, say) to keep only
    probabilities above it, averaging over the classes that have any.

    >>> round(classwise_ece(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])), 4)
    0.35
    """
    return float(classwise_gaps(probs, labels, bins=bins, edges=edges, threshold=threshold).mean())


def classwise_ece_sum(probs: Probs, labels: Labels, *, bins: int = 15, edges: Edges = "(lo, hi]") -> float:
    """Sum over all k classes of the one-vs-rest ECE, in [0, 2], lower is better: it does not fade as k grows.

    Kumar et al. 2019 and Nixon et al. 2019 take the mean, as `classwise_ece` does; this is k times that.

    >>> round(classwise_ece_sum(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])), 4)
    0.7
    """
    return float(classwise_gaps(probs, labels, bins=bins, edges=edges, threshold=None).sum())


def classwise_gaps(
    probs: Probs, labels: Labels, *, bins: int, edges: Edges, threshold: float | None
) -> Float[np.ndarray, " classes"]:
    """One-vs-rest ECE of every class, or of those with a probability above `threshold`."""
    probs = check_probs(probs)
    n, k = probs.shape
    truth = check_labels(labels, classes=k, rows=n)
    cells = k * (bins + 1)  # the "torchmetrics" convention has one bin more
    kept: Float[np.ndarray, " k"] = np.full(k, float(n) if threshold is None else 0.0)
    gap = np.zeros(cells)
    for rows in row_blocks(n, k):
        p = probs[rows].astype(np.float64)
        cell = bin_index(p, bins, edges) + np.arange(k) * (bins + 1)
        miss = p.copy()
        miss[np.arange(len(p)), truth[rows]] -= 1.0
        if threshold is not None:
            keep = p > threshold
            miss *= keep
            kept += keep.sum(axis=0)
        gap += np.bincount(cell.ravel(), weights=miss.ravel(), minlength=cells)
    total: Float[np.ndarray, " k"] = np.abs(gap).reshape(k, -1).sum(axis=1)
    if not kept.any():
        raise InputError(f"no probability lies above the threshold {threshold}; lower it")
    gaps: Float[np.ndarray, " classes"] = total[kept > 0] / kept[kept > 0]
    return gaps


def _sums(confidence: Scores, correct: Correct, bins: int, edges: Edges) -> BinSums:
    top = check_top(confidence, correct)
    return bin_sums(top.confidence, top.correct.astype(np.float64), bin_index(top.confidence, bins, edges))


def _weighted_gap(sums: BinSums) -> float:
    return float(np.abs(sums.correct - sums.confidence).sum() / sums.n.sum())
