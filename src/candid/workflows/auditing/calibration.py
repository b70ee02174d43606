"""How calibrated: before and after one temperature, on rows the temperature has not seen."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np

from candid import calibrate, metrics
from candid.arrays import softmax
from candid.errors import NoOptimum
from candid.report.content import Bin, Reliability, ReliabilitySeries, Row, Section, Table
from candid.types import Estimate, Labels, Logits, Probs
from candid.workflows.auditing import resampled
from candid.workflows.auditing.evidence import FEWEST_TO_SPLIT, Evidence
from candid.workflows.auditing.part import NUMBERS, Part, row, span
from candid.workflows.judged import Judged, judge

__all__ = ["Fitted", "calibration", "fit_temperature", "null_ece", "reliability_series"]

FEWEST_TO_FIT = 10
WIDEST = 100  # high over low of a temperature's interval; beyond it the fit is noise
SMOOTH_DRAWS = 100
WORDS = {"raw": "as shipped", "calibrated": "after one temperature"}
CLASSWISE_CELLS = 1 << 22  # n x k above which class-wise ECE gets fewer resamples


@dataclass(frozen=True)
class Fitted:
    """One temperature, or why there is none: `reason` in a few words, `detail` in full."""

    temperature: Estimate | None
    reason: str = ""
    detail: str = ""

    @property
    def value(self) -> float:
        """The temperature to divide by; 1 where none could be fitted."""
        return 1.0 if self.temperature is None else self.temperature.value


def fit_temperature(logits: Logits, labels: Labels) -> Fitted:
    """The temperature of these rows with its 95% interval, or the reason why they have none."""
    if len(labels) < FEWEST_TO_FIT:
        return Fitted(None, f"{len(labels)} rows are too few, {FEWEST_TO_FIT} are needed")
    try:
        fit = calibrate.Temperature.fit(logits, labels)
    except NoOptimum as error:
        return Fitted(None, f"{len(labels)} rows have no best one ({error.verdict})", str(error))
    low, high = fit.interval()
    if high > WIDEST * low:
        return Fitted(None, f"{len(labels)} rows cannot tell it: its 95% interval spans a factor of more than {WIDEST}")
    return Fitted(Estimate(fit.value, low, high, fit.n))


def calibration(evidence: Evidence) -> tuple[Part, Fitted]:
    """Calibration rows with slices `raw` and `calibrated`, and the temperature everything else uses."""
    if evidence.known.labels is None:
        reason = "Whether its confidence can be believed, and which temperature would mend it: there are no labels."
        return Part(cannot_say=(reason,)), Fitted(None, "the known images have no labels")
    fitted = fit_temperature(evidence.logits[evidence.calibration], evidence.truth[evidence.calibration])
    logits, labels = evidence.logits[evidence.evaluation], evidence.truth[evidence.evaluation]
    states = {"raw": 1.0} | ({} if fitted.temperature is None else {"calibrated": fitted.value})
    judged = {name: judge(logits, labels, temperature=value) for name, value in states.items()}
    rows = [
        found
        for name, value in states.items()
        for found in _rows(name, judged[name], softmax(logits, temperature=value), labels, evidence.seed)
    ]
    if fitted.temperature is not None:
        rows.append(row("temperature", "known", fitted.temperature, key=True))
        rows.append(row("ece_removed", "all", _removed(judged, evidence.seed)))
    section = Section(
        id="calibration",
        title="Can its confidence be believed?",
        answer=_answer(rows, fitted, judged["raw"], evidence),
        figures=(_diagram(judged), _table(rows)),
    )
    missing = () if fitted.temperature else (f"Whether one temperature would mend its confidence: {fitted.reason}.",)
    return Part(tuple(rows), (section,), missing), fitted


def null_ece(judged: Judged, *, seed: int) -> Estimate:
    """ECE these confidences would show if they were exactly right: mean and central 95% over redrawn answers."""
    found = metrics.ece_null(judged.confidence, seed=seed, resamples=resampled.RESAMPLES)
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(float(found.mean()), float(low), float(high), len(judged.confidence))


def _rows(name: str, judged: Judged, probs: Probs, labels: Labels, seed: int) -> list[Row]:
    n = len(labels)
    top = (judged.confidence, judged.correct)

    def bootstrap(
        statistic: resampled.Statistic, value: float, count: int = resampled.RESAMPLES, most: float = 1.0
    ) -> Estimate:
        return resampled.bootstrap_rows(statistic, n, seed=seed, value=value, count=count, within=(0.0, most))

    few = 40 if probs.size > CLASSWISE_CELLS else resampled.RESAMPLES
    smooth = _one_by_one(lambda rows: metrics.smooth_ece_of_top(top[0][rows], top[1][rows]))
    found = {
        "ece": bootstrap(resampled.ece_of(*top), metrics.ece(probs, labels)),
        "smooth_ece": bootstrap(smooth, metrics.smooth_ece(probs, labels), SMOOTH_DRAWS),
        "adaptive_ece": bootstrap(resampled.adaptive_ece_of(*top), metrics.adaptive_ece(probs, labels)),
        "classwise_ece": bootstrap(
            resampled.classwise_ece_of(probs, labels), metrics.classwise_ece(probs, labels), few
        ),
        "nll": bootstrap(resampled.mean_of(judged.nll), float(judged.nll.mean()), most=inf),
        "brier": bootstrap(resampled.mean_of(judged.brier), float(judged.brier.mean()), most=2.0),
    }
    rows = [
        row(metric, name, estimate, key=metric == "ece", label=f"{NUMBERS[metric].label}, {WORDS[name]}")
        for metric, estimate in found.items()
    ]
    rows.append(row("ece_if_calibrated", name, null_ece(judged, seed=seed)))
    rows.append(row("confidence", name, bootstrap(resampled.mean_of(top[0]), float(top[0].mean()))))
    return rows


def _one_by_one(metric: Callable[[np.ndarray], float]) -> resampled.Statistic:
    return lambda rows: np.array([metric(sample) for sample in rows])


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


def _diagram(judged: dict[str, Judged]) -> Reliability:
    return Reliability(
        id="reliability",
        title="Does it mean what it says?",
        caption="Share right against stated confidence, 15 bins, 95% Clopper-Pearson intervals. On the diagonal, "
        "a stated 80% is right 80 times in 100. Rows the temperature has not seen.",
        series=tuple(reliability_series(WORDS[name], found) for name, found in judged.items()),
    )


def _table(rows: list[Row]) -> Table:
    named = {(found.metric, found.slice): found for found in rows}
    columns = [name for name in ("raw", "calibrated") if ("ece", name) in named]
    order = ("ece", "ece_if_calibrated", "smooth_ece", "adaptive_ece", "classwise_ece", "nll", "brier")
    body = [(NUMBERS[metric].label, *(span(named[metric, name]) for name in columns)) for metric in order]
    return Table(
        id="calibration-numbers",
        title="The same in numbers",
        caption="Lower is better. The second row is what an exactly calibrated model would show on this many rows.",
        columns=("number", *(WORDS[name] for name in columns)),
        rows=tuple(body),
    )


def _answer(rows: list[Row], fitted: Fitted, raw: Judged, evidence: Evidence) -> str:
    named = {(found.metric, found.slice): found for found in rows}
    right, said = float(raw.correct.mean()), float(raw.confidence.mean())
    text = (
        f"On {len(raw.correct):,} rows it says {100 * said:.1f}% on average and is right on {100 * right:.1f}%. "
        f"Its calibration error (ECE) is {span(named['ece', 'raw'])}; an exactly calibrated model would "
        f"show {span(named['ece_if_calibrated', 'raw'])} on as many rows."
    )
    if fitted.temperature is None:
        few = f" ({FEWEST_TO_SPLIT} images are the fewest that are halved)" if not len(evidence.calibration) else ""
        detail = f" {fitted.detail[:1].upper()}{fitted.detail[1:]}." if fitted.detail else ""
        return f"{text} No temperature was fitted: {fitted.reason}{few}.{detail}"
    return (
        f"{text} One temperature, T = {span(fitted.temperature)} from {fitted.temperature.n:,} labels, "
        f"leaves {span(named['ece', 'calibrated'])}."
    )
