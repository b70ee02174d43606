"""How many labels the temperature needed: the calibration error it leaves against the rows it was fitted on."""

import numpy as np
from jaxtyping import Float, Int

from candid import metrics
from candid.report.content import Line, Lines, Marker, Section
from candid.types import Estimate
from candid.workflows.auditing import resampled
from candid.workflows.auditing.calibration import Fitted, fit_temperature, null_ece
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.part import Part, row
from candid.workflows.judged import Judged, judge

__all__ = ["ece_at", "labels_needed", "sizes"]

DRAWS = 20
MARGIN = 0.01  # of ECE, within which fewer labels count as enough
GRID = 48  # temperatures at which the curve's ECE is computed; between them it is interpolated
LADDER = (10, 20, 40, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)

Curve = Float[np.ndarray, "sizes draws"]


def labels_needed(evidence: Evidence, fitted: Fitted) -> Part:
    """Rows `ece_by_labels` for each number of labels, `labels_needed`, and the curve."""
    steps = sizes(len(evidence.calibration))
    if fitted.temperature is None or len(steps) < 2:
        known = len(evidence.calibration)
        return Part(cannot_say=(f"How many labels a temperature needs: {known} calibration rows do not show it.",))
    evaluation = evidence.evaluation
    logits, labels = evidence.logits[evaluation], evidence.truth[evaluation]
    temperatures = _draws(evidence, steps)
    curve = ece_at(temperatures, logits, labels)
    needed = _needed(curve, steps, len(evidence.calibration), evidence.seed)
    mean, (low, high) = curve.mean(axis=1), np.quantile(curve, [0.025, 0.975], axis=1)
    low, high = np.minimum(low, mean), np.maximum(high, mean)  # equal draws, and a mean that rounds
    points = [
        Estimate(float(m), float(lo), float(hi), step) for m, lo, hi, step in zip(mean, low, high, steps, strict=True)
    ]
    rows = [row("ece_by_labels", f"labels: {point.n}", point) for point in points]
    rows.append(row("labels_needed", "known", needed, key=True))
    raw = judge(logits, labels)
    floor = null_ece(judge(logits, labels, temperature=fitted.value), seed=evidence.seed)
    answer = (
        f"{int(needed.value)} labels already bring the calibration error to within {MARGIN} of the best of this curve "
        f"({int(needed.low)} to {int(needed.high)} over the draws); {steps[-1]:,} were used."
    )
    figure = _figure(steps, curve, raw, floor)
    return Part(
        tuple(rows), (Section(id="labels", title="How many labels did it take?", answer=answer, figures=(figure,)),)
    )


def sizes(rows: int) -> list[int]:
    """Numbers of labels the curve shows: a ladder up to, and ending with, all calibration rows.

    >>> sizes(130)
    [10, 20, 40, 50, 100, 130]
    """
    steps = [step for step in LADDER if step < rows]
    return [*steps, rows] if rows >= LADDER[0] else steps


def ece_at(temperatures: Curve, logits: np.ndarray, labels: Int[np.ndarray, " n"]) -> Curve:
    """ECE of these logits at each temperature, exact at 48 quantiles of them and linear in log T between.

    One softmax a grid point instead of one a draw; where there are no more than 48 temperatures it is exact.
    """
    grid = np.unique(np.quantile(temperatures, np.linspace(0, 1, GRID), method="nearest"))
    everything = np.arange(len(labels))[None]
    found = []
    for temperature in grid:
        top = metrics.top_label(logits, labels, temperature=float(temperature))
        found.append(float(resampled.ece_of(top.confidence, top.correct)(everything)[0]))
    return np.asarray(np.interp(np.log(temperatures), np.log(grid), found))


def _draws(evidence: Evidence, steps: list[int]) -> Curve:
    rng = np.random.default_rng(evidence.seed)
    pool = evidence.calibration
    found = np.ones((len(steps), DRAWS))
    for i, step in enumerate(steps):
        for j in range(DRAWS):
            rows = rng.choice(pool, step, replace=False)
            found[i, j] = fit_temperature(evidence.logits[rows], evidence.truth[rows]).value
            if step == len(pool):  # every draw is the whole pool
                found[i] = found[i, j]
                break
    return found


def _needed(curve: Curve, steps: list[int], rows: int, seed: int) -> Estimate:
    """Smallest number of labels whose mean ECE lies within the margin of the best; the interval resamples draws."""

    def smallest(means: Float[np.ndarray, "b sizes"]) -> Float[np.ndarray, " b"]:
        enough = means <= means.min(axis=1, keepdims=True) + MARGIN
        return np.asarray(np.asarray(steps, dtype=np.float64)[enough.argmax(axis=1)])

    rng = np.random.default_rng(seed)
    draws = rng.integers(0, DRAWS, (500, len(steps), DRAWS))
    means = np.take_along_axis(np.broadcast_to(curve, draws.shape), draws, axis=2).mean(axis=2)
    low, high = np.quantile(smallest(means), [0.025, 0.975], method="nearest")
    value = float(smallest(curve.mean(axis=1)[None])[0])
    return Estimate(value, min(float(low), value), max(float(high), value), rows)


def _figure(steps: list[int], curve: Curve, raw: Judged, floor: Estimate) -> Lines:
    everything = np.arange(len(raw.correct))[None]
    shipped = float(resampled.ece_of(raw.confidence, raw.correct)(everything)[0])
    low, high = np.quantile(curve, [0.025, 0.975], axis=1)
    line = Line(
        name="after a temperature from this many labels",
        x=tuple(float(step) for step in steps),
        y=tuple(curve.mean(axis=1).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )
    return Lines(
        id="ece-by-labels",
        title="Calibration error against number of labels",
        caption=f"Mean and 95% band over {DRAWS} draws from the calibration rows, read on {len(raw.correct):,} other "
        "rows. A draw without an optimum counts as no temperature. Large draws overlap: the band is too narrow there.",
        x_label="labels used to fit the temperature",
        y_label="ECE",
        series=(line,),
        log_x=True,
        markers=(
            Marker(axis="y", value=shipped, label="as shipped"),
            Marker(axis="y", value=floor.value, label="exactly calibrated"),
        ),
    )
