"""A temperature for each row: one for rows the model is sure of, one for rows it is not, and a mix between them.

The idea is that of parametrised temperature scaling (Tomani et al. 2022, https://arxiv.org/abs/2102.12182), whose small
network needs thousands of rows to be right. Two numbers and a pull between them need two hundred.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from candid.calibrate.columns import Rows, check_classes, ratio
from candid.calibrate.temperature import Temperature
from candid.errors import InputError
from candid.metrics.rows import row_blocks, tilted
from candid.types import Labels, Logits

__all__ = ["PerSampleTemperature"]

LEAST = 0.05  # of the common inverse temperature: neither end falls below it
STEPS = 60
FLOOR = -1e30  # stands for the gap of a masked class: 0 * FLOOR is not NaN
ROUNDING = 1e-13  # of the loss: less than this is no descent and no ascent
EXACT = 1e-11  # relative: a Newton step this short ends the search


@dataclass(frozen=True)
class PerSampleTemperature:
    """Two fitted temperatures: calling it returns logits / T of each row, 1 / T = (1 - h) / `sure` + h / `unsure`.

    h in [0, 1] is the entropy of softmax(logits / `pivot`) over the logarithm of the classes on offer; `pivot` is the
    one temperature that fits best. `nll` is the mean negative log-likelihood at the optimum in nats, without the pull;
    `n` the rows with positive weight, `classes` the columns that logits must have.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "logits"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "When sure and unsure rows are wrong by different amounts, as with many classes; near Temperature elsewhere."
    )

    sure: float
    unsure: float
    pivot: float
    nll: float
    n: int
    classes: int

    def __post_init__(self) -> None:
        if not min(self.sure, self.unsure, self.pivot) > 0:
            raise InputError(f"temperatures must be positive, got {self.sure}, {self.unsure}, {self.pivot}")

    @staticmethod
    def fit(
        logits: Logits, labels: Labels, weights: Float[np.ndarray, " n"] | None = None, *, spread: float = 0.2
    ) -> "PerSampleTemperature":
        """The two temperatures that minimise the (weighted) negative log-likelihood, pulled together.

        The pull is a normal prior on their difference: `spread` is its standard deviation in the inverse, in units of
        the one best temperature, so it fades as 1 / n. The problem is convex in the inverse temperatures; the optimum
        is found by Newton's method to rounding. Few rows, absent classes and ties therefore end near `Temperature`.
        `NoOptimum` where no single temperature is best, with its verdicts ("separable", "adverse", "constant").
        Columns at -inf are classes that were not on offer.

        >>> logits = np.repeat([[4.0, 0.0], [1.0, 0.0]], 100, axis=0)
        >>> labels = np.repeat([0, 1, 0, 1], [90, 10, 73, 27])      # 0.98 should be 0.90, but 0.73 is right
        >>> fitted = PerSampleTemperature.fit(logits, labels, spread=10.0)
        >>> (1 / (1 + np.exp(-fitted(logits[[0, 100]])[:, 0]))).round(3).tolist()
        [0.9, 0.73]
        """
        if not spread > 0:
            raise InputError(f"spread must be positive, got {spread}; 0.2 lets the two differ by about a fifth")
        pivot = Temperature.fit(logits, labels, weights).value
        rows = Rows.of(logits, labels, weights)
        share = rows.mass / rows.mass.sum()
        problem = _Problem(
            logits=logits,
            top=rows.best.value,
            gap=np.where(
                share > 0, logits[np.arange(len(share)), rows.labels].astype(np.float64) - rows.best.value, 0.0
            ),
            share=share,
            ends=_ends(logits, rows.best.value, pivot) / pivot,
            pull=float(share @ share) / spread**2,
        )
        low, high = map(float, _solve(problem))
        loss = problem.at(np.array([low, high])).loss - problem.pull * (high - low) ** 2 / 2
        return PerSampleTemperature(pivot / low, pivot / high, pivot, loss, rows.n, logits.shape[1])

    def __call__(self, logits: Logits) -> Logits:
        """Logits over their row's temperature, in their own precision (float16 becomes float32)."""
        ends = _ends(logits, check_classes(logits, self.classes).value, self.pivot)
        cooled = logits.astype(np.promote_types(logits.dtype, np.float32))
        cooled *= (ends @ np.array([1 / self.sure, 1 / self.unsure]))[:, None]
        return cooled


class _Value(NamedTuple):
    loss: float
    gradient: Float[np.ndarray, " 2"]
    hessian: Float[np.ndarray, "2 2"]


class _Problem(NamedTuple):
    """The likelihood as a function of both inverse temperatures, in units of the common one; `ends` sum to it."""

    logits: Logits
    top: Float[np.ndarray, " n"]
    gap: Float[np.ndarray, " n"]
    share: Float[np.ndarray, " n"]
    ends: Float[np.ndarray, "n 2"]
    pull: float

    def at(self, point: Float[np.ndarray, " 2"]) -> _Value:
        """One pass over the logits."""
        beta = self.ends @ point
        mean, variance, log_sum = np.empty((3, len(beta)))
        for rows in row_blocks(*self.logits.shape):
            gaps = np.subtract(self.logits[rows], self.top[rows, None], dtype=np.float64)
            np.maximum(gaps, FLOOR, out=gaps)
            mass = np.exp(gaps * beta[rows, None])
            total = mass.sum(axis=1)
            log_sum[rows] = np.log(total)
            mass *= gaps
            mean[rows] = mass.sum(axis=1) / total
            variance[rows] = np.maximum(np.einsum("ij,ij->i", mass, gaps) / total - mean[rows] ** 2, 0.0)
        apart = np.array([-1.0, 1.0])
        across = self.pull * float(apart @ point)
        return _Value(
            float(self.share @ (log_sum - beta * self.gap)) + across * float(apart @ point) / 2,
            self.ends.T @ (self.share * (mean - self.gap)) + across * apart,
            (self.ends.T * (self.share * variance)) @ self.ends + self.pull * np.outer(apart, apart),
        )


def _ends(logits: Logits, top: Float[np.ndarray, " n"], pivot: float) -> Float[np.ndarray, "n 2"]:
    """1 - h and h of each row: its entropy at the pivot over that of the uniform distribution."""
    row = tilted(logits, top, 1.0 / pivot)
    offered = np.concatenate([(~np.isneginf(logits[rows])).sum(axis=1) for rows in row_blocks(*logits.shape)])
    entropy = np.clip(ratio(row.log_sum - row.mean / pivot, np.log(offered)), 0.0, 1.0)
    return np.stack([1 - entropy, entropy], axis=1)


def _solve(problem: _Problem) -> Float[np.ndarray, " 2"]:
    """The minimum over both coordinates >= LEAST, by Newton steps on those that are free, halved until they descend."""
    point = np.ones(2)
    here = problem.at(point)
    for _ in range(STEPS):
        free: Bool[np.ndarray, " 2"] = (point > LEAST) | (here.gradient < 0)
        step = np.zeros(2)
        step[free] = -np.linalg.solve(here.hessian[np.ix_(free, free)], here.gradient[free]) if free.any() else 0.0
        for halving in range(50):
            new = np.maximum(point + step * 0.5**halving, LEAST)
            there = problem.at(new)
            slack = ROUNDING * (1 + abs(here.loss))
            if there.loss <= here.loss + slack + 1e-4 * float(here.gradient @ (new - point)):
                break
        moved = float(np.abs(new - point).max())
        point, here = new, there
        if moved <= EXACT * float(point.max()):
            break
    return point
