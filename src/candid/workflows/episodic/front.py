"""The study's front door: ask every model everything, keep what is finished, show all of it."""

import json
from collections.abc import Callable, Mapping
from functools import cache as remembered
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from candid import data, models, noise, tune
from candid.errors import InputError
from candid.files import digest
from candid.report import Report
from candid.report.content import ModelCard
from candid.workflows.auditing.provenance import describe_model
from candid.workflows.encoding import encode
from candid.workflows.episodic.material import LENGTH, Material, split
from candid.workflows.episodic.measured import ask
from candid.workflows.episodic.plan import TuningPlan, TuningSet, Unit, units
from candid.workflows.episodic.record import COLUMNS, TuningRecord, load_records, save_records
from candid.workflows.episodic.shown import content
from candid.workflows.study_files import Tables, slug
from candid.workflows.views_for_tuning import tuning_views

__all__ = ["test_time_study"]

Progress = Callable[[str, int, int], None]


def test_time_study(
    named: Mapping[str, str],
    plan: TuningPlan,
    folder: str | Path,
    *,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    device: str = "auto",
    shard: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
    command: str = "workflows.test_time_study",
    config: dict[str, Any] | None = None,
) -> Report:
    """The report of what these models (load names by short name) answer to the plan's questions.

    What is finished is kept in `folder`/runs, so a run that was stopped goes on where it was, and several processes
    share the work: `shard` (index, count) asks every count-th question; the report shows the finished ones. A set that
    a model cannot read costs itself alone and is told in the report. Questions and rules: docs/studies/test_time.md.
    """
    index, count = shard
    if not 0 <= index < count:
        raise InputError(f"expected a shard index from 0 to below the number of shards, got {index} of {count}")
    told = progress or _silent
    cards, found, refused, missing = list[ModelCard](), list[TuningRecord](), list[str](), 0
    for name, place in named.items():
        model = models.with_texts(models.load(place, device=device))
        cards.append(describe_model(model))
        look = _Look(model, plan, told, {"cache": cache, "batch_size": batch_size, "workers": workers})
        asked = list(units(plan))
        for i, unit in enumerate(asked):
            path = Path(folder) / "runs" / f"{slug(name)}-{slug(unit.found.name)}-{unit.question}.json"
            key = _key(model, unit, plan)
            known = load_records(path, key)
            if known is None and i % count != index:
                missing += 1
                continue
            if known is None:
                words = f"{name}: {i + 1} of {len(asked)} {unit.found.name}, {unit.question}"
                try:
                    known = ask(look.material(unit.found), unit.question, name, _labelled(told, words))
                except InputError as error:
                    refused.append(f"{name}, {unit.found.name}: {error}")
                    continue
                save_records(path, key, known)
            found += known
    if refused and not found:
        raise InputError(f"nothing of this plan can be measured; {refused[0]}")
    shown = content(found, plan, cards, command=command, config=config or {}, missing=missing,
                    refused=tuple(dict.fromkeys(refused)))  # fmt: skip
    return Report(shown, made={"tables": Tables(found, COLUMNS)})


class _Look:
    """One model's eye on the sets; a set is encoded when the first of its questions is asked."""

    def __init__(self, model: Any, plan: TuningPlan, told: Progress, how: dict[str, Any]) -> None:
        self.model, self.plan, self.told, self.how = model, plan, told, how
        self.seen: dict[str, Material] = {}
        self.tuned = remembered(self._tuned)

    def material(self, found: TuningSet) -> Material:
        if found.name not in self.seen:
            self.seen = {found.name: self._seen(found)}
        return self.seen[found.name]

    def _seen(self, found: TuningSet) -> Material:
        plan = self.plan
        judged, rest = split(len(found.images), plan.images, plan.seed)
        views = tuning_views(
            self.model, data.subset(found.images, judged), views=plan.views, augmix=found.augmix, seed=plan.seed,
            progress=_labelled(self.told, f"{found.name}: views"), **self.how,
        )  # fmt: skip
        others = None
        if rest:
            others = encode(self.model, data.subset(found.images, rest),
                            progress=_labelled(self.told, f"{found.name}: labelled images"), **self.how)  # fmt: skip
        return Material(self.model, plan, found, views, others, None if plan.source is None else self.tuned)

    def _tuned(self) -> Float[np.ndarray, "m w"]:
        """A context of four vectors tuned on the source's labels, as CoOp does, sixteen images a class."""
        source = self.plan.source
        if source is None or source.images.labels is None or source.images.classes is None:
            raise InputError("a prompt is tuned beforehand on labelled images with class names; the source has none")
        classes = source.images.classes
        rows = noise.few_shot(source.images.labels, classes=len(classes), shots=SHOTS, seed=self.plan.seed)
        told = _labelled(self.told, f"{source.name}: source")
        features = encode(self.model, data.subset(source.images, rows.tolist()), progress=told, **self.how)
        if features.labels is None:
            raise InputError(f"the images of {source.name} bring no labels")
        trained = tune.fit(self.model, features, features.labels, classes, context=LENGTH,
                           context_words="a photo of a", epochs=EPOCHS, watch=(EPOCHS,), seed=self.plan.seed,
                           rate=SLOW)  # fmt: skip
        parameters = trained.parameters[EPOCHS][0]
        return parameters["context"].reshape(LENGTH, -1)


EPOCHS, SHOTS = 50, 16
SLOW = 5e-4  # CoOp's 0.002 wrecks prompts of small models: docs/studies/noisy_prompts.md


def _labelled(told: Progress, words: str) -> Callable[[int, int], None]:
    return lambda done, total: told(words, done, total)


def _key(model: Any, unit: Unit, plan: TuningPlan) -> str:
    """Hash of all that the records depend on."""
    found, source = unit.found, plan.source
    images = [found.images.ids, [] if found.images.labels is None else found.images.labels.tolist()]
    beforehand = None if source is None else [source.name, list(source.images.ids)]
    parts: list[object] = [
        model.revision, model.preprocessing, found.name, found.template, found.augmix, found.imagenet, images,
        list(found.images.classes or ()), unit.question, plan.images, plan.views, plan.labels, plan.draws, plan.random,
        list(plan.coefficients), list(plan.prompts), plan.prompt_images, plan.seed, beforehand,
    ]  # fmt: skip
    if unit.question == "starts":
        parts.append(SHOTS)
    return digest(json.dumps(parts, sort_keys=True).encode())


def _silent(label: str, done: int, total: int) -> None:
    return
