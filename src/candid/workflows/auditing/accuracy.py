"""How accurate: overall, per class, per group, and what is taken for what."""

import numpy as np
from jaxtyping import Int

from candid import metrics
from candid.report.content import Bars, Marker, Row, Section, Table
from candid.types import Correct, Estimate
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.part import Part, bar, percent, row, share

__all__ = ["accuracy"]

MOST_BARS = 60
MOST_CONFUSIONS = 15


def accuracy(evidence: Evidence) -> Part:
    """Rows `accuracy` for all, each class and each group present, `majority_share`, and the confusions."""
    if evidence.known.labels is None:
        return Part(
            cannot_say=(
                "How accurate the model is, overall, per class and per group: the known images have no labels.",
                "Which classes it confuses: the known images have no labels.",
            )
        )
    predicted = evidence.logits.argmax(axis=1)
    correct = predicted == evidence.truth
    overall = _share(correct)
    counts = np.bincount(evidence.truth, minlength=len(evidence.head.classes))
    majority = metrics.proportion(int(counts.max()), len(correct))
    rows = [row("accuracy", "all", overall, key=True), row("majority_share", "all", majority)]

    by_class = _by(evidence.truth, evidence.head.classes, correct)
    rows += [row("accuracy", f"class: {name}", estimate) for name, estimate in by_class.items()]
    absent = [name for name, count in zip(evidence.head.classes, counts, strict=True) if count == 0]
    confusions = _confusions(evidence, predicted)
    answer = f"Right on {share(overall)} of {len(correct):,} images."
    worst = min(by_class, key=lambda name: by_class[name].value)
    answer += f" Weakest class: {worst}, {share(by_class[worst])}, n = {by_class[worst].n:,}."
    if absent:
        answer += f" No images of: {_some(absent)}."
    figures = (_bars("accuracy-class", "class", by_class, overall), confusions)
    section = Section(id="accuracy", title="How accurate is it?", answer=answer, figures=figures)

    groups = _groups(evidence, correct, overall)
    return Part((*rows, *groups.rows), (section, *groups.sections), groups.cannot_say)


def _groups(evidence: Evidence, correct: Correct, overall: Estimate) -> Part:
    if evidence.known.groups is None:
        return Part(cannot_say=("Which group of images is served worst: the known images have no group column.",))
    names = evidence.known.group_names or tuple(str(i) for i in range(int(evidence.known.groups.max()) + 1))
    by_group = _by(evidence.known.groups, names, correct)
    worst = min(by_group, key=lambda name: by_group[name].value)
    rows: list[Row] = [row("accuracy", f"group: {name}", estimate) for name, estimate in by_group.items()]
    rows.append(row("worst_group_accuracy", f"group: {worst}", by_group[worst], key=True))
    gap = overall.value - by_group[worst].value
    answer = (
        f"Worst of {len(by_group)} groups: {worst}, right on {share(by_group[worst])} of {by_group[worst].n:,} images, "
        f"{100 * gap:.1f} points below the overall accuracy. The worst of several looks worse than it is, by selection."
    )
    if absent := [name for name in names if name not in by_group]:
        answer += f" No images of: {_some(absent)}."
    figure = _bars("accuracy-group", "group", by_group, overall)
    return Part(tuple(rows), (Section(id="groups", title="Who is served worst?", answer=answer, figures=(figure,)),))


def _by(kind: Int[np.ndarray, " n"], names: tuple[str, ...], correct: Correct) -> dict[str, Estimate]:
    """Accuracy of each kind that has rows; an absent one is absent, not 0."""
    return {names[i]: _share(correct[kind == i]) for i in np.unique(kind)}


def _share(hits: Correct) -> Estimate:
    return metrics.proportion(int(hits.sum()), len(hits))


def _bars(figure_id: str, noun: str, shares: dict[str, Estimate], overall: Estimate) -> Bars:
    worst_first = sorted(shares, key=lambda name: shares[name].value)
    caption = "Worst first, 95% Clopper-Pearson intervals; the line is the overall accuracy."
    if len(shares) > MOST_BARS:
        caption += f" The {MOST_BARS} lowest of {len(shares)}; report.json holds all."
    return Bars(
        id=figure_id,
        title=f"Accuracy per {noun}",
        caption=caption,
        x_label="accuracy",
        unit="percent",
        better="higher",
        bars=tuple(bar(name, shares[name]) for name in worst_first[:MOST_BARS]),
        markers=(Marker(axis="x", value=overall.value, label=f"overall {percent(overall.value)}"),),
    )


def _confusions(evidence: Evidence, predicted: Int[np.ndarray, " n"]) -> Table:
    k, names = len(evidence.head.classes), evidence.head.classes
    wrong = predicted != evidence.truth
    pairs, counts = np.unique(evidence.truth[wrong] * k + predicted[wrong], return_counts=True)
    sizes = np.bincount(evidence.truth, minlength=k)
    rows = []
    for place in np.argsort(-counts, kind="stable")[:MOST_CONFUSIONS]:
        truth, answer, count = int(pairs[place] // k), int(pairs[place] % k), int(counts[place])
        found = metrics.proportion(count, int(sizes[truth]))
        rows.append((names[truth], names[answer], count, int(sizes[truth]), share(found)))
    return Table(
        id="confusions",
        title="What is taken for what",
        caption="The most frequent mistakes; the share is of the images of the true class.",
        columns=("is", "taken for", "images", "of", "share"),
        rows=tuple(rows),
    )


def _some(names: list[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
