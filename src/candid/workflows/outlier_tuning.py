"""Fine-tune a supervised classifier on images of known and unknown things, and keep what came of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from candid import models, tune
from candid.errors import InputError
from candid.models import tuned
from candid.models.classifier import Supervised
from candid.types import ImageSet

__all__ = ["fine_tune"]

IN_MEMORY = 1 << 31  # bytes of prepared images of a set that are kept; larger sets are decoded for every batch


def fine_tune(
    model: Supervised,
    known: ImageSet,
    outliers: ImageSet | None,
    recipe: tune.OutlierRecipe,
    folder: str | Path,
    *,
    augment: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Supervised, tune.Bounded]:
    """The classifier after `tune.energy_bounded` on these images, also written to `folder` for `models.load`.

    `augment` shifts and mirrors the prepared images as they are drawn. A run that was stopped goes on where it was. The
    weights of `model` are changed in place.
    """
    if known.labels is None:
        raise InputError("known images need labels to fine-tune on; pass a folder of class folders or a manifest")
    if known.classes is not None and known.classes != model.head.classes:
        raise InputError(f"the known images are of classes {known.classes[:3]}..., the model's are "
                         f"{model.head.classes[:3]}...; read them with classes=model.head.classes")  # fmt: skip
    module, checkpoint = tuned.Trainable(model), Path(f"{folder}.part")
    rows = _prepared(model, known)
    found = tune.energy_bounded(
        module, rows, known.labels, None if outliers is None else _prepared(model, outliers), recipe,
        augment=_floats_augmented if augment else _floats, device=model.device,
        checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    tuned.save(folder, model, module, exist_ok=True)
    checkpoint.unlink(missing_ok=True)
    again = models.load(str(folder), device=model.device)
    if not isinstance(again, Supervised):
        raise InputError(f"{folder} does not hold the classifier that was saved there; another process wrote in it")
    return again, found


class _Decoded:
    """Prepared images decoded whenever a batch asks for them."""

    def __init__(self, model: Supervised, images: ImageSet) -> None:
        self.model, self.images = model, images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        with ThreadPoolExecutor() as pool:
            return np.stack(list(pool.map(self._one, rows.tolist())))

    def _one(self, row: int) -> np.ndarray:
        return self.model.prepare(self.images.read(row))


def _prepared(model: Supervised, images: ImageSet) -> Any:
    decoded = _Decoded(model, images)
    size = len(images) * 3 * model.size**2
    return decoded[np.arange(len(images))] if size <= IN_MEMORY else decoded


def _floats(batch: Any, generator: Any) -> Any:
    return batch.float()


def _floats_augmented(batch: Any, generator: Any) -> Any:
    return tune.crop_and_flip(batch, generator).float()
