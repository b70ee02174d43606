"""The front door: images with few, wrong or no labels in; a tuned head, what it changed, and a folder to keep it in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from candid import models as zoo
from candid import tune
from candid.errors import InputError, nearest
from candid.files import fresh_folder
from candid.report import Report
from candid.report.content import Content
from candid.report.tables import write_csv
from candid.tune.recipe import Variant
from candid.tune.towers import Inside
from candid.types import Encoder, Features, Head, ImageSet
from candid.workflows.adapting import judging, shown
from candid.workflows.adapting.training import Training, few_shot, pseudo_labelled, subset
from candid.workflows.auditing.evidence import align
from candid.workflows.auditing.provenance import (
    content_digest,
    describe_input,
    describe_model,
    package_versions,
    unreadable,
)
from candid.workflows.encoding import encode
from candid.workflows.head_files import SavedHead
from candid.workflows.view_banks import view_bank

__all__ = ["Adapted", "adapt", "encoded", "named_classes", "tunable"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Adapted:
    """A tuned head with what made it: its file form `saved`, the training, the pseudo-labels if any, and a report."""

    saved: SavedHead
    tuned: tune.Tuned
    training: Training
    features: Features
    report: Report

    @property
    def head(self) -> Head:
        """The tuned head: the mean of its seeds' logits."""
        return self.saved.head

    @property
    def pseudo(self) -> tune.PseudoLabels | None:
        """The pseudo-labels it was trained on; None where labels were given."""
        return self.training.pseudo

    def save(self, folder: str | Path, *, exist_ok: bool = False) -> Path:
        """Path of the index.html written, beside head.json, head.safetensors, report.json and the tables as CSV."""
        folder = fresh_folder(Path(folder), exist_ok=exist_ok)
        rows = [each.model_dump(include={"metric", "slice", "value", "low", "high", "n"}) for each in self._rows]
        write_csv(folder / "numbers.csv", rows)
        write_csv(folder / "trained_on.csv", self._trained_on())
        page = self.report.save(folder, exist_ok=True)
        self.saved.save(folder, exist_ok=True)  # last: a folder with head.json is whole
        return page

    @property
    def _rows(self) -> Sequence[Any]:
        return self.report.content.rows

    def _trained_on(self) -> list[dict[str, object]]:
        """One line a training image: its id, the label it was trained on, and how sure a pseudo-label was."""
        classes, pseudo = self.head.classes, self.pseudo
        return [
            {
                "id": self.features.ids[row],
                "label": classes[label],
                **({} if pseudo is None else {"confidence": float(pseudo.confidence[i])}),
            }
            for i, (row, label) in enumerate(zip(self.training.rows, self.training.labels, strict=True))
        ]


def adapt(
    model: Encoder,
    images: ImageSet,
    *,
    classes: Sequence[str] | None = None,
    test: ImageSet | None = None,
    variant: str = "prompt",
    loss: str = "ce",
    shots: int = 16,
    unlabelled: bool = False,
    select: str = "top",
    models: Sequence[Encoder] = (),
    template: str = "a photo of a {}.",
    seed: int = 0,
    seeds: int = 4,
    epochs: int = 50,
    views: int = 50,
    augment: str = "dassl2021",
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    command: str = "workflows.adapt",
    **recipe: Any,
) -> Adapted:
    """A head tuned to these images, and a report on what that changed against zero-shot with the same template.

    With labels, `shots` images of each class are trained on and the other labelled ones judge, or those of `test`.
    `unlabelled` trains on the model's own answers instead (UPL): `shots` images of each predicted class, chosen by
    `select`; robust UPL is select="random", loss="gce". Further `models` are asked too and probabilities averaged.
    `views` augmented views of every training image are encoded once; 0 trains on the plain images. `recipe` are further
    options of `tune.fit`, such as context, position, per_class, rate, loss_options. docs/prompts.md.
    """
    names, inner = named_classes(images, classes), tunable(model, variant)
    options = {"cache": cache, "batch_size": batch_size, "workers": workers, "strict": strict}
    sets = {"images": align(images, names, name="images")}
    if test is not None:
        sets["test"] = align(test, names, name="test")
    zero = zoo.zero_shot(model, names, templates=(template,))
    features = {name: encoded(model, each, name=name, progress=progress, **options) for name, each in sets.items()}
    own = features["images"]
    if unlabelled:
        asked = [zero(own.vectors), *(_asked(each, sets["images"], own, names, template, options) for each in models)]
        training = pseudo_labelled(asked, own, per_class=shots, select=select, seed=seed)
    else:
        training = few_shot(own, len(names), shots=shots, seed=seed)
    rows = own.vectors[training.rows]
    if views:
        part = subset(sets["images"], [own.ids[row] for row in training.rows])
        rows = view_bank(
            model, part, views=views, augment=augment, seed=seed, cache=cache, batch_size=batch_size, workers=workers,
            strict=True, progress=_told(progress, "views"),
        ).vectors  # fmt: skip
    tuned = tune.fit(
        inner, rows, training.labels, names, variant=cast(Variant, variant), loss=loss, template=template,
        epochs=epochs, seed=seed, seeds=seeds, progress=_told(progress, "epochs"), **recipe,
    )  # fmt: skip
    how = {
        **tuned.recipe, "shots": shots, "unlabelled": unlabelled, "select": select if unlabelled else None,
        "views": views, "augment": augment if views else None, "seed": seed,
        "pseudo_labels_of": [model.id, *(each.id for each in models)] if unlabelled else None,
    }  # fmt: skip
    saved = _saved(model, tuned, how, images, own, training)
    content = _content(model, sets, features, zero, tuned, training, names, seed=seed, command=command, recipe=how)
    return Adapted(saved, tuned, training, own, Report(content))


def named_classes(images: ImageSet, given: Sequence[str] | None) -> tuple[str, ...]:
    """The class names given, else those of the images."""
    names = tuple(given) if given is not None else images.classes
    if names is None or len(names) < 2:
        raise InputError(
            f"expected at least 2 class names to tune for, got {0 if names is None else len(names)}; "
            "pass classes=[...] (--classes FILE) or a folder with one sub-folder a class"
        )
    return names


def tunable(model: Encoder, variant: str) -> Inside:
    """The same model, where its text side can be gone into and the variant exists."""
    if variant not in tune.VARIANTS:
        raise InputError(f"no variant named {variant}; {nearest(variant, tune.VARIANTS)}")
    if not isinstance(model, Inside):
        raise InputError(f"the text side of {model.id} cannot be gone into; load the model by models.load")
    return model


def encoded(model: Encoder, images: ImageSet, *, name: str, progress: Progress | None, **options: Any) -> Features:
    """Features of a set of which at least one image can be read."""
    features = encode(model, images, progress=_told(progress, name), **options)
    if not len(features):
        reasons = sorted({file.reason for file in features.skipped})[:3]
        raise InputError(f"none of the {len(features.skipped)} files of set {name} can be read: {'; '.join(reasons)}")
    return features


def _told(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(name, done, total)


def _asked(
    model: Encoder, images: ImageSet, own: Features, names: Sequence[str], template: str, options: dict[str, Any]
) -> np.ndarray:
    """Zero-shot logits of another model on the same images."""
    found = encode(model, images, **options)
    if found.ids != own.ids:
        raise InputError(f"{model.id} read other images of this set than the model that is tuned; pass strict=True")
    return zoo.zero_shot(model, names, templates=(template,))(found.vectors)


def _saved(
    model: Encoder, tuned: tune.Tuned, recipe: dict[str, Any], images: ImageSet, features: Features, training: Training
) -> SavedHead:
    data = {
        "source": images.source,
        "n": len(features),
        "digest": content_digest(features),
        "labelled": features.labels is not None,
        "trained_on": [features.ids[row] for row in training.rows],
        "labels": [int(label) for label in training.labels],
    }
    folder = Path(model.id).expanduser()
    return SavedHead(
        head=tuned.head,
        model=str(folder.resolve()) if (folder / "config.json").is_file() else model.id,
        revision=model.revision,
        preprocessing=model.preprocessing,
        recipe=recipe,
        data=data,
        members=tuned.members,
        packages=package_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _content(
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
    own = features["images"]
    judged, judged_as = _rows(own, training.judged), training.judged_as
    if "test" in features:
        judged, judged_as = features["test"], "test images"
    comparison = judging.compare(judged, zero, tuned.head, tuned.members, seed=seed)
    rows, sections, cannot_say = [], [], []
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
    sections.append(shown.curve(tuned, shots=f"{len(training.rows):,} images"))
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


def _rows(features: Features, rows: np.ndarray) -> Features:
    """These rows of features, as features that are only judged."""
    labels = None if features.labels is None else features.labels[rows]
    return Features(
        features.vectors[rows],
        tuple(features.ids[row] for row in rows),
        features.encoder,
        labels,
        None,
        features.classes,
    )
