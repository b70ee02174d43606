"""What abstaining buys: accuracy among the answers it is surest of; and without labels, how sure it says it is."""

from math import ceil

import numpy as np

from candid import metrics
from candid.report.content import Counts, Histogram, Line, Lines, Row, Section
from candid.types import Scores
from candid.workflows.auditing import resampled
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.fitted import Fitted
from candid.workflows.auditing.part import Part, row, share, span

__all__ = ["abstaining", "own_probability"]

COVERAGES = (1.0, 0.9, 0.8, 0.5)
POINTS = 100
BINS = 20


def abstaining(evidence: Evidence, fitted: Fitted) -> Part:
    """Row `aurc`, rows `selective_accuracy` at four coverages, and the curve of risk against coverage."""
    histogram = _histogram(evidence, fitted)
    if evidence.known.labels is None:
        question = "What abstaining buys: the known images have no labels."
        answer = "How sure the model says it is. Nothing here tells whether it is right."
        section = Section(id="confidence", title="How sure does it say it is?", answer=answer, figures=(histogram,))
        return Part((), (section,), (question,))
    rows_used = evidence.evaluation
    top = fitted.top_label(evidence.logits[rows_used], evidence.truth[rows_used])
    n = len(rows_used)
    aurc = resampled.bootstrap_rows(resampled.aurc_of(*top), n, seed=evidence.seed, value=metrics.aurc(*top))
    rows: list[Row] = [row("aurc", "all", aurc)]
    surest = np.argsort(-top.confidence, kind="stable")
    for coverage in COVERAGES:
        kept = surest[: ceil(coverage * n)]
        found = metrics.proportion(int(top.correct[kept].sum()), len(kept))
        rows.append(row("selective_accuracy", f"coverage: {100 * coverage:.0f}%", found))
    answer = (
        f"Answering everything it is right on {span(rows[1])}. Answering only its surest half, on {span(rows[-1])}; "
        f"area under the risk-coverage curve {span(aurc)}."
    )
    figures = (_curve(*top), histogram)
    section = Section(id="abstaining", title="What does abstaining buy?", answer=answer, figures=figures)
    return Part(tuple(rows), (section,))


def own_probability(evidence: Evidence) -> Part:
    """What a sigmoid model's own probability of its answer means, next to our softmax; empty for softmax models."""
    if evidence.head.activation == "softmax":
        return Part()
    top = evidence.logits.max(axis=1).astype(np.float64)
    probability = 0.5 * (1 + np.tanh(top / 2))  # the sigmoid, without overflow
    said = resampled.bootstrap_rows(resampled.mean_of(probability), len(top), seed=evidence.seed)
    rows: list[Row] = [row("own_probability", "all", said)]
    text = (
        "This model was trained to answer each class on its own (sigmoid). The probabilities in this report are "
        "softmax over the given classes: our normalisation, in which the model's bias cancels. Its own probability of "
        f"the class it picks is {share(said)} on average"
    )
    if evidence.known.labels is None:
        return Part(tuple(rows), (Section(id="sigmoid", title="What its own probabilities mean", answer=text + "."),))
    correct = evidence.logits.argmax(axis=1) == evidence.truth
    error = resampled.bootstrap_rows(resampled.ece_of(probability, correct), len(top), seed=evidence.seed)
    rows.append(row("ece", "own probability", error))
    text += f", where it is right on {100 * correct.mean():.1f}%: read as confidence its ECE is {span(error)}."
    return Part(tuple(rows), (Section(id="sigmoid", title="What its own probabilities mean", answer=text),))


def _curve(confidence: Scores, correct: np.ndarray) -> Lines:
    order = np.argsort(-confidence, kind="stable")
    n = len(order)
    risks = np.cumsum(~correct[order]) / np.arange(1, n + 1)
    kept = np.unique(np.ceil(np.linspace(1 / POINTS, 1, POINTS) * n).astype(int))
    points = [metrics.proportion(round(risks[count - 1] * count), int(count)) for count in kept]
    line = Line(
        name="share wrong",
        x=tuple((kept / n).tolist()),
        y=tuple(risks[kept - 1].tolist()),
        low=tuple(point.low for point in points),
        high=tuple(point.high for point in points),
    )
    return Lines(
        id="risk-coverage",
        title="Risk against coverage",
        caption="Share of wrong answers among the most confident ones, 95% Clopper-Pearson band. Evaluation rows.",
        x_label="share of images answered",
        y_label="share wrong",
        x_unit="percent",
        y_unit="percent",
        series=(line,),
    )


def _histogram(evidence: Evidence, fitted: Fitted) -> Histogram:
    states = {"as shipped": Fitted(None)} | ({f"after {fitted.words}": fitted} if fitted.mends else {})
    edges = np.linspace(0, 1, BINS + 1)
    series = []
    for name, stated in states.items():
        confidence = stated.top_scores(evidence.logits).confidence
        counts, _ = np.histogram(confidence, edges)
        series.append(Counts(name=name, shares=tuple((counts / len(confidence)).tolist()), n=len(confidence)))
    return Histogram(
        id="confidences",
        title="Stated confidence",
        caption="Shares of the known images.",
        x_label="confidence",
        x_unit="percent",
        edges=tuple(edges.tolist()),
        series=tuple(series),
    )
