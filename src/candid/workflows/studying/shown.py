"""A study as a report: the claims on top, one section a question, every number in tables/*.csv."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from candid.files import fresh_folder
from candid.report.content import (
    Content,
    Figure,
    Input,
    ModelCard,
    Row,
    Section,
    SkippedFile,
    Verdict,
)
from candid.report.tables import write_csv
from candid.workflows.auditing.part import NUMBERS
from candid.workflows.auditing.provenance import package_versions
from candid.workflows.claimed import Claim, counted, reasons
from candid.workflows.studying import pictures
from candid.workflows.studying.claims import Values, claims, median_over_models
from candid.workflows.studying.finding import COLUMNS, Finding, ModelFindings
from candid.workflows.studying.plan import Plan, StudySet
from candid.workflows.studying.trends import trend_table

__all__ = ["Tables", "content"]

RULE = (
    "Each number is a median over all model-set pairs. It must lie at or below its bound, and so must its whole 95% "
    "interval over resampled models; a claim holds where all its numbers do. At least 3 models of a kind are needed."
)
MOST_DIAGRAMS = 12
AGAIN = "candid study --config report.json -o again"
OVER_MODELS = "Median over vision-language models; behind the figure, the range over them."


@dataclass(frozen=True)
class Tables:
    """Every finding as CSV files, one a question, and `all.csv`."""

    findings: Sequence[Finding]

    def save(self, folder: Path, *, exist_ok: bool = False) -> Path:
        """The folder, now holding the files."""
        folder = fresh_folder(folder, exist_ok=exist_ok)
        rows = [asdict(each) for each in self.findings]
        write_csv(folder / "all.csv", rows, columns=COLUMNS)
        for question in sorted({each.question for each in self.findings}):
            chosen = [row for row in rows if row["question"] == question]
            write_csv(folder / f"{question}.csv", chosen, columns=COLUMNS)
        return folder


def content(models: Sequence[ModelFindings], plan: Plan, *, command: str, config: dict[str, Any]) -> Content:
    """What the report of these models says."""
    answered = [each for each in models if not each.failure]
    findings = [finding for each in answered for finding in each.findings]
    found = claims(findings, seed=plan.seed)
    return Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        title="How far can these models' confidence be trusted, and what mends it?",
        again=AGAIN,
        config=config,
        inputs=tuple(_input(each, answered) for each in plan.sets),
        models=tuple(_card(each) for each in answered),
        packages=package_versions(),
        seed=plan.seed,
        verdict=_verdict(found, models, plan),
        rows=(*_key_rows(findings, plan), *_rows(findings)),
        sections=tuple(_sections(answered, findings, plan)),
        cannot_say=tuple(_open_questions(models)),
    )


def _verdict(found: Sequence[Claim], models: Sequence[ModelFindings], plan: Plan) -> Verdict:
    kinds = [str(each.card["kind"]) for each in models if not each.failure]
    asked = [
        _counted(kinds.count("vlm"), "vision-language model"),
        _counted(kinds.count("supervised"), "supervised network"),
    ]
    sets = [_counted(len(plan.sources), "set"), _counted(len(plan.sets) - len(plan.sources), "more beside", plural="")]
    headline = f"{' and '.join(filter(None, asked))} on {' and '.join(filter(None, sets))}."
    headline += f" Of the paper's {len(found)} claims {counted(found)}."
    if failed := len(models) - len(kinds):
        headline += f" {failed} of {len(models)} models failed."
    return Verdict(level=None, headline=headline, reasons=reasons(found, rule=RULE))


def _counted(count: int, what: str, *, plural: str = "s") -> str:
    return f"{count} {what}{plural if count != 1 else ''}" if count else ""


def _sections(models: Sequence[ModelFindings], findings: list[Finding], plan: Plan) -> Iterable[Section]:
    vlms = [each for each in findings if each.kind == "vlm"] or findings
    order = list(dict.fromkeys(each.name for each in (*plan.sources, *plan.sets)))  # so that T2 begins with a square
    first = plan.sources[0].name
    asked: list[tuple[str, str, Iterable[Figure | None]]] = [
        ("accuracy", "F1, T1: what one temperature does", _before_and_after(findings, plan)),
        ("transfer", "T2: a temperature from another set", _transfer(vlms, order)),
        ("hierarchy", "T3: a temperature from another level of the class hierarchy", _crossed(vlms, plan, "T3")),
        ("labels", "F2: how many labels", [pictures.by_labels(findings, each.name) for each in plan.sources]),
        ("prompts", "T4: a temperature from another prompt", _crossed(vlms, plan, "T4")),
        ("sources", "T5: where the labels came from", [_label_sources(vlms, order)]),
        ("methods", "T6: other calibrators, and prediction sets", _methods(vlms, plan, order)),
        ("reliability", f"F3: reliability on {first}", [pictures.diagram(m, first) for m in models[:MOST_DIAGRAMS]]),
    ]
    for name, title, figures in asked:
        shown = tuple(each for each in figures if each is not None)
        answer = "" if shown else "Nothing here could be asked of these models and sets."
        yield Section(id=name, title=title, answer=answer, figures=shown)


def _before_and_after(findings: list[Finding], plan: Plan) -> list[Figure]:
    figures: list[Figure] = []
    for source in plan.sources:
        figures.append(pictures.against_accuracy(findings, [source.name], name=source.name, about="on its own set"))
        shifted = [each.name for each in plan.beside(source.name, "shift")]
        if shifted:
            about = f"means over the {len(shifted)} shifted sets, with the temperature of {source.name}"
            figures.append(pictures.against_accuracy(findings, shifted, name=f"{source.name}, shifted", about=about))
    judged = [each.name for each in plan.sets if each.role != "generated"]
    trend = trend_table(findings, judged, seed=plan.seed)
    return [*figures, *([trend] if trend else []), *(pictures.set_table(findings, name) for name in judged)]


def _transfer(findings: list[Finding], order: list[str]) -> Iterable[Figure | None]:
    for metric, title, value, caption in (
        ("ece", "ECE with the temperature of another set", "ECE", f"{OVER_MODELS} Judged on rows that fitted nothing."),
        (
            "ece_gap",
            "The same minus the ECE with its own temperature",
            "ECE gap",
            f"{OVER_MODELS} 0: as good as its own.",
        ),
    ):
        yield pictures.grid(
            pictures.of(findings, "T2", metric),
            lambda found: (found.fitted_on, found.used_on),
            name=f"transfer-{metric}",
            title=title,
            caption=caption,
            rows="fitted on",
            columns="used on",
            value=f"{value}, median over models",
            order=order,
        )


def _crossed(findings: list[Finding], plan: Plan, question: str) -> Iterable[Figure | None]:
    """For methods "p -> q": rows p, columns q, one heatmap a set."""
    what, note = {
        "T3": ("level", "Level 0 is the classes themselves, 1 the next coarser names."),
        "T4": ("prompt", "none: as shipped, with no temperature."),
    }[question]

    def where(found: Finding) -> tuple[str, str]:
        fitted, used = (part.removeprefix("level ") for part in found.method.split(" -> "))
        return fitted, used

    for source in plan.sources:
        yield pictures.grid(
            [each for each in pictures.of(findings, question, "ece") if each.used_on == source.name],
            where,
            name=f"{question}-{source.name}",
            title=f"{source.name}: ECE with the temperature of another {what}",
            caption=f"{OVER_MODELS} {note}",
            rows="fitted with",
            columns="used with",
        )


def _label_sources(findings: list[Finding], order: list[str]) -> Figure | None:
    return pictures.grid(
        pictures.of(findings, "T5", "ece"),
        lambda found: (found.method, found.used_on),
        name="label-sources",
        title="ECE by the source of the labels",
        caption=f"{OVER_MODELS} Other label sets: the geometric mean of the temperatures of all other source sets, "
        "which have seen neither an image nor a class of this one.",
        rows="labels",
        columns="used on",
        order=order,
    )


def _methods(findings: list[Finding], plan: Plan, order: list[str]) -> Iterable[Figure | None]:
    for metric in ("ece", "nll"):
        yield pictures.grid(
            pictures.of(findings, "T6", metric),
            lambda found: (found.method, found.used_on),
            name=f"calibrators-{metric}",
            title=f"{metric.upper()} by calibrator",
            caption=f"{OVER_MODELS} Fitted on one half, judged on the other. An empty cell: no optimum, or too few "
            "rows for so many parameters.",
            rows="calibrator",
            columns="set",
            value=f"{metric.upper()}, median over models",
            order=order,
        )
    for source in plan.sources:
        yield pictures.numbers(
            [each for each in findings if each.question == "T6" and each.used_on == source.name],
            ("coverage", "set_size", "singletons", "empty_sets"),
            name=f"sets-{source.name}",
            title=f"Prediction sets on {source.name}, asked to cover {plan.coverage:.0%}",
            caption="Median and range over models. Coverage is promised on average over draws of the fitting rows.",
            first="method",
        )


def _key_rows(findings: list[Finding], plan: Plan) -> Iterable[Row]:
    """Median ECE over models and source sets, a row a kind and state."""
    sources = {each.name for each in plan.sources}
    for kind, word in pictures.KINDS.items():
        for state, said in pictures.STATES.items():
            values: Values = {}
            for each in pictures.of(findings, "T1", "ece"):
                if each.kind == kind and each.method == state and each.used_on in sources:
                    values.setdefault(each.model, []).append(each.value)
            if values:
                found = median_over_models(values, seed=plan.seed)
                several = len(values) > 1
                yield Row(
                    metric="median_ece", slice=f"{word}, {said}", value=found.value, n=found.n, better="lower",
                    low=found.low if several else None, high=found.high if several else None, key=True,
                    label="median ECE over models and sets",
                )  # fmt: skip


def _rows(findings: Iterable[Finding]) -> Iterable[Row]:
    """T1 as rows of the report, for gates and other programs; everything else is in the CSV files."""
    for each in findings:
        if each.question == "T1":
            words, unit, better = NUMBERS[each.metric]
            yield Row(
                metric=each.metric, slice=f"{each.model} on {each.used_on}, {each.method}", value=each.value,
                low=each.low, high=each.high, n=each.n, better=better, label=words, unit=unit,
            )  # fmt: skip


def _input(found: StudySet, models: Sequence[ModelFindings]) -> Input:
    facts = next((each.sets[found.name] for each in models if found.name in each.sets), None)
    skipped = facts["skipped"] if facts else [[file.id, file.reason] for file in found.images.skipped]
    return Input(
        role=found.role,
        name=found.name,
        path=found.images.source,
        n=facts["n"] if facts else len(found.images),
        digest=str(facts["digest"]) if facts else "",
        labelled=True,
        skipped=tuple(SkippedFile(id=name, reason=reason) for name, reason in skipped),
    )


def _card(found: ModelFindings) -> ModelCard:
    return ModelCard.model_validate({name: found.card[name] for name in ModelCard.model_fields} | {"id": found.name})


def _open_questions(models: Iterable[ModelFindings]) -> Iterable[str]:
    for each in models:
        if each.failure:
            yield f"Anything about {each.name}: {each.failure}."
        for note in each.notes:
            yield f"{each.name} was {note}."
