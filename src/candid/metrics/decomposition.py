"""What a proper score is made of: miscalibration, which a recalibration can mend, and the rest, which it cannot.

CORP: Dimitriadis, Gneiting & Jordan 2021, "Stable reliability diagrams for probabilistic classifiers",
https://doi.org/10.1073/pnas.2016191118. Outcomes are regressed on the stated probability by isotonic regression
(pool adjacent violators), which is optimal for every proper score at once, so that exactly

    score = miscalibration - discrimination + uncertainty

with no bins to choose and no term negative. The binned form of Murphy 1973 needs two more terms to be exact:
Stephenson, Coelho & Jolliffe 2008, "Two extra components in the Brier score decomposition",
https://doi.org/10.1175/2007WAF2006116.1.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression
from scipy.special import xlogy

from candid.arrays import check_labels, check_probs
from candid.errors import InputError
from candid.metrics.binning import Edges, bin_index, bin_sums
from candid.metrics.top import check_top, top_of_probs
from candid.types import Correct, Labels, Probs, Scores

__all__ = [
    "BrierParts",
    "ScoreParts",
    "brier_parts",
    "brier_parts_of_top",
    "classwise_brier_parts",
    "score_parts",
    "score_parts_of_top",
]

Score = Literal["brier", "log"]
Values = Float[np.ndarray, " values"]


class ScoreParts(NamedTuple):
    """`score` = `miscalibration` - `discrimination` + `uncertainty`, exactly; none is negative.

    `uncertainty` is the score of always stating the base rate, `discrimination` what telling rows apart takes off that.
    """

    score: float
    miscalibration: float
    discrimination: float
    uncertainty: float

    @property
    def refinement(self) -> float:
        """What the best monotone recalibration would leave: uncertainty - discrimination = score - miscalibration."""
        return self.uncertainty - self.discrimination


class BrierParts(NamedTuple):
    """`score` = `reliability` - `resolution` + `uncertainty` + `within`, exactly.

    `within` is the variance of confidences inside bins less twice their covariance with outcomes there. It can have
    either sign; the familiar three-term sum leaves it out.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def score_parts(probs: Probs, labels: Labels, *, score: Score = "brier") -> ScoreParts:
    """CORP split of a proper score of the top label's confidence as the forecast of being right.

    "brier": mean of (confidence - correct)^2, in [0, 1], not the sum over classes that `brier` is. "log": mean of
    -log of the probability given to what happened (right or wrong), in nats; a wrong answer at confidence 1 makes score
    and miscalibration infinite and leaves the other parts. Fitted and read on the same rows, miscalibration of a
    calibrated model is above 0: compare it with `calibration_null`.

    >>> score_parts(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])).uncertainty
    0.25
    """
    return score_parts_of_top(*top_of_probs(probs, labels), score=score)


def score_parts_of_top(confidence: Scores, correct: Correct, *, score: Score = "brier") -> ScoreParts:
    """`score_parts` from the confidence of each prediction and whether it was right.

    >>> parts = score_parts_of_top(np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, False]))
    >>> [round(part, 4) for part in parts]
    [0.335, 0.085, 0.0, 0.25]
    """
    top = check_top(confidence, correct)
    if score == "brier":
        return _corp(top.confidence, top.correct, _squares)
    if score == "log":
        return _corp(top.confidence, top.correct, _surprise)
    raise InputError(f"score is 'brier' or 'log', got {score!r}")


def classwise_brier_parts(probs: Probs, labels: Labels) -> ScoreParts:
    """CORP split of the whole `brier` score (in [0, 2]): the sums over classes of each one-vs-rest split.

    One isotonic regression a class, so O(k n log n).

    >>> parts = classwise_brier_parts(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 0]))
    >>> [round(part, 4) for part in parts]
    [0.8125, 0.8125, 0.0, 0.0]
    """
    probs = check_probs(probs)
    truth = check_labels(labels, classes=probs.shape[1], rows=len(probs))
    each = [_corp(probs[:, c].astype(np.float64), truth == c, _squares) for c in range(probs.shape[1])]
    return ScoreParts(*(float(sum(part)) for part in zip(*each, strict=True)))


def brier_parts(probs: Probs, labels: Labels, *, bins: int = 15, edges: Edges = "(lo, hi]") -> BrierParts:
    """Binned split of the Brier score of the top label, mean of (confidence - correct)^2, with its within-bin term.

    >>> parts = brier_parts(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), bins=1)
    >>> [round(part, 4) for part in parts]
    [0.185, 0.0625, 0.0, 0.25, -0.1275]
    """
    return brier_parts_of_top(*top_of_probs(probs, labels), bins=bins, edges=edges)


def brier_parts_of_top(
    confidence: Scores, correct: Correct, *, bins: int = 15, edges: Edges = "(lo, hi]"
) -> BrierParts:
    """`brier_parts` from the confidence of each prediction and whether it was right."""
    top = check_top(confidence, correct)
    right, rate = top.correct.astype(np.float64), float(top.correct.mean())
    index = bin_index(top.confidence, bins, edges)
    sums = bin_sums(top.confidence, right, index)
    n = np.maximum(sums.n, 1)
    stated, true = sums.confidence / n, sums.correct / n
    share = sums.n / len(right)
    off_stated, off_true = top.confidence - stated[index], right - true[index]
    return BrierParts(
        score=float(np.square(top.confidence - right).mean()),
        reliability=float(share @ np.square(stated - true)),
        resolution=float(share @ np.square(true - rate)),
        uncertainty=rate * (1.0 - rate),
        within=float(np.square(off_stated).mean() - 2.0 * (off_stated * off_true).mean()),
    )


def _corp(stated: Scores, happened: Correct, score: Callable[[Values, Values, Values], float]) -> ScoreParts:
    values, index = np.unique(stated, return_inverse=True)
    total = np.bincount(index).astype(np.float64)
    right = np.bincount(index, weights=happened)
    mended = np.clip(isotonic_regression(right / total, weights=total).x, 0.0, 1.0)
    base = np.full_like(values, right.sum() / total.sum())
    own, best, blind = (score(p, right, total) for p in (values, mended, base))
    return ScoreParts(own, max(0.0, own - best), max(0.0, blind - best), blind)


def _squares(p: Values, right: Values, total: Values) -> float:
    """Mean of (p - outcome)^2, given per stated value p how many of its `total` rows happened."""
    return float((right * np.square(1.0 - p) + (total - right) * np.square(p)).sum() / total.sum())


def _surprise(p: Values, right: Values, total: Values) -> float:
    """Mean of -log of the probability given to the outcome; 0 log 0 is 0."""
    return float(-(xlogy(right, p) + xlogy(total - right, 1.0 - p)).sum() / total.sum()) + 0.0
