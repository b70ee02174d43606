"""Minimum of a smooth convex function by L-BFGS (Nocedal 1980) around a good metric.

Only slopes decide: on a convex function the derivative along a line crosses 0 once, and unlike differences of values it
is exact to rounding near the minimum. That is what lets a fit end at 1e-9 and not where the values stop changing.
"""

from collections import deque
from collections.abc import Callable
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

__all__ = ["Minimum", "minimise"]

Vector = Float[np.ndarray, " p"]

MEMORY = 20
TOLERANCE = 1e-9
FLAT = 0.5  # a step is taken once the slope along it has fallen to half
LINE_TRIES = 40


class Minimum(NamedTuple):
    """Where the search ended, the value and gradient there, the evaluations, and whether it got to the tolerance."""

    point: Vector
    value: float
    gradient: Vector
    evaluations: int
    converged: bool


def minimise(
    function: Callable[[Vector], tuple[float, Vector]],
    start: Vector,
    metric: Callable[[Vector], Vector],
    *,
    limit: int = 500,
    tolerance: float = TOLERANCE,
) -> Minimum:
    """The minimum of `function`, which returns its value and gradient.

    `metric` applies an approximate inverse Hessian, symmetric and positive. The search ends when the decrement
    sqrt(g' metric(g)), about the square root of twice what is left to gain, falls to `tolerance`.
    """
    point, (value, gradient) = start, function(start)
    pairs: deque[tuple[Vector, Vector, float]] = deque(maxlen=MEMORY)
    evaluations = 1
    while evaluations < limit:
        decrement = sqrt(max(0.0, float(gradient @ metric(gradient))))
        if decrement <= tolerance:
            return Minimum(point, value, gradient, evaluations, True)
        direction = -_inverse(gradient, pairs, metric)
        slope = float(gradient @ direction)
        if not slope < 0:
            if not pairs:
                break
            pairs.clear()
            continue
        step, value, new, tries = _search(function, point, direction, slope)
        evaluations += tries
        move, change = step * direction, new - gradient
        if float(move @ change) > 0:
            pairs.append((move, change, 1.0 / float(move @ change)))
        point, gradient = point + move, new
    return Minimum(point, value, gradient, evaluations, False)


def _inverse(
    gradient: Vector, pairs: "deque[tuple[Vector, Vector, float]]", metric: Callable[[Vector], Vector]
) -> Vector:
    """The two loops of L-BFGS with `metric` in the middle."""
    q, shares = gradient.copy(), []
    for move, change, scale in reversed(pairs):
        share = scale * float(move @ q)
        shares.append(share)
        q -= share * change
    q = metric(q)
    for (move, change, scale), share in zip(pairs, reversed(shares), strict=True):
        q += (share - scale * float(change @ q)) * move
    return q


def _search(
    function: Callable[[Vector], tuple[float, Vector]], point: Vector, direction: Vector, slope: float
) -> tuple[float, float, Vector, int]:
    """A step along which the slope has flattened, by secants inside a bracket."""
    low, low_slope, high, high_slope, step, tries = 0.0, slope, inf, inf, 1.0, 0
    while True:
        tries += 1
        value, gradient = function(point + step * direction)
        here = float(gradient @ direction)
        if abs(here) <= FLAT * abs(slope) or tries == LINE_TRIES:
            return step, value, gradient, tries
        if here < 0:
            low, low_slope = step, here
        else:
            high, high_slope = step, here
        if high < inf:
            step = low + (high - low) * min(0.9, max(0.1, low_slope / (low_slope - high_slope)))
        else:
            step *= 4.0
