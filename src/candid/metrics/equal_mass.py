"""Calibration errors over bins that hold equally many rows, by the two other rules in use beside `adaptive_ece`.

`adaptive_ece` splits the sorted rows by count alone (Nguyen & O'Connor 2015), and may part equal confidences.
`quantile_ece` puts edges at quantiles, so equal confidences stay together and bins can be uneven or empty. `sweep_ece`
chooses the number of bins by itself.
"""

import numpy as np
from jaxtyping import Int

from candid.metrics.binning import bin_sums, cell_index
from candid.metrics.top import check_top, top_of_probs
from candid.types import Correct, Labels, Probs, Scores

__all__ = ["quantile_ece", "quantile_ece_of_top", "sweep_ece", "sweep_ece_of_top"]


def quantile_ece(probs: Probs, labels: Labels, *, bins: int = 15) -> float:
    """ECE of the top label over bins `(lo, hi]` whose edges are quantiles (`np.quantile`), in [0, 1], lower is better.

    The rule of scikit-learn's `calibration_curve(strategy="quantile")`. Of several equal edges one bin remains.

    >>> round(quantile_ece(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), bins=1), 4)
    0.25
    """
    return quantile_ece_of_top(*top_of_probs(probs, labels), bins=bins)


def quantile_ece_of_top(confidence: Scores, correct: Correct, *, bins: int = 15) -> float:
    """`quantile_ece` from the confidence of each prediction and whether it was right."""
    top = check_top(confidence, correct)
    sums = bin_sums(top.confidence, top.correct.astype(np.float64), cell_index(top.confidence, bins, "equal mass"))
    return float(np.abs(sums.correct - sums.confidence).sum() / sums.n.sum())


def sweep_ece(probs: Probs, labels: Labels) -> float:
    """`adaptive_ece` with the most bins that keep accuracy non-decreasing in confidence, in [0, 1], lower is better.

    Bins are added one at a time until accuracy first falls from a bin to the next; the last count before that is used.
    Less biased than a fixed count, because accuracy that falls is mostly noise. Roelofs, Cain, Shlens & Mozer 2022,
    "Mitigating bias in calibration error estimation", https://arxiv.org/abs/2012.08668, algorithm 1, with the absolute
    gap. One row gives |accuracy - confidence|.

    >>> round(sweep_ece(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])), 4)
    0.35
    """
    return sweep_ece_of_top(*top_of_probs(probs, labels))


def sweep_ece_of_top(confidence: Scores, correct: Correct) -> float:
    """`sweep_ece` from the confidence of each prediction and whether it was right."""
    top = check_top(confidence, correct)
    order = np.argsort(top.confidence, kind="stable")
    right = np.append(0, np.cumsum(top.correct[order]))
    gap = np.append(0.0, np.cumsum(top.confidence[order] - top.correct[order]))
    bins = 1
    while bins < len(order) and _rises(right, bins + 1):
        bins += 1
    return float(np.abs(np.diff(gap[_cuts(len(order), bins)])).sum() / len(order))


def _rises(right: Int[np.ndarray, " sums"], bins: int) -> bool:
    """Whether the accuracies of `bins` runs never fall, given the running count of right answers."""
    cuts = _cuts(len(right) - 1, bins)
    accuracy = np.diff(right[cuts]) / np.diff(cuts)
    return bool((np.diff(accuracy) >= 0).all())


def _cuts(n: int, bins: int) -> Int[np.ndarray, " cuts"]:
    """Where `np.array_split` cuts n rows into runs: the first n mod bins runs are one row longer."""
    place = np.arange(bins + 1)
    return place * (n // bins) + np.minimum(place, n % bins)
