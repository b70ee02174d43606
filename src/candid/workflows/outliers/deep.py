"""Scores that need the network and the pixels, not only vectors: ODIN, and GL-MCM where there are patches."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from candid import detect, models
from candid.errors import InputError, UnreadableImage
from candid.types import Batch, Head, ImageSet, Scores

__all__ = ["DEEP", "deep_scores"]

BATCH = 64


def deep_scores(
    name: str, model: Any, head: Head, images: ImageSet, *, progress: Callable[[int, int], None] | None = None
) -> Scores:
    """The named score of every readable image, in the set's order; images are decoded again for it."""
    score, found = DEEP[name], list[Scores]()
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(images), BATCH):
            rows = range(start, min(start + BATCH, len(images)))
            prepared = [each for each in pool.map(lambda row: _prepared(model, images, row), rows) if each is not None]
            if prepared:
                found.append(score(model, head, np.stack(prepared)))
            if progress is not None:
                progress(rows.stop, len(images))
    if not found:
        raise InputError(f"none of the {len(images)} images can be read")
    return np.concatenate(found)


def _prepared(model: Any, images: ImageSet, row: int) -> np.ndarray | None:
    try:
        pixels: np.ndarray = model.prepare(images.read(row))
    except UnreadableImage:
        return None
    return pixels


def _odin(model: Any, head: Head, pixels: Batch) -> Scores:
    return detect.odin(models.perturbed_logits(model, pixels, head))


def _gl_mcm(model: Any, head: Head, pixels: Batch) -> Scores:
    patches = models.encode_patches(model, pixels)
    n, p, d = patches.shape
    local = detect.cosines(head, patches.reshape(n * p, d)).reshape(n, p, -1)
    return detect.gl_mcm(detect.cosines(head, model.encode_prepared(pixels)), local)


DEEP: Mapping[str, Callable[[Any, Head, Batch], Scores]] = {"gl-mcm": _gl_mcm, "odin": _odin}
