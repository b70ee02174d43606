"""Calibration error from running sums: no bins, no kernel, and a p-value in closed form.

Rows are sorted by confidence and the sum of (confidence - correct) / n runs along them. KS is how far it strays from 0
(Gupta et al. 2021, "Calibration of neural networks using splines", https://arxiv.org/abs/2006.12800), Kuiper the range
it covers (Arrieta-Ibarra, Gujral, Tannen, Tygert & Xu 2022, "Metrics of calibration for probabilistic predictions",
https://arxiv.org/abs/2205.09680). The sum starts at 0, and is read only after all rows of one confidence: within a
tie there is no order. If confidences are true, the sum over its standard deviation tends to a Brownian motion, whose
maximum and range on [0, 1] have known laws.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from candid.metrics.top import Top, check_top, top_of_probs
from candid.types import Correct, Labels, Probs, Scores

__all__ = [
    "CumulativeTest",
    "cumulative_test",
    "cumulative_test_of_top",
    "ks_error",
    "ks_error_of_top",
    "kuiper_error",
    "kuiper_error_of_top",
]

TERMS = np.arange(1, 61)  # of each series; where it is used the 60th is far below rounding
CROSSOVER = 1.5  # where the two series of the maximum converge equally fast
LEAST_MAXIMUM, LEAST_RANGE = 0.1, 0.3  # the chance of less is below 1e-20


class CumulativeTest(NamedTuple):
    """`ks` and `kuiper` errors, each with the chance that a calibrated model shows as much (`*_p_value`)."""

    ks: float
    ks_p_value: float
    kuiper: float
    kuiper_p_value: float


def ks_error(probs: Probs, labels: Labels) -> float:
    """Kolmogorov-Smirnov calibration error of the top label: largest |running sum|, in [0, 1], lower is better.

    At least |mean confidence - accuracy|, and equal to it where the model is everywhere too sure or too unsure.

    >>> round(ks_error(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])), 4)
    0.3
    """
    return ks_error_of_top(*top_of_probs(probs, labels))


def ks_error_of_top(confidence: Scores, correct: Correct) -> float:
    """`ks_error` from the confidence of each prediction and whether it was right."""
    return _ks(_running(check_top(confidence, correct)))


def kuiper_error(probs: Probs, labels: Labels) -> float:
    """Kuiper calibration error of the top label: highest less lowest running sum, in [0, 1], lower is better.

    It is the largest |sum of (confidence - correct) / n| over any one range of confidences, at most twice `ks_error`.

    >>> round(kuiper_error(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])), 4)
    0.3
    """
    return kuiper_error_of_top(*top_of_probs(probs, labels))


def kuiper_error_of_top(confidence: Scores, correct: Correct) -> float:
    """`kuiper_error` from the confidence of each prediction and whether it was right."""
    return float(np.ptp(_running(check_top(confidence, correct))))


def cumulative_test(probs: Probs, labels: Labels) -> CumulativeTest:
    """Both errors of the top label with their p-values in [0, 1]; small is evidence of miscalibration.

    The p-values are those of Brownian motion, right for many rows: with few, or with few distinct confidences, they err
    on the large side, and `calibration_p_value` is to be preferred.

    >>> test = cumulative_test(np.array([[0.9, 0.1], [0.6, 0.4]] * 10), np.array([0, 1] * 10))
    >>> round(test.ks, 3), round(test.ks_p_value, 4), round(test.kuiper, 3), round(test.kuiper_p_value, 4)
    (0.3, 0.0019, 0.3, 0.0038)
    """
    return cumulative_test_of_top(*top_of_probs(probs, labels))


def cumulative_test_of_top(confidence: Scores, correct: Correct) -> CumulativeTest:
    """`cumulative_test` from the confidence of each prediction and whether it was right."""
    top = check_top(confidence, correct)
    running = _running(top)
    ks, kuiper = _ks(running), float(np.ptp(running))
    deviation = float(np.sqrt((top.confidence * (1.0 - top.confidence)).sum())) / len(top.correct)
    if deviation == 0.0:  # every confidence is 0 or 1, and a calibrated model is never wrong
        chance = float(ks == 0.0)
        return CumulativeTest(ks, chance, kuiper, chance)
    return CumulativeTest(ks, _brownian_maximum(ks / deviation), kuiper, _brownian_range(kuiper / deviation))


def _running(top: Top) -> Float[np.ndarray, " sums"]:
    """The running sums after each distinct confidence, from 0 on."""
    _, index = np.unique(top.confidence, return_inverse=True)
    gap = np.bincount(index, weights=top.confidence - top.correct) / len(index)
    return np.append(0.0, np.cumsum(gap))


def _ks(running: Float[np.ndarray, " sums"]) -> float:
    return float(np.abs(running).max())


def _brownian_maximum(x: float) -> float:
    """Chance that |W| exceeds x somewhere on [0, 1], W standard Brownian motion (Feller 1971, X.5)."""
    if x < LEAST_MAXIMUM:
        return 1.0
    odd, sign = 2 * TERMS - 1, (-1.0) ** (TERMS - 1)
    if x < CROSSOVER:
        return float(1.0 - 4 / np.pi * (sign / odd * np.exp(-np.square(odd * np.pi / x) / 8)).sum())
    return float(4.0 * (sign * ndtr(-x * odd)).sum())


def _brownian_range(x: float) -> float:
    """Chance that max W - min W exceeds x on [0, 1] (Feller 1951, https://doi.org/10.1214/aoms/1177729589)."""
    if x < LEAST_RANGE:
        return 1.0
    sign = (-1.0) ** (TERMS - 1)
    return min(1.0, float(8.0 * (sign * TERMS * ndtr(-x * TERMS)).sum()))
