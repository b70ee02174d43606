"""The study's front door: every model as it is and fine-tuned, on every set; what is finished is kept."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from candid import data, models
from candid.errors import InputError
from candid.files import digest, read_json, write_json
from candid.models.classifier import Supervised
from candid.report import Report
from candid.types import Classifier, Features, ImageSet, Scores
from candid.workflows.auditing.evidence import align
from candid.workflows.auditing.provenance import describe_model
from candid.workflows.encoding import encode
from candid.workflows.outlier_tuning import fine_tune
from candid.workflows.outliers.deep import deep_scores
from candid.workflows.outliers.measured import Material, ask
from candid.workflows.outliers.plan import PLAIN, OutlierPlan, OutlierSet, Unit, units
from candid.workflows.outliers.record import COLUMNS, OutlierRecord, load_records, save_records
from candid.workflows.outliers.shown import content
from candid.workflows.study_files import Tables, slug

__all__ = ["energy_study"]

MADE = "candid-fine-tuned"  # beside a network that a study made: what it was made of
Progress = Callable[[str, int, int], None]


def energy_study(
    named: Mapping[str, str],
    plan: OutlierPlan,
    folder: str | Path,
    *,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    device: str = "auto",
    shard: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
    command: str = "workflows.energy_study",
    config: dict[str, Any] | None = None,
) -> Report:
    """The report of what these models (load names by short name) answer to the plan's questions.

    What is finished is kept in `folder`/runs and fine-tuned networks in `folder`/networks, so a run that was stopped
    goes on where it was, and several processes share the work: `shard` (index, count) takes every count-th state of
    every model; the report shows the finished ones. A model that a set cannot be asked of is told in the report.
    Questions and rules: docs/studies/energy_ood.md.
    """
    index, count = shard
    if not 0 <= index < count:
        raise InputError(f"expected a shard index from 0 to below the number of shards, got {index} of {count}")
    how = {"cache": cache, "batch_size": batch_size, "workers": workers}
    told = progress or _silent
    found, refused, missing = list[OutlierRecord](), list[str](), 0
    asked = [(name, place, unit) for name, place in named.items() for unit in units(plan, name)]
    for i, (name, place, unit) in enumerate(asked):
        whole = f"{slug(name)}-{slug(unit.found.name)}-{slug(unit.state)}"
        path = Path(folder) / "runs" / f"{whole}.json"
        key = _key(name, models.revision(place), unit, plan)
        known = load_records(path, key)
        if known is None and i % count != index:
            missing += 1
            continue
        if known is None:
            words = f"{name}, {unit.state} ({i + 1} of {len(asked)})"
            try:
                model = _model(name, place, unit, plan, Path(folder) / "networks" / whole, device, _within(told, words))
                known = ask(_material(name, model, unit, plan, how, _within(told, words)), plan)
            except InputError as error:
                refused.append(f"{name}, {unit.found.name}: {error}")
                continue
            save_records(path, key, known)
        found += known
    if not found:
        reason = refused[0] if refused else "other shards have not finished anything yet"
        raise InputError(f"nothing of this plan can be shown; {reason}")
    cards = [describe_model(models.load(place, device=device)) for place in named.values()]
    shown = content(found, plan, cards, command=command, config=config or {}, missing=missing,
                    refused=tuple(dict.fromkeys(refused)))  # fmt: skip
    return Report(shown, made={"tables": Tables(found, COLUMNS)})


def _model(
    name: str, place: str, unit: Unit, plan: OutlierPlan, folder: Path, device: str, told: Callable[..., None]
) -> Any:
    if unit.state == PLAIN:
        return models.load(place, device=device)
    ready = plan.tuned.get(name, {}).get(unit.state)
    if ready is not None:
        return models.load(ready, device=device)
    made, key = folder / "made.json", _tuning_key(models.revision(place), unit, plan)
    if made.is_file() and read_json(made, kind=MADE, version=1)["key"] == key:
        return models.load(str(folder), device=device)
    model: Any = models.load(place, device=device)
    if not isinstance(model, Supervised):
        raise InputError("a vision-language model is not fine-tuned here; candid adapt tunes its prompts")
    if unit.found.train is None:
        raise InputError("the set has no training images to fine-tune on")
    train = align(unit.found.train, model.head.classes, name=f"{unit.found.name}, train")
    tuned, _ = fine_tune(model, train, unit.found.outliers, plan.recipe(unit.state), folder, progress=told)
    write_json(made, {"key": key}, kind=MADE, version=1)
    return tuned


def _material(
    name: str, model: Any, unit: Unit, plan: OutlierPlan, how: dict[str, Any], told: Callable[[int, int], None]
) -> Material:
    found = unit.found
    if isinstance(model, Classifier):
        head = model.head
    else:
        classes = found.test.classes
        if classes is None:
            raise InputError(f"set {found.name} brings no class names")
        head = models.zero_shot(models.with_texts(model), classes)

    def seen(images: ImageSet, most: int | None = None) -> Features:
        return encode(model, _some(images, most, plan.seed), progress=told, **how)

    test = seen(align(found.test, head.classes, name=found.name), plan.images)
    train = None
    if "detectors" in plan.questions and found.train is not None:
        train = seen(align(found.train, head.classes, name=f"{found.name}, train"), plan.fit_images)
    unknown = {each.name: seen(each.images) for each in found.unknown}
    language = not isinstance(model, Classifier)
    words = None
    if language and "neg-label" in plan.detectors:
        words = model.encode_texts([models.PLAIN[0].format(word) for word in data.words()])
    images = {"": _some(found.test, plan.images, plan.seed), **{each.name: each.images for each in found.unknown}}

    def deep(detector: str, which: str) -> Scores:
        return deep_scores(detector, model, head, _some(images[which], plan.deep_images, plan.seed), progress=told)

    return Material(name, unit, head, test, train, unknown, words, language, deep if unit.state == PLAIN else None)


def _some(images: ImageSet, most: int | None, seed: int) -> ImageSet:
    """At most so many of the images, drawn by the seed, in their order."""
    if most is None or most >= len(images):
        return images
    return data.subset(images, np.sort(np.random.default_rng(seed).permutation(len(images))[:most]).tolist())


def _key(name: str, revision: str | None, unit: Unit, plan: OutlierPlan) -> str:
    """Hash of all that the records depend on."""
    found: OutlierSet = unit.found
    sets = [found.test, *(each.images for each in found.unknown), found.train, found.outliers]
    parts: list[object] = [
        revision, unit.state, found.name, [None if each is None else list(each.ids) for each in sets],
        [each.kind for each in found.unknown], list(plan.questions), list(plan.detectors), list(plan.temperatures),
        plan.images, plan.fit_images, plan.deep_images, plan.keep, plan.seed,
    ]  # fmt: skip
    if unit.state != PLAIN:
        ready = plan.tuned.get(name, {}).get(unit.state)
        parts += [plan.epochs, plan.steps, plan.rate] if ready is None else [models.revision(ready)]
    return digest(json.dumps(parts, sort_keys=True).encode())


def _tuning_key(revision: str | None, unit: Unit, plan: OutlierPlan) -> str:
    """Hash of all that a fine-tuned network depends on."""
    train, outliers = unit.found.train, unit.found.outliers
    sets = [None if each is None else list(each.ids) for each in (train, outliers)]
    return digest(json.dumps([revision, asdict(plan.recipe(unit.state)), sets], sort_keys=True).encode())


def _within(told: Progress, words: str) -> Callable[[int, int], None]:
    return lambda done, total: told(words, done, total)


def _silent(label: str, done: int, total: int) -> None:
    return
