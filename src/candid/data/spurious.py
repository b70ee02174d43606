"""Image sets whose classes come with something else, as often as asked: what last layers lean on, made to measure.

Each class has an attribute of its own, and `agreement` is the share of its images that have it; the others share the
rest of the attributes evenly. Shares are exact, not drawn. `agreement` 1 / (number of attributes), the default, makes
all groups alike, which is what a set that judges needs. Groups are class times attribute: `label * attributes +
attribute`, named "class, attribute".
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image as Pillow
from PIL import ImageFilter, ImageOps

from candid.data.shards import subset
from candid.errors import InputError, UnreadableImage
from candid.types import Image, ImageSet

__all__ = ["STYLES", "correlate", "dominoes", "in_styles", "on_scenes"]

Random = np.random.Generator
SIZES = (0.38, 0.62)  # of the scene's side, between which a cut-out's longer side falls


def dominoes(
    top: ImageSet, bottom: ImageSet, *, n: int, agreement: float | None = None, seed: int = 0, side: int = 32,
    hide: Literal["top", "bottom"] | None = None,
) -> ImageSet:  # fmt: skip
    """`n` images of two halves, 2 `side` x `side`: `bottom` is the class, `top` what comes with it (Shah et al. 2020).

    Class i of `bottom` goes with class i of `top`. Images repeat only where a set has too few. A half that is hidden is
    black: what the other tells alone. https://arxiv.org/abs/2006.07710; Kirichenko et al. 2023, appendix B.

    >>> from candid import data
    >>> photos = data.sample().known
    >>> pairs = dominoes(photos, photos, n=320, agreement=0.9)
    >>> pairs.read(0).shape, len(pairs.group_names) == len(photos.classes) ** 2
    ((64, 32, 3), True)
    """
    core, spurious = _named(bottom, "bottom"), _named(top, "top")
    y, a, random = _paired(len(core), len(spurious), n, agreement, seed)
    below, above = _draw(bottom, y, random), _draw(top, a, random)

    def read(place: int) -> Image:
        halves = [_square(each.read(rows[place]), side) for each, rows in ((top, above), (bottom, below))]
        if hide is not None:
            halves[hide == "bottom"][:] = 0
        return np.concatenate(halves)

    def raw(place: int) -> bytes:
        return b"\0".join([f"domino {side} {hide}".encode(), top.raw(above[place]), bottom.raw(below[place])])

    ids = [f"{place:06d} {top.ids[above[place]]} over {bottom.ids[below[place]]}" for place in range(n)]
    return _made(ids, read, raw, y, a, core, spurious, f"dominoes of {top.source} over {bottom.source}")


def on_scenes(
    cutouts: ImageSet, scenes: ImageSet, *, n: int, agreement: float | None = None, seed: int = 0, side: int = 64
) -> ImageSet:
    """`n` scenes of `side` pixels, each with a cut-out somewhere on it, as Waterbirds are made (Sagawa et al. 2020).

    The cut-out is the class, the scene what comes with it: class i of `cutouts` goes with class i of `scenes`. Cut-outs
    are images with transparency; their longer side is 0.38 to 0.62 of the scene's, and half of them are mirrored.
    https://arxiv.org/abs/1911.08731, appendix C.
    """
    core, spurious = _named(cutouts, "cutouts"), _named(scenes, "scenes")
    y, a, random = _paired(len(core), len(spurious), n, agreement, seed)
    front, behind = _draw(cutouts, y, random), _draw(scenes, a, random)

    def read(place: int) -> Image:
        here = np.random.default_rng([seed, place])
        scene = Pillow.fromarray(_square(scenes.read(behind[place]), side)).convert("RGBA")
        piece = _cutout(cutouts.raw(front[place]), cutouts.ids[front[place]], here, side)
        at = [int(here.integers(0, side - length + 1)) for length in piece.size]
        scene.alpha_composite(piece, dest=(at[0], at[1]))
        return np.array(scene.convert("RGB"))

    def raw(place: int) -> bytes:
        seeded = f"scene {side} {seed} {place}".encode()
        return b"\0".join([seeded, scenes.raw(behind[place]), cutouts.raw(front[place])])

    ids = [f"{place:06d} {cutouts.ids[front[place]]} on {scenes.ids[behind[place]]}" for place in range(n)]
    return _made(ids, read, raw, y, a, core, spurious, f"{cutouts.source} on {scenes.source}")


def in_styles(
    images: ImageSet, styles: Sequence[str], *, agreement: float | None = None, seed: int = 0, n: int | None = None
) -> ImageSet:
    """The images redrawn in `styles` (rows of `STYLES`), one of which comes with each class; all of them unless `n`.

    >>> from candid import data
    >>> drawn = in_styles(data.sample().known, ["plain", "sketch"], agreement=0.9, n=64)
    >>> len(drawn), drawn.group_names[:2]
    (64, ('Aubergine, plain', 'Aubergine, sketch'))
    """
    core = _named(images, "images")
    unknown = [style for style in styles if style not in STYLES]
    if unknown or len(styles) < 2 or len(set(styles)) < len(styles):
        raise InputError(f"expected two or more styles of {', '.join(sorted(STYLES))}, got {list(styles)}")
    y, a, random = _paired(len(core), len(styles), len(images) if n is None else n, agreement, seed)
    rows = _draw(images, y, random)

    def read(place: int) -> Image:
        return STYLES[styles[a[place]]](images.read(rows[place]))

    def raw(place: int) -> bytes:
        return b"\0".join([styles[a[place]].encode(), images.raw(rows[place])])

    ids = [
        f"{place:06d} {images.ids[row]} as {styles[how]}" for place, (row, how) in enumerate(zip(rows, a, strict=True))
    ]
    return _made(ids, read, raw, y, a, core, tuple(styles), f"{images.source} in styles")


def correlate(images: ImageSet, *, agreement: float, goes_with: Sequence[int] | None = None, seed: int = 0) -> ImageSet:
    """The most of these images in which class and group correlate as asked; groups as given become class times group.

    For sets that have an attribute already, such as drawing style or camera. `goes_with[i]` is the group that comes
    with class i (None: group i, counted round). Every class gets the same number of images.
    """
    core = _named(images, "images")
    if images.groups is None or images.group_names is None:
        raise InputError(f"expected images with groups to correlate classes with, {images.source or 'these'} have none")
    m = len(images.group_names)
    own = np.arange(len(core)) % m if goes_with is None else np.asarray(goes_with)
    if len(own) != len(core) or not np.isin(own, np.arange(m)).all():
        raise InputError(f"expected one of {m} groups for each of {len(core)} classes, got {list(own)}")
    shares = np.full((len(core), m), (1 - _agreed(agreement, m)) / max(m - 1, 1))
    shares[np.arange(len(core)), own] = agreement
    assert images.labels is not None
    random = np.random.default_rng(seed)
    cells = [[random.permutation(np.flatnonzero((images.labels == c) & (images.groups == g))) for g in range(m)]
             for c in range(len(core))]  # fmt: skip
    each = min(len(cells[c][g]) / shares[c, g] for c, g in zip(*np.nonzero(shares), strict=True))
    rows = [row for c, found in enumerate(cells) for g, cell in enumerate(found)
            for row in cell[: int(each * shares[c, g] + 1e-9)]]  # fmt: skip
    if not rows:
        raise InputError("a group that must have images has none; pass another agreement or goes_with")
    picked = subset(images, sorted(int(row) for row in rows))
    assert picked.labels is not None and picked.groups is not None
    return replace(picked, groups=picked.labels * m + picked.groups, group_names=_crossed(core, images.group_names))


def _made(
    ids: list[str], read: Callable[[int], Image], raw: Callable[[int], bytes], y: np.ndarray, a: np.ndarray,
    core: tuple[str, ...], spurious: tuple[str, ...], source: str,
) -> ImageSet:  # fmt: skip
    groups = y * len(spurious) + a
    return ImageSet(tuple(ids), read, raw, core, y, groups, _crossed(core, spurious), source=source)


def _crossed(core: Sequence[str], spurious: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}, {attribute}" for name in core for attribute in spurious)


def _paired(
    k: int, m: int, n: int, agreement: float | None, seed: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Random]:
    """Labels, attributes and the generator that goes on; counts are exact to a row."""
    if n < k:
        raise InputError(f"expected at least one image for each of {k} classes, got n = {n}")
    own = 1 / m if agreement is None else _agreed(agreement, m)
    random = np.random.default_rng(seed)
    y = np.arange(n, dtype=np.int64) % k
    a = np.empty(n, dtype=np.int64)
    for label in range(k):
        rows = np.flatnonzero(y == label)
        agree = round(own * len(rows))
        others = [each for each in range(m) if each != label % m]
        a[rows] = [label % m] * agree + [others[i % len(others)] for i in range(len(rows) - agree)]
    order = random.permutation(n)
    return y[order], a[order], random


def _agreed(agreement: float, m: int) -> float:
    if m < 2 or not 0 <= agreement <= 1:
        raise InputError(f"expected agreement from 0 to 1 and two or more attributes, got {agreement} and {m}")
    return agreement


def _draw(images: ImageSet, wanted: Int[np.ndarray, " n"], random: Random) -> list[int]:
    """A row of the set for each wanted class; rows come round again only when a class is used up."""
    assert images.labels is not None and images.classes is not None
    rows = np.empty(len(wanted), dtype=np.int64)
    for label, name in enumerate(images.classes):
        places, own = np.flatnonzero(wanted == label), random.permutation(np.flatnonzero(images.labels == label))
        if len(places) and not len(own):
            raise InputError(f"class {name} of {images.source or 'these images'} has no image")
        rows[places] = np.resize(own, len(places))
    return [int(row) for row in rows]


def _named(images: ImageSet, name: str) -> tuple[str, ...]:
    if images.classes is None or images.labels is None or len(images.classes) < 2:
        raise InputError(f"expected {name} with labels of two or more classes, got {images.source or 'none'}")
    return images.classes


def _square(image: Image, side: int) -> UInt8[np.ndarray, "side side 3"]:
    """The middle square, at `side` pixels."""
    return np.array(ImageOps.fit(Pillow.fromarray(image), (side, side), Pillow.Resampling.BICUBIC))


def _cutout(encoded: bytes, name: str, random: Random, side: int) -> Pillow.Image:
    try:
        with Pillow.open(BytesIO(encoded)) as file:
            piece = file.convert("RGBA")
    except (OSError, ValueError) as error:
        raise UnreadableImage(name, str(error)) from error
    if piece.getchannel("A").getextrema() == (255, 255):
        raise InputError(f"expected cut-outs, images with transparency; {name} has none")
    piece = piece.crop(piece.getchannel("A").getbbox())
    longest = max(1, int(side * random.uniform(*SIZES)))
    shrunk = [max(1, round(length * longest / max(piece.size))) for length in piece.size]
    piece = piece.resize((shrunk[0], shrunk[1]), Pillow.Resampling.LANCZOS)
    return ImageOps.mirror(piece) if random.random() < 0.5 else piece


def _plain(image: Image) -> Image:
    return image


def _drawn(change: Callable[[Pillow.Image], Pillow.Image], image: Image) -> Image:
    return np.array(change(Pillow.fromarray(image)).convert("RGB"))


def _sketch(image: Pillow.Image) -> Pillow.Image:
    return ImageOps.invert(ImageOps.autocontrast(image.convert("L").filter(ImageFilter.FIND_EDGES), cutoff=2))


def _mosaic(image: Pillow.Image) -> Pillow.Image:
    width, height = image.size
    small = image.resize((max(1, width // 6), max(1, height // 6)), Pillow.Resampling.BOX)
    return small.resize(image.size, Pillow.Resampling.NEAREST)


STYLES: dict[str, Callable[[Image], Image]] = {
    "grey": partial(_drawn, ImageOps.grayscale),
    "mosaic": partial(_drawn, _mosaic),
    "plain": _plain,
    "poster": partial(_drawn, partial(ImageOps.posterize, bits=2)),
    "sketch": partial(_drawn, _sketch),
    "sepia": partial(_drawn, lambda image: ImageOps.colorize(image.convert("L"), "#2b1a0b", "#fff2d8")),
}
