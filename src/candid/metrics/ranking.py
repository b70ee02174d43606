"""How well scores tell unknown inputs from known ones.

Scores: higher = further from known; +-inf order fine, NaN is refused. Equal scores are one threshold. FPR95 means two
numbers in the field, so the positive class is always named: "known" (Liu et al. 2020, MCM: unknown inputs let in
while 95 % of known ones are kept) or "unknown" (OpenOOD, pytorch-ood: known inputs thrown out while 95 % of unknown
ones are caught). `separation` has all of them at once.
"""

from candid.metrics.ranked import Interpolation, Known, Positive, Ranked, Rule, Unknown

__all__ = ["aupr", "auroc", "fpr_at_tpr"]


def auroc(known: Known, unknown: Unknown) -> float:
    """Chance that an unknown input scores above a known one, ties counted half, in [0, 1]; 0.5 is no separation.

    >>> import numpy as np
    >>> auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.875
    """
    return Ranked.of(known, unknown).auroc()


def aupr(
    known: Known,
    unknown: Unknown,
    *,
    positive: Positive = "unknown",
    interpolation: Interpolation = "step",
) -> float:
    """Area under precision-recall for the positive class, in [0, 1]; a useless score gets the positives' share.

    "step" is average precision (scikit-learn, Liu et al. 2020). "trapezoid" (OpenOOD, pytorch-ood) is optimistic
    under ties.

    >>> import numpy as np
    >>> round(aupr(np.array([0.0, 1.0]), np.array([0.5, 2.0])), 6)
    0.833333
    """
    return Ranked.of(known, unknown).aupr(positive=positive, interpolation=interpolation)


def fpr_at_tpr(
    known: Known, unknown: Unknown, *, tpr: float = 0.95, positive: Positive = "known", rule: Rule = "first"
) -> float:
    """Share of negatives taken for positives once `tpr` of the positives are found, in [0, 1], lower is better.

    "first": the strictest threshold that reaches `tpr`, so the rate is guaranteed. "nearest": the recall closest to
    `tpr`, the higher of two equally close in float64, with all negatives above the next positive; it can fall short of
    `tpr`, and is what the energy paper's tables use (Liu et al. 2020, https://arxiv.org/abs/2010.03759).

    >>> import numpy as np
    >>> known, unknown = np.arange(20.0), np.array([17.5, 18.5, 30.0, 40.0])
    >>> fpr_at_tpr(known, unknown), fpr_at_tpr(known, unknown, positive="unknown")
    (0.25, 0.1)
    """
    return Ranked.of(known, unknown).fpr_at_tpr(tpr, positive=positive, rule=rule)
