"""Root of L'(beta) by Newton steps that cannot leave a bracket, with a sign change as the proof.

|L'''| <= R L'' (R the widest row) makes Newton locally quadratic; the bracket makes it global. From the second point
on, the inverse of L' is interpolated through the last two points and their slopes (cubic Hermite), which nearly
triples the digits.
"""

from dataclasses import dataclass, field
from math import inf, sqrt
from typing import NamedTuple

from candid.calibrate.likelihood import Likelihood, Point
from candid.errors import NoOptimum

__all__ = ["Root", "solve"]

WARM_ROWS = 2_000
WARM_FROM = 8_000  # fewer rows are solved at once
NEAR = 1e-3  # a last step this short leaves an error far below 1e-9 after interpolation
PROOFS = (1e-9, 1e-9, *(10.0**-digits for digits in range(8, 0, -1)))
TOO_CLOSE = 1e-6  # two points nearer than this differ by rounding: they say nothing about the third derivative
LEAP = 8.0  # a step multiplies or divides beta by no more than this while one side has no bound
FARTHEST = 1e15


class Root(NamedTuple):
    """The optimum `beta` between two evaluated points: L' < 0 at `low`, L' > 0 at `high`."""

    beta: float
    low: Point
    high: Point
    evaluations: int


def solve(likelihood: Likelihood) -> Root:
    """The beta where L' vanishes, to rounding, proven to a relative 1e-9; `NoOptimum` where there is none."""
    if likelihood.slope_at_infinity <= 0:
        raise likelihood.refusal("separable")
    search = _Search(likelihood)
    search.approach(_start(likelihood))
    return search.prove()


def _start(likelihood: Likelihood) -> float:
    """The optimum of a few rows, then of an eighth; on small sets, Newton's step from beta = 0.

    Both scale with the logits, as the optimum does.
    """
    rows = len(likelihood.gap)
    if rows < WARM_FROM:
        return _newton_from_zero(likelihood)
    try:
        few = likelihood.thinned(WARM_ROWS)
        start = _warm(few, _newton_from_zero(few))
        return _warm(likelihood.thinned(rows // 8), start) if rows // 8 > WARM_ROWS else start
    except NoOptimum:  # a few rows may have none where all of them have one
        return _newton_from_zero(likelihood)


def _warm(likelihood: Likelihood, start: float) -> float:
    search = _Search(likelihood)
    search.approach(start)
    return search.proposal()


def _newton_from_zero(likelihood: Likelihood) -> float:
    zero = likelihood.at_zero()
    return -zero.slope / zero.curvature


@dataclass
class _Search:
    """The bracket, and the points evaluated so far."""

    likelihood: Likelihood
    low: float = 0.0
    high: float = float("inf")
    seen: list[Point] = field(default_factory=list)
    zero_checked: bool = False

    def visit(self, beta: float) -> Point:
        """Evaluate at beta and narrow the bracket."""
        point = self.likelihood.at(beta)
        self.seen.append(point)
        if point.slope < 0:
            self.low = max(self.low, beta)
        elif point.slope > 0:
            self.high = min(self.high, beta)
        return point

    def approach(self, start: float) -> None:
        """Step until the step to come is short."""
        beta = start
        while True:
            self.visit(beta)
            step = self.proposal()
            if abs(step - beta) <= NEAR * beta:
                return
            beta = step
            if not start / FARTHEST < beta < start * FARTHEST:
                raise self.likelihood.refusal("separable" if beta > start else "adverse")

    def proposal(self) -> float:
        """The next beta to try, inside the bracket."""
        last = self.seen[-1]
        step = _newton(last)
        if len(self.seen) > 1:
            better = _hermite(self.seen[-2], last)
            if abs(better - step) < abs(step - last.beta):
                step = better
        if self.low == 0 and step < last.beta / LEAP:
            self.check_zero()
        step = min(max(step, last.beta / LEAP), last.beta * LEAP)
        if self.low < step < self.high:
            return step
        return sqrt(self.low * self.high) if self.low > 0 and self.high < inf else last.beta

    def check_zero(self) -> None:
        """Whether there is an optimum above 0 at all; asked once, and only where the search runs towards 0."""
        if not self.zero_checked:
            self.zero_checked = True
            self.likelihood.at_zero()

    def prove(self) -> Root:
        """Evaluate on both sides of the proposal until the sign changes; wider where rounding hides it."""
        for width in PROOFS:
            beta = self.proposal()
            low = self.visit(beta * (1 - width))
            if low.slope < 0:
                high = self.visit(beta * (1 + width))
                if high.slope > 0:
                    root = low.beta - low.slope * (high.beta - low.beta) / (high.slope - low.slope)
                    return Root(root, low, high, len(self.seen) + self.zero_checked)
        raise self.likelihood.refusal("constant")


def _newton(point: Point) -> float:
    """Newton's step, and a long one to the right side where the curvature has underflowed."""
    if point.curvature > 0:
        return point.beta - point.slope / point.curvature
    return 0.0 if point.slope > 0 else inf


def _hermite(before: Point, last: Point) -> float:
    """beta at slope 0 on the cubic in the slope that has both points' betas and d beta / d slope = 1 / curvature."""
    width = last.slope - before.slope
    if width == 0 or not (last.curvature > 0 and before.curvature > 0) or abs(1 - before.beta / last.beta) < TOO_CLOSE:
        return inf
    t = -before.slope / width
    return (
        (1 + 2 * t) * (1 - t) ** 2 * before.beta
        + t * (1 - t) ** 2 * width / before.curvature
        + t**2 * (3 - 2 * t) * last.beta
        + t**2 * (t - 1) * width / last.curvature
    )
