"""A retrained last layer as a report: every group before and after, what was tried, what counts as better."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from candid import groups, metrics
from candid.report.content import Bars, Content, Level, Line, Lines, Marker, Reason, Row, Section, Table, Verdict
from candid.types import Classifier, Encoder, Estimate, Features, Head, ImageSet
from candid.workflows.auditing import resampled
from candid.workflows.auditing.part import bar, percent, row, span
from candid.workflows.auditing.provenance import describe_input, describe_model, package_versions, unreadable
from candid.workflows.judged import Judged, judge

__all__ = ["Before", "content"]

RESAMPLES = 2000
FEW = 50  # rows of a group, below which its accuracy is little known
FLAT = 0.05  # spread of the worst group over settings, above which the choice matters


class Before(NamedTuple):
    """The last layer that was, and what it is called."""

    name: str
    head: Head


class _Judged(NamedTuple):
    """Two heads on the same labelled rows, by group."""

    before: metrics.GroupAccuracy
    after: metrics.GroupAccuracy
    names: tuple[str, ...]
    gained: Estimate
    rows: tuple[Row, ...]


def content(
    model: Encoder | Classifier, sets: Mapping[str, ImageSet], features: Mapping[str, Features], before: Before,
    retrained: groups.Retrained, judged: Features, classes: tuple[str, ...], *, judged_as: str,
    absent: Sequence[str], seed: int, command: str, recipe: Mapping[str, Any],
) -> Content:  # fmt: skip
    """The report of a retrained last layer, on features that did not retrain it."""
    found = _judge(before, retrained.head, judged, classes, seed)
    rows = (*found.rows, unreadable(features.values()))
    cannot_say = [f"How it does on {name}: there are no such images." for name in absent]
    cannot_say += [f"What retraining on {name} would give: left out by wish." for name in retrained.excluded]
    return Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        title=f"What does a retrained last layer change for {model.id}?",
        again="",
        config={"model": model.id, "revision": model.revision, "classes": list(classes), **recipe},
        inputs=tuple(describe_input("known", name, sets[name], each) for name, each in features.items()),
        model=describe_model(model),
        packages=package_versions(),
        seed=seed,
        verdict=_verdict(found, before, retrained),
        rows=rows,
        sections=(_changed(found, before, judged_as), _tried(retrained)),
        cannot_say=tuple(cannot_say),
    )


def _judge(before: Before, after: Head, judged: Features, classes: tuple[str, ...], seed: int) -> _Judged:
    assert judged.labels is not None
    by, names = judged.labels, classes
    if judged.groups is not None:
        called = judged.group_names or tuple(str(i) for i in range(int(judged.groups.max()) + 1))
        by, names, _ = groups.cross(judged.labels, judged.groups, classes, called)
    heads = {before.name: before.head, "retrained": after}
    logits = {name: head(judged.vectors) for name, head in heads.items()}
    first, second = (metrics.group_accuracy(each, judged.labels, by) for each in logits.values())
    states = {name: judge(each, judged.labels) for name, each in logits.items()}
    gained = _gained(states[before.name], states["retrained"], by, seed)
    rows = []
    for name, accuracy in zip(heads, (first, second), strict=True):
        rows += _rows(name, accuracy, names, states[name], by, seed)
    rows.insert(0, row("worst_group_gained", "all", gained, key=True))
    return _Judged(first, second, names, gained, tuple(rows))


def _rows(
    state: str, found: metrics.GroupAccuracy, names: tuple[str, ...], judged: Judged, by: np.ndarray, seed: int
) -> list[Row]:
    worst = f"group: {names[found.worst_group]}, {state}"
    rows = [
        row("worst_group_accuracy", worst, found.worst, key=True, label=f"right in the worst group, {state}"),
        row("accuracy", state, found.mean, key=True, label=f"right, {state}"),
        row("group_mean_accuracy", state, found.group_mean),
    ]
    if found.worst_apart is not None:
        apart = Estimate(found.worst_apart, 0.0, 1.0, found.worst.n)
        rows.append(row("worst_group_apart", state, apart).model_copy(update={"low": None, "high": None}))
    for group, estimate in found.by_group.items():
        rows.append(row("accuracy", f"group: {names[group]}, {state}", estimate))
        own = by == group
        error = resampled.ece_of(judged.confidence[own], judged.correct[own])
        found_error = resampled.bootstrap_rows(error, int(own.sum()), seed=seed)
        rows.append(row("ece", f"group: {names[group]}, {state}", found_error))
    return rows


def _gained(before: Judged, after: Judged, by: np.ndarray, seed: int) -> Estimate:
    """Worst group's accuracy after less before, rows resampled within groups, the worst found anew each time."""
    random, worst = np.random.default_rng(seed), []
    both = before.correct.astype(np.int64) * 2 + after.correct
    cells = [np.bincount(both[by == group], minlength=4) for group in np.unique(by)]
    drawn = np.stack([random.multinomial(each.sum(), each / each.sum(), RESAMPLES) / each.sum() for each in cells])
    worst = (drawn[..., 1] + drawn[..., 3]).min(axis=0) - (drawn[..., 2] + drawn[..., 3]).min(axis=0)
    seen = np.stack([each / each.sum() for each in cells])
    value = float((seen[:, 1] + seen[:, 3]).min() - (seen[:, 2] + seen[:, 3]).min())
    low, high = np.quantile(worst, [0.025, 0.975])
    return Estimate(value, min(float(low), value), max(float(high), value), n=len(by))


def _changed(found: _Judged, before: Before, judged_as: str) -> Section:
    first, second = found.before, found.after
    answer = (
        f"On {second.mean.n:,} {judged_as}, the worst of {len(second.by_group)} groups is right on "
        f"{_share(second.worst)} ({found.names[second.worst_group]}); with {before.name} it was "
        f"{_share(first.worst)} ({found.names[first.worst_group]}). All together: {_share(second.mean)} after "
        f"{_share(first.mean)}. Intervals of worst groups hold for all groups at once; by selection the value itself "
        f"is too low."
    )
    if first.worst_apart is not None and second.worst_apart is not None:
        answer += (
            f" With the group picked on one half of these images and measured on the other: "
            f"{percent(second.worst_apart)} after {percent(first.worst_apart)}."
        )
    bars = tuple(
        bar(f"{found.names[group]}, {state}", each.by_group[group])
        for group in sorted(first.by_group, key=lambda group: first.by_group[group].value)
        for state, each in ((before.name, first), ("retrained", second))
    )
    figure = Bars(
        id="groups-after", title="Accuracy by group", x_label="accuracy", unit="percent", better="higher", bars=bars,
        caption="Worst first, before and after; 95% Clopper-Pearson intervals. The line is the accuracy before.",
        markers=(Marker(axis="x", value=first.mean.value, label=f"{before.name} {percent(first.mean.value)}"),),
    )  # fmt: skip
    named = {(each.metric, each.slice): each for each in found.rows}
    body: tuple[tuple[str | float | int | None, ...], ...] = tuple(
        (
            found.names[group],
            first.by_group[group].n,
            *(span(named["accuracy", f"group: {found.names[group]}, {state}"]) for state in (before.name, "retrained")),
            *(span(named["ece", f"group: {found.names[group]}, {state}"]) for state in (before.name, "retrained")),
        )
        for group in first.by_group
    )
    table = Table(
        id="groups-numbers", title="The same in numbers",
        caption="ECE: 15 bins, within the group. A retrained layer is not calibrated yet: candid audit does that.",
        columns=("group", "images", f"right, {before.name}", "retrained", f"ECE, {before.name}", "retrained"),
        rows=body,
    )  # fmt: skip
    return Section(id="groups", title="What changes for whom?", answer=answer, figures=(figure, table))


def _tried(retrained: groups.Retrained) -> Section:
    best = max(retrained.tried, key=lambda trial: trial.mean)
    words = _words(retrained.setting, retrained)
    splits = len(best.worst)
    answer = (
        f"{len(retrained.tried)} settings were tried on {splits} halving{'s' if splits > 1 else ''} of the rows that "
        f"retrain; chosen: {words}, worst group {percent(best.mean)} there."
    )
    if splits > 1:
        answer += (
            f" From halving to halving that number has a standard deviation of {_points(float(np.std(best.worst)))}."
        )
    counts = ", ".join(f"{name} {n:,}" for name, n in retrained.counts.items())
    answer += f" Rows by group: {counts}."
    order = sorted(retrained.tried, key=lambda trial: -trial.mean)[:40]
    table = Table(
        id="tried", title="The best settings tried", caption="The first 40; tried.csv has all.",
        columns=("setting", "worst group, mean", "lowest", "highest"),
        rows=tuple(
            (_words(trial.setting, retrained), percent(trial.mean),
             percent(min(trial.worst)), percent(max(trial.worst)))
            for trial in order
        ),
    )  # fmt: skip
    return Section(id="tried", title="What was tried?", answer=answer, figures=(*_curve(retrained), table))


def _curve(retrained: groups.Retrained) -> tuple[Lines, ...]:
    """Worst group against C, where that is what was tried."""
    by_c = {float(trial.setting["c"]): trial for trial in retrained.tried if "c" in trial.setting}
    if len(by_c) < 2 or len(by_c) < len(retrained.tried):
        return ()
    at = sorted(by_c)
    line = Line(
        name="worst group",
        x=tuple(float(np.log10(c)) for c in at),
        y=tuple(by_c[c].mean for c in at),
        low=tuple(min(by_c[c].worst) for c in at),
        high=tuple(max(by_c[c].worst) for c in at),
    )
    caption = "Mean over halvings, the band spans them."
    figure = Lines(id="by-c", title="Worst group by C", caption=caption, x_label="log10 of C", y_label="accuracy",
                   series=(line,))  # fmt: skip
    return (figure,)


def _verdict(found: _Judged, before: Before, retrained: groups.Retrained) -> Verdict:
    gained = found.gained
    level: Level = "good" if gained.low > 0 else "bad" if gained.high < 0 else "caution"
    how = {"good": "better off than", "bad": "worse off than", "caution": "not surely better off than"}[level]
    headline = (
        f"The worst group is {how} with {before.name}: right on {_share(found.after.worst)} instead of "
        f"{_share(found.before.worst)}."
    )
    reasons = [
        Reason(rule="The worst group gains: the interval of its accuracy after less before lies above zero "
               "(bad: below).", text=f"{_signed(gained)}.", level=level)
    ]  # fmt: skip
    cost = found.before.mean.value - found.after.mean.value
    text = f"Over all images {_share(found.after.mean)} are right, {_share(found.before.mean)} before."
    reasons.append(Reason(rule="What the worst group gains does not cost more than that over all images.", text=text,
                          level="good" if cost <= max(0.0, gained.value) else "caution"))  # fmt: skip
    least = min(found.after.by_group.items(), key=lambda item: item[1].n)
    text = f"The smallest, {found.names[least[0]]}, is judged by {least[1].n:,}."
    reasons.append(Reason(rule=f"Every group is judged by {FEW} images or more.", text=text,
                          level="good" if least[1].n >= FEW else "caution"))  # fmt: skip
    smallest = min(retrained.counts.items(), key=lambda item: item[1])
    text = f"The smallest, {smallest[0]}, retrains with {smallest[1]:,}."
    reasons.append(Reason(rule=f"Every group retrains with {FEW} images or more.", text=text,
                          level="good" if smallest[1] >= FEW else "caution"))  # fmt: skip
    return Verdict(level=None, headline=headline, reasons=tuple(reasons))


def _share(found: Estimate) -> str:
    return f"{percent(found.value)} ({percent(found.low)} to {percent(found.high)})"


def _signed(found: Estimate) -> str:
    return (
        f"{100 * found.value:+.1f} points ({100 * found.low:+.1f} to {100 * found.high:+.1f}) "
        f"on {found.n:,} images, resampled within groups"
    )


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _words(setting: Mapping[str, Any], retrained: groups.Retrained) -> str:
    """A setting in words, without what was the same in all that were tried."""
    varied = {name for trial in retrained.tried for name in trial.setting if trial.setting[name] != setting[name]}
    return ", ".join(f"{name} {_said(value)}" for name, value in setting.items() if name in varied or len(setting) == 1)


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return " : ".join(f"{each:g}" for each in value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)
