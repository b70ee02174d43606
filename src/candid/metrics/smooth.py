"""Calibration error without bins: residuals smoothed by a Gaussian whose width is as fine as the data allow.

Blasiok & Nakkiran 2023, "Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing",
https://arxiv.org/abs/2309.12236. With r_s(t) = mean_i (f_i - y_i) K_s(t, f_i), K_s a Gaussian of width s reflected at
0 and 1, smECE_s is the integral of |r_s| over [0, 1], and smECE is its value at the width s* where smECE_s = s.
Grids, the kernel's cut at 1/2 and ten bisections are those of the authors' own package, so that numbers compare. So is
its treatment of the ends: a confidence of exactly 0 or 1 counts half, since the mirror does not repeat the end cell;
for a saturated model the value lies below the integral above.
"""

import numpy as np
from jaxtyping import Float
from scipy import fft

from candid.metrics.top import check_top, top_of_probs
from candid.types import Correct, Labels, Probs, Scores

__all__ = ["smooth_ece", "smooth_ece_of_top"]

BISECTIONS = 10
FINEST = 0.001  # widths below this are not searched
CELLS, MESH = 2000, 200  # the least numbers of grid cells (halved) and of points where |r| is read
PADDING = 1e-4  # added to the density, as the authors do


def smooth_ece(probs: Probs, labels: Labels) -> float:
    """Smooth calibration error of the top label, in [0, 1], lower is better; no bins to choose.

    >>> round(smooth_ece(np.array([[0.9, 0.1], [0.6, 0.4]] * 50), np.array([0, 1] * 50)), 3)
    0.249
    """
    return smooth_ece_of_top(*top_of_probs(probs, labels))


def smooth_ece_of_top(confidence: Scores, correct: Correct) -> float:
    """`smooth_ece` from the confidence of each prediction and whether it was right."""
    top = check_top(confidence, correct)
    residual = top.confidence - top.correct
    return _at_width(top.confidence, residual, _width(top.confidence, residual))


def _width(confidence: Scores, residual: Scores) -> float:
    """The smallest tried width that is at least its own error."""
    wide, narrow = 1.0, 0.0
    if _at_width(confidence, residual, wide) > wide:
        return wide
    for _ in range(BISECTIONS):
        middle = (wide + narrow) / 2
        if middle < FINEST or middle < _at_width(confidence, residual, middle):
            narrow = middle
        else:
            wide = middle
    return wide


def _at_width(confidence: Scores, residual: Scores, width: float) -> float:
    cells = max(CELLS, round(20 / width)) // 2 + 1
    mesh = np.linspace(0.0, 1.0, max(MESH, round(10 / width)))
    grid = np.linspace(0.0, 1.0, cells)
    error = np.interp(mesh, grid, _smoothed(on_grid(confidence, residual, cells), width))
    density = np.interp(mesh, grid, _smoothed(on_grid(confidence, np.ones_like(residual), cells), width))
    return float(np.abs(error).sum() / (density + PADDING).sum())


def on_grid(confidence: Scores, weights: Scores, cells: int) -> Float[np.ndarray, " cells"]:
    """Weights shared between the two nearest of `cells` evenly spaced points."""
    place = confidence * (cells - 1)
    left = np.minimum(place.astype(np.int64), cells - 2)
    share = place - left
    return np.bincount(left, weights * (1 - share), cells) + np.bincount(left + 1, weights * share, cells)


def _smoothed(values: Float[np.ndarray, " cells"], width: float) -> Float[np.ndarray, " cells"]:
    """Convolution with the Gaussian, the values mirrored at both ends."""
    cells = len(values)
    kernel = np.exp(-0.5 * ((np.linspace(0.0, 1.0, cells) - 0.5) / width) ** 2) / (np.sqrt(2 * np.pi) * width)
    mirrored = np.concatenate([values[:0:-1], values, values[-2::-1]])
    size = fft.next_fast_len(len(mirrored) + cells - 1, real=True)
    full: Float[np.ndarray, " full"] = fft.irfft(fft.rfft(mirrored, size) * fft.rfft(kernel, size), size)
    start = cells - 1 + cells // 2
    return full[start : start + cells]
