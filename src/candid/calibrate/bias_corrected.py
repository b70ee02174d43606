"""One slope for all classes and an intercept each. Alexandari, Kundaje and Shrikumar 2020,
https://arxiv.org/abs/1901.06852, sec. 4.1 (bias-corrected temperature scaling).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from candid.calibrate.columns import check_classes
from candid.calibrate.descent import Metric, Minimum, minimise, settled
from candid.calibrate.diagonal import Diagonal, probabilities
from candid.calibrate.examples import Anchor, Examples, anchor, centred, examples
from candid.calibrate.existence import check_ridge, refuse_absent, refuse_separable, without_ridge
from candid.types import Labels, Logits, Probs

__all__ = ["BiasCorrected"]

Flat = Float[np.ndarray, " p"]  # the common slope, and the intercepts
Each = Float[np.ndarray, " e"]  # a slope a class, and the intercepts
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class BiasCorrected:
    """Fitted bias-corrected temperature scaling: calling it returns softmax(`beta` * logits + `bias`).

    `beta`, an inverse temperature, is never negative; `bias` sums to 0. `nll` is the mean negative log-likelihood of
    the fitted rows in nats without the penalty, `n` the rows with positive weight, `evaluations` the passes over them,
    `gradient` the norm of what is left of the gradient.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "probs"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "When some classes are predicted too often, as with zero-shot prompts, or before adapting to other class "
        "frequencies: half the parameters of vector scaling."
    )

    beta: float
    bias: Float[np.ndarray, " k"]
    ridge: float
    nll: float
    n: int
    evaluations: int
    gradient: float

    @staticmethod
    def fit(
        logits: Logits,
        labels: Labels,
        weights: Float[np.ndarray, " n"] | None = None,
        *,
        ridge: float | str = "auto",
    ) -> "BiasCorrected":
        """The beta >= 0 and intercepts that minimise nll + ridge * ((beta / beta_T - 1)^2 + sum bias^2).

        nll is the (weighted) mean over rows in nats and beta_T the inverse of the optimal temperature. `ridge="auto"`
        is k / n, n the effective rows; a penalty beside a sum over rows is n times as large. Edge cases are those of
        `Vector.fit`: with `ridge=0` `NoOptimum` by verdict, "absent" or "separable".

        >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
        >>> fitted = BiasCorrected.fit(logits, np.array([0, 0, 1, 1, 0]), ridge=1e-9)
        >>> fitted(logits)[[0, 3]].round(4).tolist()                          # 2 of 3, and 1 of 2, are right
        [[0.6667, 0.3333], [0.5, 0.5]]
        """
        rows = examples(logits, labels, weights)
        pulled = anchor(rows)
        strength = check_ridge(ridge, rows.auto_ridge)
        found, slope = _fit(rows, pulled, strength)
        return BiasCorrected(
            beta=float(pulled.unit * slope),
            bias=found.point[1:] - found.point[1:].mean(),
            ridge=strength,
            nll=found.value - strength * float(found.point @ found.point),
            n=len(rows.labels),
            evaluations=found.evaluations,
            gradient=float(np.linalg.norm(found.gradient)),
        )

    def __call__(self, logits: Logits) -> Probs:
        """Probabilities in float64; 0 where a class is masked by -inf, and nowhere else."""
        check_classes(logits, len(self.bias))
        return probabilities(centred(logits, 1.0), lambda x: x * self.beta + self.bias)


@dataclass(frozen=True)
class _Tied:
    """The likelihood of slopes that are all the same, d from where they are pulled to; or `held` there."""

    each: Diagonal  # without a ridge
    ridge: float
    held: bool = False

    def __call__(self, flat: Flat) -> tuple[float, Flat]:
        value, gradient = self.each(self._spread(flat))
        return value + self.ridge * float(flat @ flat), self._gather(gradient) + 2.0 * self.ridge * self._free(flat)

    def product(self, flat: Flat, direction: Flat) -> Flat:
        image = self.each.product(self._spread(flat), self._spread(self._free(direction)))
        return self._gather(image) + 2.0 * self.ridge * self._free(direction)

    def metric(self, flat: Flat) -> Metric:
        slope = np.zeros_like(flat)
        slope[0] = 1.0
        common = self.each.product(self._spread(flat), self._spread(slope))
        curvature = np.append(self._gather(common)[0], self.each.curvature(self._spread(flat))[2]) + 2.0 * self.ridge
        curvature += 1e-10 * curvature.max() + TINY
        inverse: Flat = 1.0 / curvature
        return lambda gradient: inverse * gradient

    def _spread(self, flat: Flat) -> Each:
        return np.append(np.full(len(flat) - 1, flat[0]), flat[1:])

    def _gather(self, each: Each) -> Flat:
        slopes, biases = each.reshape(2, -1)
        return self._free(np.append(slopes.sum(), biases))

    def _free(self, flat: Flat) -> Flat:
        return np.append(0.0, flat[1:]) if self.held else flat


def _fit(rows: Examples, pulled: Anchor, ridge: float) -> tuple[Minimum, float]:
    """The optimum over slopes >= 0, and that slope in the unit of the pull."""
    each = Diagonal.of(rows, centred(rows.logits, pulled.unit), pulled.slope, 0.0)
    found = _solve(rows, pulled, ridge, lambda strength: _Tied(each, strength), np.zeros(rows.classes + 1))
    slope = pulled.slope + float(found.point[0])
    if slope >= 0:
        return found, slope
    start = np.append(-pulled.slope, np.zeros(rows.classes))  # the objective is convex: the best slope >= 0 is 0
    return _solve(rows, pulled, ridge, lambda strength: _Tied(each, strength, held=True), start), 0.0


def _solve(rows: Examples, pulled: Anchor, ridge: float, objective: Callable[[float], _Tied], start: Flat) -> Minimum:
    if ridge > 0:
        return settled(minimise(objective(ridge), start))
    refuse_absent(rows)
    refuse_separable(pulled)
    reach = np.append(objective(0.0).each.view.reach().max(), np.ones(rows.classes))
    return without_ridge(
        lambda strength: minimise(objective(strength), start),
        lambda near: minimise(objective(0.0), near.point),
        rows.rows,
        reach,
    )
