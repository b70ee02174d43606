"""One slope and one intercept a class. Guo et al. 2017, https://arxiv.org/abs/1706.04599, sec. 4.2 (vector scaling)."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from candid.calibrate.columns import check_classes
from candid.calibrate.diagonal import fit_diagonal, probabilities
from candid.calibrate.examples import anchor, centred, examples
from candid.calibrate.existence import check_ridge
from candid.types import Labels, Logits, Probs

__all__ = ["Vector"]


@dataclass(frozen=True)
class Vector:
    """Fitted vector scaling: calling it returns softmax(`scale` * x + `bias`), x the logits less the mean of their row.

    The mean is taken over the classes on offer, so that a constant added to a row changes nothing; mark the others by
    -inf, not by a large negative number, which would move the mean. `bias` sums to 0.
    `ridge` is the penalty that was used, `nll` the mean negative log-likelihood of the fitted rows in nats without
    it, `n` the rows with positive weight, `evaluations` the passes over them, `gradient` the norm of what is left of
    the gradient: the objective lies at most `gap` nats above its minimum.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "probs"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "When some classes are over-confident and others under-confident, and most have ten labelled rows or more."
    )

    scale: Float[np.ndarray, " k"]
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
    ) -> "Vector":
        """The slopes and intercepts that minimise nll + ridge * (sum (scale / beta - 1)^2 + sum bias^2).

        nll is the (weighted) mean over rows in nats and beta the inverse of the optimal temperature, so the penalty
        pulls towards temperature scaling and does not depend on the unit of the logits. `ridge="auto"` is k / n,
        k the classes on offer and n the effective rows (Berta et al. 2025 use this for log-probabilities); a penalty
        beside a sum over rows is n times as large. Classes without a row keep a finite bias, separable rows have an
        optimum, and the beta they are pulled to is that of labels softened by 1 / (n + 1). Where labels run against
        the logits (temperature's verdict "adverse") the pull is towards scale 0. With `ridge=0`: `NoOptimum` by
        verdict, "absent" or "separable".

        >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
        >>> fitted = Vector.fit(logits, np.array([0, 0, 1, 1, 0]), ridge=1e-9)
        >>> fitted(logits)[[0, 3]].round(4).tolist()                          # 2 of 3, and 1 of 2, are right
        [[0.6667, 0.3333], [0.5, 0.5]]
        """
        rows = examples(logits, labels, weights)
        pulled = anchor(rows)
        strength = check_ridge(ridge, rows.auto_ridge)
        found = fit_diagonal(rows, centred(rows.logits, pulled.unit), pulled, strength)
        slope, bias = found.point.reshape(2, -1)
        return Vector(
            scale=pulled.unit * (pulled.slope + slope),
            bias=bias - bias.mean(),
            ridge=strength,
            nll=found.value - strength * float(found.point @ found.point),
            n=len(rows.labels),
            evaluations=found.evaluations,
            gradient=float(np.linalg.norm(found.gradient)),
        )

    @property
    def gap(self) -> float:
        """Nats the objective can lie above its minimum: |gradient|^2 / (4 ridge), by strong convexity."""
        return self.gradient**2 / (4.0 * self.ridge) if self.ridge > 0 else inf

    def __call__(self, logits: Logits) -> Probs:
        """Probabilities in float64; 0 where a class is masked by -inf, and nowhere else."""
        check_classes(logits, len(self.scale))
        return probabilities(centred(logits, 1.0), lambda x: x * self.scale + self.bias)
