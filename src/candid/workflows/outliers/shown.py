"""The study as a report: claims on top, one section a question, every record in tables/*.csv."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from candid.report.content import Content, Counts, Figure, Histogram, Input, Line, Lines, ModelCard, Row, Section, Table
from candid.report.content import Verdict as Said
from candid.report.wording import with_interval
from candid.types import Estimate
from candid.workflows.auditing.part import row
from candid.workflows.auditing.provenance import package_versions
from candid.workflows.claimed import Claim, counted, reasons
from candid.workflows.outliers.plan import PLAIN, QUESTIONS, OutlierPlan
from candid.workflows.outliers.record import OutlierRecord
from candid.workflows.outliers.rules import FPR, claims, of, over_sets
from candid.workflows.study_files import input_of

__all__ = ["content"]

Records = Sequence[OutlierRecord]
RULE = (
    "Each number is a difference a model and unknown set, as a mean over such pairs with a 95% t interval. All of a "
    "claim's numbers must lie above their bound with the whole interval."
)
DECIDES = {"detectors": ("E2", "E3", "E3b"), "temperature": (), "identity": ("E1",), "threshold": ()}
METRICS: tuple[tuple[str, str], ...] = (
    ("auroc", "AUROC"),
    (FPR, "FPR95, known positive"),
    ("fpr_unknown_positive_first", "FPR95, unknown positive"),
    ("aupr_known_positive", "AUPR, known positive"),
    ("aupr_unknown_positive", "AUPR, unknown positive"),
)


def content(
    records: Records, plan: OutlierPlan, models: Sequence[ModelCard], *, command: str, config: dict[str, Any],
    missing: int = 0, refused: Sequence[str] = (),
) -> Content:  # fmt: skip
    """What the report of these records says; `missing` states are still to be asked, `refused` cannot be."""
    found = claims(records)
    notes = [*refused, *sorted({f"{each.model}: {each.detector}: {each.note}" for each in records if each.note})]
    if missing:
        notes.append(f"{missing} states of models are not asked yet; run the same command again")
    unknown = len({(each.known, each.set) for each in records if each.set})
    return Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        title="Does the energy tell what a model does not know?",
        again="candid reproduce energy --config report.json -o again",
        config=config,
        inputs=tuple(_inputs(plan)),
        models=tuple(models),
        packages=package_versions(),
        seed=plan.seed,
        verdict=Said(
            level=None,
            headline=f"{len(models)} models, {unknown} unknown sets. Of {len(found)} claims {counted(found)}.",
            reasons=reasons(found, rule=RULE),
        ),
        rows=tuple(_rows(records, plan)),
        sections=tuple(_sections(records, plan, found)),
        cannot_say=tuple(notes),
    )


def _inputs(plan: OutlierPlan) -> Iterable[Input]:
    for found in plan.sets:
        yield input_of("known", found.name, found.test)
        for role, name, images in (("source", "train", found.train), ("source", "outliers", found.outliers)):
            if images is not None:
                yield input_of(role, f"{found.name}: {name}", images)
        for each in found.unknown:
            yield input_of("ood", each.name, each.images)


def _rows(records: Records, plan: OutlierPlan) -> Iterable[Row]:
    """Means over models and sets of the two scores in every state, and accuracies."""
    for state in dict.fromkeys(each.state for each in records):
        right = over_sets(of(records, "detectors", state, "", "accuracy"))
        if right is not None:
            yield row("accuracy", state, _share(right))
        for detector in ("msp", "energy"):
            for metric, name in (("auroc", "auroc"), ("fpr95_known_positive", FPR)):
                estimate = over_sets(of(records, "detectors", state, detector, name))
                if estimate is not None:
                    yield row(metric, f"{state}, {detector}", _share(estimate), key=metric != "auroc")


def _share(found: Estimate) -> Estimate:
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high), found.n)


def _sections(records: Records, plan: OutlierPlan, found: Sequence[Claim]) -> Iterable[Section]:
    outcomes = {each.number: each for each in found}
    for question, words in QUESTIONS.items():
        if question in plan.questions:
            asked = [each for each in records if each.question == question]
            told = " ".join(f"{outcomes[n].text} ({n}: {outcomes[n].outcome})" for n in DECIDES[question])
            yield Section(id=question, title=words[:1].upper() + words[1:], answer=told or "No claim hangs on it.",
                          figures=tuple(_FIGURES[question](asked, plan)))  # fmt: skip


def _detectors(asked: Records, plan: OutlierPlan) -> Iterable[Figure]:
    states = list(dict.fromkeys(each.state for each in asked))
    yield _accuracies(asked, states)
    yield _states(asked, states)
    for model in dict.fromkeys(each.model for each in asked):
        yield _every_detector(asked, model)
        for state in states:
            yield from _per_set(asked, plan, model, state)
    yield from _histograms(asked, states)


def _accuracies(asked: Records, states: Sequence[str]) -> Figure:
    rows = [
        (each.model, each.state, _shown(each, "accuracy"), each.n_known)
        for each in asked
        if not each.detector and each.state in states
    ]
    return Table(id="accuracy", title="Accuracy on known images", caption="With a 95% Clopper-Pearson interval.",
                 columns=("model", "state", "right", "images"), rows=tuple(rows))  # fmt: skip


def _states(asked: Records, states: Sequence[str]) -> Figure:
    """Softmax against energy in every state, near and far."""
    kinds = [kind for kind in dict.fromkeys(each.kind for each in asked) if kind]
    rows: list[tuple[str | None, ...]] = []
    for model in dict.fromkeys(each.model for each in asked):
        for state in states:
            for detector in ("msp", "energy"):
                here = [e for e in asked if (e.model, e.state, e.detector) == (model, state, detector) and e.numbers]
                if here:
                    cells = [_mean([e for e in here if kind in ("all", e.kind)], metric)
                             for kind in (*kinds, "all") for metric in ("auroc", FPR)]  # fmt: skip
                    rows.append((model, state, detector, *cells))
    heads = [f"{word}, {kind}" for kind in (*kinds, "all") for word in ("AUROC", "FPR95")]
    return Table(id="states", title="Softmax score and energy, before and after fine-tuning",
                 caption="Means over unknown sets. FPR95: unknown images let in when 95% of known ones are kept.",
                 columns=("model", "state", "score", *heads), rows=tuple(rows))  # fmt: skip


def _every_detector(asked: Records, model: str) -> Figure:
    here = [each for each in asked if each.model == model and each.state == PLAIN and each.detector and each.numbers]
    names = sorted(dict.fromkeys(each.detector for each in here), key=lambda name: -_value(here, name, "auroc"))
    rows = [
        (name, *(_mean([e for e in here if e.detector == name], metric) for metric, _ in METRICS)) for name in names
    ]
    return Table(id=f"every-{_id(model)}", title=f"{model}: every detector, mean over unknown sets",
                 caption="Sorted by AUROC on these sets, which is no way to choose one: candid audit --detector auto.",
                 columns=("detector", *(words for _, words in METRICS)), rows=tuple(rows))  # fmt: skip


def _per_set(asked: Records, plan: OutlierPlan, model: str, state: str) -> Iterable[Figure]:
    """Every unknown set with intervals, and the published numbers where the plan has them."""
    here = [e for e in asked if (e.model, e.state) == (model, state) and e.detector in ("msp", "energy") and e.numbers]
    published = {name: found for each in plan.sets for name, found in each.published.items()}.get(model, {})
    rows = []
    for each in here:
        theirs = published.get(each.detector, {}).get(each.set)
        paper = None if theirs is None else f"{theirs[1]:.2f} / {theirs[0]:.2f}"
        rows.append((each.set, each.kind, each.detector, *(_shown(each, metric) for metric, _ in METRICS),
                     f"{each.n_known:,} / {each.n_unknown:,}", paper))  # fmt: skip
    if rows:
        columns = ("unknown set", "kind", "score", *(words for _, words in METRICS), "known / unknown",
                   "published AUROC / FPR95")  # fmt: skip
        yield Table(id=f"sets-{_id(model)}-{_id(state)}", title=f"{model}, {state}: every unknown set",
                    caption="95% intervals over images. AUPR depends on the mix of known and unknown.",
                    columns=columns, rows=tuple(rows))  # fmt: skip


def _histograms(asked: Records, states: Sequence[str]) -> Iterable[Figure]:
    """Scores of known images and of one unknown set of every model, msp and energy, in every state.

    The set is the first that is far, or the first.
    """
    drawn = [each for each in asked if each.spread is not None and each.state in states]
    for each in drawn:
        own = [other for other in drawn if other.model == each.model]
        if each.spread is None or each.set != next((o.set for o in own if o.kind == "far"), own[0].set):
            continue
        yield Histogram(
            id=f"scores-{_id(each.model)}-{_id(each.state)}-{each.detector}",
            title=f"{each.model}, {each.state}: {each.detector}", caption="The end bins hold the tails.",
            x_label=f"{each.detector}, higher = less known", edges=each.spread.edges,
            series=(Counts(name="known", shares=each.spread.known, n=each.n_known),
                    Counts(name=each.set, shares=each.spread.unknown, n=each.n_unknown)),
        )  # fmt: skip


def _temperature(asked: Records, plan: OutlierPlan) -> Iterable[Figure]:
    for metric, words in (("auroc", "AUROC"), (FPR, "FPR95, known positive")):
        series = []
        for model in dict.fromkeys(each.model for each in asked):
            by_t = {t: [e.numbers[metric] for e in asked if (e.model, e.state, e.temperature) == (model, PLAIN, t)]
                    for t in plan.temperatures}  # fmt: skip
            kept = {t: float(np.mean(values)) for t, values in by_t.items() if values}
            if kept:
                series.append(Line(name=model, x=tuple(kept), y=tuple(kept.values())))
        if series:
            yield Lines(id=f"temperature-{metric}", title=f"{words} by temperature", caption="Means over unknown sets.",
                        x_label="temperature of the energy", y_label=words, y_unit="percent", log_x=True,
                        series=tuple(series))  # fmt: skip


def _identity(asked: Records, plan: OutlierPlan) -> Iterable[Figure]:
    names = ("known_energy", "unknown_energy", "known_top", "unknown_top", "auroc_energy", "auroc_top", "auroc_sum")
    rows = tuple(
        (each.model, each.set, *(f"{each.numbers[name]:.3f}" for name in names), f"{each.numbers['error']:.1e}")
        for each in asked
        if each.state == PLAIN
    )
    yield Table(
        id="identity", title="log max p = energy + highest logit",
        caption="Known images have the lower energy and the higher logit; the softmax score adds the two.",
        columns=("model", "unknown set", "energy, known", "unknown", "highest logit, known", "unknown",
                 "AUROC of the energy", "of the highest logit", "of their sum", "largest error"), rows=rows,
    )  # fmt: skip


def _threshold(asked: Records, plan: OutlierPlan) -> Iterable[Figure]:
    rows = tuple(
        (each.model, each.state, each.detector, _shown(each, "kept"), _shown(each, "expected"), each.set,
         _shown(each, "let_in"))
        for each in asked
        if each.numbers
    )  # fmt: skip
    yield Table(
        id="threshold", title="A threshold from half of the known images",
        caption="Energy. rows: keeps 95% of the rows it is from; average: of new known images on average; sure: of new "
        "known images with 95% chance. Expected: the mean and 95% interval of what such thresholds keep.",
        columns=("model", "state", "promise", "keeps of the other half", "expected", "unknown set", "lets in"),
        rows=rows,
    )  # fmt: skip


def _mean(here: Records, metric: str) -> str | None:
    values = [each.numbers[metric] for each in here if metric in each.numbers]
    return f"{100 * float(np.mean(values)):.1f}%" if values else None


def _value(here: Records, name: str, metric: str) -> float:
    return float(np.mean([each.numbers[metric] for each in here if each.detector == name]))


def _shown(each: OutlierRecord, metric: str) -> str:
    found = each.numbers
    return with_interval(found[metric], found[f"{metric}_low"], found[f"{metric}_high"], "percent")


def _id(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


_FIGURES: Mapping[str, Callable[[Records, OutlierPlan], Iterable[Figure]]] = {
    "detectors": _detectors,
    "temperature": _temperature,
    "identity": _identity,
    "threshold": _threshold,
}
