"""Scales from values to pixels, ticks people would choose, and the frame every plot sits in."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from markupsafe import Markup

from candid.report.charts.svg import FONT, element, text, text_width
from candid.report.content import Marker, Unit
from candid.report.wording import number

__all__ = ["Box", "Frame", "Scale", "label_room", "log_spread", "marker_rows", "spread", "tick_label"]

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
Points = Sequence[tuple[float, float]]  # pixels
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
ROW = 15.0  # height of one row of marker labels


@dataclass(frozen=True)
class Scale:
    """Values `low` to `high` onto pixels `start` to `end`, evenly or by their logarithm."""

    low: float | int
    high: float | int
    start: float | int
    end: float | int
    log: bool = False

    def __call__(self, value: float | int) -> float:
        value = min(max(value, self.low), self.high)
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Round values inside the scale, about `most` of them.

        >>> Scale(0, 1, 0, 100).ticks(5)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        >>> Scale(8, 300, 0, 100, log=True).ticks(6)
        [10.0, 20.0, 50.0, 100.0, 200.0]
        """
        return _log_ticks(self.low, self.high, most) if self.log else _even_ticks(self.low, self.high, most)


def spread(values: Sequence[float], unit: Unit = "number", *, zero: bool = True) -> tuple[float, float]:
    """Ends of an axis that shows the values: a little air, zero where it is near (unless refused), shares in 0 to 1."""
    low, high = min(values), max(values)
    if zero and 0 <= low < 0.5 * high:
        low = min(low, 0.0)
    air = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    bottom, top = (low if low == 0 else low - air), (0.0 if high == 0 and low < 0 else high + air)
    if unit == "percent" and min(values) >= 0 and max(values) <= 1:
        bottom, top = max(bottom, 0.0), min(top, 1.0)
    return bottom, top


def log_spread(values: Sequence[float], unit: Unit = "number") -> tuple[float, float]:
    """Ends of a logarithmic axis that shows the values, all above zero: a little air, shares at most 1.

    >>> log_spread([0.01, 1.0], "percent")
    (0.0075..., 1.0)
    """
    low, high = min(values), max(values)
    air = math.exp(0.06 * (math.log(high) - math.log(low))) if high > low else 1.5
    top = min(high * air, 1.0) if unit == "percent" and high <= 1 else high * air
    return low / air or low, top


@dataclass(frozen=True)
class Frame:
    """The plotting area: two scales in a picture of `width` by `height`."""

    width: float | int
    height: float | int
    x: Scale
    y: Scale

    def grid(self, x_label: str, y_label: str, *, x_unit: Unit = "number", y_unit: Unit = "number") -> Markup:
        """Hairlines, tick labels and the names of the axes, the vertical one's above it so that it reads level."""
        left, right, floor = self.x.start, self.x.end, self.y.start
        marks = []
        for tick in self.y.ticks(_tick_count(floor - self.y.end)):
            y = self.y(tick)
            kind = "axis" if abs(y - floor) < 0.5 else "grid"
            marks.append(element("line", x1=left, x2=right, y1=y, y2=y, class_=kind))
            marks.append(text(tick_label(tick, y_unit), left - 6, y + 4, kind="tick", anchor="end"))
        marks.append(element("line", x1=left, x2=right, y1=floor, y2=floor, class_="axis"))
        marks.extend(self.x_ticks(x_unit))
        marks.append(text(y_label, 0, FONT, kind="label"))
        marks.append(text(x_label, right, floor + 34, kind="label", anchor="end"))
        return Markup("").join(marks)

    def x_ticks(self, unit: Unit) -> list[Markup]:
        """Ticks and labels along the floor, those that would touch left out."""
        marks, taken = [], -math.inf
        for tick in self.x.ticks(max(2, int((self.x.end - self.x.start) / 50))):
            label, x = tick_label(tick, unit), self.x(tick)
            half = text_width(label) / 2
            if x - half < taken:
                continue
            middle = min(max(x, half), self.width - half)
            marks.append(element("line", x1=x, x2=x, y1=self.y.start, y2=self.y.start + 4, class_="axis"))
            marks.append(text(label, middle, self.y.start + 17, kind="tick", anchor="middle"))
            taken = middle + half + 6
        return marks

    def markers(self, markers: Sequence[Marker], avoid: Points = ()) -> Markup:
        """Dashed lines across the plot with their labels, clear of each other and of the points to avoid."""
        lines, labels = [], []
        for marker, row, x, anchor in _placed(self, [m for m in markers if m.axis == "x"]):
            at, level = self.x(marker.value), self.y.end - 4 - ROW * row
            lines.append(element("line", x1=at, x2=at, y1=level - 9, y2=self.y.start, class_="marker"))
            labels.append(text(marker.label, x, level, kind="note", anchor=anchor))
        for marker, x, level, anchor in _levelled(self, [m for m in markers if m.axis == "y"], avoid):
            at = self.y(marker.value)
            lines.append(element("line", x1=self.x.start, x2=self.x.end, y1=at, y2=at, class_="marker"))
            labels.append(text(marker.label, x, level, kind="note", anchor=anchor))
        return Markup("").join(lines + labels)

    def marker_boxes(self, markers: Sequence[Marker], avoid: Points = ()) -> list[Box]:
        """Where the labels of the markers across the y axis stand, drawn with the same points to avoid."""
        boxes = []
        for marker, x, level, anchor in _levelled(self, [m for m in markers if m.axis == "y"], avoid):
            wide = text_width(marker.label)
            left = x if anchor == "start" else x - wide
            boxes.append((left, level - FONT, left + wide, level + 3))
        return boxes


def marker_rows(markers: Sequence[Marker], low: float, high: float, width: float, left: float, log: bool) -> int:
    """How many rows of labels the markers across the x axis need above the plot."""
    frame = Frame(width, 100.0, Scale(low, high, left, width - 8, log), Scale(0, 1, 90, 10))
    return max((row + 1 for _, row, _, _ in _placed(frame, [m for m in markers if m.axis == "x"])), default=0)


def label_room(low: float, high: float, height: float, unit: Unit, log: bool = False) -> float:
    """How wide the labels of a vertical axis of this height are."""
    ticks = Scale(low, high, 1.0, 0.0, log).ticks(_tick_count(height))
    return 10.0 + max((text_width(tick_label(tick, unit)) for tick in ticks), default=20.0)


def _tick_count(height: float) -> int:
    return max(2, int(height / 38))


def tick_label(value: float, unit: Unit) -> str:
    """A tick as short as it can be.

    >>> tick_label(0.25, "percent"), tick_label(20000.0, "number"), tick_label(-0.5, "number")
    ('25%', '20,000', '\u22120.5')
    """
    if unit == "percent":
        return f"{100 * value:.6g}%".replace("-", "−")
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return number(value, decimals=_decimals(value))
    return f"{value:.3g}".replace("-", "−")


def _placed(frame: Frame, markers: Sequence[Marker]) -> list[tuple[Marker, int, float, str]]:
    """Each marker with a row, a place and an anchor for its label: beside its own line, above lines it would cross."""
    options = [_sides(frame, marker, markers) for marker in markers]
    order = sorted(range(len(markers)), key=lambda i: (len(options[i][2]), markers[i].value))
    rows: dict[int, int] = {}
    for i in order:
        start, end, crossed, _ = options[i]
        beside = {rows[j] for j in rows if options[j][0] < end + 8 and start < options[j][1] + 8}
        above = max((rows.get(j, -1) for j in crossed), default=-1)
        rows[i] = next(row for row in range(above + 1, above + 2 + len(markers)) if row not in beside)
    return [
        (marker, rows[i], options[i][0] if options[i][3] == "start" else options[i][1], options[i][3])
        for i, marker in enumerate(markers)
    ]


def _sides(frame: Frame, marker: Marker, markers: Sequence[Marker]) -> tuple[float, float, list[int], str]:
    """Start, end, indices of the lines crossed and anchor of the label's better side."""
    at, wide = frame.x(marker.value), text_width(marker.label)
    sides = [(at + 4, at + 4 + wide, "start"), (at - 4 - wide, at - 4, "end")]
    fitting = [side for side in sides if side[0] >= 0 and side[1] <= frame.width] or [(0.0, wide, "start")]
    crossing = [
        [j for j, m in enumerate(markers) if m is not marker and a <= frame.x(m.value) <= b] for a, b, _ in fitting
    ]
    best = min(range(len(fitting)), key=lambda k: len(crossing[k]))
    start, end, anchor = fitting[best]
    return start, end, crossing[best], anchor


def _levelled(frame: Frame, markers: Sequence[Marker], avoid: Points) -> list[tuple[Marker, float, float, str]]:
    """Each marker with the place and anchor of its label: above or below its line, at either end, farthest from what
    is drawn already."""
    placed: list[tuple[Marker, float, float, str]] = []
    busy = list(avoid)
    for marker in markers:
        at, wide = frame.y(marker.value), text_width(marker.label)
        levels = [y for y in (at - 5, at + FONT + 2) if frame.y.end + FONT <= y <= frame.y.start - 2] or [at - 5]
        starts = ((frame.x.end - 2 - wide, "end"), (frame.x.start + 6, "start"))
        spots = [
            (_distance(x, y - 4, wide, busy), -k, x, y, a) for k, (y, (x, a)) in enumerate(product(levels, starts))
        ]
        _, _, x, y, anchor = max(spots, key=lambda spot: (min(spot[0], 16.0), spot[1]))
        placed.append((marker, x if anchor == "start" else x + wide, y, anchor))
        busy += [(x + part * wide / 8, y - 4) for part in range(9)]
    return placed


def _distance(x: float, y: float, wide: float, busy: Points) -> float:
    """How far the nearest busy point is from a label's middle line."""
    return min((math.hypot(max(x - px, 0.0, px - x - wide), py - y) for px, py in busy), default=math.inf)


def _even_ticks(low: float | int, high: float | int, most: int) -> list[float]:
    rough = (high - low) / max(1, most)
    if rough < sys.float_info.min:  # a range of denormals has no decimal steps
        return [float(low)]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in STEPS if s * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def _log_ticks(low: float | int, high: float | int, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for within in ((1, 2, 5), (1, 3), (1,)):
        ticks = [round(m * 10.0**d, 12) for d in decades for m in within if low <= m * 10.0**d <= high]
        if len(ticks) <= max(most, 2) or within == (1,):
            break
    return ticks if len(ticks) > 1 else [float(f"{low:.2g}"), float(f"{high:.2g}")]


def _decimals(value: float) -> int:
    plain = f"{value:.6f}".rstrip("0")
    return len(plain.split(".")[1])
