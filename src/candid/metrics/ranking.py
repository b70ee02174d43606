"""How well scores tell unknown inputs from known ones.

Scores: higher = further from known; +-inf order fine, NaN is refused. Equal scores are one threshold. FPR95 means two
numbers in the field, so the positive class is always named: "known" (Liu et al. 2020, MCM: unknown inputs let in
while 95 % of known ones are kept) or "unknown" (OpenOOD, pytorch-ood: known inputs thrown out while 95 % of unknown
ones are caught).
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from candid.arrays import check_scores
from candid.errors import InputError
from candid.types import Scores

__all__ = ["aupr", "auroc", "fpr_at_tpr"]

Known = Float[np.ndarray, " known"]
Unknown = Float[np.ndarray, " unknown"]
Positive = Literal["known", "unknown"]


class Counts(NamedTuple):
    """Positives and negatives at or beyond each distinct threshold, from the most to the least positive score."""

    true: Int[np.ndarray, " thresholds"]
    false: Int[np.ndarray, " thresholds"]


def auroc(known: Known, unknown: Unknown) -> float:
    """Chance that an unknown input scores above a known one, ties counted half, in [0, 1]; 0.5 is no separation.

    >>> auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.875
    """
    counts = _counts(known, unknown, "unknown")
    true, false = np.append(0, counts.true), np.append(0, counts.false)
    area = ((true[1:] + true[:-1]) * np.diff(false)).sum()  # twice the trapezoids, exact in int64
    return float(area / (2.0 * true[-1] * false[-1]))


def aupr(
    known: Known,
    unknown: Unknown,
    *,
    positive: Positive = "unknown",
    interpolation: Literal["step", "trapezoid"] = "step",
) -> float:
    """Area under precision-recall for the positive class, in [0, 1]; a useless score gets the positives' share.

    "step" is average precision (scikit-learn, Liu et al. 2020). "trapezoid" (OpenOOD, pytorch-ood) is optimistic
    under ties.

    >>> round(aupr(np.array([0.0, 1.0]), np.array([0.5, 2.0])), 6)
    0.833333
    """
    counts = _counts(known, unknown, positive)
    precision = counts.true / (counts.true + counts.false)
    recall = np.append(0.0, counts.true / counts.true[-1])
    if interpolation == "step":
        return float((np.diff(recall) * precision).sum())
    if interpolation == "trapezoid":
        precision = np.append(1.0, precision)
        return float((np.diff(recall) * (precision[1:] + precision[:-1])).sum() / 2.0)
    raise InputError(f"interpolation is 'step' or 'trapezoid', got {interpolation!r}")


def fpr_at_tpr(
    known: Known,
    unknown: Unknown,
    *,
    tpr: float = 0.95,
    positive: Positive = "known",
    rule: Literal["first", "nearest"] = "first",
) -> float:
    """Share of negatives taken for positives once `tpr` of the positives are found, in [0, 1], lower is better.

    "first": the strictest threshold that reaches `tpr`, so the rate is guaranteed. "nearest": the recall closest to
    `tpr`, the higher of two equally close in float64, with all negatives above the next positive; it can fall short of
    `tpr`, and is what the energy paper's tables use (Liu et al. 2020, https://arxiv.org/abs/2010.03759).

    >>> known, unknown = np.arange(20.0), np.array([17.5, 18.5, 30.0, 40.0])
    >>> fpr_at_tpr(known, unknown), fpr_at_tpr(known, unknown, positive="unknown")
    (0.25, 0.1)
    """
    if not 0 < tpr <= 1:
        raise InputError(f"tpr must lie in (0, 1], got {tpr}; 95 % is 0.95")
    counts = _counts(known, unknown, positive)
    recall = counts.true / counts.true[-1]
    full = int(np.searchsorted(counts.true, counts.true[-1]))  # beyond it thresholds only add false positives
    if rule == "first":
        cut = int(np.argmax(recall >= tpr))
    elif rule == "nearest":
        cut = full - int(np.argmin(np.abs(recall[full::-1] - tpr)))
    else:
        raise InputError(f"rule is 'first' or 'nearest', got {rule!r}")
    return float(counts.false[cut] / counts.false[-1])


def _counts(known: Known, unknown: Unknown, positive: Positive) -> Counts:
    known, unknown = check_scores(known, name="known"), check_scores(unknown, name="unknown")
    if positive == "known":
        positives, negatives = -known, -unknown
    elif positive == "unknown":
        positives, negatives = unknown, known
    else:
        raise InputError(f"positive is 'known' or 'unknown', got {positive!r}")
    thresholds: Float[np.ndarray, " thresholds"] = np.unique(np.concatenate([positives, negatives]))[::-1]
    return Counts(_at_or_above(positives, thresholds), _at_or_above(negatives, thresholds))


def _at_or_above(scores: Scores, thresholds: Float[np.ndarray, " thresholds"]) -> Int[np.ndarray, " thresholds"]:
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left").astype(np.int64)
