"""How much the wording of the prompt matters: each template alone against the ensemble of all."""

from typing import NamedTuple

import numpy as np

from candid import metrics
from candid.report.content import Bars, Marker, Row, Section, Table
from candid.types import Correct, Estimate, Head
from candid.workflows.auditing import resampled
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.fitted import Fitted
from candid.workflows.auditing.part import Part, bar, row, share, span

__all__ = ["wording"]


class _Answers(NamedTuple):
    """What one wording answers: right or not on all known rows; stated and right on the evaluation rows."""

    hits: Correct
    shipped: metrics.Top
    mended: metrics.Top


def wording(evidence: Evidence, fitted: Fitted) -> Part:
    """Rows `accuracy` and `ece` of every template, and the spread of both over the templates."""
    if evidence.tuned:
        return Part(cannot_say=("How much the wording of the prompt matters: the head was tuned, no wording made it.",))
    if evidence.known.labels is None:
        return Part(cannot_say=("How much the wording of the prompt matters: the known images have no labels.",))
    if len(evidence.templates) < 2:
        return Part(cannot_say=("How much the wording of the prompt matters: only one template was given.",))
    answers = {name: _answers(evidence, head, fitted) for name, head in evidence.templates.items()}
    accuracies = {name: metrics.proportion(int(each.hits.sum()), len(each.hits)) for name, each in answers.items()}
    errors = {name: _ece(each.shipped, evidence.seed) for name, each in answers.items()}
    repaired = {name: _ece(each.mended, evidence.seed) for name, each in answers.items()} if fitted.mends else {}
    rows: list[Row] = []
    for name in evidence.templates:
        rows.append(row("accuracy", f"template: {name}", accuracies[name]))
        rows.append(row("ece", f"template: {name}, raw", errors[name]))
        if fitted.mends:
            rows.append(row("ece", f"template: {name}, {fitted.short} of the ensemble", repaired[name]))
    spreads = _spreads(list(answers.values()), evidence.seed)
    rows += [row(f"{metric}_spread", "templates", found) for metric, found in spreads.items()]
    best, worst = _ends(accuracies)
    answer = (
        f"Between the best wording ({best}, {share(accuracies[best])}) and the worst ({worst}, "
        f"{share(accuracies[worst])}) lie {100 * spreads['accuracy'].value:.1f} points of accuracy; their calibration "
        f"errors differ by up to {spreads['ece'].value:.3f}. The ensemble of all {len(evidence.templates)} is what the "
        "rest of this report uses."
    )
    if fitted.mends:
        worst_repaired = max(repaired.values(), key=lambda found: found.value)
        answer += f" With {_the(fitted)} of the ensemble no wording's ECE exceeds {worst_repaired.value:.3f}."
    figures = (_bars(accuracies, evidence), _table(errors, repaired, fitted))
    section = Section(id="wording", title="How much does the wording matter?", answer=answer, figures=figures)
    return Part(tuple(rows), (section,))


def _answers(evidence: Evidence, head: Head, fitted: Fitted) -> _Answers:
    logits, rows = head(evidence.known.vectors), evidence.evaluation
    judged, truth = logits[rows], evidence.truth[rows]
    return _Answers(
        logits.argmax(axis=1) == evidence.truth,
        metrics.top_label(judged, truth),
        fitted.top_label(judged, truth),
    )


def _ece(top: metrics.Top, seed: int) -> Estimate:
    return resampled.bootstrap_rows(resampled.ece_of(*top), len(top.correct), seed=seed)


def _spreads(answers: list[_Answers], seed: int) -> dict[str, Estimate]:
    """Largest minus smallest over the templates, the rows resampled together."""
    hits = [resampled.mean_of(each.hits.astype(np.float64)) for each in answers]
    errors = [resampled.ece_of(*each.shipped) for each in answers]

    def spread(statistics: list[resampled.Statistic]) -> resampled.Statistic:
        return lambda drawn: np.ptp(np.stack([each(drawn) for each in statistics]), axis=0)

    return {
        "accuracy": resampled.bootstrap_rows(spread(hits), len(answers[0].hits), seed=seed),
        "ece": resampled.bootstrap_rows(spread(errors), len(answers[0].shipped.correct), seed=seed),
    }


def _ends(accuracies: dict[str, Estimate]) -> tuple[str, str]:
    ordered = sorted(accuracies, key=lambda name: accuracies[name].value)
    return ordered[-1], ordered[0]


def _the(fitted: Fitted) -> str:
    return "the temperature" if fitted.other is None else f"the {fitted.words}"


def _bars(accuracies: dict[str, Estimate], evidence: Evidence) -> Bars:
    hits = evidence.logits.argmax(axis=1) == evidence.truth
    return Bars(
        id="templates",
        title="Accuracy by wording",
        caption="Each template alone, 95% Clopper-Pearson intervals; the line is the ensemble.",
        x_label="accuracy",
        unit="percent",
        better="higher",
        bars=tuple(bar(name, found) for name, found in accuracies.items()),
        markers=(Marker(axis="x", value=float(hits.mean()), label="ensemble"),),
    )


def _table(errors: dict[str, Estimate], repaired: dict[str, Estimate], fitted: Fitted) -> Table:
    symbol = " T" if fitted.other is None else ""
    body = [(name, *(span(found[name]) for found in (errors, repaired) if found)) for name in errors]
    return Table(
        id="templates-numbers",
        title="Calibration error by wording",
        caption=f"ECE on the evaluation rows, as shipped and with {_the(fitted)}{symbol} that was fitted with the "
        "ensemble.",
        columns=("template", "ECE", f"ECE with {symbol.strip() or fitted.words}") if repaired else ("template", "ECE"),
        rows=tuple(body),
    )
