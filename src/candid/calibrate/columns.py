"""What the calibrators without a formula share: probabilities class by class, and rows made whole again.

Fits look at one class at a time, so the softmax comes in blocks of columns: nothing n x k is copied beyond a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from candid.arrays import check_labels
from candid.calibrate.weights import check_weights
from candid.errors import InputError
from candid.metrics.rows import Highest, highest, inverse_mass, row_blocks
from candid.types import Labels, Logits, Probs

__all__ = [
    "Rows",
    "Sorted",
    "check_classes",
    "check_smoothing",
    "mix",
    "normalise",
    "ratio",
    "softmax_columns",
]

COLUMN_CELLS = 1 << 18  # cells of a block of columns: 2 MB
CACHE_LINE = 16  # columns at least: float32 neighbours come together anyway
TIE = 1e-12  # relative: values nearer than this differ by the rounding of the softmax alone


@dataclass(frozen=True)
class Rows:
    """Checked rows of a fit: labels, weights (None: 1 each), whether any class is `masked`, the `n` rows that count."""

    logits: Logits
    labels: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"] | None
    best: Highest
    masked: bool
    n: int

    @staticmethod
    def of(logits: Logits, labels: Labels, weights: Float[np.ndarray, " n"] | None) -> "Rows":
        """The rows, after refusing what cannot be fitted; a label must be on offer in its row, if that row counts."""
        best = highest(logits)
        labels = check_labels(labels, classes=logits.shape[1], rows=len(logits))
        weights = None if weights is None else check_weights(weights, len(logits))
        masked = np.isneginf(logits[np.arange(len(logits)), labels])
        if weights is not None:
            masked &= weights > 0
        if masked.any():
            row = int(np.argmax(masked))
            raise InputError(f"label {labels[row]} of row {row} has logit -inf; unmask the class or drop the row")
        n = len(labels) if weights is None else int(np.count_nonzero(weights))
        return Rows(logits, labels, weights, best, bool(np.isneginf(logits.min())), n)

    @property
    def mass(self) -> Float[np.ndarray, " n"]:
        """The weights, 1 where none were given."""
        return np.ones(len(self.labels)) if self.weights is None else self.weights

    def columns(self) -> Iterator[tuple[int, Float[np.ndarray, " n"]]]:
        """Class by class: its number and its probabilities in all rows, -1 where it was not on offer."""
        for classes, block in softmax_columns(self.logits, self.best):
            if self.masked:
                block[np.isneginf(self.logits[:, classes].T)] = -1.0
            yield from zip(range(classes.start, classes.stop), block, strict=True)

    def confidence(self) -> Float[np.ndarray, " n"]:
        """Probability of the predicted class."""
        return inverse_mass(self.logits, self.best.value, 1.0)


class Sorted(NamedTuple):
    """Probabilities in rising order, with the weight below each of the len + 1 places between them."""

    values: Float[np.ndarray, " m"]
    below: Float[np.ndarray, " places"]

    @staticmethod
    def of(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"] | None = None) -> "Sorted":
        """Sorted values of the rows that count; negative ones mark rows where the class was not on offer."""
        if weights is None:
            rising = np.sort(values)
            rising = rising[np.searchsorted(rising, 0.0) :]
            return Sorted(rising, np.arange(len(rising) + 1.0))
        counts = np.flatnonzero((values >= 0) & (weights > 0))
        order = counts[np.argsort(values[counts], kind="stable")]
        return Sorted(values[order], np.concatenate([[0.0], np.cumsum(weights[order])]))


def softmax_columns(logits: Logits, best: Highest) -> Iterator[tuple[slice, Float[np.ndarray, "c n"]]]:
    """Blocks of the softmax by columns, transposed: one contiguous row a class. Each is the reader's to overwrite."""
    n, k = logits.shape
    share = inverse_mass(logits, best.value, 1.0)
    step = max(CACHE_LINE, COLUMN_CELLS // n)
    for start in range(0, k, step):
        classes = slice(start, min(start + step, k))
        block = np.empty((classes.stop - classes.start, n))
        np.subtract(logits[:, classes].T, best.value, out=block, dtype=np.float64)
        np.exp(block, out=block)
        block *= share
        yield classes, block


def normalise(values: Float[np.ndarray, "n k"], logits: Logits, smoothing: float) -> Probs:
    """Rows of `values` over their sum, in place, mixed by `smoothing` with the uniform over the classes on offer.

    Classes at -inf get exactly 0. A row of zeros is a row nothing is known about: uniform.
    """
    for rows in row_blocks(*values.shape):
        offered = ~np.isneginf(logits[rows])
        block = values[rows]
        block *= offered
        total = block.sum(axis=1, keepdims=True)
        block += (total == 0) * offered
        block /= np.where(total == 0, offered.sum(axis=1, keepdims=True), total)
        mix(block, offered, smoothing)
    return values


def mix(probs: Probs, offered: np.ndarray, smoothing: float) -> None:
    """(1 - smoothing) p + smoothing / (classes on offer), in place."""
    if smoothing:
        probs *= 1 - smoothing
        probs += smoothing / offered.sum(axis=1, keepdims=True) * offered


def ratio(part: Float[np.ndarray, "*a"], whole: Float[np.ndarray, "*b"]) -> Float[np.ndarray, "*c"]:
    """part / whole, 0 where the whole is 0."""
    out: Float[np.ndarray, "*c"] = np.zeros(np.broadcast(part, whole).shape)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def check_smoothing(smoothing: float | None, n: int) -> float:
    """The weight of the uniform distribution: 1 / (n + 1) unless given, in [0, 1)."""
    if smoothing is None:
        return 1.0 / (n + 1)
    if not 0 <= smoothing < 1:
        raise InputError(f"smoothing must lie in [0, 1), got {smoothing}; None means 1 / (rows + 1)")
    return float(smoothing)


def check_classes(logits: Logits, classes: int) -> Highest:
    """The best class of each row, after refusing another number of columns than the fit saw."""
    best = highest(logits)
    if logits.shape[1] != classes:
        raise InputError(
            f"fitted on {classes} classes, got logits of {logits.shape[1]}; fit on the classes you apply to"
        )
    return best
