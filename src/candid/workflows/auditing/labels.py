"""How many labels the calibrator needed, and still needs: the error it leaves against the rows it was fitted on."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from candid import metrics
from candid.report.content import Line, Lines, Marker, Row, Section
from candid.types import Estimate
from candid.workflows.auditing import resampled
from candid.workflows.auditing.calibration import null_ece
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.fitted import Fitted, fit_other, fit_temperature
from candid.workflows.auditing.part import Part, row
from candid.workflows.calibrators import SQUARE
from candid.workflows.judged import Judged, judge

__all__ = ["ece_at", "labels_needed", "sizes", "still_needed"]

DRAWS = 20
MARGIN = 0.01  # of ECE, within which fewer labels count as enough
GRID = 48  # temperatures at which the curve's ECE is computed; between them it is interpolated
LADDER = (10, 20, 40, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
MOST_CELLS = 1 << 28  # fitted and judged logits over all draws, beyond which the curve is that of the temperature
RESAMPLED = 500

Curve = Float[np.ndarray, "sizes draws"]


def labels_needed(evidence: Evidence, fitted: Fitted) -> Part:
    """Rows `ece_by_labels` for each number of labels, `labels_needed`, `labels_still_needed`, and the curve."""
    steps = sizes(len(evidence.calibration))
    if not fitted.mends or (fitted.temperature is None and not _shown(fitted, evidence)) or len(steps) < 2:
        known = len(evidence.calibration)
        return Part(cannot_say=(f"How many labels a temperature needs: {known} calibration rows do not show it.",))
    shown = fitted if _shown(fitted, evidence) else Fitted(fitted.temperature)
    used = shown.rows
    steps = sorted({*steps, used})
    evaluation = evidence.evaluation
    logits, labels = evidence.logits[evaluation], evidence.truth[evaluation]
    curve = _curve(evidence, shown, steps)
    raw = judge(logits, labels)
    floor = null_ece(shown.judge(logits, labels), seed=evidence.seed)
    needed = _needed(curve, steps, len(evidence.calibration), evidence.seed)
    mean, (low, high) = curve.mean(axis=1), np.quantile(curve, [0.025, 0.975], axis=1)
    low, high = np.minimum(low, mean), np.maximum(high, mean)  # equal draws, and a mean that rounds
    points = [
        Estimate(float(m), float(lo), float(hi), step) for m, lo, hi, step in zip(mean, low, high, steps, strict=True)
    ]
    rows = [row("ece_by_labels", f"labels: {point.n}", point) for point in points]
    words = "" if shown.other is None else f"labels the {shown.words} needed"
    rows.append(row("labels_needed", "known", needed, key=True, label=words))
    answer = (
        f"{int(needed.value)} labels already bring the calibration error to within {MARGIN} of the best of this curve "
        f"({int(needed.low)} to {int(needed.high)} over the draws); {used:,} were used."
    )
    if shown is not fitted:
        answer += f" The curve is that of one temperature: {fitted.words} takes too long to fit as often."
    still, missing = still_needed(curve, steps, used, floor, evidence.seed)
    rows += still
    figure = _figure(steps, curve, raw, floor, shown)
    section = Section(
        id="labels",
        title="How many labels did it take, and how many more would help?",
        answer=" ".join([answer, *(_advice(each, steps, points[-1], floor, shown) for each in still)]),
        figures=(figure,),
    )
    return Part(tuple(rows), (section,), missing)


def _shown(fitted: Fitted, evidence: Evidence) -> bool:
    """Whether the calibrator in use can be fitted often enough to show its own curve."""
    if fitted.other is None:
        return True
    steps, classes = sizes(len(evidence.calibration)), len(evidence.head.classes)
    cells = DRAWS * classes * (sum(steps) + len(steps) * len(evidence.evaluation))
    return cells * (classes if fitted.other.name in SQUARE else 1) <= MOST_CELLS


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


def _curve(evidence: Evidence, fitted: Fitted, steps: list[int]) -> Curve:
    """ECE on the evaluation rows for each number of labels and draw; without an optimum it is as shipped."""
    logits, labels = evidence.logits[evidence.evaluation], evidence.truth[evidence.evaluation]
    if fitted.other is None:
        return ece_at(_draws(evidence, steps), logits, labels)
    everything = np.arange(len(labels))[None]
    curve = np.empty((len(steps), DRAWS))
    for i, j, rows in _samples(evidence, steps):
        found = fit_other(fitted.other.name, evidence.logits[rows], evidence.truth[rows])
        top = Fitted(None, other=None if isinstance(found, str) else found).top_label(logits, labels)
        curve[i, j:] = resampled.ece_of(top.confidence, top.correct)(everything)[0]
    return curve


def _draws(evidence: Evidence, steps: list[int]) -> Curve:
    found = np.ones((len(steps), DRAWS))
    for i, j, rows in _samples(evidence, steps):
        found[i, j:] = fit_temperature(evidence.logits[rows], evidence.truth[rows]).value
    return found


def _samples(evidence: Evidence, steps: list[int]) -> Iterator[tuple[int, int, Int[np.ndarray, " rows"]]]:
    """Step, draw and rows of each draw; the whole pool is drawn once, for all draws of its step."""
    rng = np.random.default_rng(evidence.seed)
    pool = evidence.calibration
    for i, step in enumerate(steps):
        for j in range(1 if step == len(pool) else DRAWS):
            yield i, j, rng.choice(pool, step, replace=False)


def _needed(curve: Curve, steps: list[int], rows: int, seed: int) -> Estimate:
    """Smallest number of labels whose mean ECE lies within the margin of the best; the interval resamples draws."""
    found = _enough(_resampled(curve, seed), steps)
    low, high = np.quantile(found, [0.025, 0.975], method="nearest")
    value = float(_enough(curve.mean(axis=1)[None], steps)[0])
    return Estimate(value, min(float(low), value), max(float(high), value), rows)


def _enough(means: Float[np.ndarray, "b sizes"], steps: list[int]) -> Float[np.ndarray, " b"]:
    enough = means <= means.min(axis=1, keepdims=True) + MARGIN
    return np.asarray(np.asarray(steps, dtype=np.float64)[enough.argmax(axis=1)])


def _resampled(curve: Curve, seed: int) -> Float[np.ndarray, "b sizes"]:
    """Means over draws that are themselves drawn again."""
    draws = np.random.default_rng(seed).integers(0, DRAWS, (RESAMPLED, *curve.shape))
    return np.asarray(np.take_along_axis(np.broadcast_to(curve, draws.shape), draws, axis=2).mean(axis=2))


def still_needed(
    curve: Curve, steps: list[int], used: int, floor: Estimate, seed: int
) -> tuple[list[Row], tuple[str, ...]]:
    """Row `labels_still_needed` of a curve that was measured up to its last step, or why there is none.

    Where the curve still falls at its end the number is not known: the row then holds as many labels as were tried, the
    next doubling, at whose end the curve can be read again.
    """
    tried = steps[-1]
    if steps[0] > tried / 2:
        return [], (
            f"How many more labels would help: a curve from {steps[0]} to {tried} labels is too short to tell.",
        )
    found = _more(_resampled(curve, seed), steps, used, floor)
    low, high = np.quantile(found, [0.025, 0.975], method="nearest")
    value = float(_more(curve.mean(axis=1)[None], steps, used, floor)[0])
    estimate = Estimate(value, min(float(low), value), max(float(high), value), tried)
    label = f"labels still needed: more than the {tried:,} tried; at least to see, another" if value == tried else ""
    return [row("labels_still_needed", "known", estimate, label=label)], ()


def _more(means: Float[np.ndarray, "b sizes"], steps: list[int], used: int, floor: Estimate) -> Float[np.ndarray, " b"]:
    """Further labels beyond those used, 0 where none would help; as many as were tried where the curve still falls."""
    half, end = _half(steps), means[:, -1]
    doublings = np.log2(steps[-1] / steps[half])
    falling = (means[:, half] - end > MARGIN * doublings) & (end > _enough_at(floor))
    within = means <= end[:, None] + MARGIN
    measured = np.asarray(steps, dtype=np.float64)[within.argmax(axis=1)]
    return np.asarray(np.where(falling, float(steps[-1]), np.maximum(measured - used, 0.0)))


def _half(steps: list[int]) -> int:
    """Place of the largest number of labels that is at most half of all."""
    return max(i for i, step in enumerate(steps) if step <= steps[-1] / 2)


def _enough_at(floor: Estimate) -> float:
    """ECE at which these rows could not show that more labels help."""
    return max(floor.high, floor.value + MARGIN)


def _advice(still: Row, steps: list[int], end: Estimate, floor: Estimate, fitted: Fitted) -> str:
    """The row in plain words."""
    tried, value = still.n, int(still.value)
    over = f"({int(still.low or 0):,} to {int(still.high or 0):,} over the draws)"
    if value == tried:
        return (
            f"The curve still falls at its end: more than {tried:,} labels are needed, and these data do not show how "
            f"many. Label about {tried:,} more and ask again."
        )
    if value:
        return f"{value:,} more labels {over} would bring it to within {MARGIN} of the end of the curve."
    if end.value <= _enough_at(floor):
        why = f"its end, {end.value:.3f}, is no more than an exactly calibrated model shows on as many rows"
        return f"No more labels are needed {over}: {why}."
    return (
        f"More labels would not help {over}: from {steps[_half(steps)]:,} to {tried:,} a doubling gained less than "
        f"{MARGIN}, and what is left, {end.value:.3f}, is no lack of labels. Another "
        f"calibrator may do better than {fitted.words}."
    )


def _figure(steps: list[int], curve: Curve, raw: Judged, floor: Estimate, fitted: Fitted) -> Lines:
    everything = np.arange(len(raw.correct))[None]
    shipped = float(resampled.ece_of(raw.confidence, raw.correct)(everything)[0])
    low, high = np.quantile(curve, [0.025, 0.975], axis=1)
    name = "a temperature" if fitted.other is None else fitted.words
    none = "no temperature" if fitted.other is None else "shipped"
    line = Line(
        name=f"after {name} from this many labels",
        x=tuple(float(step) for step in steps),
        y=tuple(curve.mean(axis=1).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )
    return Lines(
        id="ece-by-labels",
        title="Calibration error against number of labels",
        caption=f"Mean and 95% band over {DRAWS} draws from the calibration rows, read on {len(raw.correct):,} other "
        f"rows. A draw without an optimum counts as {none}. Large draws overlap: the band is too narrow "
        "there.",
        x_label=f"labels used to fit the {fitted.short}",
        y_label="ECE",
        series=(line,),
        log_x=True,
        markers=(
            Marker(axis="y", value=shipped, label="as shipped"),
            Marker(axis="y", value=floor.value, label="exactly calibrated"),
        ),
    )
