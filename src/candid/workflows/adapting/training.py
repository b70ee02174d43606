"""Which images train and which judge, with the labels that are believed: a few of each class, or pseudo-labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from jaxtyping import Int

from candid import noise, tune
from candid.errors import InputError, nearest
from candid.tune.pseudo_labels import Select
from candid.types import Features, ImageSet, Logits

__all__ = ["Training", "check_choices", "few_shot", "pseudo_labelled"]

Rows = Int[np.ndarray, " m"]
NO_LABELS = "these images have no labels; pass unlabelled=True (--unlabelled), or give them class folders"


@dataclass(frozen=True)
class Training:
    """Rows of the features with the label each is trained on, and the labelled rows that judge what comes of it.

    `judged` may be empty; `judged_as` says in words what these images are.
    """

    rows: Rows
    labels: Rows
    judged: Int[np.ndarray, " j"]
    judged_as: str
    pseudo: tune.PseudoLabels | None = None


def check_choices(images: ImageSet, *, shots: int, select: str | None, **recipe: Any) -> None:
    """Refuse before hours of encoding what could not be trained after it; `select` is None where labels are used."""
    if select is None and images.labels is None:
        raise InputError(NO_LABELS)
    if select is not None and select not in get_args(Select):
        raise InputError(f"no selection named {select}; {nearest(select, get_args(Select))}")
    if shots < 1:
        raise InputError(f"shots must be 1 or more, got {shots}")
    tune.Recipe(**{**recipe.pop("recipe", {}), **recipe})


def few_shot(features: Features, classes: int, *, shots: int, seed: int) -> Training:
    """At most `shots` labelled images of each class, drawn by the seed; all others judge."""
    if features.labels is None:
        raise InputError(NO_LABELS)
    rows = np.asarray(noise.few_shot(features.labels, classes=classes, shots=shots, seed=seed))
    rest = np.setdiff1d(np.arange(len(features)), rows)
    return Training(rows, features.labels[rows], rest, "labelled images that were not trained on")


def pseudo_labelled(
    logits: Sequence[Logits], features: Features, *, per_class: int, select: str, seed: int
) -> Training:
    """The model's own answers as labels. Where true labels are known they judge all images, for none was trained on."""
    found = tune.pseudo_label(list(logits), per_class=per_class, select=select, seed=seed)
    judged = np.arange(0 if features.labels is None else len(features))
    return Training(
        found.rows, found.labels, judged, "images, the same ones it was tuned on without their labels", found
    )
