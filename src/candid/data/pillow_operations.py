"""AugMix's operations by Pillow: what the compiled ones must give, and what runs where they are not installed."""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pillow
from PIL import ImageOps

from candid.data.augmix import Chain, Level

__all__ = ["chained"]

Planes = UInt8[np.ndarray, "3 height width"]


def chained(crop: Planes, chain: Chain) -> Planes:
    """The crop after the operations of a chain."""
    image = Pillow.fromarray(np.ascontiguousarray(crop.transpose(1, 2, 0)))
    for name, level in chain:
        image = _APPLIED[name](image, level)
    return np.asarray(image).transpose(2, 0, 1)


def _affine(*matrix: Level) -> Callable[[Pillow.Image], Pillow.Image]:
    return lambda image: image.transform(
        image.size, Pillow.Transform.AFFINE, matrix, resample=Pillow.Resampling.BILINEAR
    )


_APPLIED: dict[str, Callable[[Pillow.Image, Level], Pillow.Image]] = {
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "posterize": lambda image, bits: ImageOps.posterize(image, int(bits)),
    "rotate": lambda image, degrees: image.rotate(degrees, resample=Pillow.Resampling.BILINEAR),
    "solarize": lambda image, threshold: ImageOps.solarize(image, int(threshold)),
    "shear_x": lambda image, level: _affine(1, level, 0, 0, 1, 0)(image),
    "shear_y": lambda image, level: _affine(1, 0, 0, level, 1, 0)(image),
    "translate_x": lambda image, pixels: _affine(1, 0, pixels, 0, 1, 0)(image),
    "translate_y": lambda image, pixels: _affine(1, 0, 0, 0, 1, pixels)(image),
}
