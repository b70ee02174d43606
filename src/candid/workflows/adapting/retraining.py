"""The front door of last-layer retraining: images with groups in; a head whose worst group is better off, and what
that cost the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from candid import groups
from candid import models as zoo
from candid.errors import InputError, nearest
from candid.files import fresh_folder
from candid.report import Report
from candid.report.tables import write_csv
from candid.types import Classifier, Encoder, Features, Head, ImageSet
from candid.workflows.adapting.preparing import Progress, encoded, named_classes
from candid.workflows.adapting.retrained_shown import Before, content
from candid.workflows.auditing.evidence import align
from candid.workflows.auditing.provenance import content_digest, package_versions
from candid.workflows.head_files import SavedHead, located

__all__ = ["RetrainedHead", "retrain_head"]

JUDGING = 3  # stream of the seed


@dataclass(frozen=True)
class RetrainedHead:
    """A retrained last layer with what made it: its file form `saved`, what was `retrained`, and a report."""

    saved: SavedHead
    retrained: groups.Retrained
    report: Report

    @property
    def head(self) -> Head:
        return self.saved.head

    def save(self, folder: str | Path, *, exist_ok: bool = False) -> Path:
        """Path of the index.html written, beside head.json, head.safetensors, report.json and the tables as CSV."""
        folder = fresh_folder(Path(folder), exist_ok=exist_ok)
        rows = [each.model_dump(include={"metric", "slice", "value", "low", "high", "n"})
                for each in self.report.content.rows]  # fmt: skip
        write_csv(folder / "numbers.csv", rows)
        tried = [{**trial.setting, "split": i, "worst_group_accuracy": worst}
                 for trial in self.retrained.tried for i, worst in enumerate(trial.worst)]  # fmt: skip
        write_csv(folder / "tried.csv", tried)
        page = self.report.save(folder, exist_ok=True)
        self.saved.save(folder, exist_ok=True)  # last: a folder with head.json is whole
        return page


def retrain_head(
    model: Encoder | Classifier,
    images: ImageSet,
    *,
    method: str = "dfr",
    head: Head | None = None,
    classes: Sequence[str] | None = None,
    test: ImageSet | None = None,
    template: str = "a photo of a {}.",
    exclude: Sequence[str] = (),
    tuning_splits: int = 5,
    seed: int = 0,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    command: str = "workflows.retrain_head",
    **options: Any,
) -> RetrainedHead:
    """The model's last layer retrained for its worst group on these images (`groups.METHODS`), and what that changed.

    The images' groups are crossed with their classes, unless each group is of one class already. Half of every group
    retrains and the other half judges, or all of them retrain and `test` judges. `head` is the last layer that was, by
    default that of a supervised model, or zero-shot with this template; methods that need no group labels start from
    its errors. Groups named in `exclude` are left out of retraining, and judged all the same. `options` are those of
    the method. docs/groups.md.
    """
    if method not in groups.METHODS:
        raise InputError(f"no way to retrain a last layer named {method}; {nearest(method, groups.METHODS)}")
    names = named_classes(images, classes)
    found = {"images": align(images, names, name="images")}
    if test is not None:
        found["test"] = align(test, names, name="test")
    for name, each in found.items():
        _labelled(name, each, method)
    before = _last_layer(model, head, names, template)
    features = {
        name: encoded(model, each, name=name, progress=progress, cache=cache, batch_size=batch_size, workers=workers,
                      strict=strict)
        for name, each in found.items()
    }  # fmt: skip
    own = features["images"]
    rows, judged = _split(own, features.get("test"), names, seed)
    crossed = _crossed(rows, names)
    asked: dict[str, Any] = {"classes": names, "exclude": tuple(exclude), "tuning_splits": tuning_splits, **options}
    if crossed is not None:
        asked["group_names"] = crossed.names
    if groups.METHODS[method].needs == "head":
        asked["head"] = before.head
    assert rows.labels is not None
    retrained = groups.METHODS[method].retrain(
        rows.vectors, rows.labels, None if crossed is None else crossed.groups, seed=seed, **asked
    )
    recipe = {
        "method": method, "setting": dict(retrained.setting), "tuning_splits": tuning_splits, "seed": seed,
        "exclude": list(exclude), "groups": dict(retrained.counts), "before": before.name,
        **{name: value for name, value in options.items() if isinstance(value, str | int | float | bool)},
    }  # fmt: skip
    saved = _saved(model, retrained.head, recipe, images, own, rows)
    said = content(
        model, found, features, before, retrained, judged, names,
        judged_as="test images" if test is not None else "images that did not retrain it",
        absent=() if crossed is None else crossed.absent, seed=seed, command=command, recipe=recipe,
    )  # fmt: skip
    return RetrainedHead(saved, retrained, Report(said))


def _labelled(name: str, images: ImageSet, method: str) -> None:
    if images.labels is None:
        raise InputError(f"set {name} has no labels, which a last layer is retrained by; give it class folders")
    if images.groups is None and groups.METHODS[method].needs == "groups":
        others = ", ".join(name for name, each in groups.METHODS.items() if each.needs != "groups")
        raise InputError(
            f"set {name} has no groups; name their column by groups= (--groups COLUMN), or use a method that needs "
            f"none: {others}"
        )


def _last_layer(model: Encoder | Classifier, head: Head | None, names: tuple[str, ...], template: str) -> Before:
    if head is not None:
        return Before("the head given", zoo.restrict(head, names))
    if isinstance(model, Encoder):
        return Before("zero-shot", zoo.zero_shot(model, names, templates=(template,)))
    return Before("its own last layer", zoo.restrict(model.head, names))


def _split(own: Features, test: Features | None, names: tuple[str, ...], seed: int) -> tuple[Features, Features]:
    """Features that retrain and features that judge."""
    if test is not None:
        return own, test
    crossed = _crossed(own, names)
    by = own.labels if crossed is None else crossed.groups
    assert by is not None
    judging, retraining = groups.halves(by, np.random.default_rng([seed, JUDGING]))
    return own.rows(retraining), own.rows(judging)


def _crossed(features: Features, names: tuple[str, ...]) -> groups.Crossed | None:
    if features.groups is None:
        return None
    assert features.labels is not None
    called = features.group_names or tuple(str(i) for i in range(int(features.groups.max()) + 1))
    return groups.cross(features.labels, features.groups, names, called)


def _saved(
    model: Encoder | Classifier, head: Head, recipe: dict[str, Any], images: ImageSet, own: Features, rows: Features
) -> SavedHead:
    facts = {
        "source": images.source,
        "n": len(own),
        "digest": content_digest(own),
        "labelled": True,
        "trained_on": list(rows.ids),
        "trained_digests": list(rows.digests or ()),
        "labels": [] if rows.labels is None else [int(label) for label in rows.labels],
        "labels_used": True,
    }
    return SavedHead(
        head=head,
        model=located(model.id),
        revision=model.revision,
        preprocessing=model.preprocessing,
        recipe=recipe,
        data=facts,
        packages=package_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
