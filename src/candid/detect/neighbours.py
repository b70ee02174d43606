"""Nearest known vectors: the distance to the k-th, and the energy they had."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int

from candid import extras
from candid.detect.linear import bias_of, weights_of
from candid.detect.moments import VectorRows, blocks, check_rows, row_slices
from candid.detect.scores import energy
from candid.errors import InputError
from candid.types import Head, Scores, Vectors

__all__ = ["Knn", "NNGuide", "Nearest", "nearest", "unit_rows"]

QUERIES = 512
CHUNK = 8192  # bank rows at a time: 16 MB of products
FIRST = 1024  # rows of the first piece; each next one is twice as long, so that few of its rows beat the best so far
AGAIN = 64  # queries at a time whose nearest are looked at again
WIDE = 4  # neighbours beyond and around the k-th whose distances are computed again without cancellation


class Nearest(NamedTuple):
    """The k bank rows of largest inner product with each query, best first."""

    products: Float32[np.ndarray, "n k"]
    rows: Int[np.ndarray, "n k"]


Search = Callable[[Float32[np.ndarray, "n d"], int], Int[np.ndarray, "n k"]]


@dataclass(frozen=True, eq=False)
class Knn:
    """Distance from a unit vector to its k-th nearest known one, in [0, 2]. Sun et al. 2022.

    https://arxiv.org/abs/2204.06507, eq. 4. Exact, in bounded memory, any number of queries. Published k: 50 for
    CIFAR-10, 200 for CIFAR-100, 1,000 for ImageNet. Vectors are brought to unit length here; a bank that has it already
    is kept as it is, be it mapped from a file. `approximate` asks faiss (extra `faiss`) for its HNSW graph instead.

    >>> found = Knn.fit(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), k=2)
    >>> found(np.array([[3.0, 0.0]], np.float32)).round(4).tolist()
    [1.4142]
    """

    bank: VectorRows
    k: int
    approximate: bool = False

    @classmethod
    def fit(cls, vectors: VectorRows, k: int = 50, *, approximate: bool = False) -> "Knn":
        """From known vectors; labels play no part."""
        n, _ = check_rows(vectors)
        if not 0 < k <= n:
            raise InputError(f"k must lie between 1 and the {n} known vectors, got {k}")
        return cls(_unit_bank(vectors), k, approximate)

    def __call__(self, vectors: VectorRows) -> Scores:
        n, _ = check_rows(vectors, width=self.bank.shape[1])
        scores = np.empty(n)
        for rows, block in blocks(vectors, rows=QUERIES):
            queries = unit_rows(block)
            wide = min(self.k + WIDE, self.bank.shape[0])
            found = self._graph(queries, wide) if self.approximate else nearest(queries, self.bank, wide).rows
            scores[rows] = self._kth(queries, found)
        return scores

    @cached_property
    def _graph(self) -> Search:
        return _graph(self.bank)

    def _kth(self, queries: Float32[np.ndarray, "n d"], rows: Int[np.ndarray, "n w"]) -> Scores:
        """The k-th distance, from differences: 2 - 2 cos has no digits left for near duplicates."""
        first = max(0, self.k - WIDE)
        apart = np.empty(rows[:, first:].shape)
        for part in row_slices(len(rows), AGAIN):
            gap = _gathered(self.bank, rows[part, first:]) - queries[part, None]
            apart[part] = np.sqrt(np.einsum("nwd,nwd->nw", gap, gap))
        return np.sort(apart, axis=1)[:, self.k - 1 - first]


@dataclass(frozen=True, eq=False)
class NNGuide:
    """-(mean over the k nearest known of cosine * their logsumexp) * logsumexp(logits). Park et al. 2023.

    https://arxiv.org/abs/2309.14888, eq. 5. An input is known if it is sure and near to known inputs that were sure.
    The paper keeps a hundredth of ImageNet as bank, with k = 100.

    >>> head = Head(np.eye(2, dtype=np.float32), ("a", "b"))
    >>> found = NNGuide.fit(np.array([[3.0, 0.0], [0.0, 1.0]], np.float32), head, k=1)
    >>> found(np.array([[2.0, 0.0], [0.0, 2.0]], np.float32)).round(2).tolist()
    [-6.48, -2.79]
    """

    guide: Float32[np.ndarray, "b d"]
    weights: Float32[np.ndarray, "k d"]
    bias: Float32[np.ndarray, " k"]
    k: int

    @classmethod
    def fit(cls, vectors: VectorRows, head: Head, k: int = 100) -> "NNGuide":
        """From known vectors and their head."""
        weights, n = weights_of(head, vectors), check_rows(vectors)[0]
        if not 0 < k <= n:
            raise InputError(f"k must lie between 1 and the {n} known vectors, got {k}")
        guide = np.empty((n, weights.shape[1]), np.float32)
        for rows, block in blocks(vectors):
            guide[rows] = unit_rows(block) * -energy(block @ weights.T + bias_of(head))[:, None]
        return cls(guide, weights, bias_of(head), k)

    def __call__(self, vectors: VectorRows) -> Scores:
        n, _ = check_rows(vectors, width=self.guide.shape[1])
        scores = np.empty(n)
        for rows, block in blocks(vectors, rows=QUERIES):
            guided = nearest(unit_rows(block), self.guide, self.k).products.mean(axis=1, dtype=np.float64)
            scores[rows] = guided * energy(block @ self.weights.T + self.bias)
        return scores


def nearest(queries: Float32[np.ndarray, "n d"], bank: VectorRows, k: int) -> Nearest:
    """The k bank rows of largest inner product with each query, exact up to float32 products.

    One product with each piece of the bank; of a piece only what beats the k-th best so far is looked at again.

    >>> nearest(np.eye(2, dtype=np.float32), np.array([[1, 0], [0, 2], [3, 0]], np.float32), 1).rows.tolist()
    [[2], [1]]
    """
    n, total = len(queries), bank.shape[0]
    best, where = np.empty((n, 0), np.float32), np.empty((n, 0), np.int64)
    stop = 0
    while stop < total:
        rows = slice(stop, min(total, stop + max(k, min(CHUNK, FIRST + stop))))
        stop = rows.stop
        products = queries @ np.asarray(bank[rows], dtype=np.float32).T
        if best.shape[1] < k:
            best, where = _top(np.hstack([best, products]), np.hstack([where, _places(n, rows)]), k)
            continue
        beats = np.flatnonzero(products > best[:, -1:])
        query, place = np.divmod(beats, products.shape[1])
        if len(query):
            best, where = _joined(best, where, query, products.ravel()[beats], place + rows.start)
    return Nearest(best, where)


def unit_rows(vectors: Vectors) -> Float32[np.ndarray, "n d"]:
    """float32 rows of length 1; a row of zeros, which has no direction, stays."""
    lengths = np.linalg.norm(vectors.astype(np.float32, copy=False), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _places(n: int, rows: slice) -> Int[np.ndarray, "n b"]:
    return np.broadcast_to(np.arange(rows.start, rows.stop), (n, rows.stop - rows.start))


def _top(products: np.ndarray, places: np.ndarray, k: int) -> Nearest:
    """The k best of each row, best first."""
    if products.shape[1] > k:
        kept = np.argpartition(-products, k - 1, axis=1)[:, :k]
        products, places = np.take_along_axis(products, kept, 1), np.take_along_axis(places, kept, 1)
    order = np.argsort(-products, axis=1, kind="stable")
    return Nearest(np.take_along_axis(products, order, 1), np.take_along_axis(places, order, 1))


def _joined(best: np.ndarray, where: np.ndarray, query: np.ndarray, product: np.ndarray, place: np.ndarray) -> Nearest:
    """The best of what was best and of the newly found (query ascending), which are few."""
    n, k = best.shape
    counts = np.bincount(query, minlength=n)
    column = k + np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    wide = np.full((n, k + int(counts.max())), -np.inf, np.float32)
    spots = np.zeros(wide.shape, np.int64)
    wide[:, :k], spots[:, :k] = best, where
    wide[query, column], spots[query, column] = product, place
    return _top(wide, spots, k)


def _unit_bank(vectors: VectorRows) -> VectorRows:
    """The bank itself where its float32 rows have unit length, else a copy that has."""
    if all(_is_unit(block) for _, block in blocks(vectors)):
        return vectors
    return np.concatenate([unit_rows(block) for _, block in blocks(vectors)])


def _is_unit(block: np.ndarray) -> bool:
    return block.dtype == np.float32 and bool(np.abs(np.linalg.norm(block, axis=1) - 1).max() < 1e-5)


def _gathered(bank: VectorRows, rows: Int[np.ndarray, "n w"]) -> Float32[np.ndarray, "n w d"]:
    if isinstance(bank, np.ndarray):
        found: Float32[np.ndarray, "n w d"] = bank[rows]
        return found
    wanted, place = np.unique(rows, return_inverse=True)
    return np.stack([np.asarray(bank[int(row) : int(row) + 1])[0] for row in wanted])[place].reshape(*rows.shape, -1)


def _graph(bank: VectorRows) -> Search:
    """Search in faiss's HNSW graph over the bank."""
    faiss = extras.require("faiss")
    index = faiss.IndexHNSWFlat(bank.shape[1], 32)
    for _, block in blocks(bank):
        index.add(np.ascontiguousarray(block, dtype=np.float32))

    def search(queries: Float32[np.ndarray, "n d"], k: int) -> Int[np.ndarray, "n k"]:
        index.hnsw.efSearch = max(64, 2 * k)
        found = np.asarray(index.search(queries, k)[1], np.int64)
        if found.min() < 0:
            raise InputError(f"the graph does not reach {k} neighbours of every query; search exactly instead")
        return found

    return search
