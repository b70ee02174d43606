"""The study as a report: claims on top, one section a question, every record in tables/*.csv."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from candid.files import digest, fresh_folder
from candid.report.content import Content, Figure, Input, Level, Reason, Row, Section, Verdict
from candid.report.tables import write_csv
from candid.types import ImageSet
from candid.workflows.auditing.part import row
from candid.workflows.auditing.provenance import describe_model, package_versions
from candid.workflows.prompting.claims import Claim, Outcome, claims
from candid.workflows.prompting.pictures import curves, over_draws, table, zero_shot
from candid.workflows.prompting.plan import QUESTIONS, Plan
from candid.workflows.prompting.record import COLUMNS, Record

__all__ = ["Tables", "content"]

LEVELS: dict[Outcome, Level] = {
    "holds": "good",
    "does not hold": "bad",
    "not settled": "unknown",
    "cannot be tested here": "unknown",
}
RULE = (
    "Each number is a difference, paired by model, set, noise and draw, as a mean over model-set pairs with a 95% t "
    "interval. All of a claim's numbers must lie above their bound with the whole interval."
)
OVER = "Mean over models and sets; the band is a 95% t interval over draws of images, noise and initial values."


@dataclass(frozen=True)
class Tables:
    """Every record as CSV files, one a question, and `all.csv`."""

    records: Sequence[Record]

    def save(self, folder: Path, *, exist_ok: bool = False) -> Path:
        """The folder, now holding the files."""
        folder = fresh_folder(folder, exist_ok=exist_ok)
        for question in ("all", *dict.fromkeys(each.question for each in self.records)):
            rows = [each.flat() for each in self.records if question in ("all", each.question)]
            numbers = dict.fromkeys(name for found in rows for name in found if name not in (*COLUMNS, "note"))
            write_csv(folder / f"{question}.csv", rows, columns=(*COLUMNS, *numbers, "note"))
        return folder


def content(
    records: Sequence[Record], plan: Plan, models: Sequence[Any], *, command: str, config: dict[str, Any],
    missing: int = 0,
) -> Content:  # fmt: skip
    """What the report of these records says; `missing` cases are still to be trained."""
    found = claims(records)
    notes = sorted({f"{each.variant}, {each.set}: {each.note}" for each in records if each.note})
    if missing:
        notes.append(f"{missing} trainings of this plan are not finished; run the same command again")
    return Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        title="What do wrong labels do to prompts, classifiers and text encoders?",
        again="candid reproduce ptnl --config report.json -o again",
        config=config,
        inputs=tuple(_inputs(plan)),
        models=tuple(describe_model(model) for model in models),
        packages=package_versions(),
        seed=plan.seed,
        verdict=_verdict(found, records, plan),
        rows=tuple(_rows(records)),
        sections=tuple(_sections(records, plan)),
        cannot_say=tuple(notes),
    )


def _inputs(plan: Plan) -> Iterable[Input]:
    for found in plan.sets:
        yield _input("source", f"{found.name}, to learn from", found.train)
        yield _input("known", f"{found.name}, to judge", found.test)
        for name, images in found.ood.items():
            yield _input("ood", f"{found.name}, unknown: {name}", images)


def _input(role: Any, name: str, images: ImageSet) -> Input:
    return Input(role=role, name=name, path=images.source, n=len(images),
                 digest=digest("\n".join(images.ids).encode()), labelled=images.labels is not None)  # fmt: skip


def _verdict(found: Sequence[Claim], records: Sequence[Record], plan: Plan) -> Verdict:
    trained = sum(each.question != "zero-shot" and each.member == "one" for each in records)
    outcomes = [each.outcome for each in found]
    words = {"holds": "hold", "does not hold": "do not hold", "not settled": "are not settled"}
    told = [f"{outcomes.count(kind)} {words.get(kind, kind)}" for kind in LEVELS if kind in outcomes]
    headline = (
        f"{trained:,} judged heads on {len(plan.sets)} sets, {plan.draws} draws each. "
        f"Of {len(found)} claims {', '.join(told)}."
    )
    reasons = tuple(
        Reason(rule=RULE, text=f"{each.number} {each.text} {each.evidence}", level=LEVELS[each.outcome],
               word=each.outcome)
        for each in found
    )  # fmt: skip
    return Verdict(level=None, headline=headline, reasons=reasons)


def _rows(records: Sequence[Record]) -> Iterable[Row]:
    """Accuracy and ECE by variant, loss, protocol and rate, over models and sets."""
    cells: dict[str, list[Record]] = {}
    for each in records:
        if each.question == "noise":
            where = f"{each.variant}, {each.loss}, {each.protocol} {each.rate:.1%}"
            cells.setdefault(where, []).append(each)
    for where, found in cells.items():
        for metric in ("accuracy", "ece", "nll"):
            estimate = over_draws(found, metric)
            if estimate is not None:
                yield row(metric, where, estimate)


def _sections(records: Sequence[Record], plan: Plan) -> Iterable[Section]:
    figures = {
        "noise": _noise,
        "losses": _losses,
        "gradients": _gradients,
        "context": _context,
        "names": _names,
        "epochs": _epochs,
        "unlabelled": _unlabelled,
    }
    for question, words in QUESTIONS.items():
        if question in plan.questions:
            asked = [each for each in records if each.question == question]
            shown = tuple(each for each in figures[question](asked, records) if each is not None)
            answer = "" if shown else "Nothing was trained for this question."
            yield Section(id=question, title=words[:1].upper() + words[1:], answer=answer, figures=shown)


Figures = Iterable[Figure | None]


def _way(record: Record) -> str:
    return record.variant if record.loss == "ce" else f"{record.variant}, {record.loss.upper()}"


def _noise(asked: Sequence[Record], records: Sequence[Record]) -> Figures:
    drawn = [each for each in asked if not each.protocol.startswith("people")]
    metrics = (("accuracy", "right", "percent"), ("ece", "ECE", "number"), ("nll", "NLL", "number"),
               ("auroc_msp", "AUROC, unknown by MSP", "percent"))  # fmt: skip
    for protocol in dict.fromkeys(each.protocol for each in drawn):
        for metric, words, unit in metrics:
            yield curves(
                [each for each in drawn if each.protocol == protocol],
                x=lambda r: r.rate,
                series=lambda r: _way(r) if r.loss == "ce" or r.variant == "prompt" else None,
                metric=metric,
                name=f"noise-{protocol}-{metric}",
                title=f"{protocol}: {words} by share of wrong labels",
                x_label="labels that are wrong",
                y_label=words,
                caption=f"Cross-entropy unless it says otherwise. {OVER}",
                y_unit=unit,  # type: ignore[arg-type]
                base=zero_shot(records, metric),
            )
    for name in dict.fromkeys(each.set for each in asked):
        yield table(
            [each for each in asked if each.set == name],
            rows=lambda r: (r.protocol, _way(r)),
            columns=lambda r: f"{r.rate:.1%}" if not r.protocol.startswith("people") else "as given",
            metrics=[("accuracy", "", "percent")],
            heads=("noise", "trained"),
            name=f"noise-{name}",
            title=f"{name}: right on clean test images",
            caption="Mean and 95% t interval over draws.",
        )


def _losses(asked: Sequence[Record], records: Sequence[Record]) -> Figures:
    yield table(
        asked,
        rows=lambda r: (r.loss,),
        columns=lambda r: f"{r.rate:.0%} wrong:",
        metrics=[("accuracy", "right", "percent"), ("ece", "ECE", "number")],
        heads=("loss",),
        name="losses",
        title="Losses for the prompt, with and without wrong labels",
        caption=OVER,
    )


def _gradients(asked: Sequence[Record], records: Sequence[Record]) -> Figures:
    numbers: list[tuple[str, str, Any]] = [
        ("norm_right", "norm, right", "number"), ("norm_wrong", "norm, wrong", "number"),
        ("coherence_right", "coherence, right", "number"), ("coherence_wrong", "coherence, wrong", "number"),
        ("cosine", "cosine of the sums", "number"), ("pull", "pull of the wrong", "number"),
    ]  # fmt: skip
    for space in dict.fromkeys(each.setting for each in asked):
        yield table(
            [each for each in asked if each.setting == space],
            rows=lambda r: (_way(r), str(r.epoch)),
            columns=lambda r: "",
            metrics=numbers,
            heads=("trained", "epochs done"),
            name=f"gradients-{space}",
            title=f"Gradients in the space of {space}, half of the labels wrong",
            caption="Coherence: norm of a group's sum over the sum of norms, 1 where all agree. Pull: norm of the "
            f"wrong labels' sum over that of the right ones'. {OVER}",
        )


def _context(asked: Sequence[Record], records: Sequence[Record]) -> Figures:
    for rate in sorted({each.rate for each in asked}):
        yield curves(
            [each for each in asked if each.rate == rate],
            x=lambda r: float(r.setting.split()[0]),
            series=lambda r: r.set,
            metric="accuracy",
            name=f"context-{rate:g}",
            title=f"Context length, {rate:.0%} of the labels wrong",
            x_label="context tokens",
            y_label="right",
            x_unit="number",
            log_x=True,
            caption="The band is a 95% t interval over draws.",
        )


def _names(asked: Sequence[Record], records: Sequence[Record]) -> Figures:
    yield table(
        asked,
        rows=lambda r: (r.setting,),
        columns=lambda r: f"{r.rate:.0%} wrong:",
        metrics=[("accuracy", "right", "percent"), ("ece", "ECE", "number")],
        heads=("class names",),
        name="names",
        title="What stands in place of the class names",
        caption=f"One word for all classes is the control: nothing tells them apart. {OVER}",
    )


def _epochs(asked: Sequence[Record], records: Sequence[Record]) -> Figures:
    for rate in sorted({each.rate for each in asked}):
        for setting in dict.fromkeys(each.setting for each in asked):
            yield curves(
                [each for each in asked if each.rate == rate and each.setting == setting],
                x=lambda r: float(r.epoch),
                series=lambda r: _way(r) + (", averaged" if r.member == "average" else ""),
                metric="accuracy",
                name=f"epochs-{setting.split()[0]}-{rate:g}",
                title=f"A training of {setting}, {rate:.0%} of the labels wrong",
                x_label="epochs done",
                y_label="right",
                x_unit="number",
                caption=f"Averaged: the mean logits of prompts from several initial values, of one draw. {OVER}",
                base=zero_shot(records, "accuracy"),
            )


def _unlabelled(asked: Sequence[Record], records: Sequence[Record]) -> Figures:
    for name in dict.fromkeys(each.set for each in asked):
        here = [each for each in records if each.set == name and each.question in ("unlabelled", "zero-shot")]
        yield table(
            here,
            rows=lambda r: (
                ("zero-shot", "", "") if r.question == "zero-shot" else (r.setting, r.loss, r.member)
            ),
            columns=lambda r: "",
            metrics=[("accuracy", "right", "percent"), ("ece", "ECE", "number"),
                     ("pseudo_label_accuracy", "pseudo-labels right", "percent"),
                     ("pseudo_label_coverage", "images predicted as their own class", "percent"),
                     ("classes_without", "classes without", "number")],
            heads=("chosen", "loss", "prompts"),
            name=f"unlabelled-{name}",
            title=f"{name}: prompts from pseudo-labels",
            caption="top: the surest of each predicted class; random: drawn from it. Mean and 95% t interval.",
        )  # fmt: skip
