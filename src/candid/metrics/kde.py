"""Calibration error without bins, from kernel densities: Zhang, Kailkhura & Han 2020, "Mix-n-Match: ensemble and
compositional methods for uncertainty calibration in deep learning", https://arxiv.org/abs/2003.07329.

With K a triweight kernel of standard deviation h, mirrored at 0 and 1, accuracy at confidence t is estimated by
sum y_i K(t, c_i) / sum K(t, c_i), and KDE-ECE is the mean of |t - accuracy| over the density of the confidences:
the integral over [0, 1] of |g|, g(t) = mean_i (t - y_i) K(t, c_i). The authors integrate over a grid, which moves the
fourth digit; here g, a piecewise polynomial, is integrated in closed form between its zeros. A grid only finds these:
an error in a zero is squared in the integral, about 1e-10.

The residual (c_i - y_i) of `smooth_ece` is (t - y_i) here, so g also holds how far the kernel carries a confidence:
where most confidences lie within a bandwidth of 1, the mirror carries them down and the value is off by up to that.
"""

import numpy as np
from jaxtyping import Bool, Float

from candid.errors import InputError
from candid.metrics.smooth import on_grid
from candid.metrics.top import Top, check_top, top_of_probs
from candid.types import Correct, Labels, Probs, Scores

__all__ = ["kde_ece", "kde_ece_of_top"]

REACH = 3.0  # the kernel ends at three of its standard deviations
FINEST, WIDEST = 1e-4, 1 / 3  # bandwidths: below, confidences are as good as equal; above, one mirror is not enough
LEAST_CELLS, CELLS_A_REACH = 1 << 13, 200  # of the grid that finds the zeros
NOISE = 1e-11  # values of g below this share of its largest are rounding of the transform


def kde_ece(probs: Probs, labels: Labels, *, bandwidth: float | None = None) -> float:
    """KDE-ECE of the top label, in [0, 1], lower is better; no bins to choose, and not interchangeable with `ece`.

    `bandwidth` is the kernel's standard deviation, in [1e-4, 1/3]. The default is the authors': the standard deviation
    of the confidences of right answers times (2 n)^(-1/5), or of all confidences where fewer than two answers are
    right, held within those limits.

    >>> round(kde_ece(np.array([[0.9, 0.1], [0.6, 0.4]] * 50), np.array([0, 1] * 50)), 3)
    0.35
    """
    return kde_ece_of_top(*top_of_probs(probs, labels), bandwidth=bandwidth)


def kde_ece_of_top(confidence: Scores, correct: Correct, *, bandwidth: float | None = None) -> float:
    """`kde_ece` from the confidence of each prediction and whether it was right."""
    top = check_top(confidence, correct)
    reach = REACH * (_default_bandwidth(top) if bandwidth is None else _checked(bandwidth))
    cuts = np.concatenate([[0.0], _zeros(top, reach), [1.0]])
    return min(1.0, float(np.abs(np.diff(_integral(top, reach, cuts))).sum() / len(top.correct)))


def _default_bandwidth(top: Top) -> float:
    used = top.confidence[top.correct] if top.correct.sum() > 1 else top.confidence
    return float(np.clip(used.std() * (2 * len(top.correct)) ** -0.2, FINEST, WIDEST))


def _checked(bandwidth: float) -> float:
    if not FINEST <= bandwidth <= WIDEST:
        raise InputError(f"bandwidth must lie in [{FINEST}, 1/3], got {bandwidth}")
    return bandwidth


def _zeros(top: Top, reach: float) -> Float[np.ndarray, " zeros"]:
    """Where g changes sign inside (0, 1), to a small part of a grid cell."""
    cells = max(LEAST_CELLS, round(CELLS_A_REACH / reach)) + 1
    grid = np.linspace(0.0, 1.0, cells)
    all_rows = _density(on_grid(top.confidence, np.ones(len(top.correct)), cells), reach)
    right = _density(on_grid(top.confidence, top.correct.astype(np.float64), cells), reach)
    error = grid * all_rows - right
    told = np.flatnonzero(np.abs(error) > NOISE * all_rows.max())
    before, after = told[:-1], told[1:]
    turns: Bool[np.ndarray, " pairs"] = np.sign(error[before]) != np.sign(error[after])
    low, high = before[turns], after[turns]
    zeros: Float[np.ndarray, " zeros"] = grid[low] + (grid[high] - grid[low]) * error[low] / (error[low] - error[high])
    return zeros


def _density(counts: Float[np.ndarray, " cells"], reach: float) -> Float[np.ndarray, " cells"]:
    """Counts convolved with the kernel, up to a constant factor, and mirrored at both ends."""
    last = len(counts) - 1
    half = int(reach * last)
    u = np.arange(-half, half + 1) / (reach * last)
    from scipy.signal import oaconvolve  # here, for it loads all of scipy.stats: half a second that others need not pay

    spread = oaconvolve(counts, (1.0 - u**2) ** 3)
    inside: Float[np.ndarray, " cells"] = spread[half : half + last + 1].copy()
    inside[: half + 1] += spread[half::-1]
    inside[last - half :] += spread[: half + last - 1 : -1]
    return inside


def _integral(top: Top, reach: float, cuts: Float[np.ndarray, " cuts"]) -> Float[np.ndarray, " cuts"]:
    """The integral of n g from 0 to each cut, up to a constant common to all."""
    place = np.concatenate([top.confidence, -top.confidence, 2.0 - top.confidence])
    truth = np.tile(top.correct, 3)
    near = (place > -reach) & (place < 1.0 + reach)
    place, truth = place[near], truth[near]
    order = np.argsort(place)
    place, gap = place[order], (place - truth)[order]
    passed = np.append(0.0, np.cumsum(gap))
    first = np.searchsorted(place, cuts - reach)
    last = np.searchsorted(place, cuts + reach)
    total = passed[first]
    for i, (start, stop) in enumerate(zip(first, last, strict=True)):
        mass, shift = _triweight((cuts[i] - place[start:stop]) / reach)
        total[i] += gap[start:stop] @ mass + reach * shift.sum()
    return total


def _triweight(u: Float[np.ndarray, " m"]) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Integrals of w and of v w(v) from -1 to u, for w(v) = 35/32 (1 - v^2)^3 and u in [-1, 1]."""
    square = u * u
    mass = 0.5 + 35 / 32 * u * (1.0 - square * (1.0 - square * (3 / 5 - square / 7)))
    return mass, -35 / 256 * (1.0 - square) ** 4
