"""Random views of an image, for training and for test-time tuning, each kind a row in `AUGMENTATIONS`.

All crop at random, resize and flip. CoOp's code crops the image as it is, the older code that PTNL pins first squeezes
the whole image into the model's square, so the aspect ratio is lost; both resize by the bicubic filter. TPT's crops the
image as it is, resizes by the bilinear one, and on fine-grained sets puts AugMix on top.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image as Pillow

from candid.data import augmix
from candid.errors import InputError, nearest
from candid.types import Image

__all__ = ["AUGMENTATIONS", "Augmentation", "Box", "augment", "random_box", "view_random"]

SCALE = (0.08, 1.0)  # share of the image's area
RATIO = (3 / 4, 4 / 3)  # width over height
ATTEMPTS = 10

Square = UInt8[np.ndarray, "size size 3"]
Planes = UInt8[np.ndarray, "3 size size"]
View = Planes | Float32[np.ndarray, "3 size size"]


@dataclass(frozen=True)
class Augmentation:
    """How views are made: `base(image, size)` once an image, `view(base, size, random)` once a view, size x size."""

    base: Callable[[Image, int], np.ndarray]
    view: Callable[[np.ndarray, int, np.random.Generator], View]


class Box(NamedTuple):
    """A rectangle of an image in pixels."""

    top: int
    left: int
    height: int
    width: int


def augment(
    image: Image, size: int, random: np.random.Generator, kind: str = "dassl2021"
) -> UInt8[np.ndarray, "3 size size"] | Float32[np.ndarray, "3 size size"]:
    """One random view of the image, `size` x `size` pixels, as `encode_prepared` takes them.

    `kind` is a row of `AUGMENTATIONS`: "dassl2021" squeezes the image into the square, flips it or not and crops;
    "dassl" crops the image itself, then flips or not; "tpt" does so by the bilinear filter, and "tpt-augmix" mixes the
    crop with three chains of mild operations. The last has float32 values from 0 to 255, the others are 8 bits.

    >>> grey = np.full((40, 60, 3), 7, dtype=np.uint8)
    >>> view = augment(grey, 32, np.random.default_rng(0))
    >>> view.shape, int(view.min()), int(view.max())
    ((3, 32, 32), 7, 7)
    """
    if kind not in AUGMENTATIONS:
        raise InputError(f"no augmentation {kind!r}; {nearest(kind, AUGMENTATIONS)}")
    if image.size == 0 or size < 1:
        raise InputError(f"expected an image with pixels and a size of 1 or more, got {image.shape} and {size}")
    made = AUGMENTATIONS[kind]
    return made.view(made.base(image, size), size, random)


def view_random(seed: int, content: str, view: int) -> np.random.Generator:
    """The generator of view number `view` of an image: a function of the seed and of the hash of its bytes alone.

    So a view does not change with the order of the images, their batches, their names or how many views are made.

    >>> round(view_random(0, "fb1c089d", 3).random(), 3) == round(view_random(0, "fb1c089d", 3).random(), 3)
    True
    """
    if seed < 0 or view < 0:
        raise InputError(f"seed and view must be 0 or more, got {seed} and {view}")
    return np.random.default_rng([seed, int(content, 16), view])


def random_box(height: int, width: int, random: np.random.Generator) -> Box:
    """A random part of an image: 8 to 100 % of its area, width over height 3/4 to 4/3.

    Area uniform, ratio uniform in its logarithm, place uniform (Szegedy et al. 2015, arxiv.org/abs/1409.4842, section
    6), with the rule of torchvision's `RandomResizedCrop` where a draw does not fit: up to ten draws, then the largest
    central part whose ratio is allowed.
    """
    for _ in range(ATTEMPTS):
        area = height * width * random.uniform(*SCALE)
        ratio = exp(random.uniform(log(RATIO[0]), log(RATIO[1])))
        wide, high = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            top = int(random.integers(0, height - high + 1))
            return Box(top, int(random.integers(0, width - wide + 1)), high, wide)
    high = min(height, round(width / RATIO[0]))
    wide = min(width, round(height * RATIO[1]))
    return Box((height - high) // 2, (width - wide) // 2, high, wide)


def _crop(image: Image, size: int, random: np.random.Generator) -> Square:
    box = random_box(image.shape[0], image.shape[1], random)
    # Cut first: resizing with `box=` would let the filter see pixels beyond the edge of the crop.
    return _bicubic(image[box.top : box.top + box.height, box.left : box.left + box.width], size)


def _flip(image: Image, random: np.random.Generator) -> Image:
    return image[:, ::-1] if random.random() < 0.5 else image


def _bicubic(image: Image, size: int) -> Square:
    pixels = Pillow.fromarray(np.ascontiguousarray(image))
    return np.asarray(pixels.resize((size, size), Pillow.Resampling.BICUBIC))


def _as_it_is(image: Image, size: int) -> Image:
    return image


def _planes(square: Square) -> Planes:
    return np.ascontiguousarray(square.transpose(2, 0, 1))


def _flip_then_crop(image: Image, size: int, random: np.random.Generator) -> Planes:
    return _planes(_crop(_flip(image, random), size, random))


def _crop_then_flip(image: Image, size: int, random: np.random.Generator) -> Planes:
    return _planes(_flip(_crop(image, size, random), random))


def _as_planes(image: Image, size: int) -> np.ndarray:
    return augmix.planes_of(image)


def _smooth_crop(base: np.ndarray, size: int, random: np.random.Generator) -> Planes:
    height, width = augmix.sides(base)
    box = random_box(height, width, random)
    return augmix.crop_of(base, box, size, random.random() < 0.5)


def _smooth_crop_mixed(base: np.ndarray, size: int, random: np.random.Generator) -> View:
    crop = _smooth_crop(base, size, random)
    return augmix.mixed(crop, augmix.draw(random, size))


AUGMENTATIONS: dict[str, Augmentation] = {
    "dassl": Augmentation(_as_it_is, _crop_then_flip),
    "dassl2021": Augmentation(_bicubic, _flip_then_crop),
    "tpt": Augmentation(_as_planes, _smooth_crop),
    "tpt-augmix": Augmentation(_as_planes, _smooth_crop_mixed),
}
