"""Which labels could it be: prediction sets that hold the right one as often as promised, and whether they do.

The threshold comes from calibration rows and is read on evaluation rows. A calibrator of several numbers shares no row
with it; the temperature, one number, does (docs/studies/audit.md says what that costs).
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Bool

from candid import metrics
from candid.calibrate import ConformalSet
from candid.calibrate.conformal_scores import ConformalMethod
from candid.report.content import Bars, Counts, Histogram, Marker, Row, Section, Table
from candid.types import Correct, Estimate, Features, Groups, Labels, Logits
from candid.workflows.auditing.evidence import Evidence, align
from candid.workflows.auditing.fitted import Fitted
from candid.workflows.auditing.part import NUMBERS, Part, bar, percent, row, share, span

__all__ = ["prediction_sets"]

MOST_BARS = 40
MOST_SIZES = 12  # sets of more labels share the last bin of the histogram
Sets = Bool[np.ndarray, "n k"]


@dataclass(frozen=True)
class Judged:
    """Sets of one way of stating probabilities, on the rows that judge them."""

    fitted: ConformalSet
    sets: Sets
    inside: Correct


def prediction_sets(evidence: Evidence, fitted: Fitted) -> tuple[Part, ConformalSet | None]:
    """Rows `set_*` as shipped and calibrated, by class, group and shifted set; and the sets a predictor hands out."""
    if evidence.sets is None:
        return Part(), None
    rows_used = evidence.set_rows if fitted.other is not None else evidence.calibration
    needed = metrics.conformal_rows(evidence.coverage)
    if evidence.known.labels is None or len(rows_used) < needed:
        had = "no labels" if evidence.known.labels is None else f"{len(rows_used)} calibration rows"
        promise = f"Which labels an image could have, at {_promised(evidence)} coverage"
        return Part(cannot_say=(f"{promise}: it takes {needed} labelled rows, there are {had}.",)), None
    states = {"raw": Fitted(None)} | ({"calibrated": fitted} if fitted.mends else {})
    judged = {name: _judged(evidence, how, rows_used) for name, how in states.items()}
    used = list(judged)[-1]
    rows = [found for name, each in judged.items() for found in _rows(name, each, evidence, fitted, key=name == used)]
    by_class = _by(judged[used].inside, evidence.truth[evidence.evaluation], evidence.head.classes, "class")
    groups = _groups(evidence, judged[used])
    shifted = [found for name, how in states.items() for found in _shifted(evidence, how, name, judged[name].fitted)]
    rows += [row("set_coverage", where, found) for where, found in (by_class | groups).items()] + shifted
    section = Section(
        id="sets",
        title="Which labels could it be?",
        answer=" ".join(_answer(rows, used, by_class, groups, evidence, fitted, len(rows_used))),
        figures=(_histogram(judged, fitted), _bars(by_class, evidence), _table(rows, list(judged), evidence, fitted)),
    )
    return Part(tuple(rows), (section,)), judged[used].fitted


def _judged(evidence: Evidence, how: Fitted, rows: Labels) -> Judged:
    probs, method = how.probs(evidence.logits[rows]), cast(ConformalMethod, evidence.sets)
    made = ConformalSet.fit(probs, evidence.truth[rows], evidence.coverage, method, seed=evidence.seed)
    sets = made(how.probs(evidence.logits[evidence.evaluation]))
    return Judged(made, sets, _inside(sets, evidence.truth[evidence.evaluation]))


def _inside(sets: Sets, labels: Labels) -> Correct:
    inside: Correct = sets[np.arange(len(sets)), labels]
    return inside


def _rows(name: str, judged: Judged, evidence: Evidence, fitted: Fitted, *, key: bool) -> list[Row]:
    found = _numbers(judged.sets, evidence.truth[evidence.evaluation])
    due = metrics.expected_coverage(judged.fitted.n, evidence.coverage, rows=len(judged.sets))
    found["set_coverage_expected"] = Estimate(due.value, min(due.low, due.value), max(due.high, due.value), due.n)
    words = "as shipped" if name == "raw" else f"after {fitted.words}"
    return [
        row(metric, name, each, key=key and metric == "set_coverage", label=f"{NUMBERS[metric].label}, {words}")
        for metric, each in found.items()
    ]


def _numbers(sets: Sets, labels: Labels) -> dict[str, Estimate]:
    sizes = metrics.set_sizes(sets)
    found = {"set_coverage": metrics.coverage(sets, labels), "set_size": sizes.mean}
    found |= {"set_single": sizes.single, "set_empty": sizes.empty}
    if sizes.single.value > 0:
        found["set_single_right"] = metrics.singleton_accuracy(sets, labels)
    return found


def _by(inside: Correct, kind: Labels | Groups, names: tuple[str, ...], noun: str) -> dict[str, Estimate]:
    """Coverage of each kind that has rows, by slice."""
    hits, rows = np.bincount(kind, weights=inside), np.bincount(kind)
    return {f"{noun}: {names[i]}": metrics.proportion(int(hits[i]), int(rows[i])) for i in np.flatnonzero(rows)}


def _groups(evidence: Evidence, judged: Judged) -> dict[str, Estimate]:
    if evidence.known.groups is None:
        return {}
    kind = evidence.known.groups[evidence.evaluation]
    names = evidence.known.group_names or tuple(str(i) for i in range(int(kind.max()) + 1))
    return _by(judged.inside, kind, names, "group")


def _shifted(evidence: Evidence, how: Fitted, state: str, sets: ConformalSet) -> list[Row]:
    """The same sets on each labelled shifted set, all of its rows: nothing was fitted on them."""
    rows = []
    for name, found in evidence.shift.items():
        features: Features = align(found, evidence.head.classes, name=name)
        if features.labels is not None and len(features):
            logits: Logits = evidence.head(features.vectors)
            numbers = _numbers(sets(how.probs(logits)), features.labels)
            rows += [row(metric, f"shift: {name}, {state}", each) for metric, each in numbers.items()]
    return rows


def _promised(evidence: Evidence) -> str:
    return f"{100 * evidence.coverage:.4g}%"


def _answer(
    rows: list[Row],
    used: str,
    by_class: dict[str, Estimate],
    groups: dict[str, Estimate],
    evidence: Evidence,
    fitted: Fitted,
    n: int,
) -> list[str]:
    named = {(found.metric, found.slice): found for found in rows}
    held, due = named["set_coverage", used], named["set_coverage_expected", used]
    law = metrics.expected_coverage(due.n, evidence.coverage)
    single = f"; {span(named['set_single', used])} of the sets hold one label"
    if ("set_single_right", used) in named:
        single += f", and of these {span(named['set_single_right', used])} are right"
    text = [
        f"Asked for sets that hold the right label {_promised(evidence)} of the time ({evidence.sets}), it gives sets "
        f"that do on {span(held)} of {held.n:,} rows, with {span(named['set_size', used])} labels on average{single}.",
        f"The thresholds come from {due.n:,} rows: over draws of as many, coverage lies in {percent(law.low)} to "
        f"{percent(law.high)} (95%, Beta law).",
        _honesty(fitted, n),
    ]
    for noun, plural, kinds in (("class", "classes", by_class), ("group", "groups", groups)):
        if len(kinds) > 1:
            worst = min(kinds, key=lambda where: kinds[where].value)
            name, found = worst.removeprefix(f"{noun}: "), kinds[worst]
            text.append(f"Least covered of {len(kinds)} {plural}: {name}, {share(found)}, n = {found.n:,}.")
    shifted = {where: found for (metric, where), found in named.items() if metric == "set_coverage"}
    for name in evidence.shift:
        if f"shift: {name}, {used}" in shifted:
            there = shifted[f"shift: {name}, {used}"]
            text.append(f"On {name} they hold it on {span(there)}: nothing is promised under a shift.")
    return text


def _honesty(fitted: Fitted, n: int) -> str:
    """What the promise rests on, given which rows fitted what."""
    if fitted.other is not None:
        return (
            f"The {fitted.words} was fitted on {fitted.rows:,} calibration rows and the threshold on the {n:,} others, "
            "so the promise is exact; the price is that each has half the labels."
        )
    if fitted.temperature is not None:
        return (
            "The temperature comes from the same rows as the threshold; one number bends them so little that the "
            "coverage moves by less than its own noise."
        )
    return "Nothing was fitted on the threshold's rows, so the promise is exact."


def _histogram(judged: dict[str, Judged], fitted: Fitted) -> Histogram:
    sizes = {name: each.sets.sum(axis=1) for name, each in judged.items()}
    most = min(MOST_SIZES, max(int(each.max()) for each in sizes.values()))
    series = []
    for name, each in sizes.items():
        counts = np.bincount(np.minimum(each, most), minlength=most + 1)
        words = "as shipped" if name == "raw" else f"after {fitted.words}"
        series.append(Counts(name=words, shares=tuple((counts / len(each)).tolist()), n=len(each)))
    return Histogram(
        id="set-sizes",
        title="Labels a set",
        caption="Shares of the evaluation rows"
        + (f"; the last bin holds sets of {most} labels or more." if most == MOST_SIZES else "."),
        x_label="labels in the set",
        edges=tuple(float(edge) - 0.5 for edge in range(most + 2)),
        series=tuple(series),
    )


def _bars(by_class: dict[str, Estimate], evidence: Evidence) -> Bars:
    order = sorted(by_class, key=lambda where: by_class[where].value)
    more = f" The {MOST_BARS} lowest of {len(order)}; report.json holds all." if len(order) > MOST_BARS else ""
    return Bars(
        id="set-coverage-class",
        title="Coverage per class",
        caption="Worst first, 95% Clopper-Pearson intervals; the line is what is promised over all classes, not within "
        f"each.{more}",
        x_label="sets that hold the right label",
        unit="percent",
        better="higher",
        bars=tuple(bar(where.removeprefix("class: "), by_class[where]) for where in order[:MOST_BARS]),
        markers=(Marker(axis="x", value=evidence.coverage, label=f"promised {_promised(evidence)}"),),
    )


def _table(rows: list[Row], states: list[str], evidence: Evidence, fitted: Fitted) -> Table:
    named = {(found.metric, found.slice): found for found in rows}
    metrics_shown = ("set_coverage", "set_size", "set_single", "set_single_right", "set_empty")
    body = []
    for place in ("", *(f"shift: {name}, " for name in evidence.shift)):
        for state in states:
            if ("set_coverage", where := f"{place}{state}") in named:
                words = "as shipped" if state == "raw" else f"after {fitted.words}"
                cells = [span(named[key]) if (key := (metric, where)) in named else None for metric in metrics_shown]
                due = named.get(("set_coverage_expected", where))
                name = place.removeprefix("shift: ").removesuffix(", ") or "evaluation rows"
                held = named["set_coverage", where]
                body.append((f"{name}, {words}", cells[0], _range(due), *cells[1:], held.n))
    return Table(
        id="sets-numbers",
        title="Prediction sets in numbers",
        caption="Should be: where the coverage lies in 95 of 100 draws if the rows come from one source, which shifted "
        "rows do not. Smaller sets are better at equal coverage. Empty: no label is as probable as right ones used to "
        "be; candid predict then prints an empty set.",
        columns=("rows", "hold the label", "should be", "labels", "one label", "of these right", "empty", "n"),
        rows=tuple(body),
    )


def _range(due: Row | None) -> str | None:
    return None if due is None or due.low is None or due.high is None else f"{percent(due.low)} to {percent(due.high)}"
