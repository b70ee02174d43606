"""How much the wording of the prompt matters: each template alone against the ensemble of all."""

import numpy as np

from candid import metrics
from candid.report.content import Bars, Marker, Row, Section, Table
from candid.types import Estimate, Head
from candid.workflows import resampled
from candid.workflows.audit_calibration import Fitted
from candid.workflows.evidence import Evidence
from candid.workflows.part import Part, bar, row, share, span

__all__ = ["wording"]


def wording(evidence: Evidence, fitted: Fitted) -> Part:
    """Rows `accuracy` and `ece` of every template, and the spread of both over the templates."""
    if evidence.known.labels is None:
        return Part(cannot_say=("How much the wording of the prompt matters: the known images have no labels.",))
    if len(evidence.templates) < 2:
        return Part(cannot_say=("How much the wording of the prompt matters: only one template was given.",))
    accuracies, errors, repaired = _per_template(evidence, fitted)
    rows: list[Row] = []
    for name in evidence.templates:
        rows.append(row("accuracy", f"template: {name}", accuracies[name]))
        rows.append(row("ece", f"template: {name}, raw", errors[name]))
        if fitted.temperature is not None:
            rows.append(row("ece", f"template: {name}, temperature of the ensemble", repaired[name]))
    spreads = _spreads(evidence)
    rows += [row(f"{metric}_spread", "templates", found) for metric, found in spreads.items()]
    best, worst = _ends(accuracies)
    answer = (
        f"Between the best wording ({best}, {share(accuracies[best])}) and the worst ({worst}, "
        f"{share(accuracies[worst])}) lie {100 * spreads['accuracy'].value:.1f} points of accuracy; their calibration "
        f"errors differ by up to {spreads['ece'].value:.3f}. The ensemble of all {len(evidence.templates)} is what the "
        "rest of this report uses."
    )
    if fitted.temperature is not None:
        worst_repaired = max(repaired.values(), key=lambda found: found.value)
        answer += f" With the temperature of the ensemble no wording's ECE exceeds {worst_repaired.value:.3f}."
    figures = (_bars(accuracies, evidence), _table(errors, repaired))
    section = Section(id="wording", title="How much does the wording matter?", answer=answer, figures=figures)
    return Part(tuple(rows), (section,))


def _per_template(
    evidence: Evidence, fitted: Fitted
) -> tuple[dict[str, Estimate], dict[str, Estimate], dict[str, Estimate]]:
    accuracies, errors, repaired = {}, {}, {}
    for name, head in evidence.templates.items():
        hits = _hits(evidence, head)
        accuracies[name] = metrics.proportion(int(hits.sum()), len(hits))
        errors[name] = _ece(evidence, head, 1.0)
        if fitted.temperature is not None:
            repaired[name] = _ece(evidence, head, fitted.value)
    return accuracies, errors, repaired


def _hits(evidence: Evidence, head: Head) -> np.ndarray:
    return np.asarray(head(evidence.known.vectors).argmax(axis=1) == evidence.truth)


def _ece(evidence: Evidence, head: Head, temperature: float) -> Estimate:
    rows = evidence.evaluation
    top = metrics.top_label(head(evidence.known.vectors[rows]), evidence.truth[rows], temperature=temperature)
    return resampled.bootstrap_rows(resampled.ece_of(*top), len(rows), seed=evidence.seed)


def _spreads(evidence: Evidence) -> dict[str, Estimate]:
    """Largest minus smallest over the templates, the rows resampled together."""
    hits = [resampled.mean_of(_hits(evidence, head).astype(np.float64)) for head in evidence.templates.values()]
    rows = evidence.evaluation
    tops = [
        metrics.top_label(head(evidence.known.vectors[rows]), evidence.truth[rows])
        for head in evidence.templates.values()
    ]
    errors = [resampled.ece_of(*top) for top in tops]

    def spread(statistics: list[resampled.Statistic]) -> resampled.Statistic:
        return lambda drawn: np.ptp(np.stack([each(drawn) for each in statistics]), axis=0)

    return {
        "accuracy": resampled.bootstrap_rows(spread(hits), len(evidence.known), seed=evidence.seed),
        "ece": resampled.bootstrap_rows(spread(errors), len(rows), seed=evidence.seed),
    }


def _ends(accuracies: dict[str, Estimate]) -> tuple[str, str]:
    ordered = sorted(accuracies, key=lambda name: accuracies[name].value)
    return ordered[-1], ordered[0]


def _bars(accuracies: dict[str, Estimate], evidence: Evidence) -> Bars:
    hits = _hits(evidence, evidence.head)
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


def _table(errors: dict[str, Estimate], repaired: dict[str, Estimate]) -> Table:
    body = [(name, *(span(found[name]) for found in (errors, repaired) if found)) for name in errors]
    return Table(
        id="templates-numbers",
        title="Calibration error by wording",
        caption="ECE on the evaluation rows, as shipped and with the temperature T that was fitted with the ensemble.",
        columns=("template", "ECE", "ECE with T") if repaired else ("template", "ECE"),
        rows=tuple(body),
    )
