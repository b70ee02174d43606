"""Every class looks at every logit. Guo et al. 2017, https://arxiv.org/abs/1706.04599, sec. 4.2 (matrix scaling), with
the regularisation of Kull et al. 2019, https://arxiv.org/abs/1910.12656, sec. 4 (ODIR: off-diagonal and intercept).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from candid.calibrate.columns import check_classes
from candid.calibrate.diagonal import probabilities
from candid.calibrate.examples import anchor, centred, examples
from candid.calibrate.existence import check_ridge
from candid.calibrate.full import fit_full, penalties
from candid.calibrate.threads import one_thread
from candid.types import Labels, Logits, Probs

__all__ = ["Matrix"]

ACROSS = 10.0  # off-diagonal over intercept penalty; see docs of `ridge`


@dataclass(frozen=True)
class Matrix:
    """Fitted matrix scaling: calling it returns softmax(`matrix` @ x + `bias`), x the logits less their row's mean.

    The mean is taken over the classes on offer, so that a constant added to a row changes nothing; mark the others by
    -inf, not by a large negative number, which would move the mean. `bias` sums to 0.
    `nll` is the mean negative log-likelihood of the fitted rows in nats without the penalty, `n` the rows with
    positive weight, `evaluations` the passes over them, `gradient` the norm of what is left of the gradient.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "probs"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "When the model mixes up certain pairs of classes and there are some fifty labelled rows a class: it changes "
        "predictions and can raise accuracy, but has k^2 parameters and costs k^2 a row."
    )

    matrix: Float[np.ndarray, "k k"]
    bias: Float[np.ndarray, " k"]
    ridge: float
    ridge_bias: float
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
        ridge_bias: float | str = "auto",
    ) -> "Matrix":
        """The matrix and intercepts that minimise, with V = matrix / beta - I and beta the inverse temperature,

        nll + ridge * (sum of V_ij^2 over i != j) + ridge_bias * (sum of V_ii^2 + sum of bias^2).

        nll is the (weighted) mean over rows in nats; penalties are sums over entries, as in dirichletcal, and not
        means: Kull's lambda is k (k - 1) and mu is k times ours. ODIR leaves the diagonal free, which has no optimum
        on separable rows and over-fits few; ours pulls it to temperature scaling like the intercepts. "auto" is
        10 k / n off the diagonal and k / n else (n the effective rows). With any penalty at 0: `NoOptimum` by
        verdict, "absent" or "separable". Otherwise classes without a row keep a finite bias, separable rows have an
        optimum, and labels that run against the logits pull to matrix 0.

        >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
        >>> fitted = Matrix.fit(logits, np.array([0, 0, 1, 1, 0]), ridge=1e-9, ridge_bias=1e-9)
        >>> fitted(logits)[[0, 3]].round(4).tolist()                          # 2 of 3, and 1 of 2, are right
        [[0.6667, 0.3333], [0.5, 0.5]]
        """
        rows = examples(logits, labels, weights)
        pulled = anchor(rows)
        across = check_ridge(ridge, ACROSS * rows.auto_ridge)
        other = check_ridge(ridge_bias, rows.auto_ridge, name="ridge_bias")
        penalty = penalties(rows.classes, across=across, diagonal=other, bias=other)
        found = fit_full(rows, centred(rows.logits, pulled.unit), pulled, penalty)
        return Matrix(
            matrix=pulled.unit * (pulled.slope * np.eye(rows.classes) + found.deviation),
            bias=found.bias,
            ridge=across,
            ridge_bias=other,
            nll=found.nll,
            n=len(rows.labels),
            evaluations=found.evaluations,
            gradient=found.gradient,
        )

    def __call__(self, logits: Logits) -> Probs:
        """Probabilities in float64; 0 where a class is masked by -inf, and nowhere else."""
        check_classes(logits, len(self.bias))
        with one_thread(len(self.bias)):
            return probabilities(centred(logits, 1.0), lambda x: x @ self.matrix.T + self.bias, tall=True)
