"""The nearest others of every row of one set: half of all pairs, since distances are symmetric."""

from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_numpy_array
from jaxtyping import Float32, Float64, Int

from candid.arrays import row_blocks
from candid.errors import InputError
from candid.generative.passing import Budget, Progress, crossed, on_all_cores, symmetric
from candid.generative.points import Points, apart, gathered
from candid.generative.tiles import ROUNDED, Pairs, Tile, as_numpy, sparse

__all__ = ["Near", "nearest_others"]

SETTLED = 256  # rows at a time
SPARE = 1  # neighbours beyond those asked for whose distances are computed again in float64


class Near(NamedTuple):
    """By row, ascending distances of its nearest others and which rows they are; never the row itself."""

    distances: Float64[np.ndarray, "n reach"]
    rows: Int[np.ndarray, "n reach"]

    def kth(self, k: int) -> Float64[np.ndarray, " n"]:
        """Distance of every row to its k-th nearest other."""
        return self.distances[:, k - 1]


def nearest_others(points: Points, reach: int, budget: Budget, progress: Progress | None = None, *, name: str) -> Near:
    """The `reach` nearest others of every row, distances in float64 from differences."""
    n = len(points)
    if not 0 < reach < n:
        raise InputError(f"{name} has {n} rows, so k may be 1 to {n - 1}; got {reach}; give more rows or a smaller k")
    best = _Best.empty(n, min(reach + SPARE, n - 1))

    def visit(tile: Tile, lock: Lock) -> None:
        if tile.left.rows == tile.right.rows:
            tile.hide_diagonal()
            best.start(tile.left.rows, tile.squared)
            return
        with lock:
            above, below = best.worst(tile.left.rows), best.worst(tile.right.rows)
        rows = best.better(tile.below(above, "rows"), tile.squared)
        columns = best.better(tile.below(below, "columns"), tile.squared)
        with lock:
            best.join(tile.left.rows.start, rows.row, rows.column + tile.right.rows.start, rows.squared)
            best.join(tile.right.rows.start, columns.column, columns.row + tile.left.rows.start, columns.squared)

    symmetric(points, visit, budget, progress)
    return _beyond(points, _exactly(points, best.where, reach, budget.cores()), best, budget)


class _Found(NamedTuple):
    row: np.ndarray
    column: np.ndarray
    squared: np.ndarray


class _Best(NamedTuple):
    """The smallest squared distances seen so far, and where; ascending in no order."""

    squared: Float32[np.ndarray, "n wide"]
    where: Int[np.ndarray, "n wide"]

    @classmethod
    def empty(cls, n: int, wide: int) -> "_Best":
        return cls(np.full((n, wide), np.inf, np.float32), np.full((n, wide), -1, np.int64))

    def worst(self, rows: slice) -> Float32[np.ndarray, " b"]:
        """What a newcomer has to be below."""
        worst: Float32[np.ndarray, " b"] = self.squared[rows].max(axis=1)
        return worst

    def start(self, rows: slice, squared: Any) -> None:
        """From the tile of a block with itself, whose diagonal is infinite."""
        wide = min(self.squared.shape[1], squared.shape[1] - 1)
        if wide == 0:
            return
        if is_numpy_array(squared):
            last = np.partition(squared, wide - 1, axis=1)[:, wide - 1 : wide]
        else:
            last = squared.topk(wide, dim=1, largest=False).values[:, -1:]
        found = self.better(squared <= last, squared)
        self.join(rows.start, found.row, found.column + rows.start, found.squared)

    @staticmethod
    def better(mask: Any, squared: Any) -> _Found:
        """Places of the mask and what stands there."""
        found = sparse(mask)
        return _Found(found.rows, found.columns, as_numpy(squared[found]))

    def join(self, start: int, row: np.ndarray, other: np.ndarray, squared: np.ndarray) -> None:
        """Newly found others of rows that count from `start`."""
        if not len(row):
            return
        order = np.argsort(row, kind="stable")
        row, other, squared = row[order], other[order], squared[order]
        touched, first, counts = np.unique(row, return_index=True, return_counts=True)
        place = np.arange(len(row)) - np.repeat(first, counts)
        old = self.squared.shape[1]
        wide = np.full((len(touched), old + int(counts.max())), np.inf, np.float32)
        where = np.full(wide.shape, -1, np.int64)
        wide[:, :old], where[:, :old] = self.squared[start + touched], self.where[start + touched]
        line = np.repeat(np.arange(len(touched)), counts)
        wide[line, old + place], where[line, old + place] = squared, other
        kept = np.argpartition(wide, old - 1, axis=1)[:, :old]
        self.squared[start + touched] = np.take_along_axis(wide, kept, axis=1)
        self.where[start + touched] = np.take_along_axis(where, kept, axis=1)


def _exactly(points: Points, rows: Int[np.ndarray, "n wide"], reach: int, cores: int) -> Near:
    """The distances of those found, ascending; of equal ones the first row."""
    distances, kept = np.empty((len(rows), reach)), np.empty((len(rows), reach), np.int64)
    rows.sort(axis=1)

    def settle(part: slice) -> None:
        own = np.repeat(np.arange(part.start, part.stop), rows.shape[1])
        true = apart(points, own, points, rows[part].ravel()).reshape(-1, rows.shape[1])
        order = np.argsort(true, axis=1, kind="stable")[:, :reach]
        distances[part] = np.take_along_axis(true, order, axis=1)
        kept[part] = np.take_along_axis(rows[part], order, axis=1)

    on_all_cores(settle, list(row_blocks(len(rows), 1, cells=SETTLED)), cores)
    return Near(distances, kept)


def _beyond(points: Points, near: Near, best: _Best, budget: Budget) -> Near:
    """The same, after looking for nearer ones that float32 could not tell from those kept, as there may be where
    more others than are spared lie at nearly one distance."""
    squared = (near.distances[:, -1] * points.frame.scale) ** 2
    lengths = points.lengths.astype(np.float64)
    error = points.frame.slack * (lengths + (np.sqrt(lengths) + np.sqrt(squared)) ** 2)  # none longer can be nearer
    rows = np.flatnonzero((best.squared.max(axis=1) - squared <= 2 * error) & (squared > 0))
    if not len(rows) or best.squared.shape[1] == len(points) - 1:
        return near
    some = Points(gathered(points.vectors, rows), points.frame)
    limits, kept = squared[rows] * (1 + ROUNDED), near.distances[rows, -1]
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def visit(tile: Tile, lock: Lock) -> None:
        own = slice(tile.left.rows.start, tile.left.rows.stop)
        pairs = sparse(tile.below(limits[own] + tile.error.rows, "rows"))
        possible = as_numpy(tile.squared[pairs]) <= limits[own][pairs.rows] + tile.own_error(pairs)
        pairs = Pairs(pairs.rows[possible], pairs.columns[possible])
        true, row = tile.apart(pairs), pairs.rows + own.start
        other = pairs.columns + tile.right.rows.start
        nearer = (true < kept[row]) & (other != rows[row])
        with lock:
            found.append((row[nearer], other[nearer], true[nearer]))

    crossed(some, points, visit, budget)
    row, other, true = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((other, true, row))
    row, other, true = row[order], other[order], true[order]
    starts = np.searchsorted(row, np.arange(len(rows) + 1))
    for place, line in enumerate(rows):
        mine = slice(starts[place], starts[place + 1])
        last = near.distances[line] == kept[place]  # all that are nearer than these were found
        near.distances[line] = np.concatenate([true[mine], near.distances[line][last]])[: len(last)]
        near.rows[line] = np.concatenate([other[mine], near.rows[line][last]])[: len(last)]
    return near
