"""One number against another: a dot a thing, each series with a shape and a colour of its own."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from candid.report.charts.axes import (
    ROW,
    Box,
    Frame,
    Scale,
    label_room,
    log_spread,
    marker_rows,
    spread,
)
from candid.report.charts.svg import FONT, LOOKS, cut, element, picture, text, text_width, whisker
from candid.report.content import Point, Scatter
from candid.report.wording import clean, count, number, with_interval

__all__ = ["describe", "draw", "spot"]

RADIUS = 4.6
REACH = 9.0  # of the pointer around a dot
SHAPES = (
    "M{l:.1f} {y:.1f}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z",
    "M{x:.1f} {t:.1f}L{g:.1f} {y:.1f}L{x:.1f} {b:.1f}L{f:.1f} {y:.1f}z",
    "M{f:.1f} {s:.1f}L{x:.1f} {t:.1f}L{g:.1f} {s:.1f}z",
    "M{l:.1f} {u:.1f}h{d}v{d}h-{d}z",
)  # disc, diamond, triangle, square


@dataclass(frozen=True)
class _Dot:
    """A point with its series and its place in the picture."""

    point: Point
    series: int
    x: float
    y: float


def draw(figure: Scatter, width: float, name: str) -> Markup:
    """The dots in a picture of this width, named where their names fit."""
    frame = _frame(figure, width)
    dots = [_Dot(p, i, frame.x(p.x), frame.y(p.y)) for i, s in enumerate(figure.series) for p in s.points]
    places = [(dot.x, dot.y) for dot in dots]
    marks = [frame.grid(figure.x_label, figure.y_label, x_unit=figure.x_unit, y_unit=figure.y_unit)]
    marks += [_link(a, b) for a, b in _links(figure, dots)]
    marks += [_whisker(frame, dot) for dot in dots]
    marks.append(frame.markers(figure.markers, places))
    marks += [spot(dot.series, dot.x, dot.y) for dot in dots]
    marks += _names(frame, figure, dots, frame.marker_boxes(figure.markers, places))
    marks += [_hover(figure, dot) for dot in dots]
    return picture(width, frame.height, name, figure.title, describe(figure), *marks)


def describe(figure: Scatter) -> str:
    """The extremes of every series in words."""
    said = []
    for series in figure.series:
        ends = [min(series.points, key=lambda p: p.y), max(series.points, key=lambda p: p.y)]
        low, high = (f"{with_interval(p.y, p.low, p.high, figure.y_unit)} ({p.label})" for p in ends)
        said.append(f"{series.name}, n = {count(len(series.points))}: from {low} to {high}")
    return f"{figure.y_label} against {figure.x_label}. " + "; ".join(said) + "."


def spot(series: int, x: float | int, y: float | int) -> Markup:
    """The mark of a series around a place."""
    r, wide, half = RADIUS, 1.25 * RADIUS, 0.86 * RADIUS
    shape = series % len(SHAPES)
    side = half if shape == 3 else r
    path = SHAPES[shape].format(
        x=x,
        y=y,
        r=r,
        d=f"{2 * side:g}",
        l=x - side,
        u=y - side,
        f=x - wide,
        g=x + wide,
        t=y - wide,
        b=y + wide,
        s=y + r,
    )
    return element("path", d=path, class_=f"spot s{series % LOOKS}")


def _frame(figure: Scatter, width: float) -> Frame:
    points = [p for s in figure.series for p in s.points]
    xs = [p.x for p in points] + [m.value for m in figure.markers if m.axis == "x"]
    ys = [p.y for p in points] + [m.value for m in figure.markers if m.axis == "y"]
    log_x, log_y = figure.log_x and _spans(xs), figure.log_y and _spans(ys)
    ends = [v for p in points for v in (p.low, p.high) if v is not None and (not log_y or v > min(ys) / 3)]
    left_end, right_end = log_spread(xs, figure.x_unit) if log_x else spread(xs, figure.x_unit, zero=False)
    bottom, top = log_spread(ys + ends, figure.y_unit) if log_y else spread(ys + ends, figure.y_unit)
    tall = 0.72 * width
    left = label_room(bottom, top, tall, figure.y_unit, log_y)
    ceiling = FONT + 14 + ROW * marker_rows(figure.markers, left_end, right_end, width, left, log_x)
    floor = ceiling + tall
    x, y = Scale(left_end, right_end, left, width - 8, log_x), Scale(bottom, top, floor, ceiling, log_y)
    return Frame(width, floor + 42, x, y)


def _spans(values: Sequence[float]) -> bool:
    """Whether a logarithm can lay the values out."""
    return min(values) > 0 and math.log(max(values)) - math.log(min(values)) < 700


def _links(figure: Scatter, dots: Sequence[_Dot]) -> Iterator[tuple[_Dot, _Dot]]:
    """Pairs of dots that stand for one thing, in the order of the series."""
    if figure.linked:
        last: dict[str, _Dot] = {}
        for dot in dots:
            before = last.get(dot.point.label)
            if before is not None and before.series != dot.series:
                yield before, dot
            last[dot.point.label] = dot


def _link(a: _Dot, b: _Dot) -> Markup:
    return element("line", x1=a.x, y1=a.y, x2=b.x, y2=b.y, class_="link")


def _whisker(frame: Frame, dot: _Dot) -> Markup:
    if dot.point.low is None or dot.point.high is None:
        return Markup()
    low, high = frame.y(dot.point.low), frame.y(dot.point.high)
    return whisker(f"M{dot.x:.1f} {low:.1f}V{high:.1f}")


def _names(frame: Frame, figure: Scatter, dots: Sequence[_Dot], taken: Sequence[Box]) -> list[Markup]:
    """Names beside their dots, each once, the loneliest first, as many as fit without touching anything."""
    busy = [*taken, *(_box(frame, dot) for dot in dots), *(_between(a, b) for a, b in _links(figure, dots))]
    named: set[str] = set()
    marks = []
    for dot in sorted(dots, key=lambda dot: -_room(dot, dots)):
        words = cut(clean(dot.point.label), 0.42 * frame.width)
        wide = text_width(words)
        for x, y, anchor in () if dot.point.label in named else _spots(dot):
            left = {"start": x, "middle": x - wide / 2, "end": x - wide}[anchor]
            box = (left, y - 0.8 * FONT, left + wide, y + 0.2 * FONT)
            if _inside(box, frame) and not any(_touch(box, other) for other in busy):
                marks.append(text(words, x, y, kind="note", anchor=anchor))
                busy.append(box)
                named.add(dot.point.label)
                break
    return marks


def _spots(dot: _Dot) -> tuple[tuple[float, float, str], ...]:
    """Where a name may stand: right, left, above, below."""
    beside, off = RADIUS + 4, RADIUS + 3
    middle = dot.y + 0.35 * FONT
    return (
        (dot.x + beside, middle, "start"),
        (dot.x - beside, middle, "end"),
        (dot.x, dot.y - off - 1, "middle"),
        (dot.x, dot.y + off + 0.8 * FONT, "middle"),
    )


def _room(dot: _Dot, dots: Sequence[_Dot]) -> float:
    others = (o for o in dots if o.point.label != dot.point.label)
    return min((math.hypot(dot.x - o.x, dot.y - o.y) for o in others), default=math.inf)


def _box(frame: Frame, dot: _Dot) -> Box:
    """The dot and its whisker."""
    low, high = (dot.y if v is None else frame.y(v) for v in (dot.point.low, dot.point.high))
    return (dot.x - RADIUS, min(dot.y - RADIUS, high), dot.x + RADIUS, max(dot.y + RADIUS, low))


def _between(a: _Dot, b: _Dot) -> Box:
    return (min(a.x, b.x), min(a.y, b.y), max(a.x, b.x), max(a.y, b.y))


def _inside(box: Box, frame: Frame) -> bool:
    left, top, right, bottom = box
    return left >= frame.x.start + 2 and right <= frame.x.end and top >= frame.y.end and bottom <= frame.y.start - 2


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] + 3 and other[0] < one[2] + 3 and one[1] < other[3] + 2 and other[1] < one[3] + 2


def _hover(figure: Scatter, dot: _Dot) -> Markup:
    p = dot.point
    lines = [
        f"{p.label}, {figure.series[dot.series].name}",
        f"{figure.x_label}: {number(p.x, figure.x_unit)}",
        f"{figure.y_label}: {with_interval(p.y, p.low, p.high, figure.y_unit)}",
        *([f"n = {count(p.n)}"] if p.n is not None else []),
    ]
    return element("circle", cx=dot.x, cy=dot.y, r=REACH, class_="hover", data_tip="\n".join(lines))
