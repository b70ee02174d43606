"""The study's figures: many models' findings gathered over models, as scatters, heatmaps, curves and tables."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from candid.report.content import (
    Bin,
    Figure,
    Heatmap,
    Line,
    Lines,
    Point,
    PointSeries,
    Reliability,
    ReliabilitySeries,
    Scatter,
    Table,
)
from candid.report.wording import with_interval
from candid.workflows.studying.finding import Finding, ModelFindings
from candid.workflows.studying.questions import ORACLE, OWN, SHIPPED

__all__ = ["KINDS", "STATES", "against_accuracy", "by_labels", "diagram", "grid", "numbers", "of", "set_table"]

KINDS = {"vlm": "VLM", "supervised": "supervised"}
STATES = {SHIPPED: "as shipped", OWN: "one temperature"}

Where = Callable[[Finding], tuple[str, str]]  # the row and the column a finding belongs to


def of(findings: Iterable[Finding], question: str, metric: str) -> list[Finding]:
    """The findings of one question and metric."""
    return [each for each in findings if each.question == question and each.metric == metric]


def against_accuracy(findings: Sequence[Finding], sets: Sequence[str], *, name: str, about: str) -> Scatter:
    """F1: ECE against accuracy, a dot a model and state; over several sets, their means."""
    accuracy, error = (_by_model(findings, metric, sets) for metric in ("accuracy", "ece"))
    kinds = {each.model: each.kind for each in findings}
    series = []
    for kind, word in KINDS.items():
        for state, said in STATES.items():
            points = [
                _point(model, accuracy[model, state], error[model, state])
                for model, found in error
                if found == state and kinds[model] == kind and (model, state) in accuracy
            ]
            if points:
                series.append(PointSeries(name=f"{word}, {said}", points=tuple(points)))
    return Scatter(
        id=f"accuracy-{name}",
        title=f"ECE against accuracy on {name}",
        caption=f"One dot a model before and after one temperature, {about}. Intervals: bootstrap over rows.",
        x_label="accuracy",
        y_label="ECE",
        x_unit="percent",
        series=tuple(series),
        linked=True,
    )


def grid(
    findings: Iterable[Finding], where: Where, *, name: str, title: str, caption: str, rows: str, columns: str,
    value: str = "ECE, median over models", order: Sequence[str] = (),
) -> Heatmap | None:  # fmt: skip
    """Medians over models of the findings that share a row and a column, with the range over models; None for none."""
    cells: dict[tuple[str, str], list[float]] = {}
    for each in findings:
        cells.setdefault(where(each), []).append(each.value)
    if not cells:
        return None
    rank = {label: i for i, label in enumerate(order)}
    first, second = (
        tuple(sorted(dict.fromkeys(pair[axis] for pair in cells), key=lambda label: rank.get(label, len(rank))))
        for axis in (0, 1)
    )
    return Heatmap(
        id=name,
        title=title,
        caption=caption,
        row_label=rows,
        column_label=columns,
        value_label=value,
        rows=first,
        columns=second,
        values=tuple(tuple(_median(cells.get((a, b))) for b in second) for a in first),
        intervals=tuple(tuple(_range(cells.get((a, b))) for b in second) for a in first),
        better="lower",
    )


def by_labels(findings: Sequence[Finding], used_on: str) -> Lines | None:
    """F2: ECE against the number of labels, a curve a kind: median over models, band over models."""
    found = [each for each in of(findings, "F2", "ece") if each.used_on == used_on]
    lines = []
    for kind, word in KINDS.items():
        steps: dict[int, list[float]] = {}
        for each in found:
            if each.kind == kind:
                steps.setdefault(each.n_fit, []).append(each.value)
        if steps:
            order = sorted(steps)
            lines.append(
                Line(
                    name=f"{word} (median of {len(next(iter(steps.values())))})",
                    x=tuple(float(step) for step in order),
                    y=tuple(float(np.median(steps[step])) for step in order),
                    low=tuple(min(steps[step]) for step in order),
                    high=tuple(max(steps[step]) for step in order),
                )
            )
    if not lines:
        return None
    return Lines(
        id=f"labels-{used_on}",
        title=f"ECE against number of labels on {used_on}",
        caption="Each model's mean over draws; the band spans the models. Spread over draws: tables/F2.csv. A draw "
        "without an optimum counts as no temperature.",
        x_label="labels that fitted the temperature",
        y_label="ECE",
        series=tuple(lines),
        log_x=True,
    )


def set_table(findings: Sequence[Finding], used_on: str) -> Table:
    """T1 of one set: a line a model."""
    found = {
        (each.model, each.method, each.metric): each
        for each in findings
        if each.question == "T1" and each.used_on == used_on
    }
    oracle = any(method == ORACLE for _, method, _ in found)
    body: list[tuple[str | float | int | None, ...]] = []
    for model in dict.fromkeys(model for model, _, _ in found):
        cells = [
            (SHIPPED, "accuracy"), (SHIPPED, "ece"), (OWN, "ece"), (OWN, "ece_if_calibrated"), (OWN, "temperature"),
            *([(ORACLE, "ece")] if oracle else []), (SHIPPED, "nll"), (OWN, "nll"), (OWN, "brier"),
        ]  # fmt: skip
        body.append((model, *(_shown(found.get((model, *cell)), percent=cell[1] == "accuracy") for cell in cells)))
    return Table(
        id=f"table-{used_on}",
        title=f"Every model on {used_on}",
        caption="Judged on rows that fitted nothing. Lower is better but for accuracy.",
        columns=("model", "accuracy", "ECE as shipped", "ECE with T", "if calibrated", "T",
                 *(("ECE with its own T",) if oracle else ()), "NLL as shipped", "NLL with T", "Brier with T"),
        rows=tuple(body),
    )  # fmt: skip


def numbers(
    findings: Iterable[Finding], columns: Sequence[str], *, name: str, title: str, caption: str, first: str
) -> Table | None:
    """Medians over models of several metrics, a line a method; the range over models beside each."""
    cells: dict[tuple[str, str], list[float]] = {}
    for each in findings:
        if each.metric in columns:
            cells.setdefault((each.method, each.metric), []).append(each.value)
    methods = tuple(dict.fromkeys(method for method, _ in cells))
    if not methods:
        return None
    body = [(method, *(_spread(cells.get((method, metric))) for metric in columns)) for method in methods]
    heads = tuple(metric.replace("_", " ") for metric in columns)
    return Table(id=name, title=title, caption=caption, columns=(first, *heads), rows=tuple(body))


def diagram(found: ModelFindings, used_on: str) -> Figure | None:
    """F3: the reliability diagrams of one model on one set, before and after."""
    series = [
        ReliabilitySeries(name=f"{found.name}, {said}", bins=tuple(Bin.model_validate(each) for each in bins))
        for state, said in STATES.items()
        if (bins := found.reliability.get(f"{used_on}, {state}"))
    ]
    if not series:
        return None
    return Reliability(
        id=f"reliability-{found.name}",
        title=f"{found.name} on {used_on}",
        caption="Share right against stated confidence, 15 bins, 95% Clopper-Pearson intervals.",
        series=tuple(series),
    )


def _by_model(findings: Sequence[Finding], metric: str, sets: Sequence[str]) -> dict[tuple[str, str], list[Finding]]:
    found: dict[tuple[str, str], list[Finding]] = {}
    for each in of(findings, "T1", metric):
        if each.used_on in sets and each.method in STATES:
            found.setdefault((each.model, each.method), []).append(each)
    return found


def _point(model: str, accuracy: list[Finding], error: list[Finding]) -> Point:
    x, y = (float(np.mean([each.value for each in found])) for found in (accuracy, error))
    single = error[0] if len(error) == 1 else None
    n = sum(each.n for each in error)
    return Point(label=model, x=x, y=y, low=single.low if single else None, high=single.high if single else None, n=n)


def _median(values: list[float] | None) -> float | None:
    return None if values is None else float(np.median(values))


def _range(values: list[float] | None) -> tuple[float, float] | None:
    return None if values is None or len(values) < 2 else (min(values), max(values))


def _spread(values: list[float] | None) -> str | None:
    if values is None:
        return None
    return with_interval(float(np.median(values)), *((min(values), max(values)) if len(values) > 1 else (None, None)))


def _shown(found: Finding | None, *, percent: bool) -> str | None:
    if found is None:
        return None
    return with_interval(found.value, found.low, found.high, "percent" if percent else "number")
