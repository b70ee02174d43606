"""What test-time tuning looks at: the centre crop of every image and many augmented views, encoded once and kept."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from candid import tune
from candid.errors import InputError
from candid.types import Features, ImageEncoder, ImageSet
from candid.workflows.encoding import encode
from candid.workflows.view_banks import ViewBank, view_bank

__all__ = ["TuningViews", "tuned_logits", "tuning_views"]

IMAGES_AT_ONCE = 256


@dataclass(frozen=True)
class TuningViews:
    """`centre` are the features that everything else uses too, `augmented` the other views, read from disk as asked."""

    centre: Features
    augmented: ViewBank

    def __len__(self) -> int:
        return len(self.centre)

    def part(self, rows: slice) -> Float32[np.ndarray, "n v d"]:
        """Views of some images, the centre crop first."""
        centre = self.centre.vectors[rows][:, None]
        return np.concatenate([centre, self.augmented.vectors[rows].astype(np.float32)], axis=1)

    def parts(self) -> Iterator[Float32[np.ndarray, "n v d"]]:
        """Views of all images, a few at a time."""
        for start in range(0, len(self), IMAGES_AT_ONCE):
            yield self.part(slice(start, start + IMAGES_AT_ONCE))


def tuning_views(
    model: ImageEncoder,
    images: ImageSet,
    *,
    views: int = 64,
    augmix: bool = True,
    seed: int = 0,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> TuningViews:
    """The centre crop, prepared as the model's own images are, and `views` - 1 random views of every readable image.

    Random views are crops of 8 to 100 % of the image, flipped or not, with AugMix on top where `augmix` asks for it, as
    TPT does on fine-grained sets; its authors leave it out on ImageNet, C-TPT's scripts do not. A view depends on the
    seed and the bytes of its image alone. The rest is as in `view_bank`.
    """
    if views < 2:
        raise InputError(f"test-time tuning needs a centre crop and at least one other view, got {views} views")
    shared: dict[str, Any] = {"cache": cache, "batch_size": batch_size, "workers": workers, "strict": strict}
    total = len(images) * views

    def told(before: int) -> Callable[[int, int], None]:
        return lambda done, _: None if progress is None else progress(before + done, total)

    centre = encode(model, images, progress=told(0), **shared)
    kind = "tpt-augmix" if augmix else "tpt"
    augmented = view_bank(model, images, views=views - 1, augment=kind, seed=seed, progress=told(len(images)), **shared)
    if centre.ids != augmented.ids:
        raise InputError("some images could be read once and not twice; check the disk and run again")
    return TuningViews(centre, augmented)


def tuned_logits(
    model: Any,
    views: TuningViews,
    classes: Sequence[str],
    *,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> Float[np.ndarray, "n k"]:
    """Logits of the centre crops after `tune.test_time` with these settings, image by image."""
    tuner = tune.TestTimeTuner(model, classes, **settings)
    found, done = [np.zeros((0, len(classes)), np.float32)], 0
    for part in views.parts():
        found.append(tuner(part))
        done += len(part)
        if progress is not None:
            progress(done, len(views))
    return np.concatenate(found)
