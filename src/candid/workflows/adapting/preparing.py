"""What comes before tuning: class names, a model that can be tuned, features, the answers of other models."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from candid import models as zoo
from candid import tune
from candid.errors import InputError, nearest
from candid.tune.towers import Inside
from candid.types import Encoder, Features, ImageEncoder, ImageSet
from candid.workflows.encoding import encode

__all__ = ["Progress", "asked", "encoded", "named_classes", "told", "tunable"]

Progress = Callable[[str, int, int], None]


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


def encoded(model: ImageEncoder, images: ImageSet, *, name: str, progress: Progress | None, **options: Any) -> Features:
    """Features of a set of which at least one image can be read."""
    features = encode(model, images, progress=told(progress, name), **options)
    if not len(features):
        reasons = sorted({file.reason for file in features.skipped})[:3]
        raise InputError(f"none of the {len(features.skipped)} files of set {name} can be read: {'; '.join(reasons)}")
    return features


def told(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(name, done, total)


def asked(
    model: Encoder, images: ImageSet, own: Features, names: Sequence[str], template: str, options: dict[str, Any]
) -> np.ndarray:
    """Zero-shot logits of another model on the same images."""
    found = encode(model, images, **options)
    if found.ids != own.ids:
        raise InputError(f"{model.id} read other images of this set than the model that is tuned; pass strict=True")
    return zoo.zero_shot(model, names, templates=(template,))(found.vectors)
