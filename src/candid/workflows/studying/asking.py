"""Asking models one by one: what each said is kept as it finishes, and one that fails does not stop the others."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from candid.errors import CandidError, InputError
from candid.files import digest
from candid.types import Classifier, Encoder, Features, ImageEncoder
from candid.workflows.encoding import encode
from candid.workflows.studying.answers import Answers
from candid.workflows.studying.finding import ModelFindings

# from candid.workflows.studying.methods import methods
from candid.workflows.studying.methods import methods
from candid.workflows.studying.plan import Plan, StudyModel, StudySet
from candid.workflows.studying.questions import QUESTIONS, diagrams

__all__ = ["ask_all"]

Progress = Callable[[str, int, int], None]


def ask_all(
    models: Sequence[StudyModel], plan: Plan, folder: Path, *, progress: Progress, fresh: bool, **encoding: Any
) -> Iterator[ModelFindings]:
    """What each model said, in order: from its file in `folder` where it is finished, else asked now and kept there.

    A file of another plan, or of other weights, is refused unless `fresh`, which asks again.
    """
    _refuse_twins(models)
    for model in models:
        path = folder / f"{_slug(model.name)}.json"
        found = None if not path.exists() else _finished(path, model, plan, fresh=fresh)
        if found is None:
            found = _asked_safely(model, plan, progress, encoding)
            found.save(path)
        yield found


def _finished(path: Path, model: StudyModel, plan: Plan, *, fresh: bool) -> ModelFindings | None:
    """The record of an earlier run, if it answers this plan and did not fail."""
    found = ModelFindings.load(path)
    if found.failure:
        return None
    if found.key == plan.key and _revision(model) in (None, found.card["revision"]):
        return found
    if not fresh:
        raise InputError(
            f"{path} holds answers of {found.name} to another study (other sets, prompts, draws, seed or weights); "
            "choose another -o or pass --exist-ok to ask again"
        )
    return None


def _revision(model: StudyModel) -> str | None:
    try:
        return model.revision()
    except CandidError:  # the Hub out of reach, a folder moved away: what was answered still stands
        return None


def _asked_safely(model: StudyModel, plan: Plan, progress: Progress, encoding: dict[str, Any]) -> ModelFindings:
    try:
        return _asked(model, plan, progress, encoding)
    except Exception as error:  # whatever one model's framework raises must not cost the others
        reason = str(error) if isinstance(error, CandidError) else f"{type(error).__name__}: {error}"
        return ModelFindings(model.name, plan.key, {"source": model.source}, failure=" ".join(reason.split()))


def _asked(model: StudyModel, plan: Plan, progress: Progress, encoding: dict[str, Any]) -> ModelFindings:
    loaded = model.load()

    def features(encoder: ImageEncoder, found: StudySet) -> Features:
        label = f"{model.name}: {found.name}"
        made = encode(encoder, found.images, progress=lambda done, total: progress(label, done, total), **encoding)
        if not len(made):
            raise InputError(f"none of the {len(made.skipped)} files of set {found.name} can be read")
        return made

    answers = Answers(loaded, plan, features)
    notes = [f"not asked about {name}: {reason}" for name, reason in answers.refusals.items() if reason]
    if not answers.sets:
        raise InputError("; ".join(notes))
    steps = [*QUESTIONS.values(), methods]
    findings = []
    for number, question in enumerate(steps):
        progress(f"{model.name}: questions", number, len(steps))
        findings += list(question(answers, model.name))
    bins = diagrams(answers)
    progress(f"{model.name}: questions", len(steps), len(steps))
    sets = {found.name: _facts(answers, found) for found in answers.sets}
    return ModelFindings(
        model.name, plan.key, _card(loaded, model.source, answers.kind), sets, tuple(findings), tuple(notes), bins
    )


def _facts(answers: Answers, found: StudySet) -> dict[str, Any]:
    """What the set held, as this model read it."""
    features = answers.features(found)
    return {
        "role": found.role,
        "of": found.of,
        "source": found.images.source,
        "n": len(features),
        "classes": len(found.classes),
        "skipped": [[file.id, file.reason] for file in features.skipped],
        "digest": digest("\n".join(features.digests or features.ids).encode()),
    }


def _card(model: ImageEncoder, source: str, kind: str) -> dict[str, Any]:
    head = model if isinstance(model, Encoder) else model.head if isinstance(model, Classifier) else None
    bias = getattr(head, "bias", 0.0)
    return {
        "id": model.id,
        "source": source or model.id,
        "kind": kind,
        "revision": model.revision,
        "preprocessing": model.preprocessing,
        "activation": getattr(head, "activation", "softmax"),
        "scale": float(getattr(head, "scale", 1.0)),
        "bias": float(bias) if isinstance(bias, float | int) else 0.0,
        "device": str(getattr(model, "device", "cpu")),
    }


def _refuse_twins(models: Iterable[StudyModel]) -> None:
    taken: dict[str, str] = {}
    for model in models:
        slug = _slug(model.name)
        if slug in taken:
            raise InputError(f"models {taken[slug]} and {model.name} would share the file {slug}.json; rename one")
        taken[slug] = model.name
    if not taken:
        raise InputError("a study needs at least one model")


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
