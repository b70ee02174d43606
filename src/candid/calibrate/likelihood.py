"""The negative log-likelihood of labels against the inverse temperature beta, with what a solver needs.

L(beta) = mean_i [ logsumexp(beta z_i) - beta z_iy ] is convex in beta: L' = mean(E_p[z] - z_y), L'' = mean(Var_p z)
>= 0.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float

from candid.errors import InputError, NoOptimum
from candid.metrics.rows import tilted
from candid.types import Labels, Logits

__all__ = ["Likelihood", "Point"]

# exp(VANISHING * gap) is 1 for every logit on offer and 0 for a masked one: L'(0) as the limit it is.
VANISHING = 1e-20
NOISE = 1e-12  # of the logits' spread: slopes below this are rounding

REASONS = {
    "separable": "no finite temperature is best: every label is its row's highest logit, so the likelihood grows as T "
    "falls to 0; use more rows, or rows the model was not trained on",
    "adverse": "no finite temperature is best: label logits are no higher than the mean of their rows, so the "
    "likelihood grows as T rises without end; check that label numbers follow the order of the classes",
    "constant": "no temperature is best: every row of logits is constant, so all of them give the same likelihood",
}


@dataclass(frozen=True)
class Point:
    """L and its derivatives at `beta`; `scatter` is the variance of L' over draws of the rows."""

    beta: float
    loss: float
    slope: float
    curvature: float
    scatter: float


@dataclass(frozen=True)
class Likelihood:
    """Rows of logits, their highest value, the gap of the label to it, the share of each row; shares sum to 1."""

    logits: Logits
    top: Float[np.ndarray, " n"]
    gap: Float[np.ndarray, " n"]
    share: Float[np.ndarray, " n"]

    @staticmethod
    def of(
        logits: Logits, labels: Labels, top: Float[np.ndarray, " n"], share: Float[np.ndarray, " n"]
    ) -> "Likelihood":
        """The likelihood of these labels, which must be among the classes on offer in their rows."""
        gap = logits[np.arange(len(logits)), labels].astype(np.float64) - top
        masked: Bool[np.ndarray, " n"] = np.isneginf(gap) & (share > 0)
        if masked.any():
            row = int(np.argmax(masked))
            raise InputError(f"label {labels[row]} of row {row} has logit -inf; unmask the class or drop the row")
        return Likelihood(logits, top, np.where(share > 0, gap, 0.0), share)

    @property
    def n(self) -> int:
        """Rows that count."""
        return int(np.count_nonzero(self.share))

    def at(self, beta: float) -> Point:
        """One pass over the logits."""
        row = tilted(self.logits, self.top, beta)
        miss = row.mean - self.gap
        return Point(
            beta=beta,
            loss=float(self.share @ (row.log_sum - beta * self.gap)),
            slope=float(self.share @ miss),
            curvature=float(self.share @ row.variance),
            scatter=float(self.share**2 @ miss**2),
        )

    @property
    def effective_rows(self) -> float:
        """How many equal rows the shares are worth (Kish 1965): n for equal ones."""
        return 1.0 / float(self.share @ self.share)

    @property
    def slope_at_infinity(self) -> float:
        """L' in the limit of large beta: how far labels lie below their row's best, on average."""
        return -float(self.share @ self.gap)

    def at_zero(self) -> Point:
        """L at beta = 0; `NoOptimum` unless L'(0) < 0 < L'(infinity), both needed and enough for an optimum."""
        zero = self.at(VANISHING)
        if self.slope_at_infinity <= 0:
            raise self.refusal("separable")
        if zero.slope >= -NOISE * sqrt(zero.curvature):
            raise self.refusal("adverse")
        return zero

    def refusal(self, verdict: str) -> NoOptimum:
        """The error for a likelihood without a finite optimum; constant logits are told apart from either extreme."""
        if self.at(VANISHING).curvature == 0:
            verdict = "constant"
        return NoOptimum(REASONS[verdict], verdict=verdict)

    def thinned(self, rows: int) -> "Likelihood":
        """A view of evenly spaced rows, about `rows` of them: sets sorted by class stay balanced."""
        pick = slice(None, None, max(1, len(self.gap) // rows))
        share = self.share[pick]
        return Likelihood(self.logits[pick], self.top[pick], self.gap[pick], share / (share.sum() or 1.0))
