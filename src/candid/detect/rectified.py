"""Energy after shaping activations or the last layer: ReAct, ASH, SCALE on rectified vectors, and DICE."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt32

from candid.detect.linear import bias_of, refuse_signed, weights_of
from candid.detect.moments import VectorRows, blocks, check_rows, mean_of
from candid.detect.scores import energy
from candid.errors import InputError
from candid.types import Head, Scores, Vectors

__all__ = ["Dice", "ReAct", "ash", "scale"]

AshKind = Literal["p", "b", "s"]
Shaped = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n d"]]


def ash(vectors: VectorRows, head: Head, *, percentile: float = 90.0, kind: AshKind = "b") -> Scores:
    """Energy after all but the largest activations of each input are dropped. Djurisic et al. 2023.

    https://arxiv.org/abs/2209.09858. `percentile` % are dropped; "p" leaves the others, "b" makes them alike with the
    input's sum kept, "s" multiplies them by exp(sum before / sum after). For non-negative vectors.

    >>> head = Head(np.eye(2, dtype=np.float32), ("a", "b"))
    >>> ash(np.array([[3.0, 1.0]]), head, percentile=50.0, kind="b").round(3).tolist()
    [-4.018]
    """
    if kind not in ("p", "b", "s"):
        raise InputError(f"kind of ASH is 'p', 'b' or 's', got {kind!r}")

    def shaped(block: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        largest = _largest(block, percentile)
        total, kept = block.sum(axis=1, keepdims=True), np.where(largest, block, 0.0)
        if kind == "p":
            return kept
        if kind == "b":
            return np.where(largest, total / largest.sum(axis=1, keepdims=True), 0.0)
        found: np.ndarray = kept * _sharpening(total, kept)
        return found

    return _energies(vectors, head, "ASH", shaped)


def scale(vectors: VectorRows, head: Head, *, percentile: float = 85.0) -> Scores:
    """Energy after all activations of an input are multiplied by exp(their sum / sum of the largest). Xu et al. 2024.

    https://arxiv.org/abs/2310.00227. The largest are what is left when `percentile` % are dropped. For non-negative
    vectors.

    >>> head = Head(np.eye(2, dtype=np.float32), ("a", "b"))
    >>> scale(np.array([[3.0, 1.0]]), head, percentile=50.0).round(3).tolist()
    [-11.382]
    """

    def shaped(block: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        kept = np.where(_largest(block, percentile), block, 0.0)
        found: np.ndarray = block * _sharpening(block.sum(axis=1, keepdims=True), kept)
        return found

    return _energies(vectors, head, "SCALE", shaped)


@dataclass(frozen=True, eq=False)
class ReAct:
    """Energy of activations cut at a percentile of all activations of known inputs. Sun et al. 2021.

    https://arxiv.org/abs/2111.12797, eq. 3. For non-negative vectors.

    >>> head = Head(np.eye(2, dtype=np.float32), ("a", "b"))
    >>> found = ReAct.fit(np.array([[1.0, 2.0], [3.0, 4.0]]), head, percentile=50.0)
    >>> found.limit, found(np.array([[9.0, 0.0]])).round(3).tolist()
    (2.5, [-2.579])
    """

    limit: float
    weights: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, " k"]

    @classmethod
    def fit(cls, vectors: VectorRows, head: Head, *, percentile: float = 90.0) -> "ReAct":
        """From known vectors, whose entries' percentile is the limit, and their head."""
        _check_percentile(percentile)
        weights = weights_of(head, vectors)
        return cls(_percentile(vectors, percentile), weights, bias_of(head))

    def __call__(self, vectors: VectorRows) -> Scores:
        head = Head(self.weights, tuple(map(str, range(len(self.weights)))), 1.0, self.bias)
        return _energies(vectors, head, "ReAct", lambda block: np.minimum(block, self.limit))


@dataclass(frozen=True, eq=False)
class Dice:
    """Energy with only those weights that contribute most for known inputs. Sun & Li 2022.

    https://arxiv.org/abs/2111.09805, eq. 3. A weight's contribution is itself times the mean activation of known
    inputs; `percentile` % of all weights, those of the smallest, are set to 0. Whole for non-negative vectors; signed
    ones are allowed, but there a large negative contribution is dropped as if it were small.

    >>> head = Head(np.array([[1.0, 0.1], [0.2, 1.0]], np.float32), ("a", "b"))
    >>> found = Dice.fit(np.array([[1.0, 1.0]]), head, percentile=50.0)
    >>> found.weights.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    weights: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, " k"]

    @classmethod
    def fit(cls, vectors: VectorRows, head: Head, *, percentile: float = 90.0) -> "Dice":
        """From the mean of known vectors and their head."""
        _check_percentile(percentile)
        weights = weights_of(head, vectors)
        contributions = mean_of(vectors) * weights
        kept = contributions > np.percentile(contributions, percentile)
        return cls(np.where(kept, weights, np.float32(0)), bias_of(head))

    def __call__(self, vectors: VectorRows) -> Scores:
        n, _ = check_rows(vectors, width=self.weights.shape[1])
        scores = np.empty(n)
        for rows, block in blocks(vectors):
            scores[rows] = energy(block.astype(np.float64) @ self.weights.T.astype(np.float64) + self.bias)
        return scores


def _energies(vectors: VectorRows, head: Head, method: str, shaped: Shaped) -> Scores:
    weights, bias = weights_of(head, vectors).astype(np.float64), bias_of(head)
    n, _ = check_rows(vectors)
    scores = np.empty(n)
    for rows, block in blocks(vectors):
        refuse_signed(block, method)
        scores[rows] = energy(shaped(block.astype(np.float64)) @ weights.T + bias)
    return scores


def _largest(block: Vectors, percentile: float) -> Bool[np.ndarray, "n d"]:
    """Which entries of each row are left when `percentile` % are dropped, in every row as many."""
    _check_percentile(percentile)
    d = block.shape[1]
    count = d - round(d * percentile / 100)
    if count < 1:
        raise InputError(f"dropping {percentile:g} % of {d} activations leaves none; lower the percentile")
    largest = np.zeros(block.shape, dtype=bool)
    np.put_along_axis(largest, np.argpartition(block, d - count, axis=1)[:, d - count :], True, axis=1)
    return largest


def _sharpening(total: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """exp(sum / kept sum); an input without any activation has nothing to sharpen."""
    rest = kept.sum(axis=1, keepdims=True)
    found: np.ndarray = np.exp(np.divide(total, rest, out=np.zeros_like(total), where=rest > 0))
    return found


def _percentile(vectors: VectorRows, percentile: float) -> float:
    """numpy's percentile of all float32 entries, in two passes over blocks: non-negative floats order as their bits."""
    n, d = check_rows(vectors)
    place = percentile / 100 * (n * d - 1)
    ranks = np.array([int(place), min(int(place) + 1, n * d - 1)])
    high = np.zeros(1 << 16, np.int64)
    for _, block in blocks(vectors):
        refuse_signed(block, "ReAct")
        high += np.bincount(_bits(block) >> 16, minlength=len(high))
    upto = np.cumsum(high)
    cells = np.searchsorted(upto, ranks, side="right")
    low = {int(cell): np.zeros(1 << 16, np.int64) for cell in cells}
    for _, block in blocks(vectors):
        bits = _bits(block)
        for cell, counts in low.items():
            counts += np.bincount(bits[bits >> 16 == cell] & 0xFFFF, minlength=len(counts))
    below = upto[cells] - high[cells]
    ends = [
        np.uint32(cell << 16 | int(np.searchsorted(np.cumsum(low[cell]), rank - start, side="right"))).view(np.float32)
        for cell, rank, start in zip(cells.tolist(), ranks.tolist(), below.tolist(), strict=True)
    ]
    return float(ends[0] + (ends[1] - ends[0]) * (place - ranks[0]))


def _bits(block: Vectors) -> UInt32[np.ndarray, " m"]:
    """The entries as float32 bits; adding 0 makes -0 into 0."""
    return (np.ascontiguousarray(block, dtype=np.float32) + np.float32(0)).view(np.uint32).ravel()


def _check_percentile(percentile: float) -> None:
    if not 0 <= percentile < 100:
        raise InputError(f"percentile must lie in [0, 100), got {percentile}; 90 % is 90")
