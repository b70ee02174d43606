"""Bins of confidence, each replaced by the share of labels it holds: Zadrozny & Elkan 2001, Gupta & Ramdas 2022."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from candid.calibrate.columns import (
    TIE,
    Rows,
    Sorted,
    check_classes,
    check_smoothing,
    normalise,
    ratio,
    softmax_columns,
)
from candid.calibrate.remainder import spread, temperature_of_the_rest
from candid.errors import InputError, nearest
from candid.metrics.binning import bin_edges
from candid.metrics.rows import inverse_mass
from candid.types import Labels, Logits, Probs

__all__ = ["HistogramBinning"]

Scope = Literal["per-class", "top-label"]
Binning = Literal["equal-mass", "equal-width"]
ROWS_A_BIN = 50  # top-label: fewer rows than this say too little about a bin (Gupta & Ramdas 2022, sec. 4)


@dataclass(frozen=True, eq=False)
class HistogramBinning:
    """Fitted bins: calling it returns float64 probabilities whose rows sum to 1.

    `edges` are the inner edges of each table, (lo, hi], +inf where a table has fewer bins; `values` what each bin
    says. One table a class in scope "per-class". In scope "top-label", one a predicted class and a last one over all
    rows, which classes predicted in fewer than 50 rows share; there the classes not predicted share the rest as the
    softmax at `temperature` would. `n` is the rows with positive weight, `smoothing` the weight of the uniform
    distribution over the classes on offer.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "probs"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "With hundreds of labelled rows a class, fewer classes than bins, and an error of no smooth shape."
    )

    edges: Float[np.ndarray, "tables inner"]
    values: Float[np.ndarray, "tables bins"]
    scope: str
    temperature: float
    smoothing: float
    n: int

    @staticmethod
    def fit(
        logits: Logits,
        labels: Labels,
        weights: Float[np.ndarray, " n"] | None = None,
        *,
        scope: Scope = "per-class",
        bins: int = 10,
        binning: Binning = "equal-mass",
        smoothing: float | None = None,
    ) -> "HistogramBinning":
        """The share of (weighted) labels in each bin of the softmax.

        Scope "per-class" bins every class's probability against "is it this class" and divides rows by their sum
        (Zadrozny & Elkan 2001, https://dl.acm.org/doi/10.5555/645530.655658; 2002, sec. 4 for many classes): the sum
        undoes part of the fit, and the highest class may change. With more classes than bins it does: the top bin of a
        class then holds many rows of others (on a CIFAR-100 network 5,000 rows took accuracy from 0.75 to 0.43).

        Scope "top-label" bins the confidence among rows of one predicted class (Gupta & Ramdas 2022,
        https://arxiv.org/abs/2107.08353, algorithm 3), with at least 50 rows a bin; the highest class stays, the
        others share the rest as the softmax at the best temperature would.

        Tied probabilities always share a bin, so equal-mass bins of few distinct values are fewer. A bin without rows
        says its centre. A class without labels says 0 everywhere, so `smoothing` alone keeps it possible: None mixes
        in the uniform distribution by 1 / (rows + 1), 0 gives the textbook's zeros. Separable data need no care.
        Columns at -inf are classes that were not on offer: their rows do not count for that class. `InputError` for
        labels not on offer, and for unknown options.

        >>> logits = np.log([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
        >>> fitted = HistogramBinning.fit(logits, np.array([0, 0, 0, 1, 1, 1]), bins=2, smoothing=0.0)
        >>> fitted(logits[[0, 4]]).tolist()                          # 3 of 4 and 2 of 2 rows were right
        [[0.75, 0.25], [0.0, 1.0]]
        """
        if binning not in get_args(Binning):
            raise InputError(f"unknown binning {binning!r}; {nearest(str(binning), get_args(Binning))}")
        bin_edges(bins)  # refuses what is no number of bins
        rows = Rows.of(logits, labels, weights)
        if scope == "per-class":
            tables = _class_tables(rows, bins, binning)
        elif scope == "top-label":
            tables = _top_tables(rows, bins, binning)
        else:
            raise InputError(f"unknown scope {scope!r}; {nearest(str(scope), get_args(Scope))}")
        edges, values = (np.array(part) for part in zip(*tables, strict=True))
        temperature = temperature_of_the_rest(rows) if scope == "top-label" else 1.0
        return HistogramBinning(edges, values, scope, temperature, check_smoothing(smoothing, rows.n), rows.n)

    @property
    def classes(self) -> int:
        """Columns the logits must have."""
        return len(self.values) - (self.scope == "top-label")

    def __call__(self, logits: Logits) -> Probs:
        """Calibrated probabilities, n x k, float64; columns at -inf get exactly 0."""
        best = check_classes(logits, self.classes)
        if self.scope == "top-label":
            place = np.empty(len(logits), dtype=np.intp)
            confidence = inverse_mass(logits, best.value, 1.0)
            for label in np.unique(best.label):
                mine = best.label == label
                place[mine] = np.searchsorted(self.edges[label], confidence[mine])
            return spread(
                logits, best, self.values[best.label, place], temperature=self.temperature, smoothing=self.smoothing
            )
        out = np.empty(logits.shape)
        for classes, block in softmax_columns(logits, best):
            for k, column in zip(range(classes.start, classes.stop), block, strict=True):
                column[:] = self.values[k][np.searchsorted(self.edges[k], column)]
            out[:, classes] = block.T
        return normalise(out, logits, self.smoothing)


Table = tuple[Float[np.ndarray, " inner"], Float[np.ndarray, " bins"]]


def _class_tables(rows: Rows, bins: int, binning: Binning) -> list[Table]:
    """One table a class, over all rows it was on offer in."""
    order = np.argsort(rows.labels, kind="stable")
    starts = np.searchsorted(rows.labels[order], np.arange(rows.logits.shape[1] + 1))
    tables = []
    for k, column in rows.columns():
        mine = order[starts[k] : starts[k + 1]]
        tables.append(_table(Sorted.of(column, rows.weights), column[mine], rows.mass[mine], bins, bins, binning))
    return tables


def _top_tables(rows: Rows, bins: int, binning: Binning) -> list[Table]:
    """One table a predicted class with enough rows, over those rows; the table of all rows for the others, and last."""
    confidence, correct, counts = rows.confidence(), rows.best.label == rows.labels, rows.mass > 0

    def table(among: Bool[np.ndarray, " n"]) -> Table:
        used = max(1, min(bins, int(among.sum()) // ROWS_A_BIN))
        part, hits = Sorted.of(confidence[among], rows.mass[among]), among & correct
        return _table(part, confidence[hits], rows.mass[hits], bins, used, binning)

    common = table(counts)
    predicted = np.bincount(rows.best.label[counts], minlength=rows.logits.shape[1])
    own = (table(counts & (rows.best.label == k)) if n >= ROWS_A_BIN else common for k, n in enumerate(predicted))
    return [*own, common]


def _table(
    part: Sorted,
    hits: Float[np.ndarray, " hits"],
    mass: Float[np.ndarray, " hits"],
    bins: int,
    used: int,
    binning: Binning,
) -> Table:
    """The share of `hits` in each of the first `used` bins of the sorted values; the others cannot be reached."""
    by_mass = binning == "equal-mass" and len(part.values) > 0  # a class never on offer has no quantiles
    inner = _quantiles(part, used) if by_mass else bin_edges(used)[1:-1]
    edges = np.concatenate([inner, np.full(bins - used, np.inf)])
    total = np.diff(part.below[np.searchsorted(part.values, edges, side="right")], prepend=0.0, append=part.below[-1])
    right = np.bincount(np.searchsorted(edges, hits), weights=mass, minlength=bins).astype(np.float64)
    centres = np.minimum((np.arange(bins) + 0.5) / used, 1.0)
    return edges, np.where(total > 0, np.minimum(ratio(right, total), 1.0), centres)


def _quantiles(part: Sorted, used: int) -> Float[np.ndarray, " inner"]:
    """Inner edges half-way between distinct values, at the end of tied ones nearer to the quantile; +inf for none."""
    values, below = part
    target = np.arange(1, used) / used * below[-1] * (1 - TIE)
    reached = values[np.searchsorted(below[1:], target)]
    before = np.searchsorted(values, reached * (1 - TIE), side="left")
    after = np.searchsorted(values, reached * (1 + TIE), side="right")
    lower = (before > 0) & ((after == len(values)) | (target - below[before] < below[after] - target))
    place = np.where(lower, before, after)
    above = np.minimum(place, len(values) - 1)
    return np.where(place < len(values), (values[place - 1] + values[above]) / 2, np.inf)
