"""The front door: encode every set once, ask everything, state a verdict, hand back a report and a predictor."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from candid import models
from candid.errors import InputError
from candid.report import Report
from candid.report.content import Content
from candid.types import Encoder, Features, Image, ImageSet
from candid.workflows.encoding import encode
from candid.workflows.evidence import Evidence, LabelledSet, align
from candid.workflows.findings import audit_features
from candid.workflows.predictor import Predictor
from candid.workflows.provenance import describe_input, describe_model, package_versions, unreadable
from candid.workflows.verdict import verdict

__all__ = ["audit"]

Role = Literal["known", "shift", "ood", "transfer"]
Progress = Callable[[str, int, int], None]


def audit(
    model: Encoder,
    known: ImageSet,
    *,
    classes: Sequence[str] | None = None,
    templates: Sequence[str] | None = None,
    ood: Mapping[str, ImageSet] | None = None,
    shift: Mapping[str, ImageSet] | None = None,
    transfer: Mapping[str, ImageSet] | None = None,
    labels: int | None = None,
    seed: int = 0,
    keep: float = 0.95,
    detector: str = "mcm",
    cache: bool | Path = True,
    batch_size: int = 64,
    strict: bool = False,
    progress: Progress | None = None,
    command: str = "workflows.audit",
) -> Report:
    """How far this model can be trusted on the known images: a report that also made a predictor.

    `classes` default to those of the known set, `templates` to `models.TEMPLATES`. `labels` is how many labelled rows
    may fit the temperature (None: half). `ood` sets hold none of the classes, `shift` sets hold the same ones under
    other conditions, `transfer` sets are other labelled data. `progress(set, done, total)` is told how encoding goes.
    Definitions and verdict rules: docs/studies/audit.md.
    """
    names = _classes(classes, known)
    wordings = tuple(templates) if templates is not None else tuple(models.TEMPLATES)
    sets: dict[tuple[Role, str], ImageSet] = {("known", "known"): known}
    for role, given in (("shift", shift), ("ood", ood), ("transfer", transfer)):
        sets |= {(role, name): images for name, images in (given or {}).items()}  # type: ignore[misc]
    features = {
        key: _encode(model, images, name=key[1], cache=cache, batch_size=batch_size, strict=strict, progress=progress)
        for key, images in sets.items()
    }
    evidence = Evidence(
        head=models.zero_shot(model, names, templates=wordings),
        known=align(features["known", "known"], names, name="known"),
        ood={name: found for (role, name), found in features.items() if role == "ood"},
        shift={name: found for (role, name), found in features.items() if role == "shift"},
        transfer={
            name: _labelled(model, found, wordings, name)
            for (role, name), found in features.items()
            if role == "transfer"
        },
        templates={each: models.zero_shot(model, names, templates=[each]) for each in wordings},
        labels=labels,
        seed=seed,
        keep=keep,
        detector=detector,
    )
    findings = audit_features(evidence, _reader(known))
    config = {
        "model": model.id,
        "revision": model.revision,
        "classes": list(names),
        "templates": list(wordings),
        "labels": labels,
        "seed": seed,
        "keep": keep,
        "detector": detector,
        "batch_size": batch_size,
        "strict": strict,
        "known": known.source,
        **{
            role: {name: images.source for (kind, name), images in sets.items() if kind == role}
            for role in ("shift", "ood", "transfer")
        },
    }
    predictor = Predictor(
        evidence.head,
        findings.temperature,
        detector,
        findings.threshold,
        keep,
        model.id,
        model.revision,
        model.preprocessing,
        encoder=model,
    )
    rows = (*findings.rows, unreadable(features.values()))
    content = Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        config=config,
        inputs=tuple(describe_input(*key, sets[key], found) for key, found in features.items()),
        model=describe_model(model),
        packages=package_versions(),
        seed=seed,
        verdict=verdict(rows, detector=detector),
        rows=rows,
        sections=findings.sections,
        cannot_say=findings.cannot_say,
    )
    return Report(content, made={"predictor": predictor})


def _classes(given: Sequence[str] | None, known: ImageSet) -> tuple[str, ...]:
    names = tuple(given) if given is not None else known.classes
    if names is None:
        raise InputError(
            "expected class names to tell the images apart by, the known images bring none; "
            "pass classes=[...] (--classes FILE) or a folder with one sub-folder a class"
        )
    return names


def _encode(
    model: Encoder,
    images: ImageSet,
    *,
    name: str,
    cache: bool | Path,
    batch_size: int,
    strict: bool,
    progress: Progress | None,
) -> Features:
    told = None if progress is None else partial(progress, name)
    features = encode(model, images, cache=cache, batch_size=batch_size, strict=strict, progress=told)
    if not len(features):
        reasons = sorted({file.reason for file in features.skipped})[:3]
        raise InputError(f"none of the {len(features.skipped)} images of set {name} can be read: {'; '.join(reasons)}")
    return features


def _labelled(model: Encoder, features: Features, wordings: tuple[str, ...], name: str) -> LabelledSet:
    if features.labels is None or features.classes is None:
        raise InputError(f"transfer set {name} needs labels with class names; pass it as ood= or leave it out")
    return LabelledSet(features, models.zero_shot(model, features.classes, templates=wordings))


def _reader(images: ImageSet) -> Callable[[str], Image]:
    places = {name: index for index, name in enumerate(images.ids)}
    return lambda name: images.read(places[name])
