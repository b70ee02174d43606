"""Walks over all pairs of two sets, or of one with itself: a tile at a time, on all cores, in bounded memory."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

from candid.errors import InputError
from candid.generative.points import Points
from candid.generative.tiles import Room, Tile

__all__ = ["Budget", "Progress", "crossed", "on_all_cores", "symmetric"]

MEGABYTE = 1 << 20
LARGEST, LARGEST_DEVICE, SMALLEST = 1024, 8192, 32  # rows of a block
TILE_CELLS = 32  # bytes that a cell of a tile takes at most, in float64 where float32 does not do
Progress = Callable[[int, int], None]
Visit = Callable[[Tile, Lock], None]


@dataclass(frozen=True)
class Budget:
    """How much memory may be used beyond the vectors, in megabytes, by how many threads (one a core by default).

    With a device it is the device's memory that is meant.
    """

    memory: int = 512
    threads: int | None = None

    def workers(self, device: str | None) -> int:
        """Threads that walk at once; a device is asked by one."""
        if device is not None:
            return 1
        return self.cores()

    def keeps(self, rows: int, width: int, device: str | None) -> bool:
        """Whether so many rows stay on the device in half of the memory; in the host's they are there already."""
        return device is not None and 4 * rows * (width + 2) <= self.memory * MEGABYTE / 2

    def cores(self) -> int:
        """Threads for what is done in the host's memory, whatever the device."""
        return self.threads or _cores()

    def rows(self, width: int, device: str | None) -> int:
        """Rows of a block, so that the blocks and the tile of every thread fit."""
        if self.memory < 1 or (self.threads is not None and self.threads < 1):
            raise InputError(f"memory and threads must be 1 or more, got {self.memory} and {self.threads}")
        room = self.memory * MEGABYTE / self.workers(device) / (1 if device is None else 2)
        largest = LARGEST if device is None else LARGEST_DEVICE
        by_row = 4 * 4 * (width + 2)  # left and right of two blocks
        rows = largest
        while rows >= SMALLEST:
            if rows * by_row + TILE_CELLS * rows * rows <= room:
                return rows
            rows //= 2
        raise InputError(
            f"{self.memory} MB is too little for {self.workers(device)} threads on vectors of {width}; "
            "give more memory or fewer threads"
        )


@dataclass(eq=False)
class _Count:
    """Tiles done of all; the lock also guards what visitors add up."""

    total: int
    progress: Progress | None
    lock: Lock = field(default_factory=Lock)
    done: int = 0

    def one(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


def crossed(first: Points, second: Points, visit: Visit, budget: Budget, progress: Progress | None = None) -> None:
    """Shows `visit` every tile of first x second, once."""
    strips, blocks = _blocks(first, budget), _blocks(second, budget)
    count = _Count(len(strips) * len(blocks), progress)

    def walk(strip: slice) -> None:
        left, room = first.left(strip), Room()
        for rows in blocks:
            visit(Tile.of(first, left, second, second.right(rows), room), count.lock)
            with count.lock:
                count.one()

    on_all_cores(walk, strips, budget.workers(first.frame.device))


def symmetric(points: Points, visit: Visit, budget: Budget, progress: Progress | None = None) -> None:
    """Shows `visit` the tiles on and above the diagonal: first those on it, then the others."""
    strips = _blocks(points, budget)
    count = _Count(len(strips) * (len(strips) + 1) // 2, progress)

    def show(left_rows: slice, right_rows: list[slice]) -> None:
        left, room = points.left(left_rows), Room()
        for rows in right_rows:
            visit(Tile.of(points, left, points, points.right(rows), room), count.lock)
            with count.lock:
                count.one()

    workers = budget.workers(points.frame.device)
    on_all_cores(lambda rows: show(rows, [rows]), strips, workers)
    on_all_cores(lambda place: show(strips[place], strips[place + 1 :]), range(len(strips) - 1), workers)


def _blocks(points: Points, budget: Budget) -> list[slice]:
    rows = budget.rows(points.width, points.frame.device)
    return [slice(start, min(start + rows, len(points))) for start in range(0, len(points), rows)]


def on_all_cores(work: Callable[[Any], None], items: Sequence[Any], workers: int) -> None:
    """`work` on every item; each thread multiplies by itself, since threads of a BLAS would wait for each other."""
    with _controller().limit(limits=1, user_api="blas"):
        if workers == 1 or len(items) < 2:
            for item in items:
                work(item)
            return
        pool = ThreadPoolExecutor(workers)
        try:
            for running in [pool.submit(work, item) for item in items]:
                running.result()
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt ends after the tiles in hand


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
