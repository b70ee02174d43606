"""Where a sequence of images is cut into the runs that are encoded, cached and resumed as a whole.

A cut depends on the content around it, not on the position (content-defined chunking: Muthitacharoen, Chen, Mazieres
2001, "A low-bandwidth network file system", section 3.1), so adding or removing an image changes its own run and not
the ones after it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from candid.files import digest

__all__ = ["Run", "runs"]

SHORTEST = 64


@dataclass(frozen=True)
class Run:
    """Consecutive images: their `rows` in the set and the `digests` of their bytes. `key` names the same content."""

    rows: tuple[int, ...]
    digests: tuple[str, ...]

    @property
    def key(self) -> str:
        return digest("\n".join(self.digests).encode())

    def batches(self, size: int) -> list["Run"]:
        """The run in pieces of `size` images, the last one shorter."""
        starts = range(0, len(self.rows), size)
        return [Run(self.rows[at : at + size], self.digests[at : at + size]) for at in starts]


def runs(digests: Iterable[tuple[int, str]], *, batch_size: int) -> Iterator[Run]:
    """Runs of max(64, batch_size) to four times as many images, cut after an image whose own digest says so.

    >>> [len(run.rows) for run in runs(enumerate(["00", "ff"] * 100), batch_size=64)]
    [65, 64, 64, 7]
    """
    shortest = max(SHORTEST, batch_size)
    waiting: list[tuple[int, str]] = []
    for row, content in digests:
        waiting.append((row, content))
        cut = int(content[:16], 16) % (2 * shortest) == 0
        if (cut and len(waiting) >= shortest) or len(waiting) == 4 * shortest:
            yield _run(waiting)
            waiting = []
    if waiting:
        yield _run(waiting)


def _run(pairs: list[tuple[int, str]]) -> Run:
    rows, digests = zip(*pairs, strict=True)
    return Run(rows, digests)
