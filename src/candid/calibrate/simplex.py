"""Minima over three weights >= 0 that sum to 1: of a quadratic exactly, of a convex function by quadratic steps."""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

__all__ = ["Best", "minimise_convex", "minimise_quadratic"]

Three = Float[np.ndarray, " m"]
Square = Float[np.ndarray, "m m"]
STEPS = 50
SHORTEST = 1e-14


class Best(NamedTuple):
    """The weights, and how far the value can lie above its minimum."""

    weights: Three
    gap: float


def minimise_quadratic(gram: Square, linear: Three) -> Three:
    """argmin of w' gram w - 2 linear' w over the simplex: the best feasible stationary point of its faces.

    >>> minimise_quadratic(np.eye(3), np.array([1.0, 0.5, -1.0])).round(9).tolist()
    [0.75, 0.25, 0.0]
    """
    members = len(linear)
    best, lowest = np.full(members, 1.0 / members), np.inf
    for size in range(1, members + 1):  # a corner before an edge: of tied minima the one with fewest members
        for face in map(list, combinations(range(members), size)):
            weights = np.zeros(members)
            weights[face] = _stationary(gram[np.ix_(face, face)], linear[face])
            gap = _gap(weights, gram @ weights - linear)
            if weights.min() >= 0 and gap < lowest:
                best, lowest = weights, gap
        if lowest <= SHORTEST * float(np.abs(gram).max()):
            break
    return best


def _gap(weights: Three, gradient: Three) -> float:
    """How far a convex value can lie above its minimum over the simplex: gradient' (w - e), e the best corner."""
    return max(0.0, float(gradient @ weights - gradient.min()))


def _stationary(gram: Square, linear: Three) -> Three:
    """The stationary point on the plane sum w = 1, the shortest where there are several."""
    size = len(linear)
    system = np.block([[gram, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
    solution: Three = np.linalg.lstsq(system, np.append(linear, 1.0), rcond=1e-12)[0][:size]
    return solution


def minimise_convex(function: Callable[[Three], tuple[float, Three, Square]], start: Three) -> Best:
    """Minimum over the simplex of a convex function given with its gradient and Hessian.

    Each step goes to the minimum of the quadratic model; the gap is that of Frank and Wolfe 1956.
    """
    weights = start
    value, gradient, hessian = function(weights)
    best = Best(weights, _gap(weights, gradient))
    for _ in range(STEPS):
        if best.gap <= SHORTEST:
            break
        target = minimise_quadratic(hessian / 2.0, (hessian @ weights - gradient) / 2.0)
        step, there = 1.0, function(target)
        while there[0] > value + SHORTEST * abs(value) and step > SHORTEST:
            step /= 2.0
            there = function(weights + step * (target - weights))
        weights, (value, gradient, hessian) = weights + step * (target - weights), there
        best = min(best, Best(weights, _gap(weights, gradient)), key=lambda tried: tried.gap)
    return best
