"""Reading images ahead of the model: bytes hashed and pixels decoded by threads while something else is waited for."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from candid.errors import UnreadableImage
from candid.files import digest
from candid.types import ImageSet

__all__ = ["Counter", "buffered", "contents", "crew", "silent"]

HASHED_AHEAD = 256  # images
Item = TypeVar("Item")


def crew(workers: int | None) -> ThreadPoolExecutor:
    """Threads that decode, one a core by default."""
    return ThreadPoolExecutor(workers or _cores(), thread_name_prefix="candid-decode")


def buffered(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """The same items, each one made `depth` items before it is handed out.

    >>> list(buffered("abc", 2))
    ['a', 'b', 'c']
    """
    waiting: deque[Item] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > depth:
            yield waiting.popleft()
    yield from waiting


def contents(
    images: ImageSet, pool: ThreadPoolExecutor, lost: dict[int, str], done: Callable[[int], None]
) -> Iterator[tuple[int, str]]:
    """Row and content hash of every image whose bytes can be read; the others go to `lost` and are `done`."""
    asked = ((row, pool.submit(_digest, images, row)) for row in range(len(images)))
    for row, future in buffered(asked, HASHED_AHEAD):
        try:
            yield row, future.result()
        except UnreadableImage as error:
            lost[row] = error.reason
            done(1)


class Counter:
    """Tells `progress` how many of `total` are done."""

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0
        progress(0, total)

    def __call__(self, count: int) -> None:
        self.done += count
        self.progress(self.done, self.total)


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


def _digest(images: ImageSet, row: int) -> str:
    return digest(images.raw(row))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
