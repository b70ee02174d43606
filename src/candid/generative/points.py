"""A set of vectors as the engine sees it: centred float32 blocks beside the rows as they are.

|x - y|^2 = |x|^2 + |y|^2 - 2 x.y loses its digits where vectors are long and near each other. So both sets are centred
on the reals and scaled by a power of two (neither changes which distance is larger), the product is taken in float32,
its error is measured against differences in float64, and whoever has to decide something closer than that error asks
`apart`, which takes the difference of the rows themselves in float64.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from candid.arrays import on_device, row_blocks
from candid.errors import InputError
from candid.metrics.streaming import VectorRows

__all__ = ["CHECKED", "PAIRS", "Block", "Frame", "Points", "apart", "checked", "common_frame", "gathered"]

SAMPLED = 64  # rows of each set whose products show the error of float32
MARGIN = 4  # times the largest error seen there counts as possible
LEAST = 2.0**-22  # ... and never less than this, relative to the squared lengths
PAIRS = 1 << 17  # cells of float64 differences at a time: 1 MB
CHECKED = 1 << 20  # cells of a set looked at at a time


class Block(NamedTuple):
    """Rows of a set on the device, padded so that the product of a left and a right block is their squared distances.

    `reach` is by row what its squared length adds to the error that a squared distance may have.
    """

    rows: slice
    padded: Any
    reach: Float32[np.ndarray, " b"]


@dataclass(frozen=True, eq=False)
class Frame:
    """What both sets share: the `centre` that is subtracted, the power of two that scales, the device, and `slack`:
    squared distances are right to `slack` times the sum of both squared lengths."""

    centre: np.ndarray
    scale: float
    device: str | None
    slack: float


@dataclass(frozen=True, eq=False)
class Points:
    """One set of vectors in a frame. `kept`, if not None, holds blocks that stay on the device once they are there."""

    vectors: VectorRows
    frame: Frame
    kept: dict[tuple[int, int], Any] | None = None

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    @property
    def width(self) -> int:
        return int(self.vectors.shape[1])

    def centred(self, rows: slice) -> Float32[np.ndarray, "b d"]:
        """These rows in the frame, float32."""
        part = _floating(np.asarray(self.vectors[rows]))
        part = np.subtract(part, self.frame.centre, dtype=np.promote_types(part.dtype, np.float32))
        part *= part.dtype.type(self.frame.scale)
        single: Float32[np.ndarray, "b d"] = part.astype(np.float32, copy=False)
        return single

    @cached_property
    def lengths(self) -> Float32[np.ndarray, " n"]:
        """Squared lengths of all rows in the frame."""
        found = np.empty(len(self), np.float32)
        for rows in row_blocks(len(self), self.width, cells=CHECKED):
            part = self.centred(rows)
            with np.errstate(over="ignore"):
                found[rows] = np.einsum("nd,nd->n", part, part)
        if not np.isfinite(found).all():
            row = int(np.argmin(np.isfinite(found)))
            raise InputError(f"row {row} lies more than 1e18 times as far out as is typical; take it out, or mend it")
        return found

    @cached_property
    def marks(self) -> Int[np.ndarray, " n"]:
        """A number for every row, the same for rows of the same bytes."""
        rows = (np.ascontiguousarray(self.vectors[row : row + 1]).tobytes() for row in range(len(self)))
        return np.array([int.from_bytes(blake2b(row, digest_size=7).digest()) for row in rows], np.int64)

    def left(self, rows: slice) -> Block:
        """These rows as the left side of products: -2x, |x|^2, 1."""
        block = self.right(rows)
        turned = block.padded * 1.0
        turned[:, :-2] *= -2
        turned[:, -2], turned[:, -1] = block.padded[:, -1], 1
        return block._replace(padded=turned)

    def right(self, rows: slice) -> Block:
        """These rows as the right side of products: y, 1, |y|^2."""
        own, key = self.lengths[rows], (rows.start, rows.stop)
        padded = None if self.kept is None else self.kept.get(key)
        if padded is None:
            padded = on_device(self._padded(rows), self.frame.device)
            if self.kept is not None:
                self.kept[key] = padded
        return Block(rows, padded, own * np.float32(self.frame.slack))

    def _padded(self, rows: slice) -> Float32[np.ndarray, "b wide"]:
        padded = np.empty((rows.stop - rows.start, self.width + 2), np.float32)
        padded[:, :-2] = self.centred(rows)
        padded[:, -2], padded[:, -1] = 1, self.lengths[rows]
        return padded

    def exactly(self, rows: slice) -> Float64[np.ndarray, "b d"]:
        """These rows in the frame, float64, not rounded before they are centred."""
        part = _floating(np.asarray(self.vectors[rows])).astype(np.float64)
        part -= self.frame.centre
        part *= self.frame.scale
        return part


def common_frame(real: VectorRows, fake: VectorRows, *, device: str | None = None) -> Frame:
    """The frame of two sets, after refusing what has no distances: no rows, other widths, NaN or infinity."""
    (_, width), (_, other) = checked(real, "real"), checked(fake, "fake")
    if width != other:
        raise InputError(
            f"real and fake need vectors of one width, got {width} and {other}; encode both with the same model"
        )
    mean = sum(_floating(block).sum(axis=0, dtype=np.float64) for block in _read(real)) / real.shape[0]
    centre = np.asarray(mean, np.float32).astype(np.promote_types(_dtype(real), _dtype(fake)))
    some = [gathered(each, _spread(each.shape[0])).astype(np.float64) - centre for each in (real, fake)]
    lengths = np.concatenate([np.linalg.norm(each, axis=1) for each in some])
    typical = float(np.median(lengths)) or float(lengths.max())
    scale = 2.0 ** -round(np.log2(typical)) if typical > 0 else 1.0
    rough = Frame(centre, scale, device, LEAST)
    return Frame(centre, scale, device, _measured(Points(real, rough), Points(fake, rough)))


def apart(
    first: Points, i: Int[np.ndarray, " p"], second: Points, j: Int[np.ndarray, " p"]
) -> Float64[np.ndarray, " p"]:
    """Distances of pairs of rows from their differences in float64, in the units of the vectors: 0 for copies only."""
    found = np.empty(len(i))
    for part in row_blocks(len(i), first.width, cells=PAIRS):
        gap = np.subtract(gathered(first.vectors, i[part]), gathered(second.vectors, j[part]), dtype=np.float64)
        found[part] = np.sqrt(np.einsum("pd,pd->p", gap, gap))
    return found


def _measured(first: Points, second: Points) -> float:
    """The largest error of float32 distances on a sample of pairs, relative to their squared lengths, with a margin."""
    one, other = (_spread(len(points)) for points in (first, second))
    rows = (np.repeat(one, len(other)), np.tile(other, len(one)))
    left = Points(gathered(first.vectors, one), first.frame).left(slice(0, len(one)))
    right = Points(gathered(second.vectors, other), second.frame).right(slice(0, len(other)))
    seen = np.asarray((left.padded @ right.padded.T).tolist())
    true = (apart(first, rows[0], second, rows[1]) * first.frame.scale) ** 2
    lengths = (left.reach[:, None] + right.reach[None]) / LEAST
    with np.errstate(invalid="ignore"):
        error = np.abs(seen - true.reshape(seen.shape)) / lengths
    return max(LEAST, MARGIN * float(np.nanmax(error, initial=0.0)))


def _spread(n: int) -> Int[np.ndarray, " s"]:
    return np.unique(np.linspace(0, n - 1, SAMPLED).astype(np.int64))


def gathered(vectors: VectorRows, rows: Int[np.ndarray, " p"]) -> Float[np.ndarray, "p d"]:
    """Any rows, in any order, as they are but for halves and integers, which become floating."""
    if isinstance(vectors, np.ndarray):
        return _floating(vectors[rows])
    wanted, place = np.unique(rows, return_inverse=True)
    return _floating(np.stack([np.asarray(vectors[int(row) : int(row) + 1])[0] for row in wanted]))[place]


def checked(vectors: VectorRows, name: str = "vectors") -> tuple[int, int]:
    """Rows and width, after refusing what is empty, not n x d, or not finite."""
    shape = getattr(vectors, "shape", None)
    if shape is None:
        raise InputError(f"{name} must be an n x d array, got {type(vectors).__name__}; pass np.asarray({name})")
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"{name} must be n x d with n, d > 0, got shape {tuple(shape)}")
    for rows, block in zip(row_blocks(*vectors.shape, cells=CHECKED), _read(vectors), strict=True):
        bad = ~np.isfinite(_floating(block)).all(axis=1)
        if bad.any():
            raise InputError(f"{name} must be finite, row {rows.start + int(np.argmax(bad))} holds NaN or infinity")
    return int(vectors.shape[0]), int(vectors.shape[1])


def _read(vectors: VectorRows) -> Iterator[Float[np.ndarray, "b d"]]:
    return (np.asarray(vectors[rows]) for rows in row_blocks(*vectors.shape, cells=CHECKED))


def _dtype(vectors: VectorRows) -> np.dtype:
    return _floating(np.asarray(vectors[0:1])).dtype


def _floating(block: np.ndarray) -> np.ndarray:
    """float32 and float64 as they are, halves and integers as float32 (64-bit integers as float64)."""
    return block if block.dtype in (np.float32, np.float64) else block.astype(np.promote_types(block.dtype, np.float32))
