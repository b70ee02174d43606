"""Figures of the noisy-prompt study from its records."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy import stats

from candid.report.content import Figure, Line, Lines, Marker, Table, Unit
from candid.report.wording import with_interval
from candid.types import Estimate
from candid.workflows.prompting.record import Record

__all__ = ["curves", "over_draws", "table", "zero_shot"]

SHARES = {
    "accuracy",
    "ece",
    "auroc_msp",
    "auroc_energy",
    "pseudo_label_accuracy",
    "pseudo_label_coverage",
    "coherence_right",
    "coherence_wrong",
    "cosine",
}  # numbers of at most 1


def over_draws(records: Sequence[Record], metric: str) -> Estimate | None:
    """Mean over model-set pairs of the mean over draws; the 95 % t interval is over draws (of the pairs' mean)."""
    by_draw: dict[int, list[float]] = {}
    for each in records:
        if metric in each.numbers:
            by_draw.setdefault(each.draw, []).append(each.numbers[metric])
    if not by_draw:
        return None
    values = [float(np.mean(found)) for found in by_draw.values()]
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, mean, mean, len(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    most = 1.0 if metric in SHARES else np.inf
    return Estimate(mean, max(mean - half, -1.0 if metric == "cosine" else 0.0), min(mean + half, most), len(values))


def zero_shot(records: Sequence[Record], metric: str, *, beside: Sequence[Record]) -> float | None:
    """Mean of the zero-shot heads of the models and sets that `beside` is of."""
    pairs = {(each.model, each.set) for each in beside}
    values = [
        each.numbers[metric]
        for each in records
        if each.question == "zero-shot" and metric in each.numbers and (each.model, each.set) in pairs
    ]
    return float(np.mean(values)) if values else None


def curves(
    records: Sequence[Record],
    *,
    x: Callable[[Record], float],
    series: Callable[[Record], str | None],
    metric: str,
    name: str,
    title: str,
    x_label: str,
    y_label: str,
    caption: str = "",
    x_unit: Unit = "percent",
    y_unit: Unit = "percent",
    log_x: bool = False,
    base: float | None = None,
) -> Figure | None:
    """One line a series over x, with its interval over draws; `base` is drawn across."""
    cells: dict[str, dict[float, list[Record]]] = {}
    for each in records:
        label = series(each)
        if label is not None and metric in each.numbers:
            cells.setdefault(label, {}).setdefault(x(each), []).append(each)
    lines = []
    for label, points in cells.items():
        places = sorted(points)
        found = [over_draws(points[place], metric) for place in places]
        if all(each is not None for each in found):
            values = [each for each in found if each is not None]
            lines.append(
                Line(name=label, x=tuple(places), y=tuple(e.value for e in values), low=tuple(e.low for e in values),
                     high=tuple(e.high for e in values))
            )  # fmt: skip
    if not lines:
        return None
    markers = () if base is None else (Marker(axis="y", value=base, label="zero-shot"),)
    return Lines(
        id=name, title=title, caption=caption, x_label=x_label, y_label=y_label, series=tuple(lines), x_unit=x_unit,
        y_unit=y_unit, log_x=log_x, markers=markers,
    )  # fmt: skip


def table(
    records: Sequence[Record],
    *,
    rows: Callable[[Record], tuple[str, ...] | None],
    columns: Callable[[Record], str],
    metrics: Iterable[tuple[str, str, Unit]],
    heads: tuple[str, ...],
    name: str,
    title: str,
    caption: str,
) -> Figure | None:
    """One row a `rows` key, and for each of its `columns` every metric (name, words, unit) with its interval."""
    cells: dict[tuple[str, ...], dict[str, list[Record]]] = {}
    for each in records:
        key = rows(each)
        if key is not None:
            cells.setdefault(key, {}).setdefault(columns(each), []).append(each)
    kinds = list(dict.fromkeys(column for found in cells.values() for column in found))
    asked = list(metrics)
    if not cells:
        return None
    body = []
    for key, found in cells.items():
        shown: list[str | None] = []
        for column in kinds:
            for metric, _, unit in asked:
                estimate = over_draws(found.get(column, []), metric)
                shown.append(None if estimate is None else _printed(estimate, unit))
        body.append((*key, *shown))
    over = tuple(" ".join(filter(None, (column, words))) for column in kinds for _, words, _ in asked)
    return Table(id=name, title=title, caption=caption, columns=(*heads, *over), rows=tuple(body))


def _printed(found: Estimate, unit: Unit) -> str:
    low, high = (found.low, found.high) if found.n > 1 else (None, None)
    return with_interval(found.value, low, high, unit)
