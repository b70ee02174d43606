"""The likelihood of softmax((a I + V) x + b), every pair of classes with a weight of its own, in blocks of rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from candid.calibrate.descent import Metric, Minimum, minimise, settled
from candid.calibrate.diagonal import normalised
from candid.calibrate.examples import Anchor, Examples, View
from candid.calibrate.existence import refuse_absent, refuse_separable, without_ridge

__all__ = ["Affine", "Full", "fit_full", "penalties"]

Flat = Float[np.ndarray, " p"]
Block = Float[np.ndarray, "rows k"]
Weights = Float[np.ndarray, "k k1"]  # V and, as last column, b
TINY = np.finfo(np.float64).tiny
BLOCKED = 128  # classes up to which the metric inverts the whole block of each: k^3 numbers
METRIC_ROWS = 2000  # that block is only a metric, and a few rows tell it well enough


@dataclass(frozen=True)
class Full:
    """Mean negative log-likelihood plus the sum of `penalty` times the squares of V and b."""

    rows: Examples
    view: View
    slope: float
    penalty: Weights
    truth: Weights

    @staticmethod
    def of(rows: Examples, view: View, slope: float, penalty: Weights) -> "Full":
        """The objective, with what the labels contribute counted once."""
        truth = np.zeros(penalty.shape)
        for block, x, _ in view.blocks(tall=True):
            given = np.zeros(x.shape)
            given[np.arange(len(x)), rows.labels[block]] = rows.share[block]
            truth += given.T @ _with_one(x)
        return Full(rows, view, slope, penalty, truth)

    def __call__(self, flat: Flat) -> tuple[float, Flat]:
        """Value and gradient."""
        theta = self._weights(flat)
        value, gradient = 0.0, -self.truth
        for block, x, mask in self.view.blocks(tall=True):
            x1 = _with_one(x)
            u = x1 @ theta.T
            total, top = normalised(u, mask)
            share = self.rows.share[block]
            value += float(share @ (np.log(total) + top))
            u *= (share / total)[:, None]
            gradient += u.T @ x1
        deviation = flat.reshape(self.penalty.shape)
        pull = self.penalty * deviation
        value += float(np.vdot(pull, deviation) - np.vdot(self.truth, theta))
        return value, (gradient + 2.0 * pull).ravel()

    def product(self, flat: Flat, direction: Flat) -> Flat:
        """The Hessian times a direction."""
        theta, way = self._weights(flat), direction.reshape(self.penalty.shape)
        image: Weights = 2.0 * self.penalty * way
        for block, x, mask in self.view.blocks(tall=True):
            x1 = _with_one(x)
            p = x1 @ theta.T
            total, _ = normalised(p, mask)
            p /= total[:, None]
            moved = x1 @ way.T
            moved -= np.einsum("ij,ij->i", p, moved)[:, None]
            moved *= p
            moved *= self.rows.share[block][:, None]
            image += moved.T @ x1
        flattened: Flat = image.ravel()
        return flattened

    def metric(self, flat: Flat) -> Metric:
        """Inverse of the block of each class; of the diagonal alone where classes are many."""
        return self._blocked(flat) if self.rows.classes <= BLOCKED else self._diagonal(flat)

    def _blocked(self, flat: Flat) -> Metric:
        classes, width = self.penalty.shape
        blocks = np.zeros((classes, width, width))
        for x1, spread in self._spreads(flat, METRIC_ROWS):
            for c in range(classes):
                blocks[c] += (x1 * spread[:, c, None]).T @ x1
        across = np.arange(width)
        blocks[:, across, across] += 2.0 * self.penalty
        blocks[:, across, across] += 1e-10 * blocks[:, across, across].max() + TINY
        inverse = np.linalg.inv(blocks)

        def apply(gradient: Flat) -> Flat:
            step: Flat = (inverse @ gradient.reshape(classes, width, 1)).ravel()
            return step

        return apply

    def _diagonal(self, flat: Flat) -> Metric:
        curvature = 2.0 * self.penalty
        for x1, spread in self._spreads(flat, len(self.rows.labels)):
            curvature += spread.T @ (x1 * x1)
        curvature += 1e-10 * curvature.max() + TINY
        inverse: Flat = 1.0 / curvature.ravel()
        return lambda gradient: inverse * gradient

    def _spreads(self, flat: Flat, rows: int) -> Iterator[tuple[Block, Block]]:
        """Blocks of evenly spaced rows, about `rows` of them, with the weighted variance p (1 - p) of each class."""
        theta = self._weights(flat)
        pick = slice(None, None, max(1, len(self.rows.labels) // rows))
        share = self.rows.share[pick] / self.rows.share[pick].sum()
        view = View(self.view.logits[pick], self.view.factor, self.view.offset[pick], self.view.masked)
        for block, x, mask in view.blocks(tall=True):
            x1 = _with_one(x)
            p = x1 @ theta.T
            total, _ = normalised(p, mask)
            p /= total[:, None]
            yield x1, share[block][:, None] * p * (1.0 - p)

    def _weights(self, flat: Flat) -> Weights:
        theta: Weights = flat.reshape(self.penalty.shape).copy()
        across = np.arange(len(theta))
        theta[across, across] += self.slope
        return theta


def penalties(classes: int, *, across: float, diagonal: float, bias: float) -> Weights:
    """Penalty of every entry of V and b: pairs of different classes, the diagonal, the intercepts."""
    penalty = np.full((classes, classes + 1), across)
    penalty[np.arange(classes), np.arange(classes)] = diagonal
    penalty[:, classes] = bias
    return penalty


class Affine(NamedTuple):
    """V and b at the optimum, the likelihood without the penalty, the passes and the norm of the gradient there."""

    deviation: Float[np.ndarray, "k k"]
    bias: Float[np.ndarray, " k"]
    nll: float
    evaluations: int
    gradient: float


def fit_full(rows: Examples, view: View, pulled: Anchor, penalty: Weights) -> Affine:
    """The optimum; `NoOptimum` where some penalty is 0 and there is none."""

    def fit(more: float, start: Flat | None = None) -> Minimum:
        objective = Full.of(rows, view, pulled.slope, penalty + more)
        return minimise(objective, np.zeros(penalty.size) if start is None else start)

    if penalty.min() > 0:
        found = settled(fit(0.0))
    else:
        if penalty[0, -1] == 0:
            refuse_absent(rows)
        if penalty[0, 0] == 0:
            refuse_separable(pulled)
        reach = np.tile(np.append(view.reach(), 1.0), rows.classes)
        found = without_ridge(fit, lambda near: fit(0.0, near.point), rows.rows, reach)
    theta = found.point.reshape(penalty.shape)
    return Affine(
        deviation=theta[:, :-1],
        bias=theta[:, -1] - theta[:, -1].mean(),
        nll=found.value - float(np.vdot(penalty * theta, theta)),
        evaluations=found.evaluations,
        gradient=float(np.linalg.norm(found.gradient)),
    )


def _with_one(x: Block) -> Float[np.ndarray, "rows k1"]:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)
