"""A table whose cells are coloured by their numbers: read as a table by a screen reader, as a picture by the eye."""

import math
from dataclasses import dataclass

from candid.report.charts.svg import text_width
from candid.report.content import Heatmap
from candid.report.wording import clean, count, number, with_interval

__all__ = ["STEPS", "Cell", "cells", "describe", "legend", "upright"]

STEPS = 7  # tones of a ramp, all light enough (in the dark theme: dark enough) for the numbers printed on them
LEVEL = 620.0  # pixels of column names that stand side by side; beyond it they are turned


@dataclass(frozen=True)
class Cell:
    """What is printed, the classes that colour and frame it, and what pointing at it says."""

    words: str
    kind: str
    tip: str


def cells(figure: Heatmap) -> list[list[Cell]]:
    """The cells, row by row."""
    return [[_cell(figure, i, j) for j in range(len(figure.columns))] for i in range(len(figure.rows))]


def upright(figure: Heatmap) -> bool:
    """Whether the names of the columns fit side by side without being turned."""
    return sum(max(48.0, text_width(clean(name)) + 16) for name in figure.columns) <= LEVEL


def describe(figure: Heatmap) -> str:
    """The size and the extremes in words."""
    known = [
        (value, row, column)
        for row, values in zip(figure.rows, figure.values, strict=True)
        for column, value in zip(figure.columns, values, strict=True)
        if value is not None
    ]
    what = f"{figure.value_label}: {count(len(figure.rows))} rows ({figure.row_label}), "
    what += f"{count(len(figure.columns))} columns ({figure.column_label})."
    if not known:
        return what
    ends = (min(known, key=lambda k: k[0]), max(known, key=lambda k: k[0]))
    low, high = (f"{_printed(figure, v)} ({figure.row_label} {r}, {figure.column_label} {c})" for v, r, c in ends)
    return f"{what} Lowest: {low}. Highest: {high}."


def legend(figure: Heatmap) -> list[tuple[str, str]]:
    """The ends of the colours, the frame and the empty cell, as far as the figure has them."""
    known = [value for row in figure.values for value in row if value is not None]
    if not known:
        return []
    low, high = _ends(figure)
    words = {"higher": ("worse", "better"), "lower": ("better", "worse"), "neither": ("low", "high")}[figure.better]
    lines = [
        (f"cell {_tone(figure, end)}", f"{_printed(figure, end)}, {word}")
        for end, word in zip((low, high), words, strict=True)
    ]
    if high == low:
        lines = lines[:1]
    if set(figure.rows) & set(figure.columns):
        lines.append(("cell own", f"{figure.row_label} and {figure.column_label} the same"))
    if any(value is None for row in figure.values for value in row):
        lines.append(("cell none", "not applicable"))
    return lines


def _cell(figure: Heatmap, i: int, j: int) -> Cell:
    value, row, column = figure.values[i][j], figure.rows[i], figure.columns[j]
    own = " own" if row == column else ""
    where = f"{figure.row_label}: {row}\n{figure.column_label}: {column}\n"
    if value is None:
        return Cell("–", f"cell none{own}", f"{where}not applicable")
    around = figure.intervals[i][j] if figure.intervals else None
    low, high = around or (None, None)
    said = with_interval(value, low, high, figure.unit)
    return Cell(_printed(figure, value), f"cell {_tone(figure, value)}{own}", f"{where}{figure.value_label}: {said}")


def _ends(figure: Heatmap) -> tuple[float, float]:
    known = [value for row in figure.values for value in row if value is not None]
    low = min(known) if figure.low is None else figure.low
    high = max(known) if figure.high is None else figure.high
    return low, max(low, high)


def _tone(figure: Heatmap, value: float) -> str:
    low, high = _ends(figure)
    part = (min(max(value, low), high) - low) / (high - low) if high > low else 0.0
    if figure.better == "higher":
        part = 1.0 - part
    step = min(STEPS - 1, int(part * STEPS))
    return f"{'v' if figure.better == 'neither' else 'w'}{step}"


def _printed(figure: Heatmap, value: float) -> str:
    """The value with the decimals that tell the cells of this figure apart, the same in all."""
    low, high = _ends(figure)
    width = (high - low) * (100 if figure.unit == "percent" else 1)
    if width <= 0:
        return number(value, figure.unit)
    decimals = (1 if figure.unit == "percent" else 2) - math.floor(math.log10(width))
    return number(value, figure.unit, decimals=min(6, max(0, decimals)))
