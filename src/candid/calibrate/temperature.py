"""One number that divides all logits. Guo et al. 2017, https://arxiv.org/abs/1706.04599, sec. 4.2."""

from dataclasses import dataclass
from math import exp, inf, sqrt
from statistics import NormalDist
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from candid.arrays import check_labels, check_logits
from candid.calibrate.likelihood import Likelihood, Objective, effective_rows
from candid.calibrate.newton import Root, solve
from candid.calibrate.streaming import Streamed
from candid.calibrate.weights import shares
from candid.errors import InputError
from candid.metrics.rows import highest
from candid.metrics.streaming import VectorRows, block_size, check_vectors
from candid.types import Head, Labels, Logits

__all__ = ["Temperature"]


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature: calling it returns logits / `value`. Above 1 the model was over-confident.

    `standard_error` is that of `value`: the larger of the model's own and one robust to a model that one
    temperature cannot make right (sandwich: White 1982); weights count as importance, not as repeated rows.
    `nll` is the mean negative log-likelihood at the optimum in nats, `n` the rows with positive weight, `evaluations`
    the passes over all of them (those over a few rows, to begin with, do not count). `certified_low` and
    `certified_high` enclose the exact optimum: the derivative of the likelihood changes sign between them, normally
    1e-9 of the value to either side. That is proven in float64 from its value and derivatives beside the optimum, with
    a bound on the remainder, or by evaluation at both where that does not reach.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "logits"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "First choice everywhere: one number, fitted to its optimum, keeps every ranking of classes."
    )

    value: float
    standard_error: float
    nll: float
    n: int
    evaluations: int
    certified_low: float
    certified_high: float

    def __post_init__(self) -> None:
        if not 0 < self.value < inf:
            raise InputError(f"a temperature must be positive and finite, got {self.value}")

    @staticmethod
    def fit(logits: Logits, labels: Labels, weights: Float[np.ndarray, " n"] | None = None) -> "Temperature":
        """The temperature that minimises the (weighted) negative log-likelihood of the labels.

        Columns at -inf are classes that were not on offer. `NoOptimum` where no finite temperature is best, by
        verdict: "separable" (every label is its row's highest logit: T runs to 0), "adverse" (labels no better than
        the row mean: T runs to infinity), "constant" (all classes alike: every T is as good).

        >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
        >>> fitted = Temperature.fit(logits, np.array([0, 0, 0, 1]))     # confidence 3/4 is right: 2 / T = log 3
        >>> round(fitted.value, 6), round(float(2 / np.log(3)), 6)
        (1.820478, 1.820478)
        """
        best = highest(logits)
        labels = check_labels(labels, classes=logits.shape[1], rows=len(logits))
        share = shares(weights, len(logits))
        return Temperature.at_optimum(Likelihood.of(logits, labels, best.value, share))

    @staticmethod
    def fit_streaming(
        head: Head,
        vectors: VectorRows,
        labels: Labels,
        weights: Float[np.ndarray, " n"] | None = None,
        *,
        rows: int | None = None,
    ) -> "Temperature":
        """`fit` of the head's logits, which are computed `rows` at a time and never kept, by default 32 MB of them.

        The same value, certificate and verdicts, but for how BLAS rounds float32 products of blocks of another size,
        which may move the value by 1e-8 of itself. A pass costs n x k x d multiplications, so there are few: as a rule
        a sixteenth of one to begin with, one that evaluates two temperatures, one that proves; `evaluations` counts
        the whole ones. `vectors` may be mapped from a file (`np.load(..., mmap_mode="r")`), in any float precision.

        >>> head = Head(2 * np.eye(2, dtype=np.float32), ("cat", "dog"))
        >>> vectors = np.array([[1.0, 0.0]] * 4, dtype=np.float32)
        >>> round(Temperature.fit_streaming(head, vectors, np.array([0, 0, 0, 1]), rows=2).value, 6)
        1.820478
        """
        n = check_vectors(vectors)
        labels = check_labels(labels, classes=len(head.weights), rows=n)
        stream = Streamed(head, vectors, labels, shares(weights, n), block_size(head, rows))
        return Temperature.at_optimum(stream.thinned(1))

    @staticmethod
    def at_optimum(objective: Objective) -> "Temperature":
        """The temperature of greatest likelihood, wherever its logits come from."""
        root = solve(objective)
        point, step = root.near, root.beta - root.near.beta
        return Temperature(
            value=1.0 / root.beta,
            standard_error=_standard_error(objective.share, root),
            nll=point.loss + step * (point.slope + step * (point.curvature / 2 + step * point.third / 6)),
            n=int(np.count_nonzero(objective.share)),
            evaluations=root.passes,
            certified_low=1.0 / root.high,
            certified_high=1.0 / root.low,
        )

    def __call__(self, logits: Logits) -> Logits:
        """Logits over the temperature, in their own precision (float16 becomes float32, which cannot overflow)."""
        logits = check_logits(logits)
        wide = np.promote_types(logits.dtype, np.float32)  # float16 would round the temperature itself
        cooled: Logits = np.divide(logits, self.value, dtype=wide)
        return cooled

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Lower and upper limit for the temperature at `level`: normal on the logarithm, so never below 0."""
        if not 0 < level < 1:
            raise InputError(f"level must lie between 0 and 1, got {level}; 95 % is 0.95")
        spread = NormalDist().inv_cdf((1 + level) / 2) * self.standard_error / self.value
        factor = exp(spread) if spread < 700 else inf  # beyond, float64 overflows: the rows say nothing about T
        return self.value / factor, self.value * factor


def _standard_error(share: Float[np.ndarray, " n"], root: Root) -> float:
    """Of the temperature: the larger of the sandwich and the model's own, for the sandwich of a few rows is near 0."""
    curvature = root.near.curvature + (root.beta - root.near.beta) * root.near.third
    sandwich = sqrt(root.near.scatter) / curvature
    model = 1.0 / sqrt(effective_rows(share) * curvature)
    return max(sandwich, model) / root.beta**2
