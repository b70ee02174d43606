"""What would a perfectly calibrated model show on this many rows? Any top-label metric, not the ECE alone.

Redraw every outcome with probability equal to the stated confidence and measure again: consistency resampling, Broecker
& Smith 2007, https://doi.org/10.1175/WAF993.1; for networks Vaicenavicius et al. 2019, https://arxiv.org/abs/1902.06977.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from candid.errors import InputError
from candid.metrics.top import check_top
from candid.types import Correct, Scores

__all__ = ["calibration_null", "calibration_p_value"]

Metric = Callable[[Scores, Correct], float]
ROUNDING = 1e-12  # equal errors summed in another order differ by this at most


def calibration_null(
    metric: Metric, confidence: Scores, *, seed: int = 0, resamples: int = 1000
) -> Float[np.ndarray, " resamples"]:
    """Values of a top-label metric for a perfectly calibrated model with these confidences, one a resample.

    `metric` is any function of confidence and correct: `smooth_ece_of_top`, `kde_ece_of_top`, a lambda with options.
    With `ece_of_top` the values are those of `ece_null`, which is faster.

    >>> from candid.metrics import debiased_ece_of_top, ece_of_top
    >>> confidence = np.linspace(0.3, 1.0, 200)
    >>> nulls = (calibration_null(metric, confidence, resamples=200) for metric in (ece_of_top, debiased_ece_of_top))
    >>> [round(float(null.mean()), 3) for null in nulls]
    [0.078, 0.047]
    """
    if resamples < 1:
        raise InputError(f"expected at least one resample, got {resamples}")
    conf = check_top(confidence, np.ones(len(confidence), dtype=bool)).confidence
    rng = np.random.default_rng(seed)
    out = np.empty(resamples)
    for i in range(resamples):
        out[i] = metric(conf, rng.random(len(conf)) < conf)
    return out


def calibration_p_value(
    metric: Metric, confidence: Scores, correct: Correct, *, seed: int = 0, resamples: int = 1000
) -> float:
    """Chance that a calibrated model shows at least the metric observed, in (0, 1]; small is evidence against.

    (1 + the resamples at or above it) / (1 + resamples), so never below 1 / (1 + resamples) and never too small by
    chance (Phipson & Smyth 2010, https://doi.org/10.2202/1544-6115.1585). For metrics where lower is better.

    >>> from candid.metrics import ece_of_top
    >>> confidence, correct = np.full(100, 0.8), np.arange(100) < 70
    >>> round(calibration_p_value(ece_of_top, confidence, correct, resamples=999), 3)
    0.021
    """
    top = check_top(confidence, correct)
    observed = metric(*top)
    null = calibration_null(metric, top.confidence, seed=seed, resamples=resamples)
    return float((1 + (null >= observed - ROUNDING).sum()) / (1 + resamples))
