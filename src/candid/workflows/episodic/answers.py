"""One section a question: its figures and tables, from the records."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from candid.report.content import Figure, Line, Lines, Point, PointSeries, Scatter, Section, Table, Unit
from candid.report.wording import with_interval
from candid.types import Estimate
from candid.workflows.auditing.resampled import Statistic, bootstrap_rows, ece_of, mean_of
from candid.workflows.claimed import Claim, interval
from candid.workflows.episodic.measured import BINS, TEMPERATURE, WAYS
from candid.workflows.episodic.plan import QUESTIONS, TuningPlan
from candid.workflows.episodic.record import TuningRecord
from candid.workflows.episodic.rules import pairs, ranks

__all__ = ["answers", "difference", "estimate", "over_pairs"]

Records = Sequence[TuningRecord]
Figures = Iterable[Figure | None]
DECIDED = {"methods": ("B1", "B4", "X1", "X1b"), "starts": (), "prompts": ("B2", "B3"), "lambda": ()}
OVER = "Mean over models and sets with a 95% t interval over them."


def answers(records: Records, plan: TuningPlan, found: Sequence[Claim]) -> Iterable[Section]:
    """A section for every question of the plan; `found` are the claims that they decide."""
    outcomes = {each.number: each for each in found}
    for question, words in QUESTIONS.items():
        if question not in plan.questions:
            continue
        asked = [each for each in records if each.question == question]
        shown = tuple(each for each in _FIGURES[question](asked, plan) if each is not None)
        told = [f"{outcomes[n].text} ({n}: {outcomes[n].outcome})" for n in DECIDED[question]]
        answer = " ".join(told) or "No claim hangs on it." if shown else "Nothing was measured for this question."
        yield Section(id=question, title=words[:1].upper() + words[1:], answer=answer, figures=shown)


def estimate(record: TuningRecord, metric: str, *, seed: int = 0) -> Estimate:
    """Accuracy or ECE of one record with a 95 % bootstrap interval over its images."""
    return bootstrap_rows(_statistic(record, metric), record.n, seed=seed, value=record.numbers[metric])


def _statistic(record: TuningRecord, metric: str) -> Statistic:
    confidence, right = record.said
    return mean_of(right.astype(float)) if metric == "accuracy" else ece_of(confidence, right, bins=BINS)


def over_pairs(records: Records, metric: str) -> Estimate | None:
    """Mean over model-set pairs (of the mean over draws); the interval is over the pairs where there are three."""
    by_pair: dict[tuple[str, str], list[float]] = {}
    for each in records:
        if metric in each.numbers:
            by_pair.setdefault((each.model, each.set), []).append(each.numbers[metric])
    values = [float(np.mean(found)) for found in by_pair.values()]
    if not values:
        return None
    mean = float(np.mean(values))
    return interval(values) or Estimate(mean, mean, mean, len(values))


def _methods(asked: Records, plan: TuningPlan) -> Figures:
    asked = sorted(asked, key=lambda each: ORDER.index(each.method))
    yield _table(asked, lambda r: (r.method,), ("tuned by",), "methods", "Every way, over models and sets", METRICS)
    yield _plane(asked)
    yield from _moves(asked)
    published = {each.name: each.published for each in plan.sets}
    for (model, name), found in pairs(asked, "methods").items():
        yield _set_table(found, model, name, published[name].get(model, {}))


ORDER = ("zero-shot", TEMPERATURE, *(method for method in WAYS if method != "zero-shot"))
METRICS: tuple[tuple[str, str, Unit], ...] = (
    ("accuracy", "right", "percent"),
    ("ece", "ECE", "number"),
    ("nll", "NLL", "number"),
    ("confidence", "mean confidence", "percent"),
    ("atfd", "ATFD", "number"),
)


DECIDES: tuple[str, str, Unit] = ("decided", "coordinates that the constant decides", "percent")


def _plane(asked: Records) -> Figure | None:
    """Accuracy against ECE, a dot a way."""
    points = []
    for method in dict.fromkeys(each.method for each in asked):
        here = [each for each in asked if each.method == method]
        right, gap = over_pairs(here, "accuracy"), over_pairs(here, "ece")
        if right is not None and gap is not None:
            points.append(Point(label=method, x=right.value, y=gap.value, n=right.n))
    if not points:
        return None
    return Scatter(
        id="accuracy-ece", title="Accuracy against calibration", caption="Means over models and sets. Right is more "
        "accurate, down is better calibrated.", x_label="right", y_label="ECE", x_unit="percent",
        series=(PointSeries(name="way to tune", points=tuple(points)),),
    )  # fmt: skip


def _moves(asked: Records) -> Figures:
    """How much of c-tpt's step the constant decides, and how near its outcome is."""
    shares: list[tuple[str | None, ...]] = []
    gaps: list[tuple[str | None, ...]] = []
    for (model, name), found in pairs(asked, "methods").items():
        one = {each.method: each for each in found if each.draw == 0}
        if "c-tpt" not in one or "constant" not in one:
            continue
        numbers, where = one["c-tpt"].numbers, (name, model, str(one["c-tpt"].classes))
        decided = (f"{one[m].numbers['decided']:.1%}" if m in one else None for m in ("c-tpt", "o-tpt", "a-tpt"))
        like = (f"{numbers[name]:.1%}" for name in ("same_sign", "agrees_constant", "agrees_zero-shot"))
        shares.append((*where, *decided, *like))
        gaps.append((*where, *(_printed(difference(one["constant"], one[other], metric), unit)
                               for other in ("c-tpt", "zero-shot") for metric, _, unit in METRICS[:2])))  # fmt: skip
    if shares:
        yield Table(
            id="constant",
            title="How much of C-TPT is one constant move",
            caption="Decided: the regulariser's pull on a coordinate is larger than the image's. Means over images.",
            columns=("set", "model", "classes", "decided, c-tpt", "o-tpt", "a-tpt", "c-tpt steps with its sign",
                     "predicts as constant", "as zero-shot"),
            rows=tuple(shares),
        )  # fmt: skip
        yield Table(
            id="constant-gaps",
            title="The constant move against C-TPT and against zero-shot",
            caption="Constant minus the other, with 95% bootstrap intervals over the same images.",
            columns=("set", "model", "classes", "right, minus c-tpt", "ECE, minus c-tpt", "right, minus zero-shot",
                     "ECE, minus zero-shot"),
            rows=tuple(gaps),
        )  # fmt: skip


def difference(first: TuningRecord, second: TuningRecord, metric: str) -> Estimate:
    """Accuracy or ECE of one record minus that of another, paired over images, with a 95 % bootstrap interval."""
    one, other = _statistic(first, metric), _statistic(second, metric)
    return bootstrap_rows(lambda rows: one(rows) - other(rows), first.n, seed=0, within=(-1.0, 1.0))


def _set_table(found: Records, model: str, name: str, published: Mapping[str, tuple[float, float]]) -> Figure:
    rows: list[tuple[str | None, ...]] = []
    for method in dict.fromkeys(each.method for each in found):
        here = [each for each in found if each.method == method]
        shown = [
            _draws(here, metric, unit) if len(here) > 1 else _printed(estimate(here[0], metric), unit)
            for metric, _, unit in METRICS[:2]
        ]
        numbers = [f"{np.mean([each.numbers[m] for each in here]):.3f}" for m in ("adaptive_ece", "nll", "brier")]
        over = np.mean([each.numbers["confidence"] - each.numbers["accuracy"] for each in here])
        theirs = published.get(method)
        rows.append((method, *shown, *numbers, f"{over:+.1%}",
                     *((f"{theirs[0]:.2f}%", f"{theirs[1] / 100:.4f}") if theirs else (None, None))))  # fmt: skip
    columns: tuple[str, ...] = ("tuned by", "right", "ECE", "adaptive ECE", "NLL", "Brier", "confidence less accuracy",
               "published, right", "published, ECE")  # fmt: skip
    if not published:
        columns, rows = columns[:-2], [row[:-2] for row in rows]
    return Table(
        id=f"methods-{model}-{name}",
        title=f"{name}, {model}: {found[0].n:,} images, {found[0].classes} classes",
        caption=f'95% bootstrap intervals over images; of "{TEMPERATURE}" over draws of its labels. ECE has 20 bins.',
        columns=columns,
        rows=tuple(rows),
    )


def _draws(here: Records, metric: str, unit: Unit) -> str:
    values = [each.numbers[metric] for each in here]
    low, high = np.quantile(values, [0.025, 0.975])
    return with_interval(float(np.mean(values)), float(low), float(high), unit)


def _printed(found: Estimate, unit: Unit) -> str:
    low, high = (found.low, found.high) if found.n > 2 else (None, None)  # of fewer there is no interval
    return with_interval(found.value, low, high, unit)


def _starts(asked: Records, plan: TuningPlan) -> Figures:
    yield _table(
        asked, lambda r: (r.start if not r.start.startswith("own: ") else "the set's own prompt", r.method),
        ("start", "tuned by"), "starts", "Every start, over models and sets", METRICS,
    )  # fmt: skip


def _prompts(asked: Records, plan: TuningPlan) -> Figures:
    yield _correlations(asked)
    for (model, name), found in pairs(asked, "prompts").items():
        series = []
        for method in ("zero-shot", "tpt"):
            points = [Point(label=each.start, x=each.numbers["atfd"], y=each.numbers["ece"], n=each.n)
                      for each in found if each.method == method]  # fmt: skip
            if points:
                series.append(
                    PointSeries(name="as they are" if method == "zero-shot" else "after tpt", points=tuple(points))
                )
        if series:
            yield Scatter(
                id=f"prompts-{model}-{name}", title=f"{name}, {model}: dispersion of class features against ECE",
                caption="A dot a prompt. After tpt on the first images alone.", x_label="ATFD", y_label="ECE",
                series=tuple(series),
            )  # fmt: skip


def _correlations(asked: Records) -> Figure | None:
    rows: list[tuple[str, ...]] = []
    for (model, name), found in pairs(asked, "prompts").items():
        plain, tuned = ([each for each in found if each.method == method] for method in ("zero-shot", "tpt"))
        right, error = ([each.numbers[metric] for each in plain] for metric in ("accuracy", "ece"))
        spans = f"{min(right):.1%} to {max(right):.1%}", f"{min(error):.3f} to {max(error):.3f}"
        ranked = [ranks(each) for each in (plain, tuned)]
        rows.append(
            (name, model, str(len(plain)), *spans, *("" if each is None else f"{each:+.2f}" for each in ranked))
        )
    if not rows:
        return None
    return Table(
        id="prompts",
        title="Dispersion and calibration over prompts",
        caption="Spearman's correlation of ATFD with ECE; the paper has it below 0.",
        columns=("set", "model", "prompts", "right", "ECE", "correlation, as they are", "after tpt"),
        rows=tuple(rows),
    )


def _lambda(asked: Records, plan: TuningPlan) -> Figures:
    for metric, words, unit in (*METRICS[:2], DECIDES):
        found = {x: over_pairs([each for each in asked if each.coefficient == x], metric)
                 for x in sorted({each.coefficient for each in asked}) if x > 0}  # fmt: skip
        known = [(x, each) for x, each in found.items() if each is not None]
        if len(known) > 1:
            line = Line(name="c-tpt", x=tuple(x for x, _ in known), y=tuple(e.value for _, e in known),
                        low=tuple(e.low for _, e in known), high=tuple(e.high for _, e in known))  # fmt: skip
            title = f"{words[:1].upper()}{words[1:]} by the weight of the dispersion"
            yield Lines(id=f"lambda-{metric}", title=title, caption=OVER, x_label="lambda", y_label=words,
                        series=(line,), y_unit=unit, log_x=True)  # fmt: skip
    yield _table(asked, lambda r: (f"{r.coefficient:g}",), ("lambda",), "lambda", "The sweep in numbers",
                 (*METRICS, DECIDES))  # fmt: skip


def _table(
    asked: Records, key: Callable[[TuningRecord], tuple[str, ...]], heads: tuple[str, ...], name: str, title: str,
    metrics: Sequence[tuple[str, str, Unit]],
) -> Figure | None:  # fmt: skip
    """One row a key, with the mean of every metric over models and sets."""
    cells: dict[tuple[str, ...], list[TuningRecord]] = {}
    for each in asked:
        cells.setdefault(key(each), []).append(each)
    if not cells:
        return None
    rows = []
    for label, found in cells.items():
        numbers = [(over_pairs(found, metric), unit) for metric, _, unit in metrics]
        rows.append((*label, *(None if each is None else _printed(each, unit) for each, unit in numbers)))
    columns = (*heads, *(words for _, words, _ in metrics))
    return Table(id=name, title=title, caption=OVER, columns=columns, rows=tuple(rows))


_FIGURES: dict[str, Callable[[Records, TuningPlan], Figures]] = {
    "methods": _methods,
    "starts": _starts,
    "prompts": _prompts,
    "lambda": _lambda,
}
