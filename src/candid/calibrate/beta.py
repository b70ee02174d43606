"""A curve for each class between its probability and how often it is right. Kull, Silva Filho and Flach 2017,
https://proceedings.mlr.press/v54/kull17a.html, eq. 7 (beta calibration, three parameters), one class against the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from candid.calibrate.binomial import Pass, Theta, descend
from candid.calibrate.columns import check_classes
from candid.calibrate.descent import Minimum, settled
from candid.calibrate.diagonal import TINY, normalised
from candid.calibrate.examples import Anchor, Examples, Mask, View, anchor, examples, log_probs
from candid.calibrate.existence import check_ridge, refuse_absent, without_ridge
from candid.types import Labels, Logits, Probs

__all__ = ["Beta"]

Block = Float[np.ndarray, "rows k"]


@dataclass(frozen=True)
class Beta:
    """Fitted beta calibration: calling it returns sigmoid(a ln p - b ln(1 - p) + c) a class, rows made to sum to 1.

    p is softmax(logits); `rise` is a, `fall` is b (both >= 0, so each curve is increasing) and `shift` is c, one of
    each a class: 1, 1, 0 change nothing. `nll` is the mean over rows of the binary negative log-likelihoods summed
    over classes, in nats, before rows are made to sum to 1, `n` the rows with positive weight, `evaluations` the
    passes over them, `gradient` the norm of what is left of the gradient in parameters that may move.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "probs"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "When the probability of single classes matters, as in thresholds on one class, and a curve with three "
        "parameters is wanted where isotonic regression has too few rows."
    )

    rise: Float[np.ndarray, " k"]
    fall: Float[np.ndarray, " k"]
    shift: Float[np.ndarray, " k"]
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
    ) -> "Beta":
        """The three parameters that minimise, for each class, its nll + ridge * ((a/B - 1)^2 + (b/B - 1)^2 + c^2).

        a and b are never negative, nll is the (weighted) mean over all rows (those in which the class is not on offer
        add nothing), and B is the inverse of the optimal temperature: the penalty pulls to the binary form of
        temperature scaling. `ridge="auto"` is k / n, n the effective rows; it keeps finite a class without a row, and
        one that can be told apart without an error. Where labels run against the logits the pull is to 0, 0, 0. With
        `ridge=0`: `NoOptimum` by verdict, "absent" or "separable". ln(1 - p) of the top class is the log-sum of the
        others, not that of 1 minus a rounded p, and no p is clipped above 2e-308.

        >>> logits = np.log([[0.8, 0.2]] * 4 + [[0.3, 0.7]] * 4)
        >>> fitted = Beta.fit(logits, np.array([0, 0, 0, 1, 0, 0, 1, 1]), ridge=1e-9)
        >>> fitted(logits)[[0, 4]].round(4).tolist()                          # 3 of 4, and 2 of 4, are right
        [[0.75, 0.25], [0.5, 0.5]]
        """
        rows = examples(logits, labels, weights)
        strength = check_ridge(ridge, rows.auto_ridge)
        curves = _Curves(rows, log_probs(rows.logits, rows.top, 1.0), anchor(rows), strength)
        found = _fit(curves)
        theta = found.point.reshape(-1, 3)
        away = theta - curves.start
        return Beta(
            rise=curves.pulled.unit * theta[:, 0],
            fall=curves.pulled.unit * theta[:, 1],
            shift=theta[:, 2].copy(),
            ridge=strength,
            nll=found.value - strength * float(np.vdot(away, away)),
            n=len(rows.labels),
            evaluations=found.evaluations,
            gradient=float(np.linalg.norm(found.gradient)),
        )

    def __call__(self, logits: Logits) -> Probs:
        """Probabilities in float64; 0 where a class is masked by -inf, and nowhere else."""
        view = log_probs(logits, check_classes(logits, len(self.shift)).value, 1.0)
        probs = np.empty(logits.shape)
        for block, x, mask in view.blocks():
            t = self.rise * x + self.fall * _against(x, mask) + self.shift
            each = -np.logaddexp(0.0, -t)
            total, _ = normalised(each, mask)
            np.maximum(each / total[:, None], TINY, out=probs[block])
            if mask is not None:
                probs[block][mask] = 0.0
        return probs


def _against(log_p: Block, mask: Mask | None) -> Block:
    """-ln(1 - p), of the top class from the sum of the others, where 1 - p would be rounded away."""
    p = np.exp(log_p)
    if mask is not None:
        p[mask] = 0.0
    every, top = np.arange(len(p)), p.argmax(axis=1)
    highest = p[every, top]
    p[every, top] = 0.0
    rest = p.sum(axis=1)
    np.log1p(-p, out=p)
    p[every, top] = np.log(np.maximum(np.where(highest > 0.5, rest, 1.0 - highest), TINY))
    against: Block = np.negative(p, out=p)
    return against


@dataclass(frozen=True)
class _Curves:
    """The binary likelihoods of all classes with the penalty, a and b in the unit of the pull."""

    rows: Examples
    view: View
    pulled: Anchor
    ridge: float

    @property
    def start(self) -> Theta:
        """Where the penalty pulls to: the binary form of temperature scaling."""
        return np.tile([self.pulled.slope, self.pulled.slope, 0.0], (self.rows.classes, 1))

    def __call__(self, theta: Theta) -> Pass:
        value, gradient, hessian = self._penalty(theta)
        for block, features, mask in self.features():
            t = sum(theta[:, i] * feature for i, feature in enumerate(features))
            share = self.rows.share[block]
            own = np.zeros(t.shape)
            own[np.arange(len(t)), self.rows.labels[block]] = 1.0
            q = np.exp(-np.logaddexp(0.0, -t))
            loss, miss, spread = np.logaddexp(0.0, t) - own * t, q - own, q * (1.0 - q)
            for part in (loss, miss, spread) if mask is not None else ():
                part[mask] = 0.0
            value += share @ loss
            for i, feature in enumerate(features):
                gradient[:, i] += share @ (miss * feature)
                for j in range(i + 1):
                    hessian[:, i, j] += share @ (spread * feature * features[j])
        for i, j in ((0, 1), (0, 2), (1, 2)):
            hessian[:, i, j] = hessian[:, j, i]
        return Pass(value, gradient, hessian)

    def features(self) -> Iterator[tuple[slice, tuple[Block, Block, Block], Mask | None]]:
        """Blocks of what a, b and c are multiplied by."""
        for block, x, mask in self.view.blocks():
            unit = self.pulled.unit
            yield block, (unit * x, unit * _against(x, mask), np.ones(x.shape)), mask

    def _penalty(self, theta: Theta) -> Pass:
        away = theta - self.start
        curvature = np.tile(2.0 * self.ridge * np.eye(3), (len(theta), 1, 1))
        return Pass(self.ridge * (away**2).sum(axis=1), 2.0 * self.ridge * away, curvature)

    def reach(self) -> Float[np.ndarray, " p"]:
        """The largest size of what each parameter is multiplied by."""
        largest = np.zeros((self.rows.classes, 3))
        for _, features, _ in self.features():
            np.maximum(largest, np.stack([np.abs(each).max(axis=0) for each in features], axis=1), out=largest)
        return largest.ravel()


def _fit(curves: _Curves) -> Minimum:
    if curves.ridge > 0:
        return settled(descend(curves, curves.start))
    refuse_absent(curves.rows)
    return without_ridge(
        lambda strength: descend(replace(curves, ridge=strength), curves.start),
        lambda near: descend(curves, near.point.reshape(-1, 3)),
        curves.rows.rows,
        curves.reach(),
    )
