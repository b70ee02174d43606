"""Root of L'(beta) in as few passes over the rows as can be, with a sign change as the proof.

|L'''| <= R L'' (R the widest row) makes Newton's method locally quadratic; a bracket makes it global. L''' comes for
free with each pass, so a step is of third order, and of sixth between two betas that a pass evaluates together. A few
rows, then a sixteenth, lead to where all of them are first evaluated. Only the last pass, whose Taylor bounds are the
proof, has to be float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from typing import NamedTuple

from candid.calibrate.likelihood import Objective, Point, at_zero, refusal
from candid.errors import NoOptimum

__all__ = ["Root", "solve"]

NEAR_SINGLE = 2e-2  # from a step this short on, third order leaves an error that the next pass can prove
NEAR = 1e-5  # from a step this short on, Taylor bounds prove 1e-9, and third order leaves less than rounding
PAIR = 0.05  # half the relative distance, at most, of two betas evaluated together
PROOFS = (1e-9, *(10.0**-digits for digits in range(8, 0, -1)))
LEAP = 8.0  # the first step multiplies or divides beta by no more than this; steps that long square it
FARTHEST = 1e15


class Root(NamedTuple):
    """The optimum `beta`, the point evaluated next to it, `low` and `high` with L'(low) < 0 < L'(high), the passes."""

    beta: float
    near: Point
    low: float
    high: float
    passes: int


def solve(objective: Objective) -> Root:
    """The beta where L' vanishes, to rounding, proven to a relative 1e-9; `NoOptimum` where there is none."""
    search = _Search(objective)
    warm = _warm(objective)
    start = search.approach(*warm, near=NEAR_SINGLE, single=True) if warm else search.from_zero()
    search.approach(start, 0.0, near=NEAR)
    return search.prove()


def _warm(objective: Objective) -> tuple[float, float] | None:
    """The optimum of a few rows, then of a sixteenth, and its relative uncertainty; None where that saves nothing."""
    rows, few = len(objective.share), objective.few
    if rows < 2 * few:
        return None
    warm = None
    for step in (-(-rows // few), 16) if rows // 16 > 2 * few else (-(-rows // few),):
        search = _Search(objective.thinned(step))
        try:
            if warm:
                start = search.approach(*warm, near=inf, single=True)
            else:
                start = search.approach(search.from_zero(), 0.0, near=NEAR_SINGLE, single=True)
            warm = start, search.spread
        except NoOptimum:  # a few rows may have none where all of them have one
            warm = None
    return warm


@dataclass
class _Search:
    """The bracket, the points of the last pass, and how many passes there were."""

    objective: Objective
    low: float = 0.0
    high: float = inf
    points: tuple[Point, ...] = ()
    passes: int = 0
    leap: float = LEAP
    zero_checked: bool = False

    @property
    def nearest(self) -> Point:
        """The point of the last pass with the smallest slope."""
        return min(self.points, key=lambda point: abs(point.slope))

    @property
    def spread(self) -> float:
        """Relative standard error of the optimum as an estimate of that of many more rows."""
        point = self.nearest
        return sqrt(point.scatter) / (point.curvature * point.beta) if point.curvature > 0 else PAIR

    def from_zero(self) -> float:
        """Newton's step from beta = 0, which scales with the logits as the optimum does."""
        zero = self.check_zero()
        return -zero.slope / zero.curvature

    def check_zero(self) -> Point:
        """L at 0, where it is seen whether there is an optimum at all."""
        self.zero_checked = True
        self.passes += 1
        return at_zero(self.objective)

    def approach(self, start: float, spread: float, *, near: float, single: bool = False) -> float:
        """The next beta to try once it is near the last one; `spread` is how far, relative, the root may be."""
        self.low, self.high = 0.0, inf  # a bracket found in single precision may be wrong by its rounding
        beta = start
        while True:
            self.visit(*self.around(beta, spread), single=single)
            step = self.proposal()
            if abs(step - self.nearest.beta) <= near * self.nearest.beta or (single and self.enclosed()):
                return step
            if max(step / self.nearest.beta, self.nearest.beta / step) > 0.999 * self.leap:
                self.leap = min(self.leap**2, FARTHEST)
            beta, spread = step, abs(step / beta - 1)
            if not start / FARTHEST < beta < start * FARTHEST:
                raise refusal(self.objective, "separable" if beta > start else "adverse")

    def around(self, beta: float, spread: float) -> tuple[float, ...]:
        """The betas of the next pass: two, where logits cost more than what is made of them, else one."""
        if self.objective.together == 1 or not spread:
            return (beta,)
        width = min(2.5 * spread, PAIR)
        return beta * (1 - width), beta * (1 + width)

    def enclosed(self) -> bool:
        """Whether the last pass has the root between two betas close enough to interpolate."""
        if len(self.points) != 2:
            return False
        low, high = self.points
        return low.slope < 0 < high.slope and high.beta * (1 - PAIR) <= 1.001 * low.beta * (1 + PAIR)

    def visit(self, *betas: float, single: bool = False) -> tuple[Point, ...]:
        """Evaluate at each beta in one pass and narrow the bracket."""
        self.points = self.objective.at(*betas, single=single)
        self.passes += 1
        for point in self.points:
            if point.limit <= 0:
                raise refusal(self.objective, "separable")
            if point.slope < 0:
                self.low = max(self.low, point.beta)
            elif point.slope > 0:
                self.high = min(self.high, point.beta)
        return self.points

    def proposal(self) -> float:
        """The next beta to try, inside the bracket."""
        last = self.nearest
        step = _between(self.points) if self.enclosed() else _beyond(last)
        if self.low == 0 and step < last.beta / LEAP and not self.zero_checked:
            self.check_zero()
        step = min(max(step, last.beta / self.leap), last.beta * self.leap)
        if self.low < step < self.high:
            return step
        return sqrt(self.low * self.high) if self.low > 0 and self.high < inf else last.beta

    def prove(self) -> Root:
        """Two betas around the proposal between which L' changes sign; wider apart where rounding hides it."""
        for width in PROOFS:
            near, beta = self.nearest, self.proposal()
            low, high = beta * (1 - width), beta * (1 + width)
            if near.bounds(low)[1] < 0 < near.bounds(high)[0]:
                return Root(beta, near, low, high, self.passes)
            first, last = self.visit(low, high)
            if first.slope < 0 < last.slope:
                beta = low - first.slope * (high - low) / (last.slope - first.slope)
                return Root(beta, self.nearest, low, high, self.passes)
        raise refusal(self.objective, "constant")


def _beyond(point: Point) -> float:
    """Newton's step with the next term of the inverse series; far off, the root of limit - a exp(-b beta).

    The second has the point's slope and curvature and is right about both ends: Newton's step falls short there.
    """
    if point.curvature <= 0:
        return 0.0 if point.slope > 0 else inf
    step = -point.slope / point.curvature
    bend = -point.third / point.curvature / 2 * step
    if abs(bend) < 0.5 and -point.slope < 2 * point.limit:
        return point.beta + step * (1 + bend)
    rest = point.limit - point.slope
    return point.beta + log(rest / point.limit) * rest / point.curvature if rest > 0 else inf


def _between(points: Sequence[Point]) -> float:
    """beta at slope 0 on the inverse of L' interpolated through both points, with two derivatives each.

    Divided differences with each point three times: d beta / d slope = 1 / L'', the second is -L''' / L''^3.
    """
    unit = points[0].curvature
    nodes = [point.slope / unit for point in points for _ in range(3)]
    owner = [point for point in points for _ in range(3)]
    column = [point.beta for point in owner]
    root, product = column[0], 1.0
    for order in range(1, len(nodes)):
        column = [
            _derivative(owner[i], order, unit)
            if owner[i] is owner[i + order]
            else (column[i + 1] - column[i]) / (nodes[i + order] - nodes[i])
            for i in range(len(column) - 1)
        ]
        product *= -nodes[order - 1]
        root += product * column[0]
    return root


def _derivative(point: Point, order: int, unit: float) -> float:
    """Of beta by slope / unit, over the factorial of the order, which is 1 or 2."""
    if order == 1:
        return unit / point.curvature
    return -point.third / point.curvature * (unit / point.curvature) ** 2 / 2
