"""What abstaining buys: the error among the answers kept, as the least confident ones are withheld."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from candid.metrics.top import check_top
from candid.types import Correct, Scores

__all__ = ["RiskCoverage", "augrc", "aurc", "eaurc", "risk_coverage"]


class RiskCoverage(NamedTuple):
    """One point a distinct confidence, from the surest on.

    Answering at or above `confidence` covers `coverage` of the rows and errs on `risk` of those.
    """

    coverage: Float[np.ndarray, " points"]
    risk: Float[np.ndarray, " points"]
    confidence: Float[np.ndarray, " points"]


def risk_coverage(confidence: Scores, correct: Correct) -> RiskCoverage:
    """Selective risk against coverage; equal confidences are accepted together.

    >>> curve = risk_coverage(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False]))
    >>> curve.coverage.tolist(), curve.risk.round(3).tolist()
    ([0.25, 0.75, 1.0], [0.0, 0.333, 0.5])
    """
    values, taken, wrong = _ties(confidence, correct)
    kept = np.cumsum(taken)
    return RiskCoverage(kept / kept[-1], np.cumsum(wrong) / kept, values)


def aurc(confidence: Scores, correct: Correct) -> float:
    """Area under risk-coverage: the mean of the n selective risks, in [0, 1], lower is better. Geifman & El-Yaniv 2017.

    Within equal confidences the order is not the model's, so the mean over all their orders is taken.

    >>> round(aurc(np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, True, False, False])), 6)
    0.208333
    """
    wrong = _wrong_among_first(confidence, correct)
    return float((wrong / np.arange(1, len(wrong) + 1)).mean())


def eaurc(confidence: Scores, correct: Correct) -> float:
    """Excess AURC: `aurc` less that of the same answers ranked perfectly, in [0, 1), lower is better, 0 is best.

    Judges the ranking where `aurc` also judges accuracy. The best order, right answers first, is counted out; Geifman,
    Uziel & El-Yaniv 2019, https://arxiv.org/abs/1805.08206, approximate its area by r + (1 - r) ln(1 - r), r the error.

    >>> round(eaurc(np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False])), 6)
    0.125
    """
    right = int(check_top(confidence, correct).correct.sum())
    place = np.arange(right + 1, len(correct) + 1)
    best = float(((place - right) / place).sum() / len(correct))
    return max(0.0, aurc(confidence, correct) - best)


def augrc(confidence: Scores, correct: Correct) -> float:
    """Area under generalised risk-coverage: mean over the n coverages of the wrong answers accepted / n, in [0, 1].

    Lower is better: the chance that a prediction is both wrong and accepted, where `aurc` divides by the accepted and
    so weighs the surest rows most. Ties as in `aurc`. Traub et al. 2024, https://arxiv.org/abs/2407.01032; their
    trapezoid is lower by error rate / (2 n).

    >>> augrc(np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, True, False, False]))
    0.1875
    """
    return float(_wrong_among_first(confidence, correct).mean() / len(correct))


def _wrong_among_first(confidence: Scores, correct: Correct) -> Float[np.ndarray, " n"]:
    """How many of the 1, 2, ..., n surest answers are wrong, the mean over all orders of equal confidences."""
    _, taken, wrong = _ties(confidence, correct)
    before = np.repeat(np.cumsum(wrong) - wrong, taken)
    start = np.repeat(np.cumsum(taken) - taken, taken)
    place = np.arange(1, len(start) + 1)
    among: Float[np.ndarray, " n"] = before + (place - start) * np.repeat(wrong / taken, taken)
    return among


def _ties(confidence: Scores, correct: Correct) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct confidences from the highest on, the rows at each, and how many of those are wrong."""
    top = check_top(confidence, correct)
    values, index = np.unique(-top.confidence, return_inverse=True)
    return -values, np.bincount(index), np.bincount(index, weights=~top.correct)
