"""The study as a report: claims on top, one section a question, every record in tables/*.csv."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from candid.report.content import Content, Input, ModelCard, Row, Verdict
from candid.workflows.auditing.part import row
from candid.workflows.auditing.provenance import package_versions
from candid.workflows.claimed import Claim, counted, reasons
from candid.workflows.prompting.answers import answers, share
from candid.workflows.prompting.claims import claims
from candid.workflows.prompting.pictures import over_draws
from candid.workflows.prompting.plan import Plan
from candid.workflows.prompting.record import Record
from candid.workflows.study_files import input_of

__all__ = ["content"]

RULE = (
    "Each number is a difference, paired by model, set, noise and draw, as a mean over model-set pairs with a 95% t "
    "interval. All of a claim's numbers must lie above their bound with the whole interval."
)


def content(
    records: Sequence[Record], plan: Plan, models: Sequence[ModelCard], *, command: str, config: dict[str, Any],
    missing: int = 0, refused: Sequence[str] = (),
) -> Content:  # fmt: skip
    """What the report of these records says; `missing` cases are still to be trained, `refused` cannot be."""
    found = claims(records)
    notes = [*refused, *sorted({f"{each.variant}, {each.set}: {each.note}" for each in records if each.note})]
    if missing:
        notes.append(f"{missing} trainings of this plan are not finished; run the same command again")
    return Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        title="What do wrong labels do to prompts, classifiers and text encoders?",
        again="candid reproduce ptnl --config report.json -o again",
        config=config,
        inputs=tuple(_inputs(plan)),
        models=tuple(models),
        packages=package_versions(),
        seed=plan.seed,
        verdict=_verdict(found, records, plan),
        rows=tuple(_rows(records, plan)),
        sections=tuple(answers(records, plan, found)),
        cannot_say=tuple(notes),
    )


def _inputs(plan: Plan) -> Iterable[Input]:
    for found in plan.sets:
        yield input_of("source", f"{found.name}, to learn from", found.train)
        yield input_of("known", f"{found.name}, to judge", found.test)
        for name, images in found.ood.items():
            yield input_of("ood", f"{found.name}, unknown: {name}", images)


def _verdict(found: Sequence[Claim], records: Sequence[Record], plan: Plan) -> Verdict:
    trained = sum(each.question != "zero-shot" and each.member == "one" for each in records)
    headline = (
        f"{trained:,} judged heads on {len(plan.sets)} sets, {plan.draws} draws each. "
        f"Of {len(found)} claims {counted(found)}."
    )
    return Verdict(level=None, headline=headline, reasons=reasons(found, rule=RULE))


def _rows(records: Sequence[Record], plan: Plan) -> Iterable[Row]:
    """Accuracy, ECE and NLL by variant, loss, protocol and rate, over models and sets; most wrong labels head them."""
    cells: dict[tuple[str, str, str, str], list[Record]] = {}
    for each in records:
        if each.question in ("zero-shot", "noise"):
            cells.setdefault((each.variant, each.loss, each.protocol, share(each)), []).append(each)
    for where, found in cells.items():
        first = found[0]
        hardest = (first.loss, first.protocol, first.rate) == (plan.losses[0], plan.protocols[0], max(plan.rates))
        for metric in ("accuracy", "ece", "nll"):
            estimate = over_draws(found, metric)
            if estimate is not None:
                words = "zero-shot" if first.question == "zero-shot" else "{}, {}, {} {}".format(*where)
                key = metric == "accuracy" and (hardest or first.question == "zero-shot")
                shown = row(metric, words, estimate, key=key)
                yield shown if estimate.n > 1 else shown.model_copy(update={"low": None, "high": None})
