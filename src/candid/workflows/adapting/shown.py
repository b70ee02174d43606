"""An adaptation as a report: what was gained, by which rule that counts, how training went, what the labels were."""

from collections.abc import Sequence

import numpy as np

from candid import metrics, tune
from candid.report.content import Bars, Level, Line, Lines, Marker, Reason, Reliability, Row, Section, Table, Verdict
from candid.workflows.adapting.judging import Comparison
from candid.workflows.auditing.calibration import reliability_series
from candid.workflows.auditing.part import NUMBERS, Part, bar, percent, row, share, span

__all__ = ["after", "curve", "pseudo_labels", "verdict"]

MOST_CLASSES = 60
ENOUGH_ROWS = 200
Named = dict[tuple[str, str], Row]


def after(found: Comparison, rows: Sequence[Row], *, judged_as: str) -> Section:
    """What tuning changed, on which images."""
    named = {(each.metric, each.slice): each for each in rows}
    answer = (
        f"On {found.n:,} {judged_as}, zero-shot is right on {span(named['accuracy', 'zero-shot'])} and the tuned head "
        f"on {span(named['accuracy', 'tuned'])}: {_points(named['accuracy_gained', 'all'])}."
    )
    if len(found.members) > 1:
        spread = float(np.std(found.member_accuracies, ddof=1))
        answer += (
            f" The tuned head is the mean of {len(found.members)} seeds; alone they are right on "
            f"{percent(float(np.mean(found.member_accuracies)))} on average, with a standard deviation of "
            f"{100 * spread:.1f} points. Seeds share their images and differ in start and order."
        )
    figures = (_bars(found, named), _reliability(found), _table(named))
    return Section(id="after", title="What did tuning change?", answer=answer, figures=figures)


def curve(tuned: tune.Tuned, *, images: int, views: int) -> Section:
    """Loss and accuracy on what was trained on, by epoch."""
    loss, right = np.asarray(tuned.loss), np.asarray(tuned.accuracy)
    answer = (
        f"From {loss.mean(axis=0)[0]:.3g} to {loss.mean(axis=0)[-1]:.3g} over {loss.shape[1]} epochs on {images:,} "
        f"images; the labels it was given are matched on {percent(float(right[:, -1].mean()))} in the last epoch."
    )
    if tuned.recipe["note"]:
        answer += f" The model's own text tower was used, at full cost: {tuned.recipe['note']}."
    if tuned.warning:
        answer += f" {tuned.warning[:1].upper()}{tuned.warning[1:]}."
    seen = f"Epoch e sees view e of {views} of every image." if views > 1 else "Every epoch sees the same view."
    figure = Lines(
        id="training",
        title="Training loss",
        caption=f"Mean over {len(loss)} seeds, the band spans them. {seen}",
        x_label="epoch",
        y_label=f"{tuned.recipe['loss']} loss",
        series=(_line("loss", loss),),
    )
    return Section(id="training", title="How did training go?", answer=answer, figures=(figure,))


def pseudo_labels(found: tune.PseudoLabels, classes: Sequence[str], labels: np.ndarray | None) -> Part:
    """How many images each class got, and how right their labels are where that is known."""
    kept = np.bincount(found.labels, minlength=found.classes)
    predicted = np.bincount(found.predicted, minlength=found.classes)
    answer = f"{len(found.rows):,} of {len(found.predicted):,} images were kept, for {np.count_nonzero(kept)} classes."
    if found.missing:
        names = ", ".join(classes[label] for label in found.missing[:10])
        more = f" and {len(found.missing) - 10} more" if len(found.missing) > 10 else ""
        answer += f" Never predicted, so without any: {names}{more}."
    if labels is None:
        table = _pseudo_table([(name, int(kept[i]), int(predicted[i])) for i, name in enumerate(classes)])
        section = Section(id="pseudo-labels", title="What did it train on?", answer=answer, figures=(table,))
        return Part((), (section,), ("How right the pseudo-labels are: the images have no labels.",))
    report = found.report(labels)
    rows = [row("pseudo_label_coverage", "all", report.predictions)]
    if report.accuracy is not None:
        rows.insert(0, row("pseudo_label_accuracy", "all", report.accuracy, key=True))
        answer += f" Their labels are right on {share(report.accuracy)}."
    for name, each in zip(classes, report.classes, strict=True):
        rows += [
            row(metric, f"class: {name}", value)
            for metric, value in (("pseudo_label_accuracy", each.accuracy), ("pseudo_label_coverage", each.coverage))
            if value is not None
        ]
    cells = [
        (
            name,
            each.kept,
            each.predicted,
            "none kept" if each.accuracy is None else share(each.accuracy),
            "no images" if each.coverage is None else share(each.coverage),
        )
        for name, each in zip(classes, report.classes, strict=True)
    ]
    section = Section(id="pseudo-labels", title="What did it train on?", answer=answer, figures=(_pseudo_table(cells),))
    return Part(tuple(rows), (section,))


def verdict(rows: Sequence[Row], *, tuned: tune.Tuned, missing: int) -> Verdict:
    """Findings by stated rules, and what they come to in one sentence."""
    named = {(each.metric, each.slice): each for each in rows}
    reasons = [reason for reason in (_better(named), _likelier(named), _enough(named)) if reason is not None]
    if tuned.warning:
        reasons.append(Reason(rule="Training goes downhill.", text=tuned.warning, level="bad", word="collapsed"))
    if missing:
        text = f"{missing} classes were never predicted and were trained without images."
        reasons.append(Reason(rule="Every class has pseudo-labels.", text=text, level="caution"))
    return Verdict(level=None, headline=_headline(named), reasons=tuple(reasons))


def _headline(named: Named) -> str:
    if ("accuracy_gained", "all") not in named:
        return "The head was tuned; without labelled images nothing can be said about what that changed."
    gained = named["accuracy_gained", "all"]
    how = {"good": "better than", "caution": "not surely different from", "bad": "worse than"}[_level(gained)]
    before, now = named["accuracy", "zero-shot"], named["accuracy", "tuned"]
    return f"The tuned head is {how} zero-shot on {gained.n:,} images: right on {span(now)} instead of {span(before)}."


def _better(named: Named) -> Reason | None:
    rule = "Better than zero-shot: the paired interval of the difference in accuracy lies above zero (bad: below)."
    gained = named.get(("accuracy_gained", "all"))
    if gained is None:
        return Reason(rule=rule, text="There are no labelled images to judge by.", level="unknown")
    return Reason(rule=rule, text=f"{_points(gained)[:1].upper()}{_points(gained)[1:]}.", level=_level(gained))


def _likelier(named: Named) -> Reason | None:
    gained = named.get(("nll_removed", "all"))
    if gained is None:
        return None
    rule = "Its probabilities are better than those of zero-shot too: the paired interval of the log-likelihood gained "
    text = f"{span(gained)} nats an image; ECE {span(named['ece', 'tuned'])} after {span(named['ece', 'zero-shot'])}."
    return Reason(rule=rule + "lies above zero (bad: below).", text=text, level=_level(gained))


def _enough(named: Named) -> Reason | None:
    found = named.get(("accuracy", "tuned"))
    if found is None:
        return None
    level: Level = "good" if found.n >= ENOUGH_ROWS else "caution"
    return Reason(rule=f"At least {ENOUGH_ROWS} images judge.", text=f"{found.n:,} images judge.", level=level)


def _level(gained: Row) -> Level:
    low, high = (gained.value if end is None else end for end in (gained.low, gained.high))
    return "good" if low > 0 else "bad" if high < 0 else "caution"


def _points(gained: Row) -> str:
    return f"a difference of {span(gained)} on the same images"


def _bars(found: Comparison, named: Named) -> Bars:
    seeds = [
        bar(f"seed {i} alone", metrics.proportion(int(each.correct.sum()), found.n))
        for i, each in enumerate(found.members)
    ]
    states = [
        bar(name, metrics.proportion(int(each.correct.sum()), found.n))
        for name, each in (("zero-shot", found.before), ("tuned", found.after))
    ]
    level = named["accuracy", "zero-shot"].value
    return Bars(
        id="accuracy-after",
        title="Accuracy before and after",
        caption="95% Clopper-Pearson intervals on the same images; the line is zero-shot.",
        x_label="accuracy",
        unit="percent",
        better="higher",
        bars=(*states, *(seeds if len(seeds) > 1 else ())),
        markers=(Marker(axis="x", value=level, label=f"zero-shot {percent(level)}"),),
    )


def _reliability(found: Comparison) -> Reliability:
    states = {"zero-shot": found.before, "tuned": found.after}
    return Reliability(
        id="reliability-after",
        title="Does it mean what it says?",
        caption="Share right against stated confidence, 15 bins, 95% Clopper-Pearson intervals.",
        series=tuple(reliability_series(name, judged) for name, judged in states.items()),
    )


def _table(named: Named) -> Table:
    gains = {"accuracy": "accuracy_gained", "nll": "nll_removed", "ece": "ece_removed"}
    body = [
        (
            NUMBERS[metric].label,
            span(named[metric, "zero-shot"]),
            span(named[metric, "tuned"]),
            span(named[gain, "all"]),
        )
        for metric, gain in gains.items()
    ]
    return Table(
        id="after-numbers",
        title="The same in numbers",
        caption="The last column is paired: both heads on the same resampled images. Positive is better.",
        columns=("number", "zero-shot", "tuned", "gained"),
        rows=tuple(body),
    )


def _line(name: str, values: np.ndarray) -> Line:
    epochs = np.arange(1, values.shape[1] + 1, dtype=np.float64)
    several = len(values) > 1
    return Line(
        name=name,
        x=tuple(epochs.tolist()),
        y=tuple(values.mean(axis=0).tolist()),
        low=tuple(values.min(axis=0).tolist()) if several else None,
        high=tuple(values.max(axis=0).tolist()) if several else None,
    )


def _pseudo_table(rows: Sequence[tuple[str | int, ...]]) -> Table:
    columns = ("class", "images kept", "predicted", "right among those kept", "found among its own images")
    more = f" The first {MOST_CLASSES} of {len(rows)}; numbers.csv has all." if len(rows) > MOST_CLASSES else ""
    return Table(
        id="pseudo-label-classes",
        title="Pseudo-labels by class",
        caption=f"95% Clopper-Pearson intervals where labels are known.{more}",
        columns=columns[: len(rows[0])],
        rows=tuple(rows[:MOST_CLASSES]),
    )
