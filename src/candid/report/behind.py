"""The data behind a figure, as a table of printed values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from candid.report.charts.bars import ordered
from candid.report.content import (
    Bars,
    Figure,
    Heatmap,
    Histogram,
    Input,
    Line,
    Lines,
    ModelCard,
    Reliability,
    Row,
    Scatter,
    SkippedFile,
    Table,
    Thumbnails,
    Unit,
)
from candid.report.wording import count, interval, number, value_of, with_interval

__all__ = ["Sheet", "input_sheet", "model_sheet", "number_sheet", "parted", "sheet", "skipped_sheet"]

PRINTED = re.compile(r"([\u2212-]?[\d.,]+%?) \(([\u2212-]?[\d.,]+%? to [\u2212-]?[\d.,]+%?)\)")
MOST = 200  # rows of a curve that are printed; the file holds all
MOST_NUMBERS = 2000  # numbers that are printed, the same


@dataclass(frozen=True)
class Sheet:
    """A printed table; `numeric[i]` says that column i is set flush right; `note` what was left out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    note: str = ""

    def head(self, rows: int) -> "Sheet":
        """The first rows only."""
        return Sheet(self.columns, self.rows[:rows], self.numeric, self.note)


def sheet(figure: Figure) -> Sheet:
    """The table behind the figure."""
    match figure:
        case Reliability():
            return _reliability(figure)
        case Lines():
            return _lines(figure)
        case Histogram():
            return _histogram(figure)
        case Bars():
            return _bars(figure)
        case Scatter():
            return _scatter(figure)
        case Heatmap():
            return _heatmap(figure)
        case Table():
            return _table(figure)
        case Thumbnails():
            return _sheet(("picture", "text"), [(t.alt, t.text) for t in figure.items], "")


def number_sheet(rows: Sequence[Row]) -> Sheet:
    """Every number of the report, as far as a page can carry them."""
    printed = [
        (
            row.label or row.metric,
            row.slice,
            value_of(row),
            interval(row.low, row.high, row.unit) if row.low is not None and row.high is not None else "",
            count(row.n),
            "" if row.better == "neither" else row.better,
        )
        for row in rows[:MOST_NUMBERS]
    ]
    more = f"The first {MOST_NUMBERS:,} of {len(rows):,}; the downloaded data holds all."
    note = more if len(rows) > MOST_NUMBERS else ""
    return _sheet(("number", "of", "value", "95% interval", "n", "better"), printed, "..rrr.", note)


def input_sheet(inputs: Sequence[Input]) -> Sheet:
    """The image sets that went in."""
    rows = [
        (i.role, i.name, count(i.n), "yes" if i.labelled else "no", count(len(i.skipped)), i.path, i.digest)
        for i in inputs
    ]
    return _sheet(("role", "name", "images", "labelled", "skipped", "path", "content hash"), rows, "..r.r..")


def model_sheet(models: Sequence[ModelCard]) -> Sheet:
    """The models as they were used."""
    rows = [
        (m.id, m.activation, number(m.scale), number(m.bias), m.device, m.revision, m.preprocessing) for m in models
    ]
    columns = ("model", "activation", "logit scale", "logit bias", "device", "revision", "preprocessing")
    return _sheet(columns, rows, "..rr...")


def skipped_sheet(skipped: Sequence[SkippedFile]) -> Sheet:
    """Files that were found and not used."""
    return _sheet(("file", "why"), [(s.id, s.reason) for s in skipped], "")


def parted(cell: str) -> tuple[str, str]:
    """A printed value and its interval, the interval empty where the cell is anything else.

    >>> parted("0.083 (0.071 to 0.096)"), parted("cat (other)")
    (('0.083', '0.071 to 0.096'), ('cat (other)', ''))
    """
    found = PRINTED.fullmatch(cell)
    return (found[1], found[2]) if found else (cell, "")


def _sheet(columns: Sequence[str], rows: Sequence[tuple[str, ...]], numeric: str, note: str = "") -> Sheet:
    """`numeric` is one letter a column, "r" for flush right; missing letters are text."""
    flags = tuple(numeric[i : i + 1] == "r" for i in range(len(columns)))
    return Sheet(tuple(columns), tuple(rows), flags, note)


def _reliability(figure: Reliability) -> Sheet:
    rows = [
        (
            series.name,
            f"{number(b.low, 'percent')} to {number(b.high, 'percent')}",
            number(b.confidence, "percent"),
            number(b.accuracy, "percent"),
            interval(b.accuracy_low, b.accuracy_high, "percent"),
            count(b.n),
        )
        for series in figure.series
        for b in series.bins
    ]
    return _sheet(("series", "bin", "confidence", "accuracy", "95% interval", "n"), rows, ".rrrrr")


def _lines(figure: Lines) -> Sheet:
    rows: list[tuple[str, ...]] = []
    note = ""
    for line in figure.series:
        step = -(-len(line.x) // MOST) or 1
        if step > 1:
            note = f"Every {step}th point of {len(line.x):,}; the downloaded data holds all."
        rows += [_point(figure, line, i) for i in range(0, len(line.x), step)]
    return _sheet(("series", figure.x_label, figure.y_label, "95% interval"), rows, ".rrr", note)


def _point(figure: Lines, line: Line, i: int) -> tuple[str, ...]:
    x = number(line.x[i], figure.x_unit)
    around = interval(line.low[i], line.high[i], figure.y_unit) if line.low and line.high else ""
    return (line.name, x, number(line.y[i], figure.y_unit), around)


def _histogram(figure: Histogram) -> Sheet:
    edges = list(zip(figure.edges[:-1], figure.edges[1:], strict=True))
    rows = [
        (
            f"{number(low, figure.x_unit)} to {number(high, figure.x_unit)}",
            *(number(s.shares[i], "percent") if s.shares else "" for s in figure.series),
        )
        for i, (low, high) in enumerate(edges)
    ]
    names = [f"{s.name} (n = {count(s.n)})" for s in figure.series]
    return _sheet((figure.x_label, *names), rows, "r" * (1 + len(names)))


def _bars(figure: Bars) -> Sheet:
    rows = [
        (
            b.label,
            number(b.value, figure.unit),
            interval(b.low, b.high, figure.unit) if b.low is not None and b.high is not None else "",
            count(b.n),
        )
        for b in ordered(figure)
    ]
    return _sheet(("", figure.x_label, "95% interval", "n"), rows, ".rrr")


def _scatter(figure: Scatter) -> Sheet:
    rows = [
        (
            p.label,
            series.name,
            number(p.x, figure.x_unit),
            number(p.y, figure.y_unit),
            interval(p.low, p.high, figure.y_unit) if p.low is not None and p.high is not None else "",
            "" if p.n is None else count(p.n),
        )
        for series in figure.series
        for p in series.points
    ]
    return _sheet(("", "series", figure.x_label, figure.y_label, "95% interval", "n"), rows, "..rrrr")


def _heatmap(figure: Heatmap) -> Sheet:
    rows = []
    for i, (row, values) in enumerate(zip(figure.rows, figure.values, strict=True)):
        for j, (column, value) in enumerate(zip(figure.columns, values, strict=True)):
            low, high = (figure.intervals[i][j] if figure.intervals else None) or (None, None)
            rows.append((row, column, "–" if value is None else with_interval(value, low, high, figure.unit)))
    return _sheet((figure.row_label, figure.column_label, figure.value_label), rows, "..r")


def _table(figure: Table) -> Sheet:
    units: dict[int, Unit] = dict(enumerate(figure.units))
    rows = [tuple(_cell(value, units.get(i, "number")) for i, value in enumerate(row)) for row in figure.rows]
    values = [[row[i] for row in figure.rows if row[i] is not None] for i in range(len(figure.columns))]
    numeric = "".join("r" if column and all(map(_numeric, column)) else "." for column in values)
    return _sheet(figure.columns, rows, numeric)


def _numeric(value: str | float | int | None) -> bool:
    return not isinstance(value, str) or PRINTED.fullmatch(value) is not None


def _cell(value: str | float | int | None, unit: Unit) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return count(value) if isinstance(value, int) else number(value, unit)
