"""How images were stored, since a metric that compares a PNG set with a JPEG set measures the codec too.

A JPEG is recognised by its bytes; one that was decoded and saved again without loss by the 8 x 8 grid it leaves: steps
between neighbouring pixels are larger where blocks meet.
"""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image as Picture

from candid.data.decode import decode
from candid.errors import InputError, UnreadableImage
from candid.types import Estimate, Image, ImageSet

__all__ = ["Codec", "as_jpeg", "codec_of"]

LOOKED_AT = 500  # images of a set
STANDARD = 57.625  # mean of the standard luminance table, JPEG (ITU T.81) Annex K
BLOCK = 8
NORMAL = 1.959964


@dataclass(frozen=True)
class Codec:
    """`formats` by share of images, the median JPEG `quality` of those that are JPEG (1 to 100), and `grid`.

    `grid` is the mean step between neighbouring columns where 8-pixel blocks meet, over the mean step beside: about 1
    without a trace of JPEG, more with it. None for images of fewer than 17 columns.
    """

    formats: dict[str, float]
    quality: int | None
    grid: Estimate | None
    n: int

    @property
    def jpeg(self) -> float:
        """Share of images that are JPEG files."""
        return self.formats.get("JPEG", 0.0)


def codec_of(images: ImageSet, *, limit: int = LOOKED_AT, seed: int = 0) -> Codec:
    """How these images were stored, from `limit` of them drawn at random."""
    picked = np.random.default_rng(seed).permutation(len(images))[:limit]
    formats: dict[str, int] = {}
    qualities, grids = [], []
    for row in picked.tolist():
        try:
            with Picture.open(BytesIO(images.raw(row))) as picture:
                kind, tables = picture.format or "unknown", getattr(picture, "quantization", None)
            step = _grid(images.read(row))
        except (UnreadableImage, OSError, ValueError):
            continue
        formats[kind] = formats.get(kind, 0) + 1
        if tables:
            qualities.append(_quality(np.mean(tables[0])))
        if step is not None:
            grids.append(step)
    n = sum(formats.values())
    if n == 0:
        raise InputError(f"none of {len(picked)} images looked at can be read; nothing is known about their format")
    return Codec(
        formats={kind: count / n for kind, count in sorted(formats.items(), key=lambda item: -item[1])},
        quality=round(float(np.median(qualities))) if qualities else None,
        grid=_ratio(np.array(grids)) if len(grids) > 1 else None,
        n=n,
    )


def as_jpeg(images: ImageSet, quality: int) -> ImageSet:
    """The same images as JPEG of this quality would show them (colour at half resolution, as is usual)."""

    def raw(row: int) -> bytes:
        buffer = BytesIO()
        Picture.fromarray(images.read(row)).save(buffer, "JPEG", quality=quality, subsampling=2)
        return buffer.getvalue()

    def read(row: int) -> Image:
        return decode(raw(row), name=images.ids[row])

    return ImageSet(
        images.ids, read, raw, images.classes, images.labels, images.groups, images.group_names, images.skipped,
        f"{images.source} as JPEG {quality}",
    )  # fmt: skip


def _quality(mean: float) -> int:
    """The quality whose scaled standard table has this mean: libjpeg's rule, undone."""
    scale = 100 * mean / STANDARD
    return int(np.clip(round((200 - scale) / 2 if scale <= 100 else 5000 / scale), 1, 100))


def _grid(image: Image) -> tuple[float, float] | None:
    """Mean step of the green channel across block borders, and next to them; None for a narrow or an even image."""
    if image.shape[1] <= 2 * BLOCK:
        return None
    steps = np.abs(np.diff(image[..., 1].astype(np.float64), axis=1)).mean(axis=0)
    border = np.arange(BLOCK - 1, len(steps) - 1, BLOCK)
    here, beside = float(steps[border].mean()), float((steps[border - 1] + steps[border + 1]).mean() / 2)
    return (here, beside) if beside > 0 else None


def _ratio(steps: np.ndarray) -> Estimate:
    """A ratio of means over images, with its interval by the delta method."""
    here, there = steps.mean(axis=0)
    value = float(here / there)
    spread = float((steps[:, 0] - value * steps[:, 1]).std(ddof=1)) / there / len(steps) ** 0.5
    return Estimate(value, float(value - NORMAL * spread), float(value + NORMAL * spread), len(steps))
