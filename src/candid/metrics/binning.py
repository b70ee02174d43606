"""Equal-width bins of [0, 1] under the three conventions in use, and the sums that every binned error is made of.

The conventions differ only for confidences that sit exactly on an edge, which rounded or saturated ones do in bulk.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int

from candid.errors import InputError, nearest

__all__ = ["Cells", "Edges", "bin_edges", "bin_index", "cell_index"]

Edges = Literal["(lo, hi]", "[lo, hi)", "torchmetrics"]
Cells = Literal["(lo, hi]", "[lo, hi)", "torchmetrics", "equal mass"]


EDGE = 1e-12  # values this near an edge are compared with it; the others are binned by arithmetic, ten times faster
RUN = 8192  # values at a time: temporaries that need no fresh memory


class BinSums(NamedTuple):
    """Per bin: how many rows, the sum of their confidences, how many were right."""

    n: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    correct: Float[np.ndarray, " bins"]


def bin_edges(bins: int) -> Float[np.ndarray, " edges"]:
    """The bins + 1 edges in float64."""
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise InputError(f"expected at least one bin, as a whole number, got {bins!r}")
    return np.linspace(0.0, 1.0, bins + 1)


def bin_index(values: Float[np.ndarray, "*shape"], bins: int, edges: Edges) -> Int[np.ndarray, "*shape"]:
    """Bin of each value. "(lo, hi]": 0 joins the first bin; "[lo, hi)": 1 joins the last.

    "torchmetrics" repeats that library to the digit: values and edges in float32, [lo, hi), and 1 alone in an extra
    bin.

    >>> [bin_index(np.array([0.0, 0.5, 1.0]), 2, edges).tolist() for edges in ("(lo, hi]", "[lo, hi)", "torchmetrics")]
    [[0, 0, 1], [0, 1, 1], [0, 1, 2]]
    """
    limits = bin_edges(bins)
    if edges == "torchmetrics":
        return np.searchsorted(_single_edges(bins), values.astype(np.float32), side="right") - 1
    if edges not in get_args(Edges):
        raise InputError(f"unknown edges {edges!r}; {nearest(str(edges), get_args(Edges))}")
    flat, index = values.reshape(-1), np.empty(values.size, dtype=np.int64)
    for start in range(0, len(flat), RUN):
        index[start : start + RUN] = _equal_width(flat[start : start + RUN], limits, edges)
    return index.reshape(values.shape)


def _equal_width(
    values: Float[np.ndarray, " n"], limits: Float[np.ndarray, " edges"], edges: Literal["(lo, hi]", "[lo, hi)"]
) -> Float[np.ndarray, " n"]:
    """`bin_index` by arithmetic, except beside an edge, where its rounding must not decide."""
    bins = len(limits) - 1
    place = np.multiply(values, bins, dtype=np.float64)
    index: Float[np.ndarray, " n"] = np.ceil(place) - 1 if edges == "(lo, hi]" else np.floor(place)
    near = np.abs(place - np.rint(place)) <= EDGE * bins
    if near.any():
        index[near] = np.searchsorted(limits, values[near], side="left" if edges == "(lo, hi]" else "right") - 1
    return np.clip(index, 0, bins - 1, out=index)


def cell_index(values: Float[np.ndarray, " n"], bins: int, edges: Cells) -> Int[np.ndarray, " n"]:
    """Bin of each value, of equal width under one of the `Edges`, or of equal mass: (lo, hi] between quantiles.

    Equal values share a bin, so ties can leave some bins empty.

    >>> cell_index(np.array([0.7, 0.7, 0.8, 0.9]), 2, "equal mass").tolist()
    [0, 0, 1, 1]
    """
    if edges != "equal mass":
        if edges not in get_args(Cells):
            raise InputError(f"unknown edges {edges!r}; {nearest(str(edges), get_args(Cells))}")
        return bin_index(values, bins, edges)
    inner = np.quantile(values, bin_edges(bins)[1:-1])
    return np.searchsorted(inner, values, side="left")


def bin_sums(
    confidence: Float[np.ndarray, " n"], correct: Float[np.ndarray, " n"], index: Int[np.ndarray, " n"]
) -> BinSums:
    """Counts and sums over the bins, empty ones included."""
    return BinSums(
        np.bincount(index),
        np.bincount(index, weights=confidence),
        np.bincount(index, weights=correct),
    )


def _single_edges(bins: int) -> Float[np.ndarray, " edges"]:
    """Edges as torch.linspace makes them in float32: steps up from 0 in the first half, down from 1 in the second.

    Each product and difference is rounded once (a fused multiply-add, which float64 imitates exactly).
    """
    step = float(np.float32(1.0) / np.float32(bins))
    place = np.arange(bins + 1)
    return np.where(place < (bins + 1) // 2, step * place, 1.0 - step * (bins - place)).astype(np.float32)
