"""The negative log-likelihood of labels against the inverse temperature beta, with what a solver needs.

L(beta) = mean_i [ logsumexp(beta z_i) - beta z_iy ] is convex in beta: L' = mean(E_p[z] - z_y), L'' = mean(Var_p z)
>= 0.
"""

from dataclasses import dataclass
from math import exp, inf, sqrt
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from candid.errors import InputError, NoOptimum
from candid.metrics.rows import tilted, tilted_single
from candid.types import Labels, Logits

__all__ = ["Likelihood", "Objective", "Point", "at_zero", "effective_rows", "refusal"]

# exp(VANISHING * gap) is 1 for every logit on offer and 0 for a masked one: L'(0) as the limit it is.
VANISHING = 1e-20
NOISE = 1e-12  # of the logits' spread: slopes below this are rounding
ROUNDING = 1e-14  # of the mean gap: what float64 leaves uncertain of L'
SPAN = 745.0  # exp of less is 0 in float64: no class beyond SPAN / beta of its row's best is in the sums
SINGLE_SAFE = 1e30  # float32 holds beta and 1 / beta below this

REASONS = {
    "separable": "no finite temperature is best: every label is its row's highest logit, so the likelihood grows as T "
    "falls to 0; use more rows, or rows the model was not trained on",
    "adverse": "no finite temperature is best: label logits are no higher than the mean of their rows, so the "
    "likelihood grows as T rises without end; check that label numbers follow the order of the classes",
    "constant": "no temperature is best: every row of logits is constant, so all of them give the same likelihood",
}


@dataclass(frozen=True)
class Point:
    """L and its first three derivatives at `beta`.

    `scatter` is the variance of L' over draws of the rows, `limit` is L' as beta grows without end: how far labels lie
    below their row's best, on average.
    """

    beta: float
    loss: float
    slope: float
    curvature: float
    third: float
    scatter: float
    limit: float

    def bounds(self, beta: float) -> tuple[float, float]:
        """Lower and upper bound of L' at another beta, by Taylor's formula with its remainder.

        The fourth cumulant of numbers R apart is at most R^2 times their variance, and the variance itself changes by
        at most exp(R h) over a step h.
        """
        step = beta - self.beta
        reach = SPAN / min(beta, self.beta)
        if reach * abs(step) > 1:
            return -inf, inf
        taylor = self.slope + step * (self.curvature + step * self.third / 2)
        rest = self.curvature * reach**2 * abs(step) ** 3 * exp(reach * abs(step)) / 6
        rest += ROUNDING * (2 * self.limit - self.slope)
        return taylor - rest, taylor + rest


@runtime_checkable
class Objective(Protocol):
    """L of some rows, wherever their logits come from; `share`, one a row, sums to 1."""

    @property
    def share(self) -> Float[np.ndarray, " n"]: ...

    @property
    def together(self) -> int:
        """Betas worth evaluating in one pass while the optimum is still being looked for."""
        ...

    @property
    def few(self) -> int:
        """Rows that cost little to evaluate many times."""
        ...

    def at(self, *betas: float, single: bool = False) -> tuple[Point, ...]:
        """L at each beta, from one pass over the rows; `single` allows float32 arithmetic, right to about 1e-6."""
        ...

    def thinned(self, step: int) -> "Objective":
        """Every `step`-th row: sets sorted by class stay balanced. Shares then sum to less."""
        ...


@dataclass(frozen=True)
class Likelihood:
    """Rows of logits, their highest value, the gap of the label to it, the share of each row."""

    logits: Logits
    top: Float[np.ndarray, " n"]
    gap: Float[np.ndarray, " n"]
    share: Float[np.ndarray, " n"]
    together: ClassVar[int] = 1
    few: ClassVar[int] = 2_000

    @staticmethod
    def of(
        logits: Logits,
        labels: Labels,
        top: Float[np.ndarray, " n"],
        share: Float[np.ndarray, " n"],
        *,
        numbers: range | None = None,
    ) -> "Likelihood":
        """The likelihood of these labels, which must be among the classes on offer in their rows.

        `numbers` are the rows' own, where they are some of a larger set.
        """
        gap = logits[np.arange(len(logits)), labels].astype(np.float64) - top
        masked: Bool[np.ndarray, " n"] = np.isneginf(gap) & (share > 0)
        if masked.any():
            row = int(np.argmax(masked))
            name = row if numbers is None else numbers[row]
            raise InputError(f"label {labels[row]} of row {name} has logit -inf; unmask the class or drop the row")
        return Likelihood(logits, top, np.where(share > 0, gap, 0.0), share)

    def at(self, *betas: float, single: bool = False) -> tuple[Point, ...]:
        """One pass over the logits for each beta."""
        return tuple(Point(beta, *map(float, self.sums(beta, single=single))) for beta in betas)

    def sums(self, beta: float, *, single: bool) -> Float[np.ndarray, " six"]:
        """The numbers of a `Point` but its beta, in order: sums over rows, so those of several sets add up."""
        narrow = single and self.logits.dtype != np.float64 and 1 / SINGLE_SAFE < beta < SINGLE_SAFE
        row = (tilted_single if narrow else tilted)(self.logits, self.top, beta)
        miss = row.mean - self.gap
        return np.array(
            [
                self.share @ (row.log_sum - beta * self.gap),
                self.share @ miss,
                self.share @ row.variance,
                self.share @ row.third,
                self.share**2 @ miss**2,
                -self.share @ self.gap,
            ]
        )

    def thinned(self, step: int) -> "Likelihood":
        """A view of every `step`-th row."""
        pick = slice(None, None, step)
        return Likelihood(self.logits[pick], self.top[pick], self.gap[pick], self.share[pick])


def at_zero(objective: Objective) -> Point:
    """L at beta = 0; `NoOptimum` unless L'(0) < 0 < L'(infinity), both needed and enough for an optimum."""
    (zero,) = objective.at(VANISHING)
    if zero.curvature == 0:
        raise _refusal("constant")
    if zero.limit <= 0:
        raise _refusal("separable")
    if zero.slope >= -NOISE * sqrt(zero.curvature * float(objective.share.sum())):
        raise _refusal("adverse")
    return zero


def refusal(objective: Objective, verdict: str) -> NoOptimum:
    """The error for a likelihood without a finite optimum; constant logits are told apart from either extreme."""
    (zero,) = objective.at(VANISHING)
    return _refusal("constant" if zero.curvature == 0 else verdict)


def effective_rows(share: Float[np.ndarray, " n"]) -> float:
    """How many equal rows the shares are worth (Kish 1965): n for equal ones."""
    return float(share.sum()) ** 2 / float(share @ share)


def _refusal(verdict: str) -> NoOptimum:
    return NoOptimum(REASONS[verdict], verdict=verdict)
