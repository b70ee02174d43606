"""The front door: images with few, wrong or no labels in; a tuned head, what it changed, and a folder to keep it in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from candid import data, tune
from candid import models as zoo
from candid.files import fresh_folder
from candid.report import Report
from candid.report.tables import write_csv
from candid.tune.recipe import Variant
from candid.types import Encoder, Features, Head, ImageSet
from candid.workflows.adapting.content import content
from candid.workflows.adapting.preparing import Progress, asked, encoded, named_classes, told, tunable
from candid.workflows.adapting.training import Training, check_choices, few_shot, pseudo_labelled
from candid.workflows.auditing.evidence import align
from candid.workflows.auditing.provenance import content_digest, package_versions
from candid.workflows.head_files import SavedHead, located
from candid.workflows.view_banks import view_bank

__all__ = ["Adapted", "adapt"]


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
    check_choices(images, variant=variant, loss=loss, template=template, epochs=epochs, recipe=recipe, shots=shots,
                  select=select if unlabelled else None)  # fmt: skip
    options = {"cache": cache, "batch_size": batch_size, "workers": workers, "strict": strict}
    sets = {"images": align(images, names, name="images")}
    if test is not None:
        sets["test"] = align(test, names, name="test")
    zero = zoo.zero_shot(model, names, templates=(template,))
    features = {name: encoded(model, each, name=name, progress=progress, **options) for name, each in sets.items()}
    own = features["images"]
    if unlabelled:
        answers = [zero(own.vectors), *(asked(each, sets["images"], own, names, template, options) for each in models)]
        training = pseudo_labelled(answers, own, per_class=shots, select=select, seed=seed)
    else:
        training = few_shot(own, len(names), shots=shots, seed=seed)
    rows = own.vectors[training.rows]
    if views:
        places = {name: place for place, name in enumerate(sets["images"].ids)}
        part = data.subset(sets["images"], [places[own.ids[row]] for row in training.rows])
        rows = view_bank(
            model, part, views=views, augment=augment, seed=seed, cache=cache, batch_size=batch_size, workers=workers,
            strict=True, progress=told(progress, "views"),
        ).vectors  # fmt: skip
    tuned = tune.fit(
        inner, rows, training.labels, names, variant=cast(Variant, variant), loss=loss, template=template,
        epochs=epochs, seed=seed, seeds=seeds, progress=told(progress, "epochs"), **recipe,
    )  # fmt: skip
    how = {
        **tuned.recipe, "shots": shots, "unlabelled": unlabelled, "select": select if unlabelled else None,
        "views": views, "augment": augment if views else None, "seed": seed,
        "pseudo_labels_of": [model.id, *(each.id for each in models)] if unlabelled else None,
    }  # fmt: skip
    saved = _saved(model, tuned, how, images, own, training)
    said = content(model, sets, features, zero, tuned, training, names, seed=seed, command=command, recipe=how)
    return Adapted(saved, tuned, training, own, Report(said))


def _saved(
    model: Encoder, tuned: tune.Tuned, recipe: dict[str, Any], images: ImageSet, features: Features, training: Training
) -> SavedHead:
    data = {
        "source": images.source,
        "n": len(features),
        "digest": content_digest(features),
        "labelled": features.labels is not None,
        "trained_on": [features.ids[row] for row in training.rows],
        "trained_digests": [(features.digests or ())[row] for row in training.rows],
        "labels": [int(label) for label in training.labels],
        "labels_used": training.pseudo is None,
    }
    return SavedHead(
        head=tuned.head,
        model=located(model.id),
        revision=model.revision,
        preprocessing=model.preprocessing,
        recipe=recipe,
        data=data,
        members=tuned.members,
        packages=package_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
