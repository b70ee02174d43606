"""Images made from known ones so as to be none of them, to choose a detector by without seeing an unknown set.

The kinds are those on which outlier exposure and the energy paper chose their settings (Hendrycks et al. 2019,
https://arxiv.org/abs/1812.04606, appendix): they say what a detector does with broken images, not with new classes.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image as Pillow

from candid.errors import InputError
from candid.types import Image, ImageSet

__all__ = ["UNLIKE", "unlike"]

Random = np.random.Generator
Make = Callable[[Image, Image, Random], Image]
TILES = 4  # a side of the jigsaw
COARSE = 0.2  # of the side that a pixelated image keeps
SPECKLE = 0.6
SHIFT = 0.15  # of the side by which colours are moved apart, at most


def unlike(images: ImageSet, *, most: int = 250, seed: int = 0) -> dict[str, ImageSet]:
    """By kind (`UNLIKE`), images made from up to `most` of these, chosen by the seed; deterministic.

    >>> from candid import data
    >>> made = unlike(data.sample().known, most=3)
    >>> sorted(made)[:2], len(made["jigsaw"])
    (['arithmetic mean', 'geometric mean'], 3)
    """
    if not len(images):
        raise InputError("expected at least one image to make others from, got none")
    picked = np.random.default_rng(seed).permutation(len(images))[:most]
    return {kind: _made(images, picked.tolist(), kind, make, seed) for kind, make in UNLIKE.items()}


def _made(images: ImageSet, picked: list[int], kind: str, make: Make, seed: int) -> ImageSet:
    def partner(place: int) -> int:
        return picked[(place + 1) % len(picked)]

    def read(place: int) -> Image:
        random = np.random.default_rng([seed, place, list(UNLIKE).index(kind)])
        return make(images.read(picked[place]), images.read(partner(place)), random)

    def raw(place: int) -> bytes:
        both = images.raw(picked[place]), images.raw(partner(place))
        return b"\0".join([f"{kind} {seed} {place}".encode(), *both])

    ids = tuple(f"{images.ids[row]} ({kind})" for row in picked)
    return ImageSet(ids, read, raw, source=f"{images.source} ({kind})")


def _uniform(image: Image, other: Image, random: Random) -> Image:
    return random.integers(0, 256, image.shape, dtype=np.uint8)


def _arithmetic(image: Image, other: Image, random: Random) -> Image:
    return _pixels((image.astype(np.float64) + _fitted(other, image)) / 2)


def _geometric(image: Image, other: Image, random: Random) -> Image:
    return _pixels(np.sqrt(image.astype(np.float64) * _fitted(other, image)))


def _jigsaw(image: Image, other: Image, random: Random) -> Image:
    height, width = (side - side % TILES for side in image.shape[:2])
    if not height or not width:
        return image[::-1].copy()
    cut = image[:height, :width].reshape(TILES, height // TILES, TILES, width // TILES, 3)
    tiles = cut.transpose(0, 2, 1, 3, 4).reshape(TILES * TILES, height // TILES, width // TILES, 3)
    laid = tiles[random.permutation(len(tiles))].reshape(TILES, TILES, height // TILES, width // TILES, 3)
    return np.ascontiguousarray(laid.transpose(0, 2, 1, 3, 4).reshape(height, width, 3))


def _speckle(image: Image, other: Image, random: Random) -> Image:
    return _pixels(image * (1 + random.normal(0, SPECKLE, image.shape)))


def _pixelated(image: Image, other: Image, random: Random) -> Image:
    height, width = image.shape[:2]
    small = Pillow.fromarray(image).resize(
        (max(1, round(width * COARSE)), max(1, round(height * COARSE))), Pillow.Resampling.BOX
    )
    return np.asarray(small.resize((width, height), Pillow.Resampling.BOX))


def _shifted(image: Image, other: Image, random: Random) -> Image:
    most = [max(1, round(side * SHIFT)) for side in image.shape[:2]]
    moved = [
        np.roll(image[..., colour], [int(random.integers(-far, far + 1)) for far in most], axis=(0, 1))
        for colour in range(3)
    ]
    return np.stack(moved, axis=2)


def _inverted(image: Image, other: Image, random: Random) -> Image:
    return 255 - image


def _fitted(other: Image, image: Image) -> np.ndarray:
    height, width = image.shape[:2]
    return np.asarray(Pillow.fromarray(other).resize((width, height), Pillow.Resampling.BILINEAR), dtype=np.float64)


def _pixels(values: np.ndarray) -> Image:
    found: Image = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return found


UNLIKE: dict[str, Make] = {
    "arithmetic mean": _arithmetic,
    "geometric mean": _geometric,
    "inverted": _inverted,
    "jigsaw": _jigsaw,
    "pixelated": _pixelated,
    "shifted colours": _shifted,
    "speckle": _speckle,
    "uniform noise": _uniform,
}
