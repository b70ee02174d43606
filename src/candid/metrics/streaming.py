"""From features and a head, block by block: the logits of a block exist only while it is judged.

21,000 classes x 1,000,000 rows are 84 GB of logits; here they pass through in blocks of 32 MB. What stays is 33 bytes a
row and temperature, from which every error of the top label follows (`ece_of_top`, `aurc`, `smooth_ece_of_top`, means
of `nll` and `brier`), or bins x classes sums for the class-wise error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from candid.arrays import check_labels
from candid.errors import InputError
from candid.metrics.binning import Edges, bin_edges, bin_index
from candid.metrics.rows import Highest, scaled_gaps
from candid.metrics.top import Judged, judge_rows
from candid.types import Head, Labels, Logits

__all__ = [
    "LogitBlock",
    "VectorRows",
    "block_size",
    "check_vectors",
    "classwise_ece_streaming",
    "judge_streaming",
    "logit_blocks",
]

CELLS = 1 << 23  # of a block of logits: 32 MB, about three times that while `Head` computes it


@runtime_checkable
class VectorRows(Protocol):
    """n x d vectors that can be sliced by rows: an array, an array mapped from a file, a data set of HDF5 or zarr."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice) -> Any: ...


class LogitBlock(NamedTuple):
    """Some rows of logits, the slice of all rows that they are, and the highest of each."""

    rows: slice
    logits: Logits
    best: Highest


def logit_blocks(head: Head, vectors: VectorRows, *, rows: int | None = None, step: int = 1) -> Iterator[LogitBlock]:
    """The logits of every `step`-th vector in blocks of `rows`, the slices counting those vectors only.

    `rows` is by default what makes 32 MB. The logits are those of `head(vectors)` but for how BLAS rounds their sums.

    >>> head = Head(np.eye(2, dtype=np.float32), ("cat", "dog"))
    >>> [(block.rows, block.best.label.tolist()) for block in logit_blocks(head, head.weights, rows=1)]
    [(slice(0, 1, None), [0]), (slice(1, 2, None), [1])]
    """
    n, rows = -(-check_vectors(vectors) // step), block_size(head, rows)
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        logits = head(np.asarray(vectors[start * step : stop * step : step]))
        label = logits.argmax(axis=1)
        value = logits[np.arange(len(logits)), label]
        bad = ~np.isfinite(value)
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"logits must be finite (-inf masks a class, never a whole row), vector {(start + row) * step} gives "
                f"{value[row]}; check it and the head's weights for NaN and overflow"
            )
        yield LogitBlock(slice(start, stop), logits, Highest(label, value))


def judge_streaming(
    head: Head, vectors: VectorRows, labels: Labels, *, temperatures: Sequence[float] = (1.0,), rows: int | None = None
) -> tuple[Judged, ...]:
    """`judge` of the head's logits at each temperature, all in one pass over the vectors, `rows` of them at a time.

    >>> head = Head(np.eye(2, dtype=np.float32), ("cat", "dog"), scale=2.0)
    >>> raw, cooled = judge_streaming(head, head.weights, np.array([0, 1]), temperatures=(1.0, 2.0))
    >>> raw.confidence.round(4).tolist(), cooled.confidence.round(4).tolist()
    ([0.8808, 0.8808], [0.7311, 0.7311])
    """
    if not temperatures:
        raise InputError("expected at least one temperature, got none; pass (1.0,) for the logits as they are")
    labels = check_labels(labels, classes=len(head.weights), rows=check_vectors(vectors))
    found: list[list[Judged]] = [[] for _ in temperatures]
    for block in logit_blocks(head, vectors, rows=rows):
        for judged, temperature in zip(found, temperatures, strict=True):
            judged.append(judge_rows(block.logits, block.best, labels[block.rows], temperature))
    return tuple(
        Judged(
            **{field.name: np.concatenate([getattr(part, field.name) for part in judged]) for field in fields(Judged)}
        )
        for judged in found
    )


def classwise_ece_streaming(
    head: Head,
    vectors: VectorRows,
    labels: Labels,
    *,
    bins: int = 15,
    edges: Edges = "(lo, hi]",
    threshold: float | None = None,
    temperature: float = 1.0,
    rows: int | None = None,
) -> float:
    """`classwise_ece` of softmax(head(vectors) / temperature), in one pass over the vectors, `rows` of them at a time.

    >>> head = Head(np.array([[np.log(3.0)], [0.0]], dtype=np.float32), ("cat", "dog"))    # says 3/4, is always right
    >>> round(classwise_ece_streaming(head, np.ones((2, 1), np.float32), np.array([0, 0])), 6)
    0.25
    """
    k = len(head.weights)
    labels = check_labels(labels, classes=k, rows=check_vectors(vectors))
    sums = _ClassSums(k, bins, edges, threshold)
    for block in logit_blocks(head, vectors, rows=rows):
        truth = labels[block.rows]
        for part, gaps in scaled_gaps(block.logits, block.best.value, 1.0 / temperature):
            probs = np.exp(gaps, out=gaps)
            probs /= probs.sum(axis=1, keepdims=True)
            sums.add(probs, truth[part])
    return sums.mean()


def block_size(head: Head, rows: int | None) -> int:
    """Rows of a block: those asked for, else as many as make `CELLS` logits."""
    if rows is None:
        return max(1, CELLS // len(head.weights))
    if rows < 1:
        raise InputError(f"a block needs at least one row, got rows={rows}; leave it out for blocks of 32 MB")
    return rows


def check_vectors(vectors: VectorRows) -> int:
    """How many rows there are, after refusing what is not n x d."""
    if len(vectors.shape) != 2 or not vectors.shape[0]:
        raise InputError(f"vectors must be n x d with n > 0, got shape {tuple(vectors.shape)}")
    return int(vectors.shape[0])


class _ClassSums:
    """Per class and bin, the sum of probability minus truth; per class, the probabilities that count.

    Nearly all of many classes' probabilities lie in the first bin: each class's are summed as one, and only those
    above the first edge, at most `bins` a row, are looked up and moved.
    """

    def __init__(self, classes: int, bins: int, edges: Edges, threshold: float | None) -> None:
        self.bins, self.edges, self.threshold = bins, edges, threshold
        self.lowest = bin_edges(bins)[1] * (1 - 1e-6)  # below it all conventions agree, float32 ones too
        self.count = np.zeros(classes)
        self.gap = np.zeros((classes, bins + 1))  # the "torchmetrics" convention has one bin more

    def add(self, probs: Float[np.ndarray, "rows k"], truth: Labels) -> None:
        """Add some rows, overwriting those probabilities that do not count."""
        own = (np.arange(len(probs)), truth)
        hit = np.ones(len(probs))
        if self.threshold is None:
            self.count += len(probs)
        else:
            kept = probs > self.threshold
            self.count += kept.sum(axis=0)
            hit = kept[own].astype(np.float64)
            probs *= kept
        np.subtract.at(self.gap, (truth, bin_index(probs[own], self.bins, self.edges)), hit)
        self.gap[:, 0] += probs.sum(axis=0)
        large = np.nonzero(probs >= self.lowest)
        values = probs[large]
        np.subtract.at(self.gap[:, 0], large[1], values)
        np.add.at(self.gap, (large[1], bin_index(values, self.bins, self.edges)), values)

    def mean(self) -> float:
        """Mean over the classes with any probability that counts."""
        kept = self.count > 0
        if not kept.any():
            raise InputError(f"no probability lies above the threshold {self.threshold}; lower it")
        return float((np.abs(self.gap[kept]).sum(axis=1) / self.count[kept]).mean())
