"""Calibration error without bins: residuals smoothed by a Gaussian whose width is as fine as the data allow.

Blasiok & Nakkiran 2023, "Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing",
https://arxiv.org/abs/2309.12236. With r_s(t) = mean_i (f_i - y_i) K_s(t, f_i), K_s a Gaussian of width s reflected at
0 and 1, smECE_s is the integral of |r_s| over [0, 1], and smECE is its value at the width s* where smECE_s = s.
Grids, the kernel's cut at 1/2 and ten bisections are those of the authors' own package, so that numbers compare. So is
its treatment of the ends: a confidence of exactly 0 or 1 counts half, since the mirror does not repeat the end cell;
for a saturated model the value lies below the integral above.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Complex, Float
from scipy import fft

from candid.metrics.top import Top, check_top, top_of_probs
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
    error = _AtWidths(top)
    return error(_width(error))


def _width(error: Callable[[float], float]) -> float:
    """The smallest tried width that is at least its own error."""
    wide, narrow = 1.0, 0.0
    if error(wide) > wide:
        return wide
    for _ in range(BISECTIONS):
        middle = (wide + narrow) / 2
        if middle < FINEST or middle < error(middle):
            narrow = middle
        else:
            wide = middle
    return wide


class _AtWidths:
    """smECE_s of one sample as a function of the width s. Rows are put on a grid once for all widths that share it.

    Residuals are the real part of the grid and counts the imaginary part: one transform smooths both.
    """

    def __init__(self, top: Top) -> None:
        self._confidence, self._residual = top.confidence, top.confidence - top.correct
        self._spectra: dict[int, Complex[np.ndarray, " size"]] = {}
        self._errors: dict[float, float] = {}

    def __call__(self, width: float) -> float:
        if width not in self._errors:
            self._errors[width] = self._at(width)
        return self._errors[width]

    def _at(self, width: float) -> float:
        cells = max(CELLS, round(20 / width)) // 2 + 1
        if cells not in self._spectra:
            count = on_grid(self._confidence, np.ones_like(self._residual), cells)
            self._spectra[cells] = _spectrum(on_grid(self._confidence, self._residual, cells) + 1j * count)
        smoothed = _smoothed(self._spectra[cells], cells, width)
        mesh = np.linspace(0.0, 1.0, max(MESH, round(10 / width)))
        grid = np.linspace(0.0, 1.0, cells)
        error, density = np.interp(mesh, grid, smoothed.real), np.interp(mesh, grid, smoothed.imag)
        return float(np.abs(error).sum() / (density + PADDING).sum())


def on_grid(confidence: Scores, weights: Scores, cells: int) -> Float[np.ndarray, " cells"]:
    """Weights shared between the two nearest of `cells` evenly spaced points."""
    place = confidence * (cells - 1)
    left = np.minimum(place.astype(np.int64), cells - 2)
    share = place - left
    return np.bincount(left, weights * (1 - share), cells) + np.bincount(left + 1, weights * share, cells)


def _spectrum(values: Complex[np.ndarray, " cells"]) -> Complex[np.ndarray, " size"]:
    """Transform of the values mirrored at both ends, with room for the kernel."""
    mirrored = np.concatenate([values[:0:-1], values, values[-2::-1]])
    spectrum: Complex[np.ndarray, " size"] = fft.fft(mirrored, fft.next_fast_len(len(mirrored) + len(values) - 1))
    return spectrum


def _smoothed(spectrum: Complex[np.ndarray, " size"], cells: int, width: float) -> Complex[np.ndarray, " cells"]:
    """Convolution with the Gaussian; real and imaginary parts do not mix."""
    kernel = np.exp(-0.5 * ((np.linspace(0.0, 1.0, cells) - 0.5) / width) ** 2) / (np.sqrt(2 * np.pi) * width)
    full: Complex[np.ndarray, " size"] = fft.ifft(spectrum * fft.fft(kernel, len(spectrum)))
    start = cells - 1 + cells // 2
    return full[start : start + cells]
