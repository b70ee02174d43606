"""A mixture of the cooled, the raw and the uniform distribution. Zhang, Kailkhura and Han 2020 (Mix-n-Match),
https://arxiv.org/abs/2003.07329, sec. 4.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from candid.calibrate.diagonal import TINY, normalised
from candid.calibrate.examples import Examples, centred, examples
from candid.calibrate.simplex import Best, minimise_convex, minimise_quadratic
from candid.calibrate.temperature import Temperature
from candid.errors import InputError, nearest
from candid.metrics.rows import highest
from candid.types import Labels, Logits, Probs

__all__ = ["EnsembleTemperature"]

LOSSES = ("brier", "nll")
Members = Float[np.ndarray, "3 rows k"]


@dataclass(frozen=True)
class EnsembleTemperature:
    """Fitted ensemble temperature scaling: calling it returns w1 softmax(z / T) + w2 softmax(z) + w3 / k.

    `temperature` is the optimal one (see `Temperature`), `weights` are w1, w2, w3, `loss` what they minimise, `value`
    the mean of that loss over the fitted rows, and `gap` the most that `value` can lie above its minimum over weights:
    nats for "nll", Brier units for "brier". `n` counts the rows with positive weight. k counts the classes on offer
    in the row, and may differ from the fit.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "probs"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "When one temperature leaves some rows far too sure, as with mislabelled or unfamiliar images: keeps every "
        "ranking of classes and never goes below w3 / k."
    )

    temperature: float
    weights: Float[np.ndarray, " 3"]
    loss: str
    value: float
    gap: float
    n: int

    @staticmethod
    def fit(
        logits: Logits,
        labels: Labels,
        weights: Float[np.ndarray, " n"] | None = None,
        *,
        loss: str = "nll",
    ) -> "EnsembleTemperature":
        """The temperature of least nll, then the three weights of least `loss`: "nll" or "brier" (squared error).

        Both are exact: Brier is a quadratic in three weights, nll is convex in them. Mix-n-Match fits its temperature
        by the same loss as its weights and within [0.05, 5]; ours is always that of the likelihood, unbounded.
        `NoOptimum` where no temperature is best, as for `Temperature`. Three weights need few rows; where one
        temperature is right they come out as 1, 0, 0.

        >>> logits = np.array([[8.0, 0.0]] * 9 + [[1.0, 0.0]] * 3)
        >>> labels = np.array([0] * 8 + [1] + [0, 0, 1])                       # 8 of 9 where it says 0.9997
        >>> fitted = EnsembleTemperature.fit(logits, labels)
        >>> fitted(logits)[[0, 9], 0].round(3).tolist()
        [0.889, 0.667]
        """
        if loss not in LOSSES:
            raise InputError(f"unknown loss {loss!r}; {nearest(loss, LOSSES)}")
        rows = examples(logits, labels, weights)
        temperature = Temperature.fit(rows.logits, rows.labels, rows.share).value
        best, value = (_least_nll if loss == "nll" else _least_brier)(rows, temperature)
        return EnsembleTemperature(
            temperature, best.weights / best.weights.sum(), loss, value, best.gap, len(rows.labels)
        )

    def __call__(self, logits: Logits) -> Probs:
        """Probabilities in float64; 0 where a class is masked by -inf, and nowhere else."""
        highest(logits)
        probs = np.empty(logits.shape)
        for block, three, offered in _members(logits, self.temperature):
            mixed = np.maximum(np.tensordot(self.weights, three, axes=1), TINY)
            probs[block] = np.where(offered, mixed, 0.0)
        return probs


def _members(logits: Logits, temperature: float) -> Iterator[tuple[slice, Members, np.ndarray]]:
    """Blocks of the three distributions, and which classes are on offer."""
    for block, x, mask in centred(logits, 1.0).blocks():
        offered = np.ones(x.shape, dtype=bool) if mask is None else ~mask
        three = np.empty((3, *x.shape))
        for member, factor in enumerate((1.0 / temperature, 1.0)):
            np.multiply(x, factor, out=three[member])
            total, _ = normalised(three[member], mask)
            three[member] /= total[:, None]
        three[2] = offered / offered.sum(axis=1, keepdims=True)
        yield block, three, offered


def _least_nll(rows: Examples, temperature: float) -> tuple[Best, float]:
    """Weights of least -log of the mixture's probability of the label, concave in them."""
    given = np.empty((3, len(rows.labels)))
    for block, three, _ in _members(rows.logits, temperature):
        given[:, block] = three[:, np.arange(three.shape[1]), rows.labels[block]]

    def nll(weights: Float[np.ndarray, " 3"]) -> tuple[float, Float[np.ndarray, " 3"], Float[np.ndarray, "3 3"]]:
        mixed = np.maximum(weights @ given, TINY)
        ratio = given / mixed
        return -float(rows.share @ np.log(mixed)), -ratio @ rows.share, (ratio * rows.share) @ ratio.T

    best = minimise_convex(nll, np.array([1.0, 1.0, 1.0]) / 3.0)
    return best, nll(best.weights)[0]


def _least_brier(rows: Examples, temperature: float) -> tuple[Best, float]:
    """Weights of least squared error summed over classes, from the 3 x 3 products of the members."""
    gram, linear = np.zeros((3, 3)), np.zeros(3)
    for block, three, _ in _members(rows.logits, temperature):
        share = rows.share[block]
        gram += np.einsum("aij,bij,i->ab", three, three, share, optimize=True)
        linear += three[:, np.arange(three.shape[1]), rows.labels[block]] @ share
    weights = minimise_quadratic(gram, linear)
    gradient = 2.0 * (gram @ weights - linear)
    value = float(weights @ gram @ weights - 2.0 * linear @ weights + 1.0)
    return Best(weights, max(0.0, float(gradient @ weights - gradient.min()))), value
