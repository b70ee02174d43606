"""Scales from values to pixels, ticks people would choose, and the frame every plot sits in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from candid.report.charts.svg import FONT, element, text, text_width
from candid.report.content import Marker, Unit
from candid.report.wording import number

__all__ = ["Frame", "Scale", "spread", "tick_label"]

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
ROW = 15.0  # height of one row of marker labels


@dataclass(frozen=True)
class Scale:
    """Values `low` to `high` onto pixels `start` to `end`, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
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


def spread(values: Sequence[float], unit: Unit = "number", *, zero: bool = False) -> tuple[float, float]:
    """Ends of an axis that shows the values: a little air, zero where it is near or wanted, shares within 0 to 1."""
    low, high = min(values), max(values)
    if zero or 0 <= low < 0.5 * high:
        low = min(low, 0.0)
    air = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    bottom, top = (low if low == 0 else low - air), (0.0 if high == 0 and low < 0 else high + air)
    if unit == "percent" and min(values) >= 0 and max(values) <= 1:
        bottom, top = max(bottom, 0.0), min(top, 1.0)
    return bottom, top


@dataclass(frozen=True)
class Frame:
    """The plotting area: two scales in a picture of `width` by `height`."""

    width: float
    height: float
    x: Scale
    y: Scale

    def grid(self, x_label: str, y_label: str, *, x_unit: Unit = "number", y_unit: Unit = "number") -> Markup:
        """Hairlines, tick labels and the names of the axes, the vertical one's above it so that it reads level."""
        left, right, floor = self.x.start, self.x.end, self.y.start
        marks = []
        for tick in self.y.ticks(max(2, int((floor - self.y.end) / 38))):
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
        for tick in self.x.ticks(max(2, int((self.x.end - self.x.start) / 62))):
            label, x = tick_label(tick, unit), self.x(tick)
            half = text_width(label) / 2
            if x - half < taken:
                continue
            middle = min(x, self.width - half)
            marks.append(element("line", x1=x, x2=x, y1=self.y.start, y2=self.y.start + 4, class_="axis"))
            marks.append(text(label, middle, self.y.start + 17, kind="tick", anchor="middle"))
            taken = middle + half + 6
        return marks

    def markers(self, markers: Sequence[Marker]) -> Markup:
        """Dashed lines across the plot with their labels, which never lie on each other."""
        lines, labels = [], []
        for marker, row, x, anchor in _placed(self, [m for m in markers if m.axis == "x"]):
            at, level = self.x(marker.value), self.y.end - 4 - ROW * row
            lines.append(element("line", x1=at, x2=at, y1=level - 9, y2=self.y.start, class_="marker"))
            labels.append(text(marker.label, x, level, kind="note", anchor=anchor))
        for marker, level in _stacked(self, [m for m in markers if m.axis == "y"]):
            at = self.y(marker.value)
            lines.append(element("line", x1=self.x.start, x2=self.x.end, y1=at, y2=at, class_="marker"))
            labels.append(text(marker.label, self.x.end - 2, level, kind="note", anchor="end"))
        return Markup("").join(lines + labels)


def marker_rows(markers: Sequence[Marker], low: float, high: float, width: float, left: float, log: bool) -> int:
    """How many rows of labels the markers across the x axis need above the plot."""
    frame = Frame(width, 100, Scale(low, high, left, width - 8, log), Scale(0, 1, 90, 10))
    return max((row + 1 for _, row, _, _ in _placed(frame, [m for m in markers if m.axis == "x"])), default=0)


def tick_label(value: float, unit: Unit) -> str:
    """A tick as short as it can be.

    >>> tick_label(0.25, "percent"), tick_label(20000.0, "number"), tick_label(-0.5, "number")
    ('25%', '20,000', '−0.5')
    """
    if unit == "percent":
        return f"{100 * value:.6g}%".replace("-", "−")
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return number(value, decimals=_decimals(value))
    return f"{value:.3g}".replace("-", "−")


def _placed(frame: Frame, markers: Sequence[Marker]) -> list[tuple[Marker, int, float, str]]:
    """Each marker with a row, a place and an anchor for its label, in the lowest row where it is free."""
    placed: list[tuple[Marker, int, float, str]] = []
    taken: list[tuple[int, float, float]] = []
    for marker in sorted(markers, key=lambda m: -m.value):  # from the right, so that a label seldom crosses a line
        at, wide = frame.x(marker.value), text_width(marker.label)
        right_of = at + 4 + wide <= frame.width
        start = at + 4 if right_of else max(at - 4 - wide, 0.0)
        busy = {row for row, low, high in taken if low < start + wide + 8 and start < high + 8}
        row = next(i for i in range(len(markers)) if i not in busy)
        taken.append((row, start, start + wide))
        placed.append((marker, row, start if right_of else start + wide, "start" if right_of else "end"))
    return placed


def _stacked(frame: Frame, markers: Sequence[Marker]) -> list[tuple[Marker, float]]:
    """Each marker with a height for its label: above its line, or below where another one's label is."""
    placed: list[tuple[Marker, float]] = []
    for marker in sorted(markers, key=lambda m: m.value):
        at = frame.y(marker.value)
        level = at - 5
        if placed and placed[-1][1] - level < FONT + 2:
            level = placed[-1][1] - FONT - 2
        placed.append((marker, max(level, frame.y.end + FONT)))
    return placed


def _even_ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in STEPS if s * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for within in ((1, 2, 5), (1, 3), (1,)):
        ticks = [round(m * 10.0**d, 12) for d in decades for m in within if low <= m * 10.0**d <= high]
        if len(ticks) <= max(most, 2) or within == (1,):
            break
    return ticks if len(ticks) > 1 else [float(f"{low:.2g}"), float(f"{high:.2g}")]


def _decimals(value: float) -> int:
    plain = f"{value:.6f}".rstrip("0")
    return len(plain.split(".")[1])
