"""How calibrated: before and after one temperature, on rows the temperature has not seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from candid import calibrate, metrics
from candid.arrays import softmax
from candid.errors import NoOptimum
from candid.report.content import Bin, Reliability, ReliabilitySeries, Row, Section, Table
from candid.types import Estimate, Labels, Logits, Probs
from candid.workflows import resampled
from candid.workflows.evidence import FEWEST_TO_SPLIT, Evidence
from candid.workflows.judged import Judged, judge
from candid.workflows.part import Part, row, span

__all__ = ["Fitted", "calibration", "fit_temperature", "null_ece"]

FEWEST_TO_FIT = 10
NULL_DRAWS = 200
SMOOTH_DRAWS = 100
CLASSWISE_CELLS = 1 << 22  # n x k above which class-wise ECE gets fewer resamples


@dataclass(frozen=True)
class Fitted:
    """One temperature, or why there is none."""

    temperature: Estimate | None
    reason: str = ""

    @property
    def value(self) -> float:
        """The temperature to divide by; 1 where none could be fitted."""
        return 1.0 if self.temperature is None else self.temperature.value


def fit_temperature(logits: Logits, labels: Labels) -> Fitted:
    """The temperature of these rows with its 95% interval, or the reason why they have none."""
    if len(labels) < FEWEST_TO_FIT:
        return Fitted(None, f"{len(labels)} labelled rows are too few to fit a temperature, {FEWEST_TO_FIT} are needed")
    try:
        fit = calibrate.Temperature.fit(logits, labels)
    except NoOptimum as error:
        return Fitted(None, f"the {len(labels)} calibration rows have no best temperature ({error.verdict}): {error}")
    low, high = fit.interval
    return Fitted(Estimate(float(fit.value), float(low), float(high), len(labels)))


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
        rows.append(row("temperature", "known", fitted.temperature))
        rows.append(row("ece_removed", "all", _removed(judged, evidence.seed)))
    section = Section(
        id="calibration",
        title="Can its confidence be believed?",
        answer=_answer(rows, fitted, judged["raw"], evidence),
        figures=(_diagram(judged), _table(rows)),
    )
    missing = () if fitted.temperature else (f"Whether one temperature would mend its confidence: {fitted.reason}.",)
    return Part(tuple(rows), (section,), missing), fitted


def null_ece(judged: Judged, *, seed: int, draws: int = NULL_DRAWS) -> Estimate:
    """ECE these confidences would show if they were exactly right: mean and central 95% over redrawn answers."""
    rng = np.random.default_rng(seed)
    confidence, n = judged.confidence, len(judged.confidence)
    everything = np.arange(n)[None]
    found = [
        float(resampled.ece_of(confidence, rng.random(n) < confidence)(everything)[0]) for _ in range(draws)
    ]  # a label drawn from p is the answer with probability p_max, which is the confidence
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(float(np.mean(found)), float(low), float(high), n)


def _rows(name: str, judged: Judged, probs: Probs, labels: Labels, seed: int) -> list[Row]:
    n = len(labels)
    top = (judged.confidence, judged.correct)

    def bootstrap(statistic: resampled.Statistic, value: float, count: int = resampled.RESAMPLES) -> Estimate:
        return resampled.bootstrap_rows(statistic, n, seed=seed, value=value, count=count)

    few = 40 if probs.size > CLASSWISE_CELLS else resampled.RESAMPLES
    smooth = _one_by_one(lambda rows: metrics.smooth_ece_of_top(top[0][rows], top[1][rows]))
    found: dict[str, Estimate] = {
        "ece": bootstrap(resampled.ece_of(*top), metrics.ece(probs, labels)),
        "smooth_ece": bootstrap(smooth, metrics.smooth_ece(probs, labels), SMOOTH_DRAWS),
        "adaptive_ece": bootstrap(resampled.adaptive_ece_of(*top), metrics.adaptive_ece(probs, labels)),
        "classwise_ece": bootstrap(_classwise_of(probs, labels), metrics.classwise_ece(probs, labels), few),
        "nll": bootstrap(resampled.mean_of(judged.nll), metrics.nll_of_logits(np.log(probs), labels)),
        "brier": bootstrap(resampled.mean_of(judged.brier), metrics.brier(probs, labels)),
    }
    rows = [row(metric, name, estimate) for metric, estimate in found.items()]
    rows.append(row("ece_if_calibrated", name, null_ece(judged, seed=seed)))
    rows.append(row("confidence", name, bootstrap(resampled.mean_of(top[0]), float(top[0].mean()))))
    return rows


def _one_by_one(metric: Callable[[np.ndarray], float]) -> resampled.Statistic:
    return lambda rows: np.array([metric(sample) for sample in rows])


def _classwise_of(probs: Probs, labels: Labels, *, bins: int = resampled.BINS) -> resampled.Statistic:
    """Class-wise ECE of resamples: one sparse matrix of gaps (class and bin by row) times how often a row was drawn."""
    n, k = probs.shape
    edges = np.linspace(0.0, 1.0, bins + 1)
    cells = np.clip(np.searchsorted(edges, probs, side="left") - 1, 0, bins - 1) + bins * np.arange(k)
    gap = probs.copy()
    gap[np.arange(n), labels] -= 1.0
    columns = np.arange(n + 1) * k
    gaps = csr_array((gap.ravel(), cells.ravel(), columns), shape=(n, bins * k)).T

    def statistic(rows: resampled.Rows) -> resampled.Draws:
        times = np.stack([np.bincount(sample, minlength=n) for sample in rows], axis=1).astype(np.float64)
        return np.asarray(np.abs(gaps @ times).sum(axis=0) / (n * k))

    return statistic


def _removed(judged: dict[str, Judged], seed: int) -> Estimate:
    before = resampled.ece_of(judged["raw"].confidence, judged["raw"].correct)
    after = resampled.ece_of(judged["calibrated"].confidence, judged["calibrated"].correct)
    return resampled.bootstrap_rows(lambda rows: before(rows) - after(rows), len(judged["raw"].correct), seed=seed)


def _diagram(judged: dict[str, Judged]) -> Reliability:
    titles = {"raw": "as shipped", "calibrated": "after one temperature"}
    series = []
    for name, found in judged.items():
        bins = metrics.reliability_of_top(found.confidence, found.correct)
        series.append(ReliabilitySeries(name=titles[name], bins=tuple(Bin(**vars(each)) for each in bins)))
    return Reliability(
        id="reliability",
        title="Does it mean what it says?",
        caption="Share right against stated confidence, 15 bins, 95% Clopper-Pearson intervals. On the diagonal, "
        "a stated 80% is right 80 times in 100. Rows the temperature has not seen.",
        series=tuple(series),
    )


def _table(rows: list[Row]) -> Table:
    named = {(found.metric, found.slice): found for found in rows}
    columns = [name for name in ("raw", "calibrated") if ("ece", name) in named]
    order = ("ece", "ece_if_calibrated", "smooth_ece", "adaptive_ece", "classwise_ece", "nll", "brier")
    body = [(metric, *(span(named[metric, name]) for name in columns)) for metric in order]
    return Table(
        id="calibration-numbers",
        title="The same in numbers",
        caption="Lower is better. ece_if_calibrated is what an exactly calibrated model would show on this many rows.",
        columns=("metric", *columns),
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
        few = f" (fewer than {FEWEST_TO_SPLIT} images cannot be halved)" if not len(evidence.calibration) else ""
        return f"{text} No temperature was fitted: {fitted.reason}{few}."
    return (
        f"{text} One temperature, T = {span(fitted.temperature)} from {fitted.temperature.n:,} labels, "
        f"leaves {span(named['ece', 'calibrated'])}."
    )
