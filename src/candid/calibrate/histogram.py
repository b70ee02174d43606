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
            edges = self.edges[classes]
            place = np.zeros(block.shape, dtype=np.intp if edges.shape[1] > 127 else np.int8)
            for edge in edges.T:  # a few comparisons of whole blocks are quicker than a search for each cell
                place += block > edge[:, None]
            out[:, classes] = np.take_along_axis(self.values[classes], place, axis=1).T
        return normalise(out, logits, self.smoothing)


Table = tuple[Float[np.ndarray, " inner"], Float[np.ndarray, " bins"]]


def _class_tables(rows: Rows, bins: int, binning: Binning) -> list[Table]:
    """One table a class, over all rows it was on offer in."""
    order = np.argsort(rows.labels, kind="stable")
    mass = rows.mass
    starts = np.searchsorted(rows.labels[order], np.arange(rows.logits.shape[1] + 1))
    tables = []
    for k, column in rows.columns():
        mine = order[starts[k] : starts[k + 1]]
        on = column >= 0 if rows.masked else slice(None)
        weights = None if rows.weights is None else rows.weights[on]
        tables.append(_table(column[on], weights, column[mine], mass[mine], bins, bins, binning))
    return tables


def _top_tables(rows: Rows, bins: int, binning: Binning) -> list[Table]:
    """One table a predicted class with enough rows, over those rows; the table of all rows for the others, and last."""
    confidence, correct, counts = rows.confidence(), rows.best.label == rows.labels, rows.mass > 0

    def table(among: Bool[np.ndarray, " n"]) -> Table:
        used = max(1, min(bins, int(among.sum()) // ROWS_A_BIN))
        hits, weights = among & correct, None if rows.weights is None else rows.weights[among]
        return _table(confidence[among], weights, confidence[hits], rows.mass[hits], bins, used, binning)

    common = table(counts)
    predicted = np.bincount(rows.best.label[counts], minlength=rows.logits.shape[1])
    own = (table(counts & (rows.best.label == k)) if n >= ROWS_A_BIN else common for k, n in enumerate(predicted))
    return [*own, common]


def _table(
    values: Float[np.ndarray, " m"],
    weights: Float[np.ndarray, " m"] | None,
    hits: Float[np.ndarray, " hits"],
    mass: Float[np.ndarray, " hits"],
    bins: int,
    used: int,
    binning: Binning,
) -> Table:
    """The share of `hits`, which are some of the values, in each of the first `used` bins; no others are reached."""
    by_mass = binning == "equal-mass" and len(values) > 0  # a class never on offer has no quantiles
    inner = _quantiles(_sorted(values, weights, used), used) if by_mass else bin_edges(used)[1:-1]
    edges = np.concatenate([inner, np.full(bins - used, np.inf)])
    total = _mass_between(edges, values, weights)
    right = np.bincount(np.searchsorted(edges, hits), weights=mass, minlength=bins).astype(np.float64)
    centres = np.minimum((np.arange(bins) + 0.5) / used, 1.0)
    return edges, np.where(total > 0, np.minimum(ratio(right, total), 1.0), centres)


def _mass_between(
    edges: Float[np.ndarray, " inner"], values: Float[np.ndarray, " m"], weights: Float[np.ndarray, " m"] | None
) -> Float[np.ndarray, " bins"]:
    """Weight of the values in each bin, (lo, hi]."""
    if weights is None:
        above = np.array([np.count_nonzero(values > edge) for edge in edges], dtype=np.float64)
        return -np.diff(above, prepend=len(values), append=0.0)
    total = np.bincount(np.searchsorted(edges, values), weights=weights, minlength=len(edges) + 1)
    return total.astype(np.float64)


def _sorted(values: Float[np.ndarray, " m"], weights: Float[np.ndarray, " m"] | None, used: int) -> Sorted:
    """Values in rising order; of many without ties, only those beside a quantile need to be in their places."""
    n = len(values)
    if weights is None and used > 1 and n > 10 * used:
        place = np.floor(np.arange(1, used) / used * n * (1 - TIE) + 0.5).astype(np.intp)
        near = np.partition(values, np.concatenate([place - 1, place]))
        if (near[place] > near[place - 1] * (1 + TIE)).all():
            return Sorted(near, np.arange(n + 1.0))
    return Sorted.of(values, weights)


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
