"""Encoded images inside tables, fetched by row, so that a data set larger than memory can be read."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["ArrowCells", "ParquetCells"]


class ArrowCells:
    """Cells of a column of memory-mapped Arrow files."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __call__(self, row: int) -> Any:
        return self._column[row].as_py()


class ParquetCells:
    """Cells of one column over several Parquet files. Two row groups stay in memory, as readers go in order."""

    def __init__(self, paths: Sequence[Path], column: str) -> None:
        self._column = column
        sizes = [_group_sizes(path) for path in paths]
        self._groups = [(path, number) for path, rows in zip(paths, sizes, strict=True) for number in range(len(rows))]
        self._starts = list(accumulate((n for rows in sizes for n in rows), initial=0))
        self._lock = Lock()
        self._load = lru_cache(maxsize=2)(self._read)

    def __call__(self, row: int) -> Any:
        group = bisect_right(self._starts, row) - 1
        with self._lock:  # or every thread that crosses a boundary would read the same row group
            cells = self._load(group)
        return cells[row - self._starts[group]].as_py()

    def _read(self, group: int) -> pa.ChunkedArray:
        path, number = self._groups[group]
        with pq.ParquetFile(path) as file:
            return file.read_row_group(number, columns=[self._column], use_threads=False).column(0)


def _group_sizes(path: Path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
