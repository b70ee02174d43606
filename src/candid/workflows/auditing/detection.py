"""What it does with images it does not know: every memoryless detector, and the threshold production will use."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from candid import detect, metrics
from candid.report.content import Counts, Histogram, Marker, Row, Section, Table
from candid.types import Scores
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.part import Part, percent, row, span
from candid.workflows.auditing.ranked import ranking
from candid.workflows.detectors import DETECTORS, outlier_scores

__all__ = ["detection"]

AnyScores = Float[np.ndarray, "_"]  # each set has its own length
BINS = 40
TAIL = 0.001  # share of scores cut off at each end of the histogram's axis and counted in its end bins


def detection(evidence: Evidence) -> tuple[Part, float]:
    """Ranking numbers for every set and detector, what the threshold keeps and lets in, and the threshold itself."""
    known = outlier_scores(evidence.head, evidence.known.vectors, evidence.detector)
    threshold = float(detect.threshold(known[evidence.threshold_rows], keep=evidence.keep))
    rows: list[Row] = []
    cannot_say = []
    judges = known[evidence.threshold_judges]
    if len(judges):
        kept = metrics.proportion(int((judges <= threshold).sum()), len(judges))
        rows.append(row("kept", "known", kept))
    else:
        cannot_say.append(f"What share of other known images the threshold keeps: only {len(known)} known images.")
    if not evidence.ood:
        cannot_say.append("What it does with images it does not know: no such set was given (--ood).")
    scores = {
        name: outlier_scores(evidence.head, found.vectors, evidence.detector) for name, found in evidence.ood.items()
    }
    for name, found in scores.items():
        let_in = metrics.proportion(int((found <= threshold).sum()), len(found))
        rows.append(row("let_in", f"ood: {name}", let_in, key=True))
    for detector in DETECTORS:
        rows += _ranking_rows(evidence, detector)
    section = Section(
        id="unknown",
        title="What does it do with images it does not know?",
        answer=_answer(rows, evidence, threshold),
        figures=(_histogram(known, scores, threshold, evidence.detector), *_tables(rows, evidence)),
    )
    return Part(tuple(rows), (section,), tuple(cannot_say)), threshold


def _ranking_rows(evidence: Evidence, detector: str) -> list[Row]:
    if not evidence.ood:
        return []
    known = outlier_scores(evidence.head, evidence.known.vectors, detector)
    return [
        row(metric, f"ood: {name}, {detector}", estimate)
        for name, found in evidence.ood.items()
        for metric, estimate in ranking(
            known, outlier_scores(evidence.head, found.vectors, detector), seed=evidence.seed
        ).items()
    ]


def _answer(rows: list[Row], evidence: Evidence, threshold: float) -> str:
    named = {(found.metric, found.slice): found for found in rows}
    text = (
        f"Score: {evidence.detector}, higher = less known. A threshold of {threshold:.4g} keeps "
        f"{100 * evidence.keep:.0f}% of {len(evidence.threshold_rows):,} known images"
    )
    if ("kept", "known") in named:
        kept = named["kept", "known"]
        text += f" and {span(kept)} of {kept.n:,} others"
    let_in = [f"{span(named['let_in', f'ood: {name}'])} of {name}" for name in evidence.ood]
    if let_in:
        text += f". It lets in {', '.join(let_in)}"
    return text + "."


def _histogram(known: Scores, sets: Mapping[str, AnyScores], threshold: float, detector: str) -> Histogram:
    pooled = np.concatenate([known, *sets.values()])
    pooled = pooled[np.isfinite(pooled)]
    low, high = np.quantile(pooled, [TAIL, 1 - TAIL]) if len(pooled) else (threshold, threshold)
    low, high = min(low, threshold), max(high, threshold)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    series = []
    for name, found in {"known": known, **sets}.items():
        counts, _ = np.histogram(np.clip(found, low, high), edges)
        series.append(Counts(name=name, shares=tuple((counts / len(found)).tolist()), n=len(found)))
    return Histogram(
        id="scores",
        title="Scores of known and unknown images",
        caption="Shares of each set. Right of the threshold the predictor abstains. The end bins hold the tails.",
        x_label=f"{detector} score, higher = less known",
        edges=tuple(edges.tolist()),
        series=tuple(series),
        markers=(Marker(axis="x", value=threshold, label="threshold"),),
    )


def _tables(rows: list[Row], evidence: Evidence) -> tuple[Table, ...]:
    named = {(found.metric, found.slice): found for found in rows}
    order = {
        "auroc": "AUROC",
        "fpr95_known_positive": "FPR95, known positive",
        "fpr95_unknown_positive": "FPR95, unknown positive",
        "aupr_known_positive": "AUPR, known positive",
        "aupr_unknown_positive": "AUPR, unknown positive",
    }
    tables = []
    for place, (name, found) in enumerate(evidence.ood.items()):
        body = []
        for detector in DETECTORS:
            cells = [span(named[metric, f"ood: {name}, {detector}"]) for metric in order]
            body.append((detector + (" (used)" if detector == evidence.detector else ""), *cells))
        mix = len(evidence.known) / (len(evidence.known) + len(found))
        tables.append(
            Table(
                id=f"detectors-{place + 1}",
                title=f"Detectors on {name}",
                caption="FPR95, known positive: unknown images let in when 95% of known ones are kept. Unknown "
                "positive: known images thrown out when 95% of unknown ones are caught. AUPR depends on the mix: "
                f"{percent(mix)} of these images are known.",
                columns=("detector", *order.values()),
                rows=tuple(body),
            )
        )
    return tuple(tables)
