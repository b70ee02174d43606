"""The study as a report: claims on top, one section a question, every record in tables/*.csv."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from candid.report.content import Content, Input, ModelCard, Row, Verdict
from candid.workflows.auditing.part import row
from candid.workflows.auditing.provenance import package_versions
from candid.workflows.claimed import Claim, counted, reasons
from candid.workflows.episodic.answers import answers, over_pairs
from candid.workflows.episodic.plan import TuningPlan
from candid.workflows.episodic.record import TuningRecord
from candid.workflows.episodic.rules import claims
from candid.workflows.study_files import input_of

__all__ = ["content"]

RULE = (
    "Each number is a difference, or correlation, a model and set, as a mean over such pairs with a 95% t interval. "
    "All of a claim's numbers must lie above their bound with the whole interval."
)
HEADED = ("zero-shot", "tpt", "c-tpt", "constant")  # ways whose numbers head the report


def content(
    records: Sequence[TuningRecord], plan: TuningPlan, models: Sequence[ModelCard], *, command: str,
    config: dict[str, Any], missing: int = 0, refused: Sequence[str] = (),
) -> Content:  # fmt: skip
    """What the report of these records says; `missing` questions are still to be asked, `refused` cannot be."""
    found = claims(records)
    notes = [*refused, *sorted({f"{each.model}: {each.note}" for each in records if each.note})]
    if missing:
        notes.append(f"{missing} questions of this plan are not answered yet; run the same command again")
    return Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        title="What does tuning at test time do to accuracy and calibration?",
        again="candid reproduce c-tpt --config report.json -o again",
        config=config,
        inputs=tuple(_inputs(plan)),
        models=tuple(models),
        packages=package_versions(),
        seed=plan.seed,
        verdict=_verdict(found, records, plan),
        rows=tuple(_rows(records)),
        sections=tuple(answers(records, plan, found)),
        cannot_say=tuple(notes),
    )


def _inputs(plan: TuningPlan) -> Iterable[Input]:
    yield from (input_of("known", each.name, each.images) for each in plan.sets)
    if plan.source is not None:
        yield input_of("source", plan.source.name, plan.source.images)


def _verdict(found: Sequence[Claim], records: Sequence[TuningRecord], plan: TuningPlan) -> Verdict:
    images = sum(each.n for each in records if each.question == "methods" and each.method == "tpt")
    headline = (
        f"{images:,} images of {len(plan.sets)} sets, {plan.views} views each. Of {len(found)} claims {counted(found)}."
    )
    return Verdict(level=None, headline=headline, reasons=reasons(found, rule=RULE))


def _rows(records: Sequence[TuningRecord]) -> Iterable[Row]:
    """Accuracy, ECE and NLL by method, over models and sets."""
    asked = [each for each in records if each.question == "methods"]
    for method in dict.fromkeys(each.method for each in asked):
        here = [each for each in asked if each.method == method]
        for metric in ("accuracy", "ece", "nll"):
            estimate = over_pairs(here, metric)
            if estimate is not None:
                shown = row(metric, method, estimate, key=metric != "nll" and method in HEADED)
                yield shown if estimate.n > 1 else shown.model_copy(update={"low": None, "high": None})
