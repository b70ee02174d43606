"""The front door: encode every set once, ask everything, state a verdict, hand back a report and a predictor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from candid import data, models
from candid.detect import Guarantee
from candid.errors import InputError
from candid.files import digest
from candid.report import Report
from candid.report.content import Content
from candid.types import Encoder, Features, Head, Image, ImageSet
from candid.workflows.auditing.at_test_time import Tuned
from candid.workflows.auditing.evidence import (
    Evidence,
    LabelledSet,
    align,
    check_calibration,
    check_choices,
    check_guarantee,
)
from candid.workflows.auditing.findings import audit_features
from candid.workflows.auditing.provenance import Role, describe_input, describe_model, package_versions, unreadable
from candid.workflows.auditing.verdict import verdict
from candid.workflows.detectors import AUTO
from candid.workflows.encoding import encode
from candid.workflows.head_files import SavedHead, located
from candid.workflows.predictor import Predictor
from candid.workflows.tuning import TuningAtTestTime, check_method, seconds_an_image

__all__ = ["audit"]

Sets = dict[Role, dict[str, ImageSet]]


def audit(
    model: Encoder,
    known: ImageSet,
    *,
    head: Head | SavedHead | None = None,
    classes: Sequence[str] | None = None,
    templates: Sequence[str] | None = None,
    ood: Mapping[str, ImageSet] | None = None,
    shift: Mapping[str, ImageSet] | None = None,
    transfer: Mapping[str, ImageSet] | None = None,
    labels: int | None = None,
    seed: int = 0,
    keep: float = 0.95,
    detector: str = "mcm",
    guarantee: Guarantee = "rows",
    calibrator: str = "temperature",
    coverage: float = 0.9,
    sets: str | None = "lac",
    test_time: str | None = None,
    views: int = 64,
    augmix: bool = True,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    strict: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
    command: str = "workflows.audit",
) -> Report:
    """How far this model can be trusted on the known images: a report that also made a predictor.

    `classes` default to those of the known set, `templates` to `models.TEMPLATES`. `labels` is how many labelled rows
    may fit the `calibrator`, a row of `calibrate.METHODS` that needs labels (None: half). `detector` is a row of
    `detect.METHODS` that needs no more than vectors and labels, or "auto": the one that best tells known images from
    images made of them. `guarantee` is what its threshold promises (`detect.Threshold`). `sets` is the kind of
    prediction sets (lac, aps, raps, saps) that report and predictor hold at this `coverage`, None for none. `ood` sets
    hold none of the classes, `shift` sets hold the same ones under other conditions, `transfer` sets are other labelled
    data. `progress(set, done, total)` is told how encoding goes. A `head` that was tuned for this model is judged in
    the place of prompts: it brings its classes, needs no templates, and no `transfer` set can be asked with it. Known
    images whose labels a `SavedHead` was trained on are left out, for they would flatter it. `test_time` is a row of
    `tune.TEST_TIME`: what tuning the prompt to each image changes is judged beside the head, on `views` views with
    AugMix or without, from the template where there is one and from "a photo of a {}." where there are several; the
    predictor can then do so too.
    Definitions and verdict rules: docs/studies/audit.md.
    """
    tuned = head.head if isinstance(head, SavedHead) else head
    _check_head(head, model, templates, transfer)
    _check_tuning(test_time, head)
    names = _classes(classes, known, tuned)
    wordings = () if head is not None else tuple(models.TEMPLATES if templates is None else templates)
    check_choices(names, len(known), labels=labels, keep=keep, detector=detector)
    check_guarantee(guarantee)
    check_calibration(calibrator, coverage=coverage, sets=sets)
    image_sets = _sets(names, known, shift or {}, ood or {}, transfer or {})
    made = data.unlike(known, seed=seed) if detector == AUTO else {}
    each = {} if head is not None else models.zero_shot_each(model, names, templates=wordings)
    judged = models.ensemble(list(each.values())) if tuned is None else models.restrict(tuned, names)
    features: dict[str, dict[str, Features]] = {
        role: {
            name: _encode(
                model,
                images,
                name=name if role == "known" else f"{role}: {name}",
                progress=progress,
                cache=cache,
                batch_size=batch_size,
                workers=workers,
                strict=strict,
            )
            for name, images in found.items()
        }
        for role, found in (*image_sets.items(), ("unlike", made))
    }
    left_out = 0
    if isinstance(head, SavedHead):
        features["known"]["known"], left_out = _unseen(features["known"]["known"], head)
    evidence = Evidence(
        head=judged,
        known=features["known"]["known"],
        ood=features["ood"],
        shift=features["shift"],
        transfer={name: _labelled(model, found, wordings, name) for name, found in features["transfer"].items()},
        templates=each if len(each) > 1 else {},
        labels=labels,
        seed=seed,
        keep=keep,
        detector=detector,
        guarantee=guarantee,
        calibrator=calibrator,
        coverage=coverage,
        sets=sets,
        tuned=head is not None,
        unlike=features["unlike"],
        words=_words(model, wordings) if detector == "neg-label" else None,
    )
    tuned_rows = None
    if test_time is not None:
        template = wordings[0] if len(wordings) == 1 else models.PLAIN[0]
        how = TuningAtTestTime(test_time, template, views, augmix, seed, 0.0, str(getattr(model, "device", "cpu")))
        options = {"cache": cache, "batch_size": batch_size, "workers": workers, "strict": strict}
        tuned_rows = _tuned(model, image_sets["known"]["known"], names, how, progress, options)
    findings = audit_features(evidence, _reader(known), tuned_rows)
    choices = {"labels": labels, "seed": seed, "keep": keep, "detector": detector, "guarantee": guarantee}
    choices |= {"calibrator": calibrator, "coverage": coverage, "sets": sets}
    if test_time is not None:
        choices |= {"test_time": test_time, "views": views, "augmix": augmix}
    if tuned is not None:
        choices["head_digest"] = digest(tuned.weights.tobytes())
    config = _config(model, image_sets, names, wordings) | choices | {"batch_size": batch_size, "strict": strict}
    rows = (*findings.rows, unreadable(found for role in image_sets for found in features[role].values()))
    content = Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        config=config,
        inputs=tuple(
            describe_input(role, name, images, features[role][name])
            for role, found in image_sets.items()
            for name, images in found.items()
        ),
        model=describe_model(model),
        packages=package_versions(),
        seed=seed,
        verdict=verdict(rows, detector=findings.detected.detector.name, calibrator=calibrator),
        rows=rows,
        sections=findings.sections,
        cannot_say=(*findings.cannot_say, *_trained_on(left_out)),
    )
    predictor = Predictor(
        head=judged,
        temperature=findings.temperature,
        detector=findings.detected.detector.name,
        detector_fitted=findings.detected.detector.fitted,
        threshold=findings.threshold,
        keep=keep,
        model=located(model.id),
        revision=model.revision,
        preprocessing=model.preprocessing,
        encoder=model,
        calibrator=None if findings.fitted.other is None else findings.fitted.other.calibrator,
        sets=findings.sets,
        tuning=findings.tuning,
    )
    return Report(content, made={"predictor": predictor})


def _check_head(
    head: Head | SavedHead | None,
    model: Encoder,
    templates: Sequence[str] | None,
    transfer: Mapping[str, ImageSet] | None,
) -> None:
    if head is None:
        return
    if isinstance(head, SavedHead):
        head.refuse_other(model)
    width = (head.head if isinstance(head, SavedHead) else head).weights.shape[1]
    if width != model.dim:
        raise InputError(
            f"this head takes vectors of {width} dimensions, {model.id} makes {model.dim}; "
            "load the model that it was tuned for"
        )
    if templates:
        raise InputError("a tuned head is asked with no templates; leave out one of the two")
    if transfer:
        raise InputError(
            "a tuned head knows its own classes alone, so no transfer set can be asked with it; leave it out"
        )


def _check_tuning(test_time: str | None, head: Head | SavedHead | None) -> None:
    if test_time is None:
        return
    check_method(test_time)
    if head is not None:
        raise InputError("a tuned head has no prompt that could be tuned further; leave out test_time or the head")


def _tuned(
    model: Any, known: ImageSet, classes: Sequence[str], how: TuningAtTestTime,
    progress: Callable[[str, int, int], None] | None, options: dict[str, Any],
) -> Tuned:  # fmt: skip
    def told(label: str) -> Callable[[int, int], None]:
        return lambda done, total: None if progress is None else progress(label, done, total)

    views = how.see(model, known, progress=told("known: views"), **options)
    before = replace(how, method="zero-shot").logits(model, views, classes)
    after = how.logits(model, views, classes, told(f"known: {how.method}"))
    return Tuned(replace(how, seconds=seconds_an_image(model, known, classes, how)), before, after)


def _words(model: Encoder, wordings: Sequence[str]) -> np.ndarray:
    """Text vectors of the word list, in the first wording of the classes."""
    template = (*wordings, models.PLAIN[0])[0]
    return model.encode_texts([template.format(word) for word in data.words()])


def _unseen(features: Features, head: SavedHead) -> tuple[Features, int]:
    """The features without the images whose labels the head was trained on, and how many those are."""
    seen = head.learnt_from
    rows = [i for i, content in enumerate(features.digests or ()) if content not in seen]
    if not seen or len(rows) == len(features):
        return features, 0
    if not rows:
        raise InputError(f"the head was trained on all {len(features)} known images; audit it on others")
    return features.rows(rows), len(features) - len(rows)


def _trained_on(left_out: int) -> tuple[str, ...]:
    if not left_out:
        return ()
    return (f"How it does on the {left_out:,} known images it was trained on: they would flatter it and are left out.",)


def _classes(given: Sequence[str] | None, known: ImageSet, head: Head | None) -> tuple[str, ...]:
    names = tuple(given) if given is not None else known.classes if head is None else head.classes
    if names is None:
        raise InputError(
            "expected class names to tell the images apart by, the known images bring none; "
            "pass classes=[...] (--classes FILE) or a folder with one sub-folder a class"
        )
    return names


def _sets(
    classes: tuple[str, ...],
    known: ImageSet,
    shift: Mapping[str, ImageSet],
    ood: Mapping[str, ImageSet],
    transfer: Mapping[str, ImageSet],
) -> Sets:
    """All sets by role, labels matched to the classes, so that a mistake shows before hours of encoding."""
    for name, images in transfer.items():
        if images.labels is None or images.classes is None:
            raise InputError(f"transfer set {name} needs labels with class names; give it as ood or leave it out")
    return {
        "known": {"known": align(known, classes, name="known")},
        "shift": {name: align(images, classes, name=name) for name, images in shift.items()},
        "ood": dict(ood),
        "transfer": dict(transfer),
    }


def _encode(
    model: Encoder,
    images: ImageSet,
    *,
    name: str,
    progress: Callable[[str, int, int], None] | None,
    **options: Any,
) -> Features:
    def told(done: int, total: int) -> None:
        if progress is not None:
            progress(name, done, total)

    features = encode(model, images, progress=told, **options)
    if not len(features):
        reasons = sorted({file.reason for file in features.skipped})[:3]
        raise InputError(f"none of the {len(features.skipped)} files of set {name} can be read: {'; '.join(reasons)}")
    return features


def _labelled(model: Encoder, features: Features, wordings: tuple[str, ...], name: str) -> LabelledSet:
    if features.classes is None:
        raise InputError(f"transfer set {name} needs class names")
    return LabelledSet(features, models.zero_shot(model, features.classes, templates=wordings))


def _config(model: Encoder, sets: Sets, classes: tuple[str, ...], wordings: tuple[str, ...]) -> dict[str, Any]:
    """What repeats the run: where everything came from and what it was asked with."""
    sources: dict[str, Any] = {
        role: {name: images.source for name, images in found.items()} for role, found in sets.items()
    }
    return {
        "model": model.id,
        "revision": model.revision,
        "classes": list(classes),
        "templates": list(wordings),
        **sources,
        "known": sources["known"]["known"],
    }


def _reader(images: ImageSet) -> Callable[[str], Image]:
    places = {name: index for index, name in enumerate(images.ids)}
    return lambda name: images.read(places[name])
