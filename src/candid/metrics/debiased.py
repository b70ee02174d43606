"""Calibration errors in bins, squared, and what is left of them once the noise of finite bins is taken off.

A bin of n_b rows has a gap even where the model is right, because its accuracy is a mean of n_b coin tosses. The
square of the gap is too large by accuracy (1 - accuracy) / (n_b - 1) on average, which can be subtracted: Kumar, Liang
& Ma 2019, "Verified uncertainty calibration", https://arxiv.org/abs/1909.10155. Their package also
corrects the absolute gap by its mean over Gaussian draws; that mean is a folded normal's, so no draws are made here.
"Marginal" errors there are "classwise" here. `edges="equal mass"` is their package's default binning.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from candid.arrays import check_labels, check_probs
from candid.metrics.binning import BinSums, Cells, bin_sums, cell_index
from candid.metrics.top import check_top, top_of_probs
from candid.types import Correct, Labels, Probs, Scores

__all__ = [
    "classwise_rms_ece",
    "debiased_classwise_rms_ece",
    "debiased_ece",
    "debiased_ece_of_top",
    "debiased_rms_ece",
    "debiased_rms_ece_of_top",
    "rms_ece",
    "rms_ece_of_top",
]


def rms_ece(probs: Probs, labels: Labels, *, bins: int = 15, edges: Cells = "(lo, hi]") -> float:
    """Root mean square calibration error of the top label, in [0, 1], lower is better; at least the `ece`.

    The root of the sum over bins of n_b / n (accuracy - confidence)^2, also called the L2 ECE.

    >>> round(rms_ece(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])), 6)
    0.430116
    """
    return rms_ece_of_top(*top_of_probs(probs, labels), bins=bins, edges=edges)


def rms_ece_of_top(confidence: Scores, correct: Correct, *, bins: int = 15, edges: Cells = "(lo, hi]") -> float:
    """`rms_ece` from the confidence of each prediction and whether it was right."""
    return math.sqrt(_square(_sums(confidence, correct, bins, edges)))


def debiased_rms_ece(probs: Probs, labels: Labels, *, bins: int = 15, edges: Cells = "(lo, hi]") -> float:
    """`rms_ece` with accuracy (1 - accuracy) / (n_b - 1) taken off each squared gap, in [0, 1], lower is better.

    0 where the noise explains the gaps, or more than them. A bin of one row has no estimate of its noise and counts 0,
    as in the authors' package, so n = 1 gives 0. Prefer it to `rms_ece` wherever bins hold few rows.

    >>> probs = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4)
    >>> round(debiased_rms_ece(probs, np.array([0, 0, 0, 0, 1, 1, 1, 0])), 6)
    0.187083
    """
    return debiased_rms_ece_of_top(*top_of_probs(probs, labels), bins=bins, edges=edges)


def debiased_rms_ece_of_top(
    confidence: Scores, correct: Correct, *, bins: int = 15, edges: Cells = "(lo, hi]"
) -> float:
    """`debiased_rms_ece` from the confidence of each prediction and whether it was right."""
    return math.sqrt(max(0.0, _debiased_square(_sums(confidence, correct, bins, edges))))


def debiased_ece(probs: Probs, labels: Labels, *, bins: int = 15, edges: Cells = "(lo, hi]") -> float:
    """`ece` less its own bias, lower is better: twice each gap less the mean of |gap + noise|, in [-1/2, 1].

    The noise is Gaussian with the variance accuracy (1 - accuracy) / n_b of the bin. Not cut at 0: a small negative
    value is an estimate of 0. The correction is partial (a gap of exactly 0 is rare); the null of the metric says what
    remains. A bin that is all right or all wrong shows no noise and keeps its gap.

    >>> probs = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4)
    >>> round(debiased_ece(probs, np.array([0, 0, 0, 0, 1, 1, 1, 0])), 6)
    0.220161
    """
    return debiased_ece_of_top(*top_of_probs(probs, labels), bins=bins, edges=edges)


def debiased_ece_of_top(confidence: Scores, correct: Correct, *, bins: int = 15, edges: Cells = "(lo, hi]") -> float:
    """`debiased_ece` from the confidence of each prediction and whether it was right."""
    sums = _held(_sums(confidence, correct, bins, edges))
    gap = np.abs(sums.correct - sums.confidence) / sums.n
    noise = np.sqrt(sums.correct * (sums.n - sums.correct) / sums.n) / sums.n
    return float(sums.n @ (2.0 * gap - _mean_absolute(gap, noise)) / sums.n.sum())


def classwise_rms_ece(probs: Probs, labels: Labels, *, bins: int = 15, edges: Cells = "(lo, hi]") -> float:
    """Root of the mean over all k classes of the squared one-vs-rest `rms_ece` of that class's probability, in [0, 1].

    Lower is better. A class absent from `labels` counts, as in `classwise_ece`.

    >>> round(classwise_rms_ece(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])), 6)
    0.430116
    """
    return math.sqrt(_mean_over_classes(_square, probs, labels, bins, edges))


def debiased_classwise_rms_ece(probs: Probs, labels: Labels, *, bins: int = 15, edges: Cells = "(lo, hi]") -> float:
    """`classwise_rms_ece` with the noise of each class's bins taken off, each class cut at 0; in [0, 1].

    >>> probs = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4)
    >>> round(debiased_classwise_rms_ece(probs, np.array([0, 0, 0, 0, 1, 1, 1, 0])), 6)
    0.187083
    """
    return math.sqrt(_mean_over_classes(lambda sums: max(0.0, _debiased_square(sums)), probs, labels, bins, edges))


def _sums(confidence: Scores, correct: Correct, bins: int, edges: Cells) -> BinSums:
    top = check_top(confidence, correct)
    return bin_sums(top.confidence, top.correct.astype(np.float64), cell_index(top.confidence, bins, edges))


def _held(sums: BinSums) -> BinSums:
    held = sums.n > 0
    return BinSums(sums.n[held], sums.confidence[held], sums.correct[held])


def _square(sums: BinSums) -> float:
    sums = _held(sums)
    return float((np.square(sums.correct - sums.confidence) / sums.n).sum() / sums.n.sum())


def _debiased_square(sums: BinSums) -> float:
    several = sums.n > 1
    n, right = sums.n[several], sums.correct[several]
    square = np.square((right - sums.confidence[several]) / n)
    noise = right / n * (1.0 - right / n) / (n - 1.0)
    return float(n @ (square - noise) / sums.n.sum())


def _mean_absolute(mean: Float[np.ndarray, " m"], deviation: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Mean of |X| for X normal: the folded normal's, or |mean| where the deviation is 0."""
    ratio = np.divide(mean, deviation, out=np.full_like(mean, np.inf), where=deviation > 0)
    tail = deviation * np.sqrt(2.0 / np.pi) * np.exp(-0.5 * ratio**2)
    folded: Float[np.ndarray, " m"] = tail + mean * (1.0 - 2.0 * ndtr(-ratio))
    return folded


def _mean_over_classes(
    square: Callable[[BinSums], float], probs: Probs, labels: Labels, bins: int, edges: Cells
) -> float:
    return float(np.mean([square(sums) for sums in _sums_of_classes(probs, labels, bins, edges)]))


def _sums_of_classes(probs: Probs, labels: Labels, bins: int, edges: Cells) -> Iterator[BinSums]:
    probs = check_probs(probs)
    truth = check_labels(labels, classes=probs.shape[1], rows=len(probs))
    for c in range(probs.shape[1]):
        p = probs[:, c].astype(np.float64)
        yield bin_sums(p, (truth == c).astype(np.float64), cell_index(p, bins, edges))
