"""Crops and AugMix's operations compiled by numba, bit for bit Pillow's: planes of 8 bits, rows side by side.

Pillow's arithmetic is kept where it shows: fixed-point weights of the resize, rounded to 8 bits between its two passes,
and doubles cut to 8 bits in the affine maps. A shear moves whole rows or columns by one fraction, so it is read along
rows; a translation is a copy.
"""

import math
from typing import Any, no_type_check

import numpy as np
from numba import njit

__all__ = ["add", "chained", "crop"]

PRECISION = 22  # bits of a resize weight: 32 less 8 of a pixel and 2 of room
HALF = 1 << (PRECISION - 1)


@no_type_check
def _jit(function):
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder to keep the machine code in: compile anew in every process
        return njit(nogil=True)(function)


@_jit
@no_type_check
def _weights(inside, size, first, count, weights):
    """The bilinear filter's pixels of every output pixel: where they start, how many, and their fixed-point weights."""
    scale = inside / size
    wide = max(scale, 1.0)
    for at in range(size):
        centre = (at + 0.5) * scale
        low = max(int(centre - wide + 0.5), 0)
        high = min(int(centre + wide + 0.5), inside)
        total = 0.0
        for i in range(high - low):
            total += max(1.0 - abs((i + low - centre + 0.5) / wide), 0.0)
        for i in range(high - low):
            share = max(1.0 - abs((i + low - centre + 0.5) / wide), 0.0)
            weights[at, i] = int(0.5 + share / total * (1 << PRECISION))
        first[at], count[at] = low, high - low


@_jit
@no_type_check
def _resized(planes, top, left, height, width, size, flip):
    """Widths first, as Pillow does: `planes` are (3, w, h), so that this pass runs down columns side by side."""
    most = math.ceil(max(max(width, height) / size, 1.0)) * 2 + 1
    first, count = np.empty(size, np.int64), np.empty(size, np.int64)
    weights = np.zeros((size, most), np.int32)
    narrow = np.empty((3, height, size), np.uint8)
    sums = np.empty(max(height, size), np.int32)
    out = np.empty((3, size, size), np.uint8)
    _weights(width, size, first, count, weights)
    for c in range(3):
        for at in range(size):
            to = size - 1 - at if flip else at
            sums[:height] = HALF
            for i in range(count[at]):
                column, weight = planes[c, left + first[at] + i, top : top + height], weights[at, i]
                for y in range(height):
                    sums[y] += np.int32(np.int32(column[y]) * weight)
            for y in range(height):
                narrow[c, y, to] = sums[y] >> PRECISION
    _weights(height, size, first, count, weights)
    for c in range(3):
        for at in range(size):
            sums[:size] = HALF
            for i in range(count[at]):
                row, weight = narrow[c, first[at] + i], weights[at, i]
                for x in range(size):
                    sums[x] += np.int32(np.int32(row[x]) * weight)
            for x in range(size):
                out[c, at, x] = sums[x] >> PRECISION
    return out


@_jit
@no_type_check
def _looked_up(planes, table, out):
    for c in range(3):
        for y in range(planes.shape[1]):
            for x in range(planes.shape[2]):
                out[c, y, x] = table[c, planes[c, y, x]]


@_jit
@no_type_check
def _counts(planes):
    counts = np.zeros((3, 256), np.int64)
    for c in range(3):
        for y in range(planes.shape[1]):
            for x in range(planes.shape[2]):
                counts[c, planes[c, y, x]] += 1
    return counts


@_jit
@no_type_check
def _autocontrast(planes, out):
    counts, table = _counts(planes), np.empty((3, 256), np.uint8)
    for c in range(3):
        low, high = 0, 255
        while counts[c, low] == 0:
            low += 1
        while counts[c, high] == 0:
            high -= 1
        scale = 255.0 / (high - low) if high > low else 1.0
        offset = -low * scale if high > low else 0.0
        for i in range(256):
            table[c, i] = min(max(int(i * scale + offset), 0), 255)
    _looked_up(planes, table, out)


@_jit
@no_type_check
def _equalize(planes, out):
    counts, table = _counts(planes), np.empty((3, 256), np.uint8)
    for c in range(3):
        total, last, kinds = 0, 0, 0
        for i in range(256):
            if counts[c, i]:
                total, last, kinds = total + counts[c, i], counts[c, i], kinds + 1
        step = (total - last) // 255
        n = step // 2
        for i in range(256):
            table[c, i] = i if kinds <= 1 or step == 0 else min(n // step, 255)
            n += counts[c, i]
    _looked_up(planes, table, out)


@_jit
@no_type_check
def _posterize(planes, mask, out):
    for c in range(3):
        for y in range(planes.shape[1]):
            for x in range(planes.shape[2]):
                out[c, y, x] = planes[c, y, x] & mask


@_jit
@no_type_check
def _solarize(planes, threshold, out):
    for c in range(3):
        for y in range(planes.shape[1]):
            for x in range(planes.shape[2]):
                value = planes[c, y, x]
                out[c, y, x] = value if value < threshold else 255 - value


@_jit
@no_type_check
def _translate(planes, right, down, out):
    height, width = planes.shape[1:]
    for c in range(3):
        for y in range(height):
            for x in range(width):
                inside = 0 <= x + right < width and 0 <= y + down < height
                out[c, y, x] = planes[c, y + down, x + right] if inside else 0


@_jit
@no_type_check
def _sampled(planes, c, at_x, at_y):
    """One pixel between pixels; outside is black, and the edge is repeated by half a pixel."""
    height, width = planes.shape[1:]
    if at_x < 0.0 or at_x >= width or at_y < 0.0 or at_y >= height:
        return 0
    x, y = math.floor(at_x - 0.5), math.floor(at_y - 0.5)
    dx, dy = at_x - 0.5 - x, at_y - 0.5 - y
    left, right = min(max(x, 0), width - 1), min(max(x + 1, 0), width - 1)
    row = planes[c, min(max(y, 0), height - 1)]
    over = row[left] + dx * (np.float64(row[right]) - row[left])
    under = over
    if 0 <= y + 1 < height:
        row = planes[c, y + 1]
        under = row[left] + dx * (np.float64(row[right]) - row[left])
    return int(over + dy * (under - over))


@_jit
@no_type_check
def _between(one, two, part, out):
    """Row `one` moved by a part of the way to row `two`."""
    for i in range(len(out)):
        out[i] = np.int32(one[i] + part[i] * (np.float64(two[i]) - one[i]))


@_jit
@no_type_check
def _among(plane, place, width, dx, dy, out):
    """Pixels side by side, each from four neighbours: two of one row and two of the next."""
    n = len(out)
    one, two = plane[place : place + n], plane[place + 1 : place + 1 + n]
    three, four = plane[place + width : place + width + n], plane[place + width + 1 : place + width + 1 + n]
    for i in range(n):
        over = one[i] + dx[i] * (np.float64(two[i]) - one[i])
        under = three[i] + dx[i] * (np.float64(four[i]) - three[i])
        out[i] = np.int32(over + dy[i] * (under - over))


@_jit
@no_type_check
def _affine(planes, m, out):
    """Where a row of the result lies in the image first; then runs of it whose neighbours stand side by side there."""
    height, width = planes.shape[1:]
    place = np.empty(width, np.int32)
    dx, dy = np.empty(width, np.float64), np.empty(width, np.float64)
    for y in range(height):
        for x in range(width):
            at_x = m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2] - 0.5
            at_y = m[3] * (x + 0.5) + m[4] * (y + 0.5) + m[5] - 0.5
            column, row = np.floor(at_x), np.floor(at_y)
            dx[x], dy[x] = at_x - column, at_y - row
            inside = (column >= 0.0) & (column < width - 1.0) & (row >= 0.0) & (row < height - 1.0)
            place[x] = np.int32(row * width + column) if inside else np.int32(-2 * x - 2)  # never in a run
        start = 0
        while start < width:
            stop = start + 1
            while stop < width and place[stop] == place[stop - 1] + 1:
                stop += 1
            for c in range(3):
                if place[start] >= 0:
                    _among(planes[c].reshape(-1), place[start], width, dx[start:stop], dy[start:stop],
                           out[c, y, start:stop])  # fmt: skip
                else:
                    at_x = m[0] * (start + 0.5) + m[1] * (y + 0.5) + m[2]
                    at_y = m[3] * (start + 0.5) + m[4] * (y + 0.5) + m[5]
                    out[c, y, start] = _sampled(planes, c, at_x, at_y)
            start = stop


@_jit
@no_type_check
def _shear_x(planes, level, out):
    height, width = planes.shape[1:]
    part = np.empty(width, np.float64)
    for y in range(height):
        move = level * (y + 0.5)
        whole = np.int64(math.floor(move))
        part[:] = move - whole
        start = min(max(-whole, 0), width)
        stop = max(min(width, width - 1 - whole), start)
        for c in range(3):
            row = planes[c, y]
            _between(row[start + whole : stop + whole], row[start + whole + 1 : stop + whole + 1], part,
                     out[c, y, start:stop])  # fmt: skip
            for x in range(start):
                out[c, y, x] = _sampled(planes, c, x + 0.5 + move, y + 0.5)
            for x in range(stop, width):
                out[c, y, x] = _sampled(planes, c, x + 0.5 + move, y + 0.5)


@_jit
@no_type_check
def _shear_y(planes, level, out):
    """Columns that move by the same whole number of pixels stand side by side and are read along rows."""
    height, width = planes.shape[1:]
    whole, part = np.empty(width, np.int64), np.empty(width, np.float64)
    for x in range(width):
        whole[x] = np.int64(math.floor(level * (x + 0.5)))
        part[x] = level * (x + 0.5) - whole[x]
    start = 0
    while start < width:
        stop = start
        while stop < width and whole[stop] == whole[start]:
            stop += 1
        for c in range(3):
            for y in range(height):
                over = y + whole[start]
                if 0 <= over < height - 1:
                    _between(planes[c, over, start:stop], planes[c, over + 1, start:stop], part[start:stop],
                             out[c, y, start:stop])  # fmt: skip
                else:
                    for x in range(start, stop):
                        out[c, y, x] = _sampled(planes, c, x + 0.5, level * (x + 0.5) + (y + 0.5))
        start = stop


@_jit
@no_type_check
def add(total, planes, share):
    for c in range(3):
        for y in range(planes.shape[1]):
            for x in range(planes.shape[2]):
                total[c, y, x] += share * np.float32(planes[c, y, x])


def crop(planes: Any, top: int, left: int, height: int, width: int, size: int, flip: bool) -> Any:
    """A part of an image whose planes are (3, w, h), resized to (3, size, size)."""
    return _resized(planes, top, left, height, width, size, flip)


def chained(planes: Any, chain: tuple[tuple[str, int | float], ...]) -> Any:
    """The planes after the operations of a chain."""
    found = planes
    for name, level in chain:
        if name in ("rotate", "translate_x", "translate_y") and level == 0:
            continue
        out = np.empty_like(planes)
        _APPLIED[name](found, level, out)
        found = out
    return found


def _turned(planes: Any, degrees: int | float, out: Any) -> None:
    """About the middle, by the matrix that Pillow makes."""
    size = planes.shape[1]
    angle = -math.radians(degrees % 360)
    cosine, sine, half = round(math.cos(angle), 15), round(math.sin(angle), 15), size / 2
    back = (cosine * -half + sine * -half + half, -sine * -half + cosine * -half + half)
    _affine(planes, np.array([cosine, sine, back[0], -sine, cosine, back[1]]), out)


_APPLIED: dict[str, Any] = {
    "autocontrast": lambda planes, _, out: _autocontrast(planes, out),
    "equalize": lambda planes, _, out: _equalize(planes, out),
    "posterize": lambda planes, bits, out: _posterize(planes, np.uint8(256 - (1 << (8 - int(bits)))), out),
    "rotate": _turned,
    "solarize": lambda planes, threshold, out: _solarize(planes, int(threshold), out),
    "shear_x": lambda planes, level, out: _shear_x(planes, float(level), out),
    "shear_y": lambda planes, level, out: _shear_y(planes, float(level), out),
    "translate_x": lambda planes, pixels, out: _translate(planes, int(pixels), 0, out),
    "translate_y": lambda planes, pixels, out: _translate(planes, 0, int(pixels), out),
}
