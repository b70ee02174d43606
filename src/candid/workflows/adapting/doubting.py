"""Which given labels are most likely wrong: asked of heads that were not trained on the image they judge.

Confident learning (Northcutt, Jiang & Chuang 2021, arxiv.org/abs/1911.00068) needs probabilities out of sample. Here
they come from k heads on the frozen features, each trained on the other folds, all in one batch; or from zero-shot,
which has seen no label at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Int

from candid import models as zoo
from candid import noise, tune
from candid.arrays import softmax
from candid.errors import InputError, nearest
from candid.files import fresh_folder
from candid.metrics import proportion
from candid.report import Report
from candid.report.tables import write_csv
from candid.tune.recipe import Variant
from candid.tune.towers import Inside
from candid.types import Encoder, Estimate, Features, ImageSet, Labels, Probs
from candid.workflows.adapting.doubted import Doubts, content
from candid.workflows.adapting.preparing import Progress, encoded, named_classes, told, tunable
from candid.workflows.auditing import resampled
from candid.workflows.auditing.evidence import align

__all__ = ["Doubted", "doubt_labels", "folds_of"]

ZERO_SHOT = "zero-shot"
MANY_CELLS, FEWER = 1 << 22, 40  # n x k above which the interval is made of fewer resamples


@dataclass(frozen=True)
class Doubted:
    """Every label's `doubts`, the estimated share of `wrong` ones with a bootstrap interval over images, and a report.

    `probs` are those of the held-out or zero-shot head.
    """

    doubts: Doubts
    wrong: Estimate
    probs: Probs
    report: Report

    def save(self, folder: str | Path, *, exist_ok: bool = False) -> Path:
        """Path of the index.html written, beside report.json and doubt.csv, all labels with the flagged ones first."""
        folder = fresh_folder(Path(folder), exist_ok=exist_ok)
        write_csv(folder / "doubt.csv", self.doubts.table())
        return self.report.save(folder, exist_ok=True)


def doubt_labels(
    model: Encoder,
    images: ImageSet,
    *,
    classes: Sequence[str] | None = None,
    by: str = "classifier-text",
    folds: int = 5,
    loss: str = "ce",
    loss_options: Mapping[str, float] | None = None,
    template: str = "a photo of a {}.",
    epochs: int = 50,
    rate: float | None = None,
    seed: int = 0,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    command: str = "workflows.doubt_labels",
) -> Doubted:
    """Every label of these images with how doubtful it is, and the estimated share of wrong ones.

    `by` names the variant of `tune.fit` whose heads doubt, trained on the plain features of the other `folds` with the
    `loss`; or it is "zero-shot". Flags and estimate are `noise.confident_learning`'s: what the heads mistake themselves
    counts as wrong too, so the estimate is too high where they are weak. docs/prompts.md.
    """
    names = named_classes(images, classes)
    if by != ZERO_SHOT and by not in tune.VARIANTS:
        raise InputError(f"nobody named {by} to doubt by; {nearest(by, (*tune.VARIANTS, ZERO_SHOT))}")
    aligned = align(images, names, name="images")
    if aligned.labels is None:
        raise InputError("these images have no labels to doubt; give them class folders or a manifest with labels")
    options: dict[str, Any] = {"loss": loss, "loss_options": dict(loss_options or {}), "epochs": epochs, "rate": rate}
    recipe = None if by == ZERO_SHOT else tune.Recipe(cast(Variant, by), template=template, **options)
    features = encoded(
        model, aligned, name="images", progress=progress, cache=cache, batch_size=batch_size, workers=workers,
        strict=strict,
    )  # fmt: skip
    if recipe is None:
        probs = softmax(zoo.zero_shot(model, names, templates=(template,))(features.vectors))
    else:
        inner, epochs_done = tunable(model, by), told(progress, "epochs")
        probs = _held_out(inner, features, names, recipe, folds=folds, seed=seed, progress=epochs_done)
    wrong, doubts = _doubted(features, names, probs, seed=seed)
    agreed = proportion(int((probs.argmax(axis=1) == doubts.labels).sum()), len(probs))
    asked = {"by": by, "template": template, "seed": seed} | ({} if recipe is None else options | {"folds": folds})
    report = Report(content(model, aligned, features, doubts, wrong, agreed, asked=asked, command=command))
    return Doubted(doubts, wrong, probs, report)


def folds_of(labels: Labels, folds: int, *, seed: int) -> Int[np.ndarray, " n"]:
    """The fold of every row: those of a class are dealt out in turn, so that folds differ by at most one of it.

    >>> folds_of(np.array([0, 0, 0, 1, 1, 1]), 3, seed=0).reshape(2, 3).sum(axis=1).tolist()
    [3, 3]
    """
    random, found, dealt = np.random.default_rng(seed), np.empty(len(labels), dtype=np.int64), 0
    for label in np.unique(labels):
        own = random.permutation(np.flatnonzero(labels == label))
        found[own] = (dealt + np.arange(len(own))) % folds
        dealt += len(own)
    return found


def _held_out(
    model: Inside, features: Features, names: tuple[str, ...], recipe: tune.Recipe, *, folds: int, seed: int,
    progress: Callable[[int, int], None] | None,
) -> Probs:  # fmt: skip
    """Probabilities of every image by the head that was trained without its fold."""
    labels = _labels(features)
    if not 2 <= folds <= len(labels):
        raise InputError(f"expected 2 to {len(labels)} folds of {len(labels)} images, got {folds}")
    fold = folds_of(labels, folds, seed=seed)
    kept = [np.flatnonzero(fold != i) for i in range(folds)]
    runs = [tune.Run(labels[rows], rows, recipe.loss, recipe.loss_options, seed) for rows in kept]
    probs = np.empty((len(labels), len(names)))
    for i, tuned in enumerate(tune.fit_many(model, features.vectors, runs, names, recipe=recipe, progress=progress)):
        if isinstance(tuned, InputError):
            raise tuned
        probs[fold == i] = softmax(tuned.head(features.vectors[fold == i]))
    return probs


def _doubted(features: Features, names: tuple[str, ...], probs: Probs, *, seed: int) -> tuple[Estimate, Doubts]:
    """The estimated share of wrong labels, and every label's doubt."""
    labels = _labels(features)
    found = noise.confident_learning(probs, labels)

    def share(rows: np.ndarray) -> float:
        # The numbers of the joint are those of every way to prune; this one is the cheapest.
        return noise.confident_learning(probs[rows], labels[rows], prune="off-diagonal").estimated_wrong / len(rows)

    count = resampled.RESAMPLES if probs.size <= MANY_CELLS else FEWER
    wrong = resampled.bootstrap_rows(resampled.one_by_one(share), len(labels), seed=seed, count=count)
    others = probs.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    return wrong, Doubts(features.ids, names, labels, others.argmax(axis=1), noise.margin(probs, labels), found.wrong)


def _labels(features: Features) -> Labels:
    if features.labels is None:
        raise InputError("these features have no labels")
    return features.labels
