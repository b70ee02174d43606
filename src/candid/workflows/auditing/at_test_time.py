"""What tuning the prompt to each image at test time would change: accuracy, calibration and what an image costs."""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from candid import metrics
from candid.calibrate import ConformalSet
from candid.calibrate.conformal_scores import ConformalMethod
from candid.report.content import Section, Table
from candid.types import Estimate, Logits
from candid.workflows.auditing import resampled
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.fitted import Fitted, fit_temperature
from candid.workflows.auditing.part import NUMBERS, Part, row, span
from candid.workflows.judged import Judged, judge
from candid.workflows.tuning import TuningAtTestTime

__all__ = ["Tuned", "at_test_time"]

SHOWN = ("accuracy", "ece", "nll", "brier", "confidence")


@dataclass(frozen=True)
class Tuned:
    """Logits of the known rows after tuning, and those of the same prompt before it."""

    how: TuningAtTestTime
    before: Logits
    after: Logits


def at_test_time(evidence: Evidence, fitted: Fitted, tuned: Tuned | None) -> tuple[Part, TuningAtTestTime | None]:
    """Rows of slices `METHOD` and `METHOD, calibrated`, and the method with what was fitted to it."""
    if tuned is None:
        return Part(), None
    method = tuned.how.method
    cost = row("seconds", method, Estimate(tuned.how.seconds, tuned.how.seconds, tuned.how.seconds, 1))
    cost = cost.model_copy(update={"low": None, "high": None})
    if evidence.known.labels is None:
        question = f"What {method} changes: there are no labels; an image takes {_seconds(tuned.how)}."
        return Part(rows=(cost,), cannot_say=(question,)), tuned.how
    rows, labels, used = evidence.evaluation, evidence.truth, evidence.calibration
    own = fit_temperature(tuned.after[used], labels[used])
    how = replace(tuned.how, temperature=own.temperature, sets=_sets(evidence, tuned, own))
    states: dict[str, tuple[Logits, float]] = {
        "as shipped": (evidence.logits, 1.0),
        "after one temperature": (evidence.logits, fitted.value),
        f"{how.template}, not tuned": (tuned.before, 1.0),
        method: (tuned.after, 1.0),
        f"{method}, after one temperature": (tuned.after, own.value),
    }
    judged = {name: judge(logits[rows], labels[rows], temperature=t) for name, (logits, t) in states.items()}
    numbers = {name: _numbers(each, evidence.seed) for name, each in judged.items()}
    found = [
        row(metric, slice_, numbers[name][metric], label=f"{NUMBERS[metric].label}, {name}")
        for slice_, name in ((method, method), (f"{method}, calibrated", f"{method}, after one temperature"))
        for metric in SHOWN
    ]
    section = Section(
        id="test-time",
        title="What would tuning at test time change?",
        answer=_answer(judged, how, own, evidence),
        figures=(_table(numbers, how),),
    )
    return Part((*found, cost), (section,)), how


def _sets(evidence: Evidence, tuned: Tuned, own: Fitted) -> ConformalSet | None:
    """Prediction sets over the tuned probabilities, where the audit has enough rows for some."""
    rows = evidence.calibration
    if evidence.sets is None or len(rows) < metrics.conformal_rows(evidence.coverage):
        return None
    method = cast(ConformalMethod, evidence.sets)
    return ConformalSet.fit(
        own.probs(tuned.after[rows]), evidence.truth[rows], evidence.coverage, method, seed=evidence.seed
    )


def _numbers(judged: Judged, seed: int) -> dict[str, Estimate]:
    n = len(judged.correct)

    def estimate(statistic: resampled.Statistic, most: float = 1.0) -> Estimate:
        return resampled.bootstrap_rows(statistic, n, seed=seed, within=(0.0, most))

    return {
        "accuracy": metrics.proportion(int(judged.correct.sum()), n),
        "ece": estimate(resampled.ece_of(judged.confidence, judged.correct)),
        "nll": estimate(resampled.mean_of(judged.nll), np.inf),
        "brier": estimate(resampled.mean_of(judged.brier), 2.0),
        "confidence": estimate(resampled.mean_of(judged.confidence)),
    }


def _answer(judged: dict[str, Judged], how: TuningAtTestTime, own: Fitted, evidence: Evidence) -> str:
    method, plain, cooled = how.method, f"{how.template}, not tuned", f"{how.method}, after one temperature"
    right = _gained(judged[method], judged[plain], evidence.seed)
    error = _error_gained(judged[method], judged[plain], evidence.seed)
    text = (
        f'On {len(judged[method].correct):,} rows {method} from "{how.template}" is right more often by '
        f"{_points(right)} than the same prompt untuned, and its ECE is {_difference(error)} higher."
    )
    if own.temperature is not None:
        best = _error_gained(judged[cooled], judged["after one temperature"], evidence.seed)
        text += (
            f" With a temperature of its own from {own.temperature.n:,} labels its ECE is {_difference(best)} higher "
            "than that of the audited head with one."
        )
    return f"{text} An image takes {_seconds(how)}. Intervals are paired over images."


def _gained(first: Judged, second: Judged, seed: int) -> Estimate:
    gained = first.correct.astype(float) - second.correct
    return resampled.bootstrap_rows(resampled.mean_of(gained), len(gained), seed=seed, within=(-1.0, 1.0))


def _error_gained(first: Judged, second: Judged, seed: int) -> Estimate:
    one, other = (resampled.ece_of(each.confidence, each.correct) for each in (first, second))
    return resampled.bootstrap_rows(
        lambda rows: one(rows) - other(rows), len(first.correct), seed=seed, within=(-1.0, 1.0)
    )


def _points(found: Estimate) -> str:
    return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f}) points"


def _difference(found: Estimate) -> str:
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _seconds(how: TuningAtTestTime) -> str:
    return f"{how.seconds:.2g} s on this {how.device}, for {how.views} views"


def _table(numbers: dict[str, dict[str, Estimate]], how: TuningAtTestTime) -> Table:
    body: list[tuple[str, ...]] = []
    for metric in SHOWN:
        cells = [span(row(metric, name, found[metric])) for name, found in numbers.items()]
        body.append((NUMBERS[metric].label, *cells))
    return Table(
        id="test-time-numbers",
        title=f"{how.method} beside what it starts from",
        caption="The same rows for all. Tuned: each image takes one step of its own from the prompt, which is then "
        "forgotten; temperatures come from the calibration rows.",
        columns=("number", *numbers),
        rows=tuple(body),
    )
