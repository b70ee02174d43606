"""A temperature first, then what each class, and each pair of classes, adds to it against a rising price.
Berta, Holzmueller, Jordan and Bach 2026 (structured vector and matrix scaling, SVS and SMS).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from candid.calibrate.columns import check_classes
from candid.calibrate.diagonal import fit_diagonal, probabilities
from candid.calibrate.examples import Anchor, Examples, View, anchor, examples, log_probs
from candid.calibrate.existence import check_ridge
from candid.calibrate.full import Affine, fit_full, penalties
from candid.calibrate.threads import one_thread
from candid.errors import InputError, nearest
from candid.types import Labels, Logits, Probs

__all__ = ["Structured"]

FORMS = ("matrix", "vector")
Block = Float[np.ndarray, "rows k"]


@dataclass(frozen=True)
class Structured:
    """Fitted structured scaling: calling it returns softmax(`scale` * x + `off_diagonal` @ x + `bias`).

    x is log softmax(`beta` * logits), `beta` the inverse of the optimal temperature. In the form "vector",
    `off_diagonal` is 0 x 0 and adds nothing. `bias` sums to 0. `nll` is the mean negative log-likelihood of the fitted
    rows in nats without the penalty, `n` the rows with positive weight, `evaluations` the passes over them,
    `gradient` the norm of what is left of the gradient.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "probs"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "The default beyond one temperature: falls back on it by itself where rows are few, and learns pairs of "
        "classes where they are many."
    )

    beta: float
    scale: Float[np.ndarray, " k"]
    off_diagonal: Float[np.ndarray, "m m"]
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
        form: str = "matrix",
        ridge: float | str = "auto",
    ) -> "Structured":
        """The deviations from temperature scaling that minimise the following, nll the (weighted) mean in nats.

        nll + ridge * (sum of (scale - 1)^2 + sum of bias^2 + (k - 1) * sum of off_diagonal^2)

        `ridge="auto"` is k / n as published, n the effective rows; a penalty beside a sum over rows is n times as
        large. The form "vector" (SVS) leaves the pairs out: cheaper beyond some hundred classes, where "matrix" (SMS)
        holds k^2 numbers. The published code mixes the cooled probabilities with 1 / (n + 1) of the uniform
        distribution before the logarithm; ours does not, since no logarithm is infinite here. Edge cases are those of
        `Vector.fit`: with `ridge=0` `NoOptimum` by verdict, "absent" or "separable".

        >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
        >>> fitted = Structured.fit(logits, np.array([0, 0, 1, 1, 0]), ridge=1e-9)
        >>> fitted(logits)[[0, 3]].round(4).tolist()                          # 2 of 3, and 1 of 2, are right
        [[0.6667, 0.3333], [0.5, 0.5]]
        """
        if form not in FORMS:
            raise InputError(f"unknown form {form!r}; {nearest(form, FORMS)}")
        rows = examples(logits, labels, weights)
        pulled = anchor(rows)
        strength = check_ridge(ridge, rows.auto_ridge)
        view = log_probs(rows.logits, rows.top, pulled.unit)
        found = (_matrix if form == "matrix" else _vector)(rows, view, pulled, strength)
        deviation = found.deviation if form == "matrix" else np.zeros((0, 0))
        return Structured(
            beta=pulled.unit,
            scale=pulled.slope + np.diag(found.deviation),
            off_diagonal=deviation - np.diag(np.diag(deviation)),
            bias=found.bias,
            ridge=strength,
            nll=found.nll,
            n=len(rows.labels),
            evaluations=found.evaluations,
            gradient=found.gradient,
        )

    def __call__(self, logits: Logits) -> Probs:
        """Probabilities in float64; 0 where a class is masked by -inf, and nowhere else."""
        view = log_probs(logits, check_classes(logits, len(self.bias)).value, self.beta)

        def transform(x: Block) -> Block:
            u: Block = x * self.scale + self.bias
            return u + x @ self.off_diagonal.T if self.off_diagonal.size else u

        with one_thread(len(self.bias)):
            return probabilities(view, transform, tall=True)


def _matrix(rows: Examples, view: View, pulled: Anchor, ridge: float) -> Affine:
    across = ridge * max(1, int(rows.offered.sum()) - 1)
    return fit_full(rows, view, pulled, penalties(rows.classes, across=across, diagonal=ridge, bias=ridge))


def _vector(rows: Examples, view: View, pulled: Anchor, ridge: float) -> Affine:
    found = fit_diagonal(rows, view, pulled, ridge)
    slope, bias = found.point.reshape(2, -1)
    nll = found.value - ridge * float(found.point @ found.point)
    gradient = float(np.linalg.norm(found.gradient))
    return Affine(np.diag(slope), bias - bias.mean(), nll, found.evaluations, gradient)
