"""Counts, means and scatter of vectors by class: statistics that add, so that a bank never has to be held at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from candid.arrays import check_labels
from candid.errors import InputError
from candid.metrics.streaming import VectorRows
from candid.types import Labels

__all__ = ["BLOCK", "Moments", "VectorRows", "blocks", "check_rows", "mean_of", "row_slices"]

BLOCK = 4096  # rows at a time
Block = Float[np.ndarray, "_ d"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Vectors as the statistics that covariance detectors need, in float64: by class, counts and means; of all
    together, the scatter around their own class's mean.

    Parts are merged exactly, but for rounding (Chan et al. 1983, https://doi.org/10.1080/00031305.1983.10483115):

    >>> vectors, labels = np.array([[0.0], [2.0], [5.0], [7.0]]), np.array([0, 0, 1, 1])
    >>> parts = Moments.of(vectors[::2], labels[::2]).merge(Moments.of(vectors[1::2], labels[1::2]))
    >>> parts.means.ravel().tolist(), parts.within.round(9).item(), parts.scatter.round(9).item()
    ([1.0, 6.0], 4.0, 29.0)
    """

    counts: Int[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    within: Float[np.ndarray, "d d"]

    @classmethod
    def of(cls, vectors: VectorRows, labels: Labels | None = None, *, classes: int | None = None) -> "Moments":
        """The moments of these vectors, read in blocks; without labels all of them are one class."""
        n, d = check_rows(vectors)
        if labels is None:
            labels = np.zeros(n, dtype=np.int64)
        k = classes if classes is not None else int(np.max(labels, initial=0)) + 1
        labels = check_labels(labels, classes=k, rows=n)
        found = cls(np.zeros(k, np.int64), np.zeros((k, d)), np.zeros((d, d)))
        for rows, block in blocks(vectors):
            found = found.merge(_moments(block.astype(np.float64), labels[rows], k))
        return found

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> Float[np.ndarray, " d"]:
        """Mean of all vectors."""
        mean: Float[np.ndarray, " d"] = self.counts @ self.means / self.n
        return mean

    @property
    def scatter(self) -> Float[np.ndarray, "d d"]:
        """Scatter around the mean of all vectors."""
        found: Float[np.ndarray, "d d"] = self.within + self._between
        return found

    @property
    def _between(self) -> Float[np.ndarray, "d d"]:
        away = (self.means - self.mean) * np.sqrt(self.counts)[:, None]
        between: Float[np.ndarray, "d d"] = away.T @ away
        return between

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both parts; classes that one of them has not seen come after those it has."""
        k = max(len(self.counts), len(other.counts))
        if self.means.shape[1] != other.means.shape[1]:
            raise InputError(
                f"moments are of {self.means.shape[1]} and {other.means.shape[1]} dimensions; encode with one model"
            )
        a, b = self._widened(k), other._widened(k)
        counts = a.counts + b.counts
        share = np.divide(b.counts, counts, out=np.zeros(k), where=counts > 0)[:, None]
        apart = b.means - a.means
        cross = apart * np.sqrt(a.counts[:, None] * share)
        return Moments(counts, a.means + share * apart, a.within + b.within + cross.T @ cross)

    def _widened(self, k: int) -> "Moments":
        more = k - len(self.counts)
        return self if not more else Moments(
            np.pad(self.counts, (0, more)), np.pad(self.means, ((0, more), (0, 0))), self.within
        )  # fmt: skip


def check_rows(vectors: VectorRows, *, width: int | None = None) -> tuple[int, int]:
    """n and d, after refusing what is not n x d with rows, or not of the `width` a detector was fitted on."""
    if len(vectors.shape) != 2 or not vectors.shape[0]:
        raise InputError(f"vectors must be n x d with n > 0, got shape {tuple(vectors.shape)}")
    n, d = int(vectors.shape[0]), int(vectors.shape[1])
    if width is not None and d != width:
        raise InputError(f"expected vectors of {width} dimensions, got {d}; encode with the model of the fitted ones")
    return n, d


def blocks(vectors: VectorRows, *, width: int | None = None, rows: int | None = None) -> Iterator[tuple[slice, Block]]:
    """The vectors some rows at a time, as they are, after refusing what is not n x d or not finite."""
    n, _ = check_rows(vectors, width=width)
    for part in row_slices(n, BLOCK if rows is None else rows):
        block = np.asarray(vectors[part])
        if not np.isfinite(block.sum(dtype=np.float64)):
            bad = ~np.isfinite(block).all(axis=1)
            raise InputError(f"vectors must be finite, row {part.start + int(np.argmax(bad))} is not; encode it again")
        yield part, block


def mean_of(vectors: VectorRows) -> Float[np.ndarray, " d"]:
    """The mean vector in float64, read in blocks."""
    n, d = check_rows(vectors)
    total = np.zeros(d)
    for _, block in blocks(vectors):
        total += block.sum(axis=0, dtype=np.float64)
    return total / n


def row_slices(n: int, step: int) -> list[slice]:
    """Slices that cover n rows."""
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _moments(vectors: Float[np.ndarray, "n d"], labels: Labels, k: int) -> Moments:
    counts = np.bincount(labels, minlength=k)
    order = np.argsort(labels, kind="stable")
    present = np.flatnonzero(counts)
    means = np.zeros((k, vectors.shape[1]))
    starts = np.append(0, np.cumsum(counts[present])[:-1])
    means[present] = np.add.reduceat(vectors[order], starts, axis=0) / counts[present, None]
    away = vectors - means[labels]
    return Moments(counts, means, away.T @ away)
