"""Matrix scaling of log-probabilities: exact where the probabilities of each class are Dirichlet distributed.
Kull et al. 2019, https://arxiv.org/abs/1910.12656, eq. 4 (linear parametrisation) and sec. 4 (ODIR).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from candid.calibrate.columns import check_classes
from candid.calibrate.diagonal import probabilities
from candid.calibrate.examples import anchor, examples, log_probs
from candid.calibrate.existence import check_ridge
from candid.calibrate.full import fit_full, penalties
from candid.calibrate.threads import one_thread
from candid.types import Labels, Logits, Probs

__all__ = ["Dirichlet"]


@dataclass(frozen=True)
class Dirichlet:
    """Fitted Dirichlet calibration: calling it returns softmax(`matrix` @ log softmax(logits) + `bias`).

    `bias` sums to 0. `nll` is the mean negative log-likelihood of the fitted rows in nats without the penalty, `n` the
    rows with positive weight, `evaluations` the passes over them, `gradient` the norm of what is left of the gradient.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "probs"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "When only probabilities are at hand, or to compare with published Dirichlet calibration; else matrix scaling, "
        "which needs fewer rows."
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
    ) -> "Dirichlet":
        """The matrix and intercepts that minimise, with V = matrix / beta - I and beta the inverse temperature,

        nll + ridge * (sum of V_ij^2 over i != j) + ridge_bias * (sum of V_ii^2 + sum of bias^2).

        "auto" is k (k - 1) / n off the diagonal and k / n else, for log-probabilities vary more than centred logits
        and over-fit sooner. The scale of the penalties, verdicts and edge cases are those of `Matrix.fit`. Published
        code clips probabilities before the logarithm; here it is the log-softmax of the logits, which needs no
        clipping, and a class masked by -inf adds nothing to the others. From probabilities p pass np.log(p).

        >>> probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
        >>> fitted = Dirichlet.fit(np.log(probs), np.array([0, 0, 1, 1, 0]), ridge=1e-9, ridge_bias=1e-9)
        >>> fitted(np.log(probs))[[0, 3]].round(4).tolist()                   # 2 of 3, and 1 of 2, are right
        [[0.6667, 0.3333], [0.5, 0.5]]
        """
        rows = examples(logits, labels, weights)
        pulled = anchor(rows)
        across = check_ridge(ridge, rows.auto_ridge * max(1, int(rows.offered.sum()) - 1))
        other = check_ridge(ridge_bias, rows.auto_ridge, name="ridge_bias")
        penalty = penalties(rows.classes, across=across, diagonal=other, bias=other)
        found = fit_full(rows, log_probs(rows.logits, rows.top, 1.0, times=pulled.unit), pulled, penalty)
        return Dirichlet(
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
        view = log_probs(logits, check_classes(logits, len(self.bias)).value, 1.0)
        with one_thread(len(self.bias)):
            return probabilities(view, lambda x: x @ self.matrix.T + self.bias, tall=True)
