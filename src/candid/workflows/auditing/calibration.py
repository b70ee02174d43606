"""How calibrated: before and after one temperature, or another calibrator, on rows it has not seen."""

from dataclasses import replace
from math import inf

import numpy as np

from candid import metrics
from candid.arrays import softmax
from candid.report.content import Bin, Reliability, ReliabilitySeries, Row, Section, Table
from candid.types import Estimate, Labels, Probs
from candid.workflows.auditing import resampled
from candid.workflows.auditing.evidence import FEWEST_TO_SPLIT, Evidence
from candid.workflows.auditing.fitted import Fitted, fit_other, fit_temperature
from candid.workflows.auditing.part import NUMBERS, Part, row, span
from candid.workflows.calibrators import spoken
from candid.workflows.judged import Judged, judge

__all__ = ["Fitted", "calibration", "fit_temperature", "null_ece", "reliability_series"]

SMOOTH_DRAWS = 100
CLASSWISE_CELLS = 1 << 22  # n x k above which class-wise ECE gets fewer resamples

Numbers = dict[tuple[str, str], Row]


def calibration(evidence: Evidence) -> tuple[Part, Fitted]:
    """Calibration rows with slices `raw` and `calibrated`, and the calibrator everything else uses.

    Where that is not the temperature, the slice `temperature` holds what the temperature would have done.
    """
    if evidence.known.labels is None:
        reason = "Whether its confidence can be believed, and what would mend it: there are no labels."
        return Part(cannot_say=(reason,)), Fitted(None, "the known images have no labels")
    fitted = _fit(evidence)
    logits, labels = evidence.logits[evidence.evaluation], evidence.truth[evidence.evaluation]
    states = _states(fitted)
    judged = {name: judge(logits, labels) if how is None else how.judge(logits, labels) for name, how in states.items()}
    rows = [
        found
        for name, how in states.items()
        for found in _rows(
            name, judged[name], softmax(logits) if how is None else how.probs(logits), labels, evidence.seed, fitted
        )
    ]
    if fitted.temperature is not None:
        rows.append(row("temperature", "known", fitted.temperature, key=True))
    if fitted.mends:
        removed = row("ece_removed", "all", _removed(judged, evidence.seed))
        rows.append(_said(removed, f"ECE removed by {fitted.words}") if fitted.other else removed)
    if fitted.other is not None:
        rows += _against_temperature(judged, evidence.seed, fitted)
    section = Section(
        id="calibration",
        title="Can its confidence be believed?",
        answer=_answer(rows, fitted, judged["raw"], evidence),
        figures=(_diagram(judged, fitted), _table(rows, fitted)),
    )
    return Part(tuple(rows), (section,), _missing(fitted)), fitted


def _fit(evidence: Evidence) -> Fitted:
    """The temperature of the calibration rows, and the calibrator that was asked for, if it is another."""
    everything = evidence.calibration
    fitted = fit_temperature(evidence.logits[everything], evidence.truth[everything])
    if evidence.calibrator == "temperature":
        return fitted
    found = fit_other(evidence.calibrator, evidence.logits[evidence.fit_rows], evidence.truth[evidence.fit_rows])
    if isinstance(found, str):
        return replace(fitted, missing=f"{spoken(evidence.calibrator)} could not be fitted: {found}")
    return replace(fitted, other=found)


def _states(fitted: Fitted) -> dict[str, Fitted | None]:
    """Ways of stating confidence by slice; None is as shipped."""
    states: dict[str, Fitted | None] = {"raw": None}
    if fitted.other is not None and fitted.temperature is not None:
        states["temperature"] = Fitted(fitted.temperature)
    if fitted.mends:
        states["calibrated"] = fitted
    return states


def _words(fitted: Fitted) -> dict[str, str]:
    return {"raw": "as shipped", "temperature": "after one temperature", "calibrated": f"after {fitted.words}"}


def _missing(fitted: Fitted) -> tuple[str, ...]:
    found = []
    if fitted.missing:
        instead = "one temperature is used in its place" if fitted.mends else "confidence stays as shipped"
        found.append(f"How calibrated it is after the calibrator that was asked for: {fitted.missing}; {instead}.")
    if fitted.temperature is None:
        found.append(f"Whether one temperature would mend its confidence: {fitted.reason}.")
    return tuple(found)


def _against_temperature(judged: dict[str, Judged], seed: int, fitted: Fitted) -> list[Row]:
    """What a calibrator that is not the temperature does to the answers, and to their likelihood beside it."""
    after = judged["calibrated"]
    right = metrics.proportion(int(after.correct.sum()), len(after.correct))
    rows = [_said(row("accuracy", "calibrated", right), f"right, after {fitted.words}")]
    if "temperature" in judged and np.isfinite(after.nll).all():
        gained = judged["temperature"].nll - after.nll
        found = resampled.bootstrap_rows(resampled.mean_of(gained), len(gained), seed=seed, within=(-inf, inf))
        rows.append(row("nll_below_temperature", "all", found))
    return rows


def _said(found: Row, label: str) -> Row:
    return found.model_copy(update={"label": label})


def null_ece(judged: Judged, *, seed: int) -> Estimate:
    """ECE these confidences would show if they were exactly right: mean and central 95% over redrawn answers."""
    found = metrics.ece_null(judged.confidence, seed=seed, resamples=resampled.RESAMPLES)
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(float(found.mean()), float(low), float(high), len(judged.confidence))


def _rows(name: str, judged: Judged, probs: Probs, labels: Labels, seed: int, fitted: Fitted) -> list[Row]:
    n = len(labels)
    top = (judged.confidence, judged.correct)

    def bootstrap(
        statistic: resampled.Statistic, value: float, count: int = resampled.RESAMPLES, most: float = 1.0
    ) -> Estimate:
        return resampled.bootstrap_rows(statistic, n, seed=seed, value=value, count=count, within=(0.0, most))

    few = 40 if probs.size > CLASSWISE_CELLS else resampled.RESAMPLES
    smooth = resampled.one_by_one(lambda rows: metrics.smooth_ece_of_top(top[0][rows], top[1][rows]))
    found = {
        "ece": bootstrap(resampled.ece_of(*top), metrics.ece(probs, labels)),
        "smooth_ece": bootstrap(smooth, metrics.smooth_ece(probs, labels), SMOOTH_DRAWS),
        "adaptive_ece": bootstrap(resampled.adaptive_ece_of(*top), metrics.adaptive_ece(probs, labels)),
        "classwise_ece": bootstrap(
            resampled.classwise_ece_of(probs, labels), metrics.classwise_ece(probs, labels), few
        ),
    }
    if np.isfinite(judged.nll).all():  # else a label has probability 0 and the mean is no number to report
        found["nll"] = bootstrap(resampled.mean_of(judged.nll), float(judged.nll.mean()), most=inf)
    found["brier"] = bootstrap(resampled.mean_of(judged.brier), float(judged.brier.mean()), most=2.0)
    rows = [
        row(
            metric,
            name,
            estimate,
            key=metric == "ece" and name != "temperature",
            label=f"{NUMBERS[metric].label}, {_words(fitted)[name]}",
        )
        for metric, estimate in found.items()
    ]
    rows.append(row("ece_if_calibrated", name, null_ece(judged, seed=seed)))
    rows.append(row("confidence", name, bootstrap(resampled.mean_of(top[0]), float(top[0].mean()))))
    return rows


def _removed(judged: dict[str, Judged], seed: int) -> Estimate:
    before = resampled.ece_of(judged["raw"].confidence, judged["raw"].correct)
    after = resampled.ece_of(judged["calibrated"].confidence, judged["calibrated"].correct)
    return resampled.bootstrap_rows(
        lambda rows: before(rows) - after(rows), len(judged["raw"].correct), seed=seed, within=(-1.0, 1.0)
    )


def reliability_series(name: str, judged: Judged) -> ReliabilitySeries:
    """One panel of a reliability diagram."""
    diagram = metrics.reliability_of_top(judged.confidence, judged.correct)
    columns = {field: getattr(diagram, field).tolist() for field in Bin.model_fields}
    bins = tuple(Bin(**dict(zip(columns, each, strict=True))) for each in zip(*columns.values(), strict=True))
    return ReliabilitySeries(name=name, bins=bins)


def _diagram(judged: dict[str, Judged], fitted: Fitted) -> Reliability:
    return Reliability(
        id="reliability",
        title="Does it mean what it says?",
        caption="Share right against stated confidence, 15 bins, 95% Clopper-Pearson intervals. On the diagonal, "
        f"a stated 80% is right 80 times in 100. Rows the {_seen_by(fitted)} has not seen.",
        series=tuple(reliability_series(_words(fitted)[name], found) for name, found in judged.items()),
    )


def _seen_by(fitted: Fitted) -> str:
    return "temperature" if fitted.other is None else "calibrator"


ORDER = {
    "ece": "ECE",
    "ece_if_calibrated": "if calibrated",
    "smooth_ece": "smooth ECE",
    "adaptive_ece": "equal count",
    "classwise_ece": "class-wise",
    "nll": "NLL",
    "brier": "Brier",
}


def _table(rows: list[Row], fitted: Fitted) -> Table:
    """A number a row; with a reference beside the calibrator a number a column, which a page has room for."""
    named = {(found.metric, found.slice): found for found in rows}
    states = [name for name in ("raw", "temperature", "calibrated") if ("ece", name) in named]
    words, turned = _words(fitted), len(states) > 2
    body = [(NUMBERS[metric].label, *(_cell(named.get((metric, name))) for name in states)) for metric in ORDER]
    brief = {metric: short for metric, short in ORDER.items() if metric != "adaptive_ece"}
    if turned:
        body = [(words[name], *(_cell(named.get((metric, name))) for metric in brief)) for name in states]
    return Table(
        id="calibration-numbers",
        title="The same in numbers",
        caption=f"Lower is better. The second {'number' if turned else 'row'} is what an exactly calibrated model "
        "would show on this many rows.",
        columns=("", *brief.values()) if turned else ("number", *(words[name] for name in states)),
        rows=tuple(body),
    )


def _cell(found: Row | None) -> str:
    return "infinite" if found is None else span(found)


def _answer(rows: list[Row], fitted: Fitted, raw: Judged, evidence: Evidence) -> str:
    named = {(found.metric, found.slice): found for found in rows}
    right, said = float(raw.correct.mean()), float(raw.confidence.mean())
    text = (
        f"On {len(raw.correct):,} rows it says {100 * said:.1f}% on average and is right on {100 * right:.1f}%. "
        f"Its calibration error (ECE) is {span(named['ece', 'raw'])}; an exactly calibrated model would "
        f"show {span(named['ece_if_calibrated', 'raw'])} on as many rows."
    )
    if fitted.missing:
        text += f" {fitted.missing[:1].upper()}{fitted.missing[1:]}."
    if not fitted.mends:
        few = f" ({FEWEST_TO_SPLIT} images are the fewest that are halved)" if not len(evidence.calibration) else ""
        detail = f" {fitted.detail[:1].upper()}{fitted.detail[1:]}." if fitted.detail else ""
        return f"{text} No temperature was fitted: {fitted.reason}{few}.{detail}"
    if fitted.other is not None:
        return f"{text} {_other_answer(named, fitted)}"
    return (
        f"{text} One temperature, T = {span(named['temperature', 'known'])} from {fitted.rows:,} labels, "
        f"leaves {span(named['ece', 'calibrated'])}."
    )


def _other_answer(named: Numbers, fitted: Fitted) -> str:
    text = (
        f"{fitted.words[:1].upper()}{fitted.words[1:]} from {fitted.rows:,} labels leaves "
        f"{span(named['ece', 'calibrated'])} and is right on {span(named['accuracy', 'calibrated'])}"
    )
    if fitted.temperature is None:
        return f"{text}. No temperature could be fitted beside it: {fitted.reason}."
    text += f"; for reference, one temperature T = {span(fitted.temperature)} from {fitted.temperature.n:,} labels"
    text += f" leaves {span(named['ece', 'temperature'])}."
    gained = named.get(("nll_below_temperature", "all"))
    if gained is not None and gained.low is not None and gained.high is not None:
        how = "better" if gained.low > 0 else "worse" if gained.high < 0 else "no different beyond chance"
        text += f" By likelihood it is {how} ({span(gained)} nats a row gained)."
    return text
