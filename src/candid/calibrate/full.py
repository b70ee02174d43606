"""The likelihood of softmax((a I + V) x + b), every pair of classes with a weight of its own, in blocks of rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from candid.calibrate.descent import Metric, Minimum, minimise, settled
from candid.calibrate.diagonal import normalised
from candid.calibrate.examples import Anchor, Examples, View
from candid.calibrate.existence import refuse_absent, refuse_separable, without_ridge
from candid.calibrate.threads import one_thread

__all__ = ["Affine", "Full", "fit_full", "penalties"]

Flat = Float[np.ndarray, " p"]
Block = Float[np.ndarray, "rows k"]
Weights = Float[np.ndarray, "k k1"]  # V and, as last column, b
TINY = np.finfo(np.float64).tiny
BLOCKED = 128  # classes up to which the metric inverts the whole block of each: k^3 numbers
METRIC_ROWS = 20000  # that block is only a metric, and some rows tell it well enough
NEAR = 0.02  # p (1 - p) from which a row counts for a class by itself; the others by their average over classes


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
        for block, x1, _ in view.with_ones():
            given = np.zeros((len(x1), len(truth)))
            given[np.arange(len(x1)), rows.labels[block]] = rows.share[block]
            truth += given.T @ x1
        return Full(rows, view, slope, penalty, truth)

    def __call__(self, flat: Flat) -> tuple[float, Flat]:
        """Value and gradient."""
        theta = self._weights(flat)
        value, gradient = 0.0, -self.truth
        for block, x1, u, total, top in self._softmax(theta):
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
        room = None
        for block, x1, p, total, _ in self._softmax(theta):
            room = np.empty_like(p) if room is None else room[: len(p)]
            moved = np.matmul(x1, way.T, out=room)
            moved -= (np.einsum("ij,ij->i", p, moved) / total)[:, None]
            moved *= p
            moved *= (self.rows.share[block] / total)[:, None]
            image += moved.T @ x1
        flattened: Flat = image.ravel()
        return flattened

    def metric(self, flat: Flat) -> Metric:
        """Inverse of the block of each class, of its diagonal alone where classes are many; exact for a common shift.

        The likelihood is flat where all classes get the same, and the penalty alone decides there: that part is split
        off (a coarse space of Nicolaides 1987), for weak penalties would make a deep valley of it.
        """
        steps = self._blocked(flat) if self.rows.classes <= BLOCKED else self._diagonal(flat)
        stiff = 2.0 * self.penalty.sum(axis=0)
        loose = np.divide(1.0, stiff, out=np.zeros_like(stiff), where=stiff > 0)
        pull = 2.0 * self.penalty

        def apply(gradient: Flat) -> Flat:
            g = gradient.reshape(pull.shape)
            shift = loose * g.sum(axis=0)
            step = steps(g - pull * shift)
            step = step + (shift - loose * (pull * step).sum(axis=0))
            flattened: Flat = step.ravel()
            return flattened

        return apply

    def _blocked(self, flat: Flat) -> Callable[[Weights], Weights]:
        classes, width = self.penalty.shape
        blocks, rest, common = np.zeros((classes, width, width)), np.zeros(classes), np.zeros((width, width))
        for x1, spread, share in self._spreads(flat, METRIC_ROWS):
            near = spread > NEAR
            spread *= share[:, None]
            for c in np.flatnonzero(near.any(axis=0)):
                pick = np.flatnonzero(near[:, c])
                some = x1[pick]
                blocks[c] += (some * spread[pick, c, None]).T @ some
            spread[near] = 0.0
            rest += spread.sum(axis=0)
            common += (x1 * spread.sum(axis=1)[:, None]).T @ x1
        blocks += rest[:, None, None] * (common / (rest.sum() + TINY))
        across = np.arange(width)
        blocks[:, across, across] += 2.0 * self.penalty
        blocks[:, across, across] += 1e-10 * blocks[:, across, across].max() + TINY
        inverse = np.linalg.inv(blocks)

        def steps(gradient: Weights) -> Weights:
            step: Weights = (inverse @ gradient[:, :, None])[:, :, 0]
            return step

        return steps

    def _diagonal(self, flat: Flat) -> Callable[[Weights], Weights]:
        curvature = 2.0 * self.penalty
        for x1, spread, share in self._spreads(flat, len(self.rows.labels)):
            spread *= share[:, None]
            curvature += spread.T @ (x1 * x1)
        curvature += 1e-10 * curvature.max() + TINY
        return lambda gradient: gradient / curvature

    def _spreads(self, flat: Flat, rows: int) -> Iterator[tuple[Block, Block, Flat]]:
        """Blocks of evenly spaced rows, about `rows` of them, with p (1 - p) of each class; and the rows' shares."""
        pick = slice(None, None, max(1, len(self.rows.labels) // rows))
        share = self.rows.share[pick] / self.rows.share[pick].sum()
        view = View(self.view.logits[pick], self.view.factor, self.view.offset[pick], self.view.masked)
        for block, x1, p, total, _ in replace(self, view=view)._softmax(self._weights(flat)):
            p /= total[:, None]
            yield x1, p * (1.0 - p), share[block]

    def _softmax(self, theta: Weights) -> Iterator[tuple[slice, Block, Block, Flat, Flat]]:
        """Blocks of x with a one, exp(u - top) and its sums and top, for u = theta x; each written over the last."""
        room = None
        for block, x1, mask in self.view.with_ones():
            room = np.empty((len(x1), len(theta))) if room is None else room[: len(x1)]
            u = np.matmul(x1, theta.T, out=room)
            total, top = normalised(u, mask)
            yield block, x1, u, total, top

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
    with one_thread(rows.classes):
        found = _optimum(rows, view, pulled, penalty)
    theta = found.point.reshape(penalty.shape)
    return Affine(
        deviation=theta[:, :-1],
        bias=theta[:, -1] - theta[:, -1].mean(),
        nll=found.value - float(np.vdot(penalty * theta, theta)),
        evaluations=found.evaluations,
        gradient=float(np.linalg.norm(found.gradient)),
    )


def _optimum(rows: Examples, view: View, pulled: Anchor, penalty: Weights) -> Minimum:
    def fit(more: float, start: Flat | None = None) -> Minimum:
        objective = Full.of(rows, view, pulled.slope, penalty + more)
        return minimise(objective, np.zeros(penalty.size) if start is None else start)

    if penalty.min() > 0:
        return settled(fit(0.0))
    if penalty[0, -1] == 0:
        refuse_absent(rows)
    if penalty[0, 0] == 0:
        refuse_separable(pulled)
    reach = np.tile(np.append(view.reach(), 1.0), rows.classes)
    return without_ridge(fit, lambda near: fit(0.0, near.point), rows.rows, reach)
