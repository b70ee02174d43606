"""Many logistic regressions of three parameters at once, the first two never negative, by Newton's method."""

from collections.abc import Callable
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from candid.calibrate.descent import Minimum

__all__ = ["Pass", "descend"]

Theta = Float[np.ndarray, "k 3"]
Square = Float[np.ndarray, "k 3 3"]

BOUNDED = (0, 1)
PASSES = 300
TOLERANCE = 1e-18  # of the decrement g' H^-1 g: what is left to gain
ROUNDING = 1e-14
SHORTEST = 1e-12


class Pass(NamedTuple):
    """Value, gradient and Hessian of each regression at one point."""

    value: Float[np.ndarray, " k"]
    gradient: Theta
    hessian: Square


def descend(function: Callable[[Theta], Pass], start: Theta) -> Minimum:
    """The minimum of each; every pass moves all of them, each by a step of its own.

    Steps go to the minimum of the quadratic model over what is allowed, and are halved where the value rose. The
    gradient is given in the directions that are allowed.
    """
    here, value = start, np.full(len(start), np.inf)
    gradient, hessian = np.zeros(start.shape), np.zeros((*start.shape, 3))
    tried, step, passes = start, np.ones(len(start)), 0
    decrement, done = np.full(len(start), np.inf), np.zeros(len(start), dtype=bool)
    while passes < PASSES:
        passes += 1
        there = function(tried)
        better = there.value <= value + ROUNDING * (1.0 + np.abs(there.value))
        here = np.where(better[:, None], tried, here)
        value = np.where(better, there.value, value)
        gradient = np.where(better[:, None], there.gradient, gradient)
        hessian = np.where(better[:, None, None], there.hessian, hessian)
        move = _towards(here, gradient, hessian)
        step = np.where(better, 1.0, step / 2.0)
        decrement = -np.einsum("ij,ij->i", gradient, move)
        done = decrement <= TOLERANCE
        if (done | (step < SHORTEST)).all():
            break
        tried = np.where(done[:, None], here, here + step[:, None] * move)
    stuck = gradient > 0
    stuck[:, 2] = False
    left = np.where(stuck & (here <= 0), 0.0, gradient)
    return Minimum(
        here.ravel(), float(value.sum()), left.ravel(), passes, bool(done.all()), float(decrement.max()) / 2.0
    )


def _towards(here: Theta, gradient: Theta, hessian: Square) -> Theta:
    """The step to the minimum of the model gradient' d + d' hessian d / 2 with no bounded parameter below 0."""
    curved = hessian + np.eye(3) * (1e-13 * np.trace(hessian, axis1=1, axis2=2) + 1e-300)[:, None, None]
    best, lowest = np.zeros(here.shape), np.full(len(here), np.inf)
    for held in chain.from_iterable(combinations(BOUNDED, size) for size in range(len(BOUNDED) + 1)):
        move = _with_held(list(held), here, gradient, curved)
        model = np.einsum("ij,ij->i", gradient + 0.5 * np.einsum("ijk,ik->ij", curved, move), move)
        allowed = (here + move)[:, BOUNDED].min(axis=1) >= 0
        wins = allowed & (model < lowest)
        best, lowest = np.where(wins[:, None], move, best), np.where(wins, model, lowest)
    return best


def _with_held(held: list[int], here: Theta, gradient: Theta, hessian: Square) -> Theta:
    """The stationary step that takes the held parameters to exactly 0."""
    fixed = np.zeros(here.shape)
    fixed[:, held] = -here[:, held]
    right = -(gradient + np.einsum("ijk,ik->ij", hessian, fixed))
    right[:, held] = fixed[:, held]
    system = hessian.copy()
    system[:, held, :] = 0.0
    system[:, :, held] = 0.0
    system[:, held, held] = 1.0
    step: Theta = np.linalg.solve(system, right[:, :, None])[:, :, 0]
    return step
