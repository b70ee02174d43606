"""What every softmax calibrator fits on: checked rows, their shares, and the temperature it is pulled towards.

The pull needs a temperature even where the likelihood has none. Where every label is its row's highest logit the labels
are softened by the rule of succession (each of n rows gives 1 / (n + 1) of itself to all classes alike), and where
labels run against the logits the pull is towards no slope at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float, Int

from candid.arrays import check_labels
from candid.calibrate.likelihood import Likelihood
from candid.calibrate.newton import solve
from candid.calibrate.weights import shares
from candid.errors import NoOptimum
from candid.metrics.rows import highest, tilted
from candid.types import Labels, Logits

__all__ = ["Anchor", "Examples", "View", "anchor", "centred", "examples", "log_probs"]

CELLS = 1 << 16  # float64 temporaries of half a MB stay in the second-level cache
WIDE_ROWS = 512  # for matrix products, which want taller blocks

Mask = Bool[np.ndarray, "rows k"]


@dataclass(frozen=True)
class Examples:
    """Rows that count, with shares that sum to 1; `rows` is how many equal rows the shares are worth (Kish 1965)."""

    logits: Logits
    labels: Int[np.ndarray, " n"]
    top: Float[np.ndarray, " n"]
    share: Float[np.ndarray, " n"]
    rows: float

    @property
    def classes(self) -> int:
        """Columns, on offer or not."""
        return int(self.logits.shape[1])

    @property
    def offered(self) -> Bool[np.ndarray, " k"]:
        """Classes that are on offer in some row."""
        on: Bool[np.ndarray, " k"] = self.logits.max(axis=0) > -np.inf
        return on

    @property
    def auto_ridge(self) -> float:
        """k / n: classes on offer over effective rows."""
        return float(self.offered.sum() / self.rows)


@dataclass(frozen=True)
class Anchor:
    """The inverse temperature to pull to, `beta`, and the `unit` that makes logits comparable: beta where positive."""

    beta: float
    unit: float
    verdict: str = ""  # why there is no temperature, "" where there is one

    @property
    def slope(self) -> float:
        """beta in that unit: 1, or 0 where the labels run against the logits."""
        return self.beta / self.unit


@dataclass(frozen=True)
class View:
    """Rows as x = factor * logits - offset in float64, a block at a time; masked classes at 0 and in the mask."""

    logits: Logits
    factor: float
    offset: Float[np.ndarray, " n"]
    masked: bool

    def blocks(self, *, tall: bool = False) -> Iterator[tuple[slice, Float[np.ndarray, "rows k"], Mask | None]]:
        """Consecutive blocks of x; each is written over the one before."""
        return self._blocks(WIDE_ROWS if tall else 1, ones=False)

    def with_ones(self) -> Iterator[tuple[slice, Float[np.ndarray, "rows k1"], Mask | None]]:
        """Tall blocks of x with a last column of ones."""
        return self._blocks(WIDE_ROWS, ones=True)

    def _blocks(
        self, least: int, *, ones: bool
    ) -> Iterator[tuple[slice, Float[np.ndarray, "rows width"], Mask | None]]:
        rows, classes = self.logits.shape
        step = min(rows, max(least, CELLS // classes))
        buffer = np.ones((step, classes + ones))
        for start in range(0, rows, step):
            block = slice(start, min(start + step, rows))
            wide = buffer[: block.stop - start]
            x = np.multiply(self.logits[block], self.factor, out=wide[:, :classes], dtype=np.float64)
            x -= self.offset[block, None]
            mask = np.isneginf(x) if self.masked else None
            if mask is not None:
                x[mask] = 0.0
            yield block, wide, mask

    def reach(self) -> Float[np.ndarray, " k"]:
        """The largest |x| of each class."""
        largest = np.zeros(self.logits.shape[1])
        for _, x, _ in self.blocks():
            np.maximum(largest, np.abs(x).max(axis=0), out=largest)
        return largest


def examples(logits: Logits, labels: Labels, weights: Float[np.ndarray, " n"] | None) -> Examples:
    """The rows of positive weight, after refusing what no softmax can use and labels that were not on offer."""
    top = highest(logits).value
    labels = check_labels(labels, classes=logits.shape[1], rows=len(logits))
    share = shares(weights, len(logits))
    if not share.all():
        keep = share > 0
        logits, labels, top, share = logits[keep], labels[keep], top[keep], share[keep]
    Likelihood.of(logits, labels, top, share)  # refuses a masked label
    return Examples(logits, labels, top.astype(np.float64), share, 1.0 / float(share @ share))


def anchor(rows: Examples) -> Anchor:
    """The inverse temperature these rows are pulled to."""
    likelihood = Likelihood.of(rows.logits, rows.labels, rows.top, rows.share)
    try:
        beta = solve(likelihood).beta
        return Anchor(beta, beta)
    except NoOptimum as none:
        verdict = none.verdict
    if verdict == "separable":
        softened = replace(likelihood, gap=_softened(rows, likelihood.gap))
        beta = solve(softened).beta
        return Anchor(beta, beta, verdict)
    return Anchor(0.0, 1.0 / (_spread(rows) or 1.0), verdict)


def _softened(rows: Examples, gap: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """What the labels' gaps become when each label gives 1 / (n + 1) of itself to all classes on offer alike."""
    given = 1.0 / (rows.rows + 1.0)
    mean = centred(rows.logits, 1.0).offset - rows.top
    softened: Float[np.ndarray, " n"] = (1.0 - given) * gap + given * mean
    return softened


def _spread(rows: Examples) -> float:
    """Root mean square of the centred logits."""
    total = 0.0
    for block, x, mask in centred(rows.logits, 1.0).blocks():
        offered = x.shape[1] if mask is None else x.shape[1] - mask.sum(axis=1)
        total += float(rows.share[block] @ (np.einsum("ij,ij->i", x, x) / offered))
    return sqrt(total)


def centred(logits: Logits, factor: float) -> View:
    """Logits times `factor`, less the mean of those on offer in the row: what a constant added to a row leaves."""
    raw = View(logits, 1.0, np.zeros(len(logits)), bool(np.isneginf(logits.min())))
    mean = np.empty(len(logits))
    for block, x, mask in raw.blocks():
        mean[block] = x.sum(axis=1) / (x.shape[1] if mask is None else x.shape[1] - mask.sum(axis=1))
    return View(logits, factor, factor * mean, raw.masked)


def log_probs(logits: Logits, top: Float[np.ndarray, " n"], factor: float, *, times: float = 1.0) -> View:
    """Log-probabilities of softmax(factor * logits), times a number."""
    offset = factor * top.astype(np.float64) + tilted(logits, top, factor).log_sum
    return View(logits, factor * times, offset * times, bool(np.isneginf(logits.min())))
