"""One tile of squared distances between two blocks, corrected where float32 cannot tell small from nothing, and the
reductions that every metric is made of. A tile is an array of numpy or of torch; what leaves it is numpy and small."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_numpy_array
from jaxtyping import Bool, Float64, Int

from candid.arrays import on_device
from candid.generative.points import Block, Points, apart

__all__ = ["ROUNDED", "Both", "Pairs", "Room", "Tile", "as_numpy", "counts", "sparse"]

CLOSE = 256  # times the possible error, below which a squared distance is taken again in float64
SPARSE = 1 / 16  # share of a tile up to which pairs inside balls are counted one by one
CROWDED = 1 / 64  # share of a tile in doubt from which the whole tile is multiplied in float64
ROUNDED = 2.0**-22  # relative error of a float64 product kept in float32, with a margin
DOUBLE = 2.0**-46  # possible error of a float64 product, relative to the squared lengths
UNRESOLVED = 1e-11  # of the squared lengths: below it products in float64 have no digits left
TINY = float(np.finfo(np.float32).tiny)
FOLDS = 6  # 64 factors are multiplied in float32 before their logarithm is taken


class Both(NamedTuple):
    """One number a row and one a column of a tile."""

    rows: np.ndarray
    columns: np.ndarray


class Pairs(NamedTuple):
    """Places in a tile."""

    rows: Int[np.ndarray, " p"]
    columns: Int[np.ndarray, " p"]


class Room:
    """Memory that a thread's tiles share, one after the other: fresh memory costs as much as the arithmetic in it.

    On a device the framework keeps such memory itself.
    """

    def __init__(self) -> None:
        self._kept: dict[str, np.ndarray] = {}

    def product(self, left: Any, right: Any) -> Any:
        """left @ right.T"""
        if not is_numpy_array(left):
            return left @ right.T
        return np.matmul(left, right.T, out=self._array("product", (len(left), len(right)), np.float32))

    def times(self, array: Any, factor: Any) -> Any:
        """array * factor"""
        if not is_numpy_array(array):
            return array * factor
        return np.multiply(array, factor, out=self._array("times", array.shape, np.float32))

    def below(self, array: Any, limit: Any, name: str = "below") -> Any:
        """array < limit"""
        if not is_numpy_array(array):
            return array < limit
        return np.less(array, limit, out=self._array(name, array.shape, np.bool_))

    def at_most(self, array: Any, limit: float) -> Any:
        """min(array, limit), in the place of the array."""
        if not is_numpy_array(array):
            return array.clamp_(max=limit)
        return np.minimum(array, np.full((1, array.shape[1]), limit, array.dtype), out=array)

    def _array(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        size = int(np.prod(shape))
        if name not in self._kept or self._kept[name].size < size:
            self._kept[name] = np.empty(size, dtype)
        return self._kept[name][:size].reshape(shape)


@dataclass(eq=False)
class Tile:
    """Squared distances, in the frame, of the rows of `left` from those of `right`; `error` bounds theirs.

    `finer` is what it is to be multiplied by where products were taken in float64.
    """

    first: Points
    left: Block
    second: Points
    right: Block
    squared: Any
    error: Both
    room: "Room"
    finer: float = 1.0

    @classmethod
    def of(cls, first: Points, left: Block, second: Points, right: Block, room: "Room") -> "Tile":
        """The product of two blocks, with exact numbers wherever the product is mostly error.

        It lies in `room` and lasts until the next tile is made there.
        """
        error = Both(left.reach + right.reach.max(), right.reach + left.reach.max())
        tile = cls(first, left, second, right, room.product(left.padded, right.padded), error, room)
        if tile.squared.min() > CLOSE * error.rows.max():
            return tile
        close = tile._in_doubt(tile.below(CLOSE * error.rows, "rows"))
        if close is None:
            tile.squared, tile.finer = tile._in_double(), DOUBLE / first.frame.slack
            tile.error = Both(error.rows * tile.finer, error.columns * tile.finer)
        elif len(close.rows):
            tile.squared[close] = tile.on_device((tile.apart(close) * first.frame.scale) ** 2)
        return tile

    @property
    def shape(self) -> tuple[int, int]:
        return self.squared.shape[0], self.squared.shape[1]

    def hide_diagonal(self) -> None:
        """No row is its own neighbour."""
        places = np.arange(self.shape[0])
        self.squared[places, places] = np.inf

    def inside(self, radii: Float64[np.ndarray, " a"], *, of: str, closed: bool) -> Both:
        """How many pairs of each row and column are nearer than the radius of the row (`of` "rows") or column.

        What float32 cannot decide is decided in float64. `closed` counts a distance that equals the radius.
        """
        limit = (radii * self.first.frame.scale) ** 2
        doubt = limit * ROUNDED + (self.error.rows if of == "rows" else self.error.columns)

        def decided(pairs: Pairs) -> np.ndarray:
            line = pairs.rows if of == "rows" else pairs.columns
            gap = as_numpy(self.squared[pairs]) - limit[line]
            found: np.ndarray = gap < 0
            near = np.abs(gap) <= limit[line] * ROUNDED + self.own_error(pairs)
            true, own = self.apart(Pairs(pairs.rows[near], pairs.columns[near])), radii[line[near]]
            found[near] = true <= own if closed else true < own
            return found

        possible = self.below(np.nextafter(np.float32(limit + doubt), np.float32(np.inf)), of, "possible")
        if is_numpy_array(possible) and np.count_nonzero(possible) <= SPARSE * possible.size:
            pairs = sparse(possible)
            kept = decided(pairs)
            return Both(*(np.bincount(line[kept], minlength=n) for line, n in zip(pairs, self.shape, strict=True)))
        near = sparse(self.below(limit - doubt, of) ^ possible)
        if len(near.rows):
            possible[near] = self.on_device(decided(near))
        return counts(possible)

    def own_error(self, pairs: Pairs) -> np.ndarray:
        """What the squared distances of these pairs may be off by, by their own two lengths."""
        found: np.ndarray = self.finer * (self.left.reach[pairs.rows] + self.right.reach[pairs.columns])
        return found

    def log_product(self, radius: float, axis: int) -> tuple[Float64[np.ndarray, " a"], int]:
        """Sums over an axis of log min(d / radius, 1), and how many pairs are within; a radius of 0 keeps copies."""
        limit = (radius * self.first.frame.scale) ** 2
        if limit < TINY:
            factors = 1.0 * (self.squared > 0)
        else:
            factors = self.room.times(self.squared, float(np.float32(1 / limit)))
        within = _true(self.room.below(factors, 1.0))
        if within == 0:
            return np.zeros(self.shape[1 - axis]), 0
        return _log_product(self.room.at_most(factors, 1.0), axis), within

    def relative(self, radii: Float64[np.ndarray, " a"]) -> Any:
        """Squared distances over the squared radius of the row; infinity where that is NaN."""
        counted = np.isfinite(radii)
        own = np.where(counted, radii * self.first.frame.scale, 1)
        found = self.room.times(self.squared, self.on_device((1 / np.square(own))[:, None]))
        found[self.on_device(~counted)] = np.inf
        return found

    def on_device(self, array: np.ndarray) -> Any:
        """A numpy array beside the tile; floating ones as float32."""
        wanted = array.astype(np.float32) if array.dtype.kind == "f" else array
        return on_device(wanted, self.first.frame.device)

    def below(self, limits: np.ndarray, of: str, name: str = "below") -> Any:
        """Which squared distances are below the limit of their row or column."""
        limit = self.on_device(limits[:, None] if of == "rows" else limits[None])
        return self.room.below(self.squared, limit, name)

    def _in_doubt(self, mask: Any) -> Pairs | None:
        """Places of the mask that are in doubt by their own two lengths; None where they crowd the tile."""
        found = sparse(mask)
        if not len(found.rows):
            return found
        kept = as_numpy(self.squared[found]) < CLOSE * self.own_error(found)
        found = Pairs(found.rows[kept], found.columns[kept])
        return found if len(found.rows) <= CROWDED * self.shape[0] * self.shape[1] else None

    def _in_double(self) -> Any:
        """The tile from products in float64, from differences what they do not resolve; copies are known by mark."""
        left, right = self.first.exactly(self.left.rows), self.second.exactly(self.right.rows)
        lengths = np.einsum("nd,nd->n", left, left)[:, None] + np.einsum("nd,nd->n", right, right)
        squared = lengths - 2 * (left @ right.T)
        close = sparse(squared < UNRESOLVED * lengths)
        same = self.first.marks[self.left.rows][close.rows] == self.second.marks[self.right.rows][close.columns]
        squared[close.rows[same], close.columns[same]] = 0
        other = Pairs(close.rows[~same], close.columns[~same])
        squared[other] = (self.apart(other) * self.first.frame.scale) ** 2
        return self.on_device(squared)

    def apart(self, pairs: Pairs) -> Float64[np.ndarray, " p"]:
        """Distances of these pairs in float64, from differences, in plain units."""
        rows, columns = pairs.rows + self.left.rows.start, pairs.columns + self.right.rows.start
        return apart(self.first, rows, self.second, columns)


def counts(mask: Any) -> Both:
    """How many are true in each row and each column."""
    if not is_numpy_array(mask):
        return Both(as_numpy(mask.sum(axis=1)), as_numpy(mask.sum(axis=0)))
    return Both(_row_counts(mask), _column_counts(mask))


def _true(mask: Any) -> int:
    return int(np.count_nonzero(mask) if is_numpy_array(mask) else mask.sum())


def sparse(mask: Any) -> Pairs:
    """Where the mask, mostly false, is true."""
    if is_numpy_array(mask):
        return Pairs(*np.divmod(np.flatnonzero(mask), mask.shape[1]))
    return Pairs(*(as_numpy(each) for each in mask.nonzero(as_tuple=True)))


def as_numpy(array: Any) -> np.ndarray:
    """The array in the memory of numpy."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu())


def _row_counts(mask: Bool[np.ndarray, "a b"]) -> Int[np.ndarray, " a"]:
    """By eight cells a byte: numpy's own sum of booleans takes four times as long."""
    packed = np.packbits(mask, axis=1)
    found: Int[np.ndarray, " a"] = _bits(packed).sum(axis=1, dtype=np.int64)
    return found


def _bits(packed: np.ndarray) -> np.ndarray:
    """How many bits of each byte are set; numpy 1 has no function for it."""
    found: np.ndarray = np.bitwise_count(packed) if hasattr(np, "bitwise_count") else BITS[packed]
    return found


def _column_counts(mask: Bool[np.ndarray, "a b"]) -> Int[np.ndarray, " b"]:
    found = np.zeros(mask.shape[1], np.int64)
    for start in range(0, len(mask), 255):  # as many as a byte can count
        found += np.add.reduce(mask[start : start + 255].view(np.uint8), axis=0, dtype=np.uint8)
    return found


BITS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def _log_product(factors: Any, axis: int) -> Float64[np.ndarray, " a"]:
    """Half the sum of logarithms over an axis: products of 64 in float32, their logarithms in float64."""
    folded = factors
    for _ in range(FOLDS):
        half, odd = divmod(folded.shape[axis], 2)
        if half == 0:
            break
        last = _part(folded, axis, slice(2 * half, None)) if odd else None
        folded = _part(folded, axis, slice(0, half)) * _part(folded, axis, slice(half, 2 * half))
        if last is not None:
            _part(folded, axis, slice(0, 1))[...] *= last
    small = as_numpy(folded)
    lost = (small < TINY).any(axis=axis)
    with np.errstate(divide="ignore"):
        logs = np.log(small, dtype=np.float64).sum(axis=axis)
        if lost.any():  # underflow is not the same as an exact copy
            again = as_numpy(_rows_or_columns(factors, axis, np.flatnonzero(lost)))
            logs[lost] = np.log(again, dtype=np.float64).sum(axis=axis)
    halved: Float64[np.ndarray, " a"] = logs / 2
    return halved


def _part(array: Any, axis: int, part: slice) -> Any:
    return array[:, part] if axis == 1 else array[part]


def _rows_or_columns(array: Any, axis: int, kept: Int[np.ndarray, " k"]) -> Any:
    return array[kept] if axis == 1 else array[:, kept]
