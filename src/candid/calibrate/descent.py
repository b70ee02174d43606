"""Minimum of a smooth convex function: L-BFGS around a good metric, then Newton steps where that was not enough.

L-BFGS (Nocedal 1980) needs one pass a step and ends well-conditioned fits in about ten. Weak ridges make valleys it
creeps along; there each Newton step is solved by conjugate gradients (Nocedal and Wright 2006, algorithm 7.1). In both
only slopes decide how far to go: on a convex function the derivative along a line crosses 0 once, and unlike a
difference of values it is exact to rounding near the minimum.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from candid.errors import InputError

__all__ = ["Metric", "Minimum", "Objective", "minimise", "settled"]

Vector = Float[np.ndarray, " p"]
Metric = Callable[[Vector], Vector]

TOLERANCE = 1e-9
UNSETTLED = 1e-8  # nats
MEMORY = 20
QUICK = 50  # steps of L-BFGS
ANEW = 8  # steps after which the metric of the start is replaced by that of a place near the end
STEPS = 100  # steps of Newton
PRODUCTS = 500  # in one step
SLOW = 20  # products after which the metric is worth another pass
FLAT = 0.5  # a step is taken once the slope along it has fallen to half
LINE_TRIES = 40


@runtime_checkable
class Objective(Protocol):
    """A convex function of a flat parameter, with what a Newton step asks for. Each call is one pass over the rows."""

    def __call__(self, point: Vector, /) -> tuple[float, Vector]:
        """Value and gradient."""
        ...

    def product(self, point: Vector, direction: Vector, /) -> Vector:
        """The Hessian at `point` times `direction`."""
        ...

    def metric(self, point: Vector, /) -> Metric:
        """An approximate inverse of the Hessian at `point`, symmetric and positive."""
        ...


class Minimum(NamedTuple):
    """Where the search ended, the value and gradient there, the passes, whether it got to the tolerance; nats left."""

    point: Vector
    value: float
    gradient: Vector
    evaluations: int
    converged: bool
    left: float


@dataclass
class _Walk:
    """Where a search stands."""

    objective: Objective
    point: Vector
    value: float
    gradient: Vector
    passes: int = 1
    left: float = inf

    def go(self, direction: Vector) -> bool:
        """Move along a direction of descent to where the slope has flattened; False where it does not descend."""
        slope = float(self.gradient @ direction)
        if not slope < 0:
            return False
        step, self.value, self.gradient, tries = _search(self.objective, self.point, direction, slope)
        self.point = self.point + step * direction
        self.passes += tries
        return True

    def decrement(self, metric: Metric) -> float:
        """sqrt(g' metric(g)), about the root of twice what is left to gain."""
        self.left = max(0.0, float(self.gradient @ metric(self.gradient))) / 2.0
        return sqrt(2.0 * self.left)


def minimise(objective: Objective, start: Vector) -> Minimum:
    """The minimum, found when the decrement sqrt(g' metric(g)) is below 1e-9."""
    walk = _Walk(objective, start, *objective(start))
    converged = _quickly(walk) or _surely(walk)
    return Minimum(walk.point, walk.value, walk.gradient, walk.passes, converged, walk.left)


def settled(found: Minimum) -> Minimum:
    """The same, after refusing one that lies more than 1e-8 nats above its minimum."""
    if not found.converged and found.left > UNSETTLED:
        raise InputError(
            f"the fit stopped {found.left:.2g} nats above its optimum, as when logits differ by 1e12 and more; "
            "if a large negative number stands for classes that are not on offer, use -inf"
        )
    return found


def _quickly(walk: _Walk) -> bool:
    """L-BFGS; whether it got to the tolerance."""
    pairs: deque[tuple[Vector, Vector, float]] = deque(maxlen=MEMORY)
    for step in range(QUICK):
        if step in (0, ANEW):
            metric = walk.objective.metric(walk.point)
            walk.passes += 1
        if walk.decrement(metric) <= TOLERANCE:
            return True
        point, gradient = walk.point, walk.gradient
        if not walk.go(-_two_loops(gradient, pairs, metric)):
            break
        move, change = walk.point - point, walk.gradient - gradient
        bend = float(move @ change)
        if bend > 0:
            pairs.append((move, change, 1.0 / bend))
    return False


def _two_loops(gradient: Vector, pairs: deque[tuple[Vector, Vector, float]], metric: Metric) -> Vector:
    """The inverse Hessian of L-BFGS, with `metric` in the middle, times the gradient."""
    image, shares = gradient.copy(), []
    for move, change, scale in reversed(pairs):
        share = scale * float(move @ image)
        shares.append(share)
        image -= share * change
    image = metric(image)
    for (move, change, scale), share in zip(pairs, reversed(shares), strict=True):
        image = image + (share - scale * float(change @ image)) * move
    return image


def _surely(walk: _Walk) -> bool:
    """Newton's method; whether it got to the tolerance."""
    products = SLOW
    for _ in range(STEPS):
        if products >= SLOW:
            metric = walk.objective.metric(walk.point)
            walk.passes += 1
        decrement = walk.decrement(metric)
        if decrement <= TOLERANCE:
            return True
        direction, products = _solve(walk.objective, walk.point, walk.gradient, metric, min(0.1, sqrt(decrement)))
        walk.passes += products
        if not walk.go(direction):
            break
    return False


def _solve(
    objective: Objective, point: Vector, gradient: Vector, metric: Metric, tolerance: float
) -> tuple[Vector, int]:
    """A direction with Hessian @ direction = -gradient up to `tolerance`, by conjugate gradients; and the products."""
    direction, residual = np.zeros_like(gradient), -gradient
    search = metric(residual)
    size = first = float(residual @ search)
    conjugate, products = search, 0
    while products < PRODUCTS and size > tolerance**2 * first:
        image = objective.product(point, conjugate)
        products += 1
        bend = float(conjugate @ image)
        if not bend > 0:  # flat to rounding: nothing to gain that way
            break
        direction += size / bend * conjugate
        residual = residual - size / bend * image
        search = metric(residual)
        before, size = size, float(residual @ search)
        conjugate = search + size / before * conjugate
    return direction, products


def _search(objective: Objective, point: Vector, direction: Vector, slope: float) -> tuple[float, float, Vector, int]:
    """A step along which the slope has flattened, by secants inside a bracket; value and gradient there; tries."""
    low, low_slope, high, high_slope, step, tries = 0.0, slope, inf, inf, 1.0, 0
    while True:
        tries += 1
        value, gradient = objective(point + step * direction)
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
