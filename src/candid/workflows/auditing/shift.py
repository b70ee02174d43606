"""Does the calibrator travel: own one onto shifted sets, and theirs, or another data set's, back onto the known."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from candid import metrics
from candid.report.content import Reliability, ReliabilitySeries, Row, Section, Table
from candid.types import Estimate, Features, Head, Labels, Logits
from candid.workflows.auditing import resampled
from candid.workflows.auditing.calibration import null_ece, reliability_series
from candid.workflows.auditing.evidence import FEWEST_TO_SPLIT, Evidence, align
from candid.workflows.auditing.fitted import Fitted, fit_temperature
from candid.workflows.auditing.part import Part, row, share, span
from candid.workflows.auditing.split import stratified_order
from candid.workflows.judged import Judged, judge

__all__ = ["shift", "transfer"]


def shift(evidence: Evidence, fitted: Fitted) -> Part:
    """Accuracy and ECE of each shifted set, raw and with the known set's calibrator, on the half nothing saw."""
    if not evidence.shift:
        return Part(cannot_say=("Whether it holds under changed conditions: no shifted set was given (--shift).",))
    held, open_questions = [], []
    for name, found in evidence.shift.items():
        features = align(found, evidence.head.classes, name=name)
        if features.labels is None:
            open_questions.append(f"How it holds on the shifted set {name}: it has no labels.")
        elif len(features) < FEWEST_TO_SPLIT:
            open_questions.append(f"How it holds on the shifted set {name}: {len(features)} images are too few.")
        else:
            held.append(_holds(name, features, features.labels, evidence, fitted))
    if not held:
        return Part(cannot_say=tuple(open_questions))
    section = Section(
        id="shift",
        title="Does it hold when conditions change?",
        answer=" ".join(each.text for each in held),
        figures=(_diagram([each.panel for each in held], fitted), _table([each.cells for each in held], fitted)),
    )
    return Part(tuple(row for each in held for row in each.rows), (section,), tuple(open_questions))


def transfer(evidence: Evidence, fitted: Fitted) -> Part:
    """ECE on the known evaluation rows with no temperature, the own one, and that of every other labelled set."""
    if evidence.known.labels is None:
        return Part()
    sources = dict(_temperatures(evidence))
    if not sources:
        question = "Whether a temperature from another data set would have done: no other labelled set was given."
        return Part(cannot_say=(question,))
    logits, labels = evidence.logits[evidence.evaluation], evidence.truth[evidence.evaluation]
    rows: list[Row] = []
    open_questions = []
    for name, source in {"none": Fitted(None), "own": fitted, **sources}.items():
        if source.temperature is None and name != "none":
            if name != "own":
                open_questions.append(f"Whether the temperature of {name} would have done: {source.reason}.")
            continue
        if source.temperature is not None and name != "own":
            rows.append(row("temperature", name, source.temperature))
        rows.append(row("ece_with_temperature_of", name, _ece(logits, labels, source.value, evidence.seed)))
    found = {each.slice: each for each in rows if each.metric == "ece_with_temperature_of"}
    answer = f"Without a temperature the ECE on the same {len(labels):,} known rows is {span(found['none'])}"
    answer += f", with their own {span(found['own'])}" if "own" in found else ""
    for name in [each for each in found if each not in ("none", "own")]:
        answer += f"; with that of {name.split(': ', 1)[1]} it is {span(found[name])}"
    section = Section(
        id="transfer",
        title="Would a temperature from elsewhere have done?",
        answer=f"{answer}.",
        figures=(_transfer_table(rows, fitted),),
    )
    return Part(tuple(rows), (section,), tuple(open_questions))


class _Held(NamedTuple):
    """What one shifted set contributes."""

    rows: list[Row]
    text: str
    panel: ReliabilitySeries
    cells: tuple[str | int | None, ...]


def _holds(name: str, features: Features, labels: Labels, evidence: Evidence, fitted: Fitted) -> _Held:
    logits = evidence.head(features.vectors)
    hits = logits.argmax(axis=1) == labels
    accuracy = metrics.proportion(int(hits.sum()), len(hits))
    judges = _halves(features, evidence.seed)[1]
    errors = _ece_rows(name, logits[judges], labels[judges], fitted, evidence.seed)
    text = f"On {name} it is right on {share(accuracy)}; its ECE is {span(errors[0])}"
    if fitted.mends:
        text += f", {span(errors[2])} with the {fitted.short} of the known set"
    panel = reliability_series(name, fitted.judge(logits[judges], labels[judges]))
    cells = (name, share(accuracy), *(span(each) for each in errors), *[None] * (4 - len(errors)), len(judges))
    return _Held([row("accuracy", f"shift: {name}", accuracy), *errors], f"{text}.", panel, cells)


def _temperatures(evidence: Evidence) -> Iterable[tuple[str, Fitted]]:
    sets: list[tuple[str, Features, Head]] = [
        (f"shift: {name}", align(found, evidence.head.classes, name=name), evidence.head)
        for name, found in evidence.shift.items()
    ]
    sets += [(f"transfer: {name}", found.features, found.head) for name, found in evidence.transfer.items()]
    for name, features, head in sets:
        if features.labels is not None:
            fits = _halves(features, evidence.seed)[0]
            yield name, fit_temperature(head(features.vectors[fits]), features.labels[fits])


def _halves(features: Features, seed: int) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]:
    order = stratified_order(len(features), features.labels, seed=seed)
    return order[: len(order) // 2], order[len(order) // 2 :]


def _ece(logits: Logits, labels: Labels, temperature: float, seed: int) -> Estimate:
    return _ece_of(judge(logits, labels, temperature=temperature), seed)


def _ece_of(found: Judged, seed: int) -> Estimate:
    return resampled.bootstrap_rows(resampled.ece_of(found.confidence, found.correct), len(found.correct), seed=seed)


def _ece_rows(name: str, logits: Logits, labels: Labels, fitted: Fitted, seed: int) -> list[Row]:
    """ECE and its null, raw and with the own calibrator if there is one."""
    own = "own temperature" if fitted.other is None else "own calibrator"
    rows = []
    for state, stated in ({"raw": Fitted(None)} | ({own: fitted} if fitted.mends else {})).items():
        found = stated.judge(logits, labels)
        rows.append(row("ece", f"shift: {name}, {state}", _ece_of(found, seed)))
        rows.append(row("ece_if_calibrated", f"shift: {name}, {state}", null_ece(found, seed=seed)))
    return rows


def _diagram(panels: list[ReliabilitySeries], fitted: Fitted) -> Reliability:
    stated = f"with the {fitted.short} of the known set" if fitted.mends else "as shipped"
    return Reliability(
        id="reliability-shift",
        title=f"Does it mean what it says there, {stated}?",
        caption="Share right against stated confidence, 15 bins, 95% Clopper-Pearson intervals.",
        series=tuple(panels),
    )


def _table(body: list[tuple[str | int | None, ...]], fitted: Fitted) -> Table:
    mended = "ECE with T" if fitted.other is None else f"ECE with {fitted.words}"
    return Table(
        id="shift-numbers",
        title="Shifted sets in numbers",
        caption="Accuracy on all labelled rows of the set; ECE on the n rows that fitted nothing, with what an exactly "
        "calibrated model would show beside it.",
        columns=("set", "accuracy", "ECE as shipped", "if calibrated", mended, "if calibrated", "n"),
        rows=tuple(body),
    )


def _transfer_table(rows: list[Row], fitted: Fitted) -> Table:
    temperatures = {each.slice: span(each) for each in rows if each.metric == "temperature"}
    temperatures["none"] = "1"
    if fitted.temperature is not None:
        temperatures["own"] = span(fitted.temperature)
    body = [
        (each.slice, temperatures[each.slice], span(each)) for each in rows if each.metric == "ece_with_temperature_of"
    ]
    return Table(
        id="transfer-numbers",
        title="Temperatures and the error they leave here",
        caption="Each temperature is fitted on one half of its own set and read on the known evaluation rows.",
        columns=("temperature of", "T", "ECE on the known set"),
        rows=tuple(body),
    )
