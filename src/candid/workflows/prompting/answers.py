"""One section a question: its figures and tables, from the records."""

from collections.abc import Iterable, Sequence

from candid.report.content import Figure, Section, Unit
from candid.workflows.claimed import Claim
from candid.workflows.prompting.pictures import curves, table, zero_shot
from candid.workflows.prompting.plan import QUESTIONS, Plan
from candid.workflows.prompting.record import Record

__all__ = ["answers", "share"]

OVER = "Mean over models and sets; the band is a 95% t interval over draws of images, noise and initial values."


DECIDED = {  # which claims a question decides
    "noise": ("P1", "P2", "P5b", "P6", "X2"),
    "losses": ("P2",),
    "gradients": ("P4",),
    "context": ("P5",),
    "names": ("P3",),
    "epochs": ("X3",),
    "unlabelled": ("P7",),
}


def answers(records: Sequence[Record], plan: Plan, found: Sequence[Claim]) -> Iterable[Section]:
    """A section for every question of the plan; `found` are the claims that they decide."""
    outcomes = {each.number: each for each in found}
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
            told = [f"{outcomes[n].text} ({n}: {outcomes[n].outcome})" for n in DECIDED[question] if n in outcomes]
            answer = " ".join(told) if shown else "Nothing was trained for this question."
            yield Section(id=question, title=words[:1].upper() + words[1:], answer=answer, figures=shown)


Figures = Iterable[Figure | None]


def _way(record: Record) -> str:
    return record.variant if record.loss == "ce" else f"{record.variant}, {record.loss.upper()}"


def share(record: Record) -> str:
    """How many labels are wrong, in words: people do not err to order."""
    return "as given" if _people(record) else f"{record.rate:.1%}"


def _people(record: Record) -> bool:
    return record.protocol.startswith("people")


NOISE_METRICS: tuple[tuple[str, str, Unit], ...] = (
    ("accuracy", "right", "percent"),
    ("ece", "ECE", "number"),
    ("nll", "NLL", "number"),
    ("auroc_msp", "AUROC, unknown by MSP", "percent"),
)


def _noise(asked: Sequence[Record], records: Sequence[Record]) -> Figures:
    drawn = [each for each in asked if not _people(each)]
    sets = dict.fromkeys(each.set for each in asked)
    for protocol in dict.fromkeys(each.protocol for each in drawn):
        found = [each for each in drawn if each.protocol == protocol]
        for metric in NOISE_METRICS:
            yield _by_rate(found, records, metric, f"noise-{protocol}-{metric[0]}", protocol)
        for name in sets if len(sets) > 1 else ():
            here = [each for each in found if each.set == name]
            yield _by_rate(here, records, NOISE_METRICS[0], f"noise-{protocol}-{name}", f"{name}, {protocol}")
    for name in sets:
        yield _noise_table([each for each in asked if each.set == name], name)
    models = dict.fromkeys(each.model for each in asked)
    for name in models if len(models) > 1 else ():
        yield _noise_table([each for each in asked if each.model == name], name, "sets")


def _by_rate(
    found: Sequence[Record], records: Sequence[Record], metric: tuple[str, str, Unit], name: str, title: str
) -> Figure | None:
    number, words, unit = metric
    return curves(
        found,
        x=lambda r: r.rate,
        series=lambda r: _way(r) if r.loss == "ce" or r.variant == "prompt" else None,
        metric=number,
        name=name,
        title=f"{title}: {words} by share of wrong labels",
        x_label="labels that are wrong",
        y_label=words,
        caption=f"Cross-entropy unless it says otherwise. {OVER}",
        y_unit=unit,
        base=zero_shot(records, number, beside=found),
    )


def _noise_table(found: Sequence[Record], name: str, over: str = "models") -> Figure | None:
    """Of one set over models, or of one model over sets."""
    return table(
        found,
        rows=lambda r: (r.protocol, _way(r)),
        columns=share,
        metrics=[("accuracy", "", "percent")],
        heads=("noise", "trained"),
        name=f"noise-{name}" if over == "models" else f"noise-model-{name}",
        title=f"{name}: right on clean test images",
        caption=f"Mean over {over}, 95% t interval over draws.",
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
    numbers: list[tuple[str, str, Unit]] = [
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
            title=f"Gradients in the space of {space}, {max(each.rate for each in asked):.0%} of the labels wrong",
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
                base=zero_shot(records, "accuracy", beside=asked),
            )


def _unlabelled(asked: Sequence[Record], records: Sequence[Record]) -> Figures:
    for name in dict.fromkeys(each.set for each in asked):
        here = [each for each in records if each.set == name and _beside_unlabelled(each)]
        yield table(
            sorted(here, key=lambda r: ("zero-shot", "unlabelled", "noise").index(r.question)),
            rows=_how_chosen,
            columns=lambda r: "",
            metrics=[("accuracy", "right", "percent"), ("ece", "ECE", "number"),
                     ("pseudo_label_accuracy", "pseudo-labels right", "percent"),
                     ("pseudo_label_coverage", "images predicted as their own class", "percent"),
                     ("classes_without", "classes without", "number")],
            heads=("chosen", "loss", "prompts"),
            name=f"unlabelled-{name}",
            title=f"{name}: prompts from pseudo-labels",
            caption="top: the surest of each predicted class; random: drawn from it; true labels: as many images a "
            "class, labelled right. Mean and 95% t interval over draws.",
        )  # fmt: skip


def _beside_unlabelled(record: Record) -> bool:
    """Pseudo-labels, and what they are to be held against: no training, and training on right labels."""
    true = record.question == "noise" and record.variant == "prompt" and record.wrong == 0
    return record.question in ("unlabelled", "zero-shot") or (true and record.protocol == "flip-exact")


def _how_chosen(record: Record) -> tuple[str, ...]:
    if record.question == "zero-shot":
        return "zero-shot", "", ""
    return record.setting if record.question == "unlabelled" else "true labels", record.loss, record.member
