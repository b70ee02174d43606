"""Manifests as named columns: CSV, TSV, JSON lines, Parquet, and the Arrow files of a saved Hugging Face dataset.

Image bytes stay on disk: a Parquet column is read a row group at a time, an Arrow file is mapped.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from candid.data.cells import ArrowCells, ParquetCells
from candid.errors import InputError

__all__ = ["Sheet", "read_sheet"]


@dataclass(frozen=True)
class Sheet:
    """Columns by name. `encoded` columns hold images and are read a row at a time; `names` are their class names."""

    where: str
    header: tuple[str, ...]
    rows: int
    column: Callable[[str], list[Any]]
    encoded: dict[str, Callable[[int], Any]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)


def read_sheet(paths: Sequence[Path], *, where: str) -> Sheet:
    """The columns of one manifest, or of the shards of one data set, in the order given."""
    read = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".parquet": _parquet, ".arrow": _arrow}[
        paths[0].suffix.lower()
    ]
    try:
        return read(paths, where)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {where}: {error}") from error


def _csv(paths: Sequence[Path], where: str) -> Sheet:
    text = _text(paths[0])
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)  # spreadsheets of some countries write semicolons
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise InputError(f"{where} is empty; expected a line of column names")
    header = tuple(name.strip() for name in rows[0])
    if len(set(header)) < len(header):
        raise InputError(f"{where} names a column twice: {', '.join(header)}")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputError(f"{where}: row {number} has {len(row)} cells, the header has {len(header)}")
    cells = {name: [row[i].strip() for row in rows[1:]] for i, name in enumerate(header)}
    return Sheet(where, header, len(rows) - 1, cells.__getitem__)


def _jsonl(paths: Sequence[Path], where: str) -> Sheet:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(_text(paths[0]).splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{where}: line {number} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise InputError(f"{where}: line {number} must be an object, got {type(row).__name__}")
            rows.append(row)
    header = tuple(dict.fromkeys(name for row in rows for name in row))
    return Sheet(where, header, len(rows), lambda name: [row.get(name) for row in rows])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8") from error


def _parquet(paths: Sequence[Path], where: str) -> Sheet:
    schema = pq.read_schema(paths[0])

    def column(name: str) -> list[Any]:
        return [cell for path in paths for cell in pq.ParquetFile(path).read([name]).column(0).to_pylist()]

    encoded = {name: ParquetCells(paths, name) for name in schema.names if _holds_images(schema.field(name).type)}
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    return Sheet(where, tuple(schema.names), rows, column, dict(encoded), _class_names(schema, paths[0].parent))


def _arrow(paths: Sequence[Path], where: str) -> Sheet:
    table = pa.concat_tables([_mapped(path) for path in paths])
    images = [name for name in table.schema.names if _holds_images(table.schema.field(name).type)]
    encoded = {name: ArrowCells(table.column(name)) for name in images}
    names = _class_names(table.schema, paths[0].parent)
    header = tuple(table.schema.names)
    return Sheet(where, header, table.num_rows, lambda name: list(table.column(name).to_pylist()), dict(encoded), names)


def _mapped(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_stream(source).read_all()


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):  # what the datasets library writes: {bytes, path}
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _class_names(schema: pa.Schema, folder: Path) -> dict[str, list[str]]:
    """Names of the ClassLabel columns, from the schema or the dataset_info.json beside the file."""
    notes = schema.metadata or {}
    info: dict[str, Any] = {}
    if b"huggingface" in notes:
        info = json.loads(notes[b"huggingface"]).get("info", {})
    elif (folder / "dataset_info.json").is_file():
        info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    features = info.get("features") or {}
    names = {key: f["names"] for key, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    return names or _plain_names(notes.get(b"classes", b""))


def _plain_names(note: bytes) -> dict[str, list[str]]:
    """The `classes` note people write into a Parquet schema: a JSON list of names for the column `label`."""
    try:
        names = json.loads(note)
    except ValueError:
        return {}
    return {"label": names} if isinstance(names, list) and all(isinstance(name, str) for name in names) else {}
