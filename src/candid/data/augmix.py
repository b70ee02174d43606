"""AugMix as test-time tuning uses it: chains of mild operations on a crop, mixed with it.

Hendrycks et al. 2020, arxiv.org/abs/1912.02781, algorithm 1, at severity 1, with the nine operations that do not
overlap with the corruptions of ImageNet-C. Three chains of one to three operations; their weights are Dirichlet(1,1,1),
the share of the untouched crop is Beta(1,1). Operations keep 8 bits as Pillow does, the mixture does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image as Pillow

from candid.extras import installed

__all__ = ["OPERATIONS", "Chain", "Level", "Mix", "crop_of", "draw", "mixed", "planes_of", "sides"]

CHAINS, DEEPEST = 3, 3
LEAST, SEVERITY = 0.1, 1.0  # levels are uniform between them, in tenths of an operation's range

Random = np.random.Generator
Level = int | float
Chain = tuple[tuple[str, Level], ...]  # operations and the size of each, in the order they are applied
Planes = UInt8[np.ndarray, "3 height width"]


@dataclass(frozen=True)
class Mix:
    """What is done to a crop: `chains` in their `weights`, and the `share` of the crop itself."""

    share: float
    weights: Float[np.ndarray, "3"]
    chains: tuple[Chain, ...]


def draw(random: Random, size: int) -> Mix:
    """A random mixture for crops of `size` x `size` pixels.

    >>> mix = draw(np.random.default_rng(0), 224)
    >>> len(mix.chains), 0 < mix.share < 1, bool(np.isclose(mix.weights.sum(), 1))
    (3, True, True)
    """
    weights, share = random.dirichlet([1.0] * CHAINS), float(random.beta(1.0, 1.0))
    names = tuple(OPERATIONS)
    chains = []
    for _ in range(CHAINS):
        picked = [names[random.integers(len(names))] for _ in range(random.integers(1, DEEPEST + 1))]
        chains.append(tuple((name, OPERATIONS[name](random, size)) for name in picked))
    return Mix(share, weights, tuple(chains))


def _none(random: Random, size: int) -> float:
    return 0.0


def _tenths(random: Random, most: Level) -> float:
    return random.uniform(LEAST, SEVERITY) * most / 10


def _either_sign(random: Random, level: Level) -> Level:
    return -level if random.random() > 0.5 else level


OPERATIONS: dict[str, Callable[[Random, int], Level]] = {  # name -> draws its size
    "autocontrast": _none,
    "equalize": _none,
    "posterize": lambda random, size: 4 - int(_tenths(random, 4)),  # bits kept
    "rotate": lambda random, size: _either_sign(random, int(_tenths(random, 30))),  # degrees, counter-clockwise
    "solarize": lambda random, size: 256 - int(_tenths(random, 256)),  # values from here on are inverted
    "shear_x": lambda random, size: _either_sign(random, _tenths(random, 0.3)),  # pixels a row
    "shear_y": lambda random, size: _either_sign(random, _tenths(random, 0.3)),  # pixels a column
    "translate_x": lambda random, size: _either_sign(random, int(_tenths(random, size / 3))),  # pixels
    "translate_y": lambda random, size: _either_sign(random, int(_tenths(random, size / 3))),
}


@cache
def fast() -> bool:
    """Whether the compiled way is taken; it gives the same pixels as Pillow."""
    return installed("fast")


def planes_of(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "3 w h"] | UInt8[np.ndarray, "h w 3"]:
    """The image as `crop_of` reads it; made once for all crops of an image."""
    return np.ascontiguousarray(image.transpose(2, 1, 0)) if fast() else image


def sides(planes: UInt8[np.ndarray, "a b c"]) -> tuple[int, int]:
    """Height and width of an image that `planes_of` gave."""
    return (planes.shape[2], planes.shape[1]) if fast() else (planes.shape[0], planes.shape[1])


def crop_of(planes: UInt8[np.ndarray, "a b c"], box: tuple[int, int, int, int], size: int, flip: bool) -> Planes:
    """The part of an image (top, left, height, width) resized to `size` x `size` by the bilinear filter.

    >>> image = np.full((40, 60, 3), 7, np.uint8)
    >>> crop_of(planes_of(image), (3, 5, 20, 30), 16, True).shape
    (3, 16, 16)
    """
    top, left, height, width = box
    if fast():
        from candid.data import compiled

        resized: Planes = compiled.crop(planes, top, left, height, width, size, flip)
        return resized
    part = Pillow.fromarray(np.ascontiguousarray(planes[top : top + height, left : left + width]))
    # Two calls: width first in every version, where Pillow 13 would choose the cheaper order and round otherwise.
    narrow = part.resize((size, height), Pillow.Resampling.BILINEAR)
    found = np.asarray(narrow.resize((size, size), Pillow.Resampling.BILINEAR)).transpose(2, 0, 1)
    return np.ascontiguousarray(found[:, :, ::-1] if flip else found)


def mixed(crop: Planes, mix: Mix) -> Float32[np.ndarray, "3 height width"]:
    """The mixture, 0 to 255, not rounded."""
    total = np.zeros(crop.shape, np.float32)
    chains = ((), *mix.chains)  # the first leaves the crop as it is
    for share, chain in zip((mix.share, *((1 - mix.share) * mix.weights)), chains, strict=True):
        if fast():
            from candid.data import compiled

            compiled.add(total, compiled.chained(crop, chain), np.float32(share))
        else:
            from candid.data.pillow_operations import chained

            total += np.float32(share) * chained(crop, chain).astype(np.float32)
    return total
