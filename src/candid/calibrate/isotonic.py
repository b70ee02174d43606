"""The best rising function of the probability, found by pooling adjacent violators (Ayer et al. 1955)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import isotonic_regression

from candid.calibrate.columns import (
    TIE,
    Rows,
    Sorted,
    check_classes,
    check_smoothing,
    normalise,
    softmax_columns,
)
from candid.calibrate.remainder import spread, temperature_of_the_rest
from candid.errors import InputError, nearest
from candid.metrics.rows import inverse_mass
from candid.types import Labels, Logits, Probs

__all__ = ["Isotonic"]

Variant = Literal["one-vs-rest", "multiclass", "top-label"]
Knots = tuple[Float[np.ndarray, " knots"], Float[np.ndarray, " knots"]]
EXACT_CELLS = 1 << 22  # more (row, class) pairs are pooled into levels first
LEVELS = 1 << 16
SLOPE = 1e-9  # of the identity, so that pooled classes of a row keep their order


@dataclass(frozen=True, eq=False)
class Isotonic:
    """Fitted rising functions: calling it returns float64 probabilities whose rows sum to 1.

    Function j is linear between the points `knots`, `values` from `starts[j]` up to `starts[j + 1]`, and constant
    outside: one a class in variant "one-vs-rest", one in all otherwise. In variant "top-label" the classes not
    predicted share the rest as the softmax at `temperature` would. `classes` is the columns that logits must have, `n`
    the rows with positive weight, `smoothing` the weight of the uniform distribution over the classes on offer.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "probs"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "With thousands of labelled rows and an error that rises and falls with confidence; no shape but order assumed."
    )

    knots: Float[np.ndarray, " knots"]
    values: Float[np.ndarray, " knots"]
    starts: Int[np.ndarray, " tables"]
    variant: str
    temperature: float
    classes: int
    smoothing: float
    n: int

    @staticmethod
    def fit(
        logits: Logits,
        labels: Labels,
        weights: Float[np.ndarray, " n"] | None = None,
        *,
        variant: Variant = "multiclass",
        smoothing: float | None = None,
    ) -> "Isotonic":
        """The rising step function of the softmax with the least (weighted) squared error, joined by lines.

        Variant "multiclass" fits one function to all n k pairs (p_k, is it class k) and divides rows by their sum
        (IRM of Zhang et al. 2020, https://arxiv.org/abs/2003.07329, sec. 3.3, who do not divide): few rows suffice and
        the order of the classes stays, by 1e-9 of the identity. Above 4 million pairs they are first pooled into 65,536
        levels of p^(1/4), which moves a point by less than 1e-4 at p = 1 and less below.

        Variant "one-vs-rest" fits a function a class and divides rows by their sum (Zadrozny & Elkan 2002,
        https://doi.org/10.1145/775047.775151): it needs hundreds of rows a class, and the highest class may change.

        Variant "top-label" fits one to (confidence, correct); the highest class stays, the others share the rest as
        the softmax at the best temperature would.

        Dividing moves every probability of a row by one factor, and so undoes part of the fit: what was right for each
        class alone is no longer exactly right (on a CIFAR-100 network it left an error of 0.041 in 0.058; "top-label"
        left 0.012).

        Tied probabilities are one point, whatever the order of the rows. A class without labels says 0 everywhere, so
        `smoothing` alone keeps it possible: None mixes in the uniform distribution by 1 / (rows + 1), 0 gives the
        textbook's zeros; a row of zeros becomes uniform. Separable data need no care. Columns at -inf are classes that
        were not on offer: their rows do not count for that class, and a class never on offer keeps its probability.
        `InputError` for labels not on offer, and for unknown options.

        >>> logits = np.log([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
        >>> fitted = Isotonic.fit(logits, np.array([0, 1, 0, 1]), smoothing=0.0)
        >>> fitted(logits).round(3).tolist()             # of the pairs at 0.6, 0.7 and 0.8 two were right
        [[1.0, 0.0], [0.667, 0.333], [0.667, 0.333], [0.333, 0.667]]
        """
        fits: dict[str, Callable[[Rows], list[Knots]]] = {
            "one-vs-rest": _each_class,
            "multiclass": _all_pairs,
            "top-label": _top_label,
        }
        if variant not in fits:
            raise InputError(f"unknown variant {variant!r}; {nearest(str(variant), get_args(Variant))}")
        rows = Rows.of(logits, labels, weights)
        tables = fits[variant](rows)
        return Isotonic(
            knots=np.concatenate([knots for knots, _ in tables]),
            values=np.concatenate([values for _, values in tables]),
            starts=np.concatenate([[0], np.cumsum([len(knots) for knots, _ in tables])]),
            variant=variant,
            temperature=temperature_of_the_rest(rows) if variant == "top-label" else 1.0,
            classes=logits.shape[1],
            smoothing=check_smoothing(smoothing, rows.n),
            n=rows.n,
        )

    def __call__(self, logits: Logits) -> Probs:
        """Calibrated probabilities, n x k, float64; columns at -inf get exactly 0."""
        best = check_classes(logits, self.classes)
        if self.variant == "top-label":
            confidence = np.interp(inverse_mass(logits, best.value, 1.0), self.knots, self.values)
            return spread(logits, best, confidence, temperature=self.temperature, smoothing=self.smoothing)
        out = np.empty(logits.shape)
        for classes, block in softmax_columns(logits, best):
            if self.variant == "multiclass":
                block = np.interp(block, self.knots, self.values) + SLOPE * block
            else:
                for k, column in zip(range(classes.start, classes.stop), block, strict=True):
                    here = slice(self.starts[k], self.starts[k + 1])
                    column[:] = np.interp(column, self.knots[here], self.values[here])
            out[:, classes] = block.T
        return normalise(out, logits, self.smoothing)


def _each_class(rows: Rows) -> list[Knots]:
    """One function a class, over all rows it was on offer in."""
    order = np.argsort(rows.labels, kind="stable")
    mass = rows.mass
    starts = np.searchsorted(rows.labels[order], np.arange(rows.logits.shape[1] + 1))
    tables = []
    for k, column in rows.columns():
        mine = order[starts[k] : starts[k + 1]]
        tables.append(_rising(Sorted.of(column, rows.weights), column[mine], mass[mine]))
    return tables


def _top_label(rows: Rows) -> list[Knots]:
    """One function of the confidence."""
    confidence, correct = rows.confidence(), rows.best.label == rows.labels
    return [_rising(Sorted.of(confidence, rows.weights), confidence[correct], rows.mass[correct])]


def _all_pairs(rows: Rows) -> list[Knots]:
    """One function of every class's probability in every row, exact while the pairs are few."""
    n, k = rows.logits.shape
    label_probs = np.empty(n)
    pairs = np.empty((k, n)) if n * k <= EXACT_CELLS else None
    levels = np.zeros((2, LEVELS + 1))
    for j, column in rows.columns():
        mine = rows.labels == j
        label_probs[mine] = column[mine]
        if pairs is not None:
            pairs[j] = column
        else:
            _add_to_levels(levels, column, rows.weights)
    if pairs is not None:
        weights = None if rows.weights is None else np.tile(rows.weights, k)
        return [_rising(Sorted.of(pairs.ravel(), weights), label_probs, rows.mass)]
    return [_rising_levels(levels, label_probs, rows.mass)]


def _rising(part: Sorted, hits: Float[np.ndarray, " hits"], mass: Float[np.ndarray, " hits"]) -> Knots:
    """The isotonic fit of "is a hit" on the sorted values, of which `hits` are some, with their weights.

    Values between two hits are all misses, which the fit always pools: one segment each, so two for every hit will do.
    """
    values, below = part
    if not len(values):  # never on offer: the identity
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    hits, mass = hits[mass > 0], mass[mass > 0]
    order = np.argsort(hits, kind="stable")
    hits, mass = hits[order], mass[order]
    first = np.flatnonzero(np.diff(hits, prepend=-1.0) > TIE * hits)
    last = np.append(first[1:], len(hits))[: len(first)] - 1
    bounds = np.zeros(2 * len(first) + 2, dtype=np.intp)
    bounds[1:-1:2] = np.searchsorted(values, hits[first] * (1 - TIE), side="left")
    bounds[2:-1:2] = np.searchsorted(values, hits[last] * (1 + TIE), side="right")
    bounds[-1] = len(values)
    bounds = np.maximum.accumulate(bounds)
    right = np.zeros(len(bounds) - 1)
    right[1::2] = np.add.reduceat(mass, first) if len(first) else 0.0
    total = np.diff(below[bounds])
    some = total > 0
    low, high = values[bounds[:-1][some]], values[bounds[1:][some] - 1]
    return _pooled(right[some] / total[some], total[some], low, high)


def _add_to_levels(
    levels: Float[np.ndarray, "2 levels"], column: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"] | None
) -> None:
    """Add the weights, and weights times probabilities, of one class to the levels they fall in."""
    offered = column >= 0
    values = column[offered]
    mass = np.ones(len(values)) if weights is None else weights[offered]
    level = _level(values)
    levels[0] += np.bincount(level, weights=mass, minlength=LEVELS + 1)
    levels[1] += np.bincount(level, weights=mass * values, minlength=LEVELS + 1)


def _rising_levels(
    levels: Float[np.ndarray, "2 levels"], hits: Float[np.ndarray, " hits"], mass: Float[np.ndarray, " hits"]
) -> Knots:
    """The isotonic fit on the mean probability of each level that holds any."""
    counted = mass > 0
    right = np.bincount(_level(hits[counted]), weights=mass[counted], minlength=LEVELS + 1).astype(np.float64)
    some = levels[0] > 0
    total = levels[0, some]
    centre = levels[1, some] / total
    return _pooled(right[some] / total, total, centre, centre)


def _level(probs: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Equal steps of p^(1/4): fine where p is small, as most are, and still 6e-5 wide at p = 1."""
    level: Int[np.ndarray, " n"] = (np.sqrt(np.sqrt(probs)) * LEVELS).astype(np.int64)
    return level


def _pooled(
    share: Float[np.ndarray, " m"],
    mass: Float[np.ndarray, " m"],
    low: Float[np.ndarray, " m"],
    high: Float[np.ndarray, " m"],
) -> Knots:
    """Pool adjacent violators among segments from `low` to `high`; a point at each end of every block."""
    fitted = isotonic_regression(np.minimum(share, 1.0), weights=mass)
    starts, ends = fitted.blocks[:-1], fitted.blocks[1:] - 1
    knots = np.stack([low[starts], high[ends]], axis=1).ravel()
    values = np.repeat(np.clip(fitted.x[starts], 0.0, 1.0), 2)
    distinct = np.diff(knots, prepend=-1.0) > 0
    return knots[distinct], values[distinct]
