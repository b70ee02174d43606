"""What the report of an adaptation says, put together."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from candid import tune
from candid.report.content import Content, Row, Section
from candid.types import Encoder, Features, Head, ImageSet
from candid.workflows.adapting import judging, shown
from candid.workflows.adapting.training import Training
from candid.workflows.auditing.provenance import describe_input, describe_model, package_versions, unreadable

__all__ = ["content"]


def content(
    model: Encoder,
    sets: dict[str, ImageSet],
    features: dict[str, Features],
    zero: Head,
    tuned: tune.Tuned,
    training: Training,
    names: tuple[str, ...],
    *,
    seed: int,
    command: str,
    recipe: dict[str, Any],
) -> Content:
    """The report: what changed on the test images, or on those left over; the pseudo-labels; the training."""
    own = features["images"]
    judged, judged_as = own.rows(training.judged), training.judged_as
    if "test" in features:
        judged, judged_as = features["test"], "test images"
    comparison = judging.compare(judged, zero, tuned.head, tuned.members, seed=seed)
    rows: list[Row] = []
    sections: list[Section] = []
    cannot_say: list[str] = []
    if comparison is None:
        cannot_say.append("What tuning changed: there are no labelled images that were not trained on; pass --test.")
    else:
        rows += judging.rows_of(comparison)
        sections.append(shown.after(comparison, rows, judged_as=judged_as))
        absent = len(names) - len(np.unique(judged.labels)) if judged.labels is not None else 0
        if absent:
            cannot_say.append(f"How it does on {absent} of {len(names)} classes: no image is left to judge them by.")
    if training.pseudo is not None:
        part = shown.pseudo_labels(training.pseudo, names, own.labels)
        rows, sections = [*rows, *part.rows], [*sections, *part.sections]
        cannot_say += part.cannot_say
    sections.append(shown.curve(tuned, images=len(training.rows), views=int(recipe["views"])))
    rows.append(unreadable(features.values()))
    return Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        title=f"What does tuning {model.id} to these images change?",
        again="",
        config={"model": model.id, "revision": model.revision, "classes": list(names), **recipe},
        inputs=tuple(describe_input("known", name, sets[name], each) for name, each in features.items()),
        model=describe_model(model),
        packages=package_versions(),
        seed=seed,
        verdict=shown.verdict(
            rows, tuned=tuned, missing=0 if training.pseudo is None else len(training.pseudo.missing)
        ),
        rows=tuple(rows),
        sections=tuple(sections),
        cannot_say=tuple(cannot_say),
    )
