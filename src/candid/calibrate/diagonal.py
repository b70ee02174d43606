"""The likelihood of softmax((a + v) x + b), one slope and one intercept a class, a block of rows at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from candid.calibrate.descent import Minimum, minimise, settled
from candid.calibrate.examples import Anchor, Examples, Mask, View
from candid.calibrate.existence import refuse_absent, refuse_separable, without_ridge
from candid.types import Probs

__all__ = ["Diagonal", "fit_diagonal", "normalised", "probabilities"]

Flat = Float[np.ndarray, " p"]
Block = Float[np.ndarray, "rows k"]
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Diagonal:
    """Mean negative log-likelihood plus `ridge` times the squared v and b, which follow each other in a parameter."""

    rows: Examples
    view: View
    slope: float
    ridge: float
    truth: Float[np.ndarray, "2 k"]

    @staticmethod
    def of(rows: Examples, view: View, slope: float, ridge: float) -> "Diagonal":
        """The objective, with what the labels contribute counted once."""
        x = view.factor * rows.logits[np.arange(len(rows.labels)), rows.labels].astype(np.float64) - view.offset
        truth = [np.bincount(rows.labels, share, rows.classes) for share in (rows.share * x, rows.share)]
        return Diagonal(rows, view, slope, ridge, np.stack(truth))

    def __call__(self, flat: Flat) -> tuple[float, Flat]:
        """Value and gradient."""
        theta = flat.reshape(2, -1)
        scale, bias = self.slope + theta[0], theta[1]
        value, gradient = 0.0, np.zeros_like(theta)
        for block, x, mask in self.view.blocks():
            u = x * scale
            u += bias
            total, top = normalised(u, mask)
            share = self.rows.share[block]
            value += float(share @ (np.log(total) + top))
            weight = share / total
            gradient[1] += weight @ u
            u *= x
            gradient[0] += weight @ u
        value -= float(np.vdot(self.truth, np.stack([scale, bias])))
        gradient -= self.truth
        gradient += 2.0 * self.ridge * theta
        return value + self.ridge * float(flat @ flat), gradient.ravel()

    def product(self, flat: Flat, direction: Flat) -> Flat:
        """The Hessian times a direction."""
        theta, (v, b) = flat.reshape(2, -1), direction.reshape(2, -1)
        image = 2.0 * self.ridge * direction.reshape(2, -1)
        for block, x, mask in self.view.blocks():
            p = x * (self.slope + theta[0])
            p += theta[1]
            total, _ = normalised(p, mask)
            moved = x * v
            moved += b
            moved -= (np.einsum("ij,ij->i", p, moved) / total)[:, None]
            moved *= p
            weight = self.rows.share[block] / total
            image[1] += weight @ moved
            moved *= x
            image[0] += weight @ moved
        return image.ravel()

    def metric(self, flat: Flat) -> Callable[[Flat], Flat]:
        """Inverse of the 2 x 2 block of each class, with a floor where a class shows no curvature."""
        slope, cross, bias = self.curvature(flat)
        floor = 1e-10 * max(slope.max(), bias.max()) + TINY
        slope, bias = slope + floor, bias + floor
        determinant = slope * bias - cross**2

        def apply(gradient: Flat) -> Flat:
            v, b = gradient.reshape(2, -1)
            step: Flat = np.concatenate([bias * v - cross * b, slope * b - cross * v]) / np.tile(determinant, 2)
            return step

        return apply

    def curvature(self, flat: Flat) -> Float[np.ndarray, "3 k"]:
        """The 2 x 2 block of the Hessian of each class: that of (v, v), of (v, b) and of (b, b)."""
        theta = flat.reshape(2, -1)
        blocks = np.zeros((3, theta.shape[1]))
        for block, x, mask in self.view.blocks():
            p = x * (self.slope + theta[0])
            p += theta[1]
            total, _ = normalised(p, mask)
            p /= total[:, None]
            p *= 1.0 - p
            share = self.rows.share[block]
            for row in (2, 1, 0):
                blocks[row] += share @ p
                p *= x
        blocks[[0, 2]] += 2.0 * self.ridge
        return blocks


def normalised(u: Block, mask: Mask | None) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Turns u, in place, into exp(u - its maximum); returns the sums of the rows and those maxima."""
    if mask is not None:
        u[mask] = -np.inf
    top = u.max(axis=1)
    u -= top[:, None]
    np.exp(u, out=u)
    return u.sum(axis=1), top


def probabilities(view: View, transform: Callable[[Block], Block], *, tall: bool = False) -> Probs:
    """softmax of the transformed rows; 0 for masked classes, and never below 2e-308 for the others."""
    probs = np.empty(view.logits.shape)
    for block, x, mask in view.blocks(tall=tall):
        u = transform(x)
        total, _ = normalised(u, mask)
        np.maximum(u / total[:, None], TINY, out=probs[block])
        if mask is not None:
            probs[block][mask] = 0.0
    return probs


def fit_diagonal(rows: Examples, view: View, pulled: Anchor, ridge: float) -> Minimum:
    """v and b at the optimum; `NoOptimum` where `ridge` is 0 and there is none."""

    def fit(strength: float, start: Flat | None = None) -> Minimum:
        objective = Diagonal.of(rows, view, pulled.slope, strength)
        start = np.zeros(2 * rows.classes) if start is None else start
        return minimise(objective, start)

    if ridge > 0:
        return settled(fit(ridge))
    refuse_absent(rows)
    refuse_separable(pulled)
    reach = np.append(view.reach(), np.ones(rows.classes))
    return without_ridge(fit, lambda near: fit(0.0, near.point), rows.rows, reach)
