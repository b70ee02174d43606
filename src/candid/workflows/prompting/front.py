"""The study's front door: train every case of every model and set, keep what is finished, show all of it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from candid import models
from candid.errors import InputError
from candid.files import digest
from candid.report import Report
from candid.report.content import ModelCard
from candid.tune.recipe import PEAK_RATES
from candid.types import Features, ImageSet
from candid.workflows.auditing.provenance import describe_model
from candid.workflows.encoding import encode
from candid.workflows.prompting.material import Material
from candid.workflows.prompting.plan import Case, Plan, PromptSet, cases
from candid.workflows.prompting.record import COLUMNS, Record, load_records, save_records
from candid.workflows.prompting.shown import content
from candid.workflows.prompting.training import records, zero_shot_record
from candid.workflows.study_files import Tables, slug
from candid.workflows.view_banks import ViewBank, view_bank

__all__ = ["prompt_study"]

Progress = Callable[[str, int, int], None]


class _Unit(NamedTuple):
    """One case of one model on one set, and the file that keeps its records."""

    name: str
    found: PromptSet
    case: Case | None
    path: Path


def prompt_study(
    named: Mapping[str, str],
    plan: Plan,
    folder: str | Path,
    *,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    device: str = "auto",
    shard: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
    command: str = "workflows.prompt_study",
    config: dict[str, Any] | None = None,
) -> Report:
    """The report of what these models (load names by short name) answer to the plan's questions.

    What is finished is kept in `folder`/runs, so a run that was stopped goes on where it was, and several processes
    share the work: `shard` (index, count) trains every count-th case; the report shows the cases that are finished.
    A set that a model cannot read, or a case that cannot be trained, costs itself alone and is told in the report.
    Questions, definitions and rules: docs/studies/noisy_prompts.md.
    """
    index, count = shard
    if not 0 <= index < count:
        raise InputError(f"expected a shard index from 0 to below the number of shards, got {index} of {count}")
    told, cards, found = progress or _silent, list[ModelCard](), list[Record]()
    missing, refused = 0, list[str]()
    for name, place in named.items():
        model = models.with_texts(models.load(place, device=device))
        cards.append(describe_model(model))
        materials: dict[str, Material | InputError] = {}
        units = list(_units(name, plan, Path(folder) / "runs"))
        for i, unit in enumerate(units):
            key = _key(model, unit, plan)
            known = load_records(unit.path, key)
            if known is None and i % count != index:
                missing += 1
                continue
            if known is None:
                each = unit.found
                if each.name not in materials:
                    materials = {each.name: _material(model, each, plan, told, cache, batch_size, workers)}
                material = materials[each.name]
                if isinstance(material, InputError):
                    refused.append(f"{name}, {each.name}: {material}")
                    continue
                try:
                    known = _trained(material, unit, plan, told, f"{name}: {i + 1} of {len(units)} ")
                except InputError as error:
                    refused.append(f"{name}, {_words(unit)}: {error}")
                    continue
                save_records(unit.path, key, known)
            found += known
    if refused and not found:
        raise InputError(f"nothing of this plan can be trained; {refused[0]}")
    shown = content(found, plan, cards, command=command, config=config or {}, missing=missing,
                    refused=tuple(dict.fromkeys(refused)))  # fmt: skip
    return Report(shown, made={"tables": Tables(found, COLUMNS)})


def _units(name: str, plan: Plan, folder: Path) -> Iterator[_Unit]:
    for found in plan.sets:
        start = folder / f"{slug(name)}-{slug(found.name)}"
        yield _Unit(name, found, None, start.with_name(f"{start.name}-zero-shot.json"))
        for case in cases(plan, found):
            tag = digest(json.dumps(asdict(case), sort_keys=True).encode(), length=10)
            yield _Unit(
                name, found, case, start.with_name(f"{start.name}-{case.question}-{slug(case.variant)}-{tag}.json")
            )


def _trained(material: Material, unit: _Unit, plan: Plan, told: Progress, label: str) -> list[Record]:
    if unit.case is None:
        return [zero_shot_record(material, unit.name)]
    words = label + _words(unit)
    return records(material, unit.case, plan, unit.name, progress=lambda done, total: told(words, done, total))


def _words(unit: _Unit) -> str:
    case = unit.case
    if case is None:
        return f"{unit.found.name}, zero-shot"
    return f"{unit.found.name}, {case.question}, {case.variant} {case.protocol} {case.setting}".strip()


def _material(
    model: Any, found: PromptSet, plan: Plan, told: Progress, cache: bool | Path, batch_size: int, workers: int | None
) -> Material | InputError:
    """What the model sees of a set, or why it cannot."""
    try:
        return _seen(model, found, plan, told, cache, batch_size, workers)
    except InputError as error:
        return error


def _seen(
    model: Any, found: PromptSet, plan: Plan, told: Progress, cache: bool | Path, batch_size: int, workers: int | None
) -> Material:
    def look(images: ImageSet, what: str) -> Features:
        return encode(model, images, cache=cache, batch_size=batch_size, workers=workers,
                      progress=lambda done, total: told(f"{found.name}: {what}", done, total))  # fmt: skip

    def views(images: ImageSet) -> ViewBank:
        return view_bank(
            model, images, views=plan.views, augment=plan.augment, seed=plan.seed, cache=cache, batch_size=batch_size,
            workers=workers, progress=lambda done, total: told(f"{found.name}: views", done, total),
        )  # fmt: skip

    train = look(found.train, "training images")
    if len(train) != len(found.train):
        raise InputError(f"some training images of {found.name} cannot be read; leave them out of the set")
    ood = {name: look(images, f"unknown, {name}") for name, images in found.ood.items()}
    return Material(model, plan, found, train, look(found.test, "test images"), ood, views)


def _key(model: Any, unit: _Unit, plan: Plan) -> str:
    """Hash of all that the records depend on."""
    found = unit.found
    sets = [(images.ids, [] if images.labels is None else images.labels.tolist())
            for images in (found.train, found.test, *found.ood.values())]  # fmt: skip
    parts: Sequence[object] = (
        model.revision, model.preprocessing, found.name, found.template, sets, sorted(found.ood),
        {name: labels.tolist() for name, labels in found.given.items()},
        None if unit.case is None else asdict(unit.case),
        None if unit.case is None else plan.peaks.get(unit.case.variant, PEAK_RATES[unit.case.variant]),
        (plan.shots, plan.views, plan.augment, plan.draws, plan.seed),
    )  # fmt: skip
    return digest(json.dumps(parts, sort_keys=True).encode())


def _silent(label: str, done: int, total: int) -> None:
    pass
