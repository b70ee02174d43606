"""Horizontal values with intervals: a name, a bar from zero, a whisker, the numbers."""

from collections.abc import Sequence

from markupsafe import Markup

from candid.report.charts.axes import ROW, Frame, Scale, marker_rows
from candid.report.charts.svg import FONT, cut, element, picture, text, text_width, whisker
from candid.report.content import Bar, Bars
from candid.report.wording import clean, count, with_interval

__all__ = ["FIRST", "describe", "draw", "ordered"]

FIRST = 12  # bars shown before the rest folds away
STACKED = 420.0  # below this width a name stands above its bar instead of beside it


def ordered(figure: Bars) -> tuple[Bar, ...]:
    """The bars, worst first where the figure says which end is worse."""
    if figure.better == "neither":
        return figure.bars
    return tuple(sorted(figure.bars, key=lambda b: b.value, reverse=figure.better == "lower"))


def draw(figure: Bars, bars: Sequence[Bar], width: float, name: str) -> Markup:
    """These bars of the figure in a picture of this width; the axis covers the whole figure."""
    stacked = width < STACKED
    numbers = [with_interval(b.value, b.low, b.high, figure.unit) for b in bars]
    names_room = 0.0 if stacked else min(0.34 * width, 10 + max(text_width(clean(b.label)) for b in bars))
    numbers_room = 0.0 if stacked else 14.0 + max(text_width(words) for words in numbers)
    pitch = 38.0 if stacked else 25.0
    low, high = _ends(figure)
    rows = marker_rows(figure.markers, low, high, width, names_room, False)
    ceiling = 6 + ROW * rows
    floor = ceiling + pitch * len(bars)
    left, right = (2.0, width - 8) if stacked else (names_room, width - numbers_room)
    frame = Frame(width, floor + 40, Scale(low, high, left, right), Scale(0, 1, floor, ceiling))
    marks = [_grid(frame, figure), frame.markers([m for m in figure.markers if m.axis == "x"])]
    for i, (bar, words) in enumerate(zip(bars, numbers, strict=True)):
        middle = ceiling + pitch * (i + (0.72 if stacked else 0.5))
        if stacked:  # the words stand on lines that belong to the bars: cover them
            marks.append(element("rect", x=0, y=middle - 23, width=width, height=16, class_="cover"))
        marks += _bar(frame, bar, middle)
        marks += _words(bar.label, words, middle, width, names_room, stacked=stacked)
        tip = f"{bar.label}\n{words}\nn = {count(bar.n)}"
        row = {"x": 0, "y": ceiling + pitch * i, "width": width, "height": pitch}
        marks.append(element("rect", class_="hover", data_tip=tip, **row))
    return picture(width, frame.height, name, figure.title, describe(figure), *marks)


def describe(figure: Bars) -> str:
    """The extremes in words."""
    low, high = min(figure.bars, key=lambda b: b.value), max(figure.bars, key=lambda b: b.value)
    said = [f"{b.label} {with_interval(b.value, b.low, b.high, figure.unit)}" for b in (low, high)]
    return f"{figure.x_label} of {count(len(figure.bars))}. Lowest: {said[0]}. Highest: {said[1]}."


def _ends(figure: Bars) -> tuple[float, float]:
    values = [0.0]
    for b in figure.bars:
        values += [v for v in (b.value, b.low, b.high) if v is not None]
    values += [m.value for m in figure.markers if m.axis == "x"]
    low, high = min(values), max(values)
    if figure.unit == "percent" and low >= 0 and 0.5 < high <= 1:
        return 0.0, 1.0
    return low, high if high > low else low + 1.0


def _grid(frame: Frame, figure: Bars) -> Markup:
    """Vertical hairlines only; the rows carry names of their own."""
    marks = [
        element("line", x1=frame.x(t), x2=frame.x(t), y1=frame.y.end, y2=frame.y.start, class_="grid")
        for t in frame.x.ticks(max(2, int((frame.x.end - frame.x.start) / 46)))
    ]
    marks += frame.x_ticks(figure.unit)
    marks.append(text(figure.x_label, frame.x.end, frame.y.start + 34, kind="label", anchor="end"))
    return Markup("").join(marks)


def _bar(frame: Frame, bar: Bar, middle: float) -> list[Markup]:
    start, end = sorted((frame.x(0), frame.x(bar.value)))
    marks = [element("rect", x=start, y=middle - 6, width=end - start, height=12, class_="value s0")]
    if bar.low is not None and bar.high is not None:
        low, high = frame.x(bar.low), frame.x(bar.high)
        path = f"M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 3:.1f}v6M{high:.1f} {middle - 3:.1f}v6"
        marks.append(whisker(path))
    return marks


def _words(label: str, words: str, middle: float, width: float, room: float, *, stacked: bool) -> list[Markup]:
    label = clean(label)
    if stacked:
        room = width - text_width(words) - 12
        return [
            text(cut(label, room), 2, middle - 11, kind="name"),
            text(words, width - 2, middle - 11, kind="numbers", anchor="end"),
        ]
    return [
        text(cut(label, room - 8), room - 8, middle + 0.35 * FONT, kind="name", anchor="end"),
        text(words, width - 2, middle + 0.35 * FONT, kind="numbers", anchor="end"),
    ]
