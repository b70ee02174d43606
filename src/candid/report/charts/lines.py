"""Curves with bands."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from markupsafe import Markup

from candid.report.charts.axes import ROW, Frame, Scale, label_room, marker_rows, spread, tick_label
from candid.report.charts.svg import FONT, LOOKS, element, picture
from candid.report.content import Line, Lines
from candid.report.wording import number

__all__ = ["draw"]

DRAWN = 240  # points of a curve that are drawn; all of them are in the data
DOTTED = 24  # a curve of at most this many points shows them


def draw(figure: Lines, width: float, name: str) -> Markup:
    """The curves in a picture of this width."""
    xs = [x for line in figure.series for x in line.x]
    ys = [y for line in figure.series for values in (line.y, line.low or (), line.high or ()) for y in values]
    ys += [m.value for m in figure.markers if m.axis == "y"]
    xs += [m.value for m in figure.markers if m.axis == "x"]
    frame = _frame(figure, xs, ys, width)
    marks = [frame.grid(figure.x_label, figure.y_label, x_unit=figure.x_unit, y_unit=figure.y_unit)]
    thin = [_thinned(line) for line in figure.series]
    marks += [_band(frame, line, i) for i, line in enumerate(thin) if line.low and line.high]
    drawn = [(frame.x(x), frame.y(y)) for line in thin for x, y in _between(line)]
    labels = frame.markers(figure.markers, drawn)
    for i, line in enumerate(thin):
        marks.append(_curve(frame, line, i))
        marks += _dots(frame, line, i, figure)
    marks.append(labels)
    return picture(width, frame.height, name, figure.title, describe(figure), *marks)


def describe(figure: Lines) -> str:
    """The curves in words: where each begins and ends."""
    ends = [
        f"{line.name}: {number(line.y[0], figure.y_unit)} at {tick_label(line.x[0], figure.x_unit)}, "
        f"{number(line.y[-1], figure.y_unit)} at {tick_label(line.x[-1], figure.x_unit)}"
        for line in figure.series
        if line.x
    ]
    return f"{figure.y_label} against {figure.x_label}. " + "; ".join(ends) + "."


def _frame(figure: Lines, xs: Sequence[float], ys: Sequence[float], width: float) -> Frame:
    log = figure.log_x and min(xs) > 0
    low, high = (min(xs), max(xs)) if min(xs) < max(xs) else spread(xs, figure.x_unit)
    bottom, top = spread(ys, figure.y_unit)
    left = label_room(bottom, top, 0.5 * width, figure.y_unit)
    ceiling = FONT + 14 + ROW * marker_rows(figure.markers, low, high, width, left, log)
    height = ceiling + 0.5 * width + 42
    return Frame(width, height, Scale(low, high, left, width - 8, log), Scale(bottom, top, height - 42, ceiling))


def _thinned(line: Line) -> Line:
    if len(line.x) <= DRAWN:
        return line
    keep = [round(i * (len(line.x) - 1) / (DRAWN - 1)) for i in range(DRAWN)]
    low, high = (None if side is None else tuple(side[i] for i in keep) for side in (line.low, line.high))
    return Line(name=line.name, x=tuple(line.x[i] for i in keep), y=tuple(line.y[i] for i in keep), low=low, high=high)


def _between(line: Line) -> Iterator[tuple[float, float]]:
    """The points of a curve and some between them, so that a label keeps clear of its long straight parts too."""
    for (x0, y0), (x1, y1) in pairwise(zip(line.x, line.y, strict=True)):
        yield from ((x0 + part * (x1 - x0), y0 + part * (y1 - y0)) for part in (0, 0.25, 0.5, 0.75))
    yield line.x[-1], line.y[-1]


def _points(frame: Frame, xs: Sequence[float], ys: Sequence[float]) -> str:
    return " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in zip(xs, ys, strict=True))


def _band(frame: Frame, line: Line, index: int) -> Markup:
    there = _points(frame, line.x, line.high or ())
    back = _points(frame, line.x[::-1], (line.low or ())[::-1])
    return element("polygon", points=f"{there} {back}", class_=f"band s{index % LOOKS}")


def _curve(frame: Frame, line: Line, index: int) -> Markup:
    return element("polyline", points=_points(frame, line.x, line.y), class_=f"curve s{index % LOOKS}")


def _dots(frame: Frame, line: Line, index: int, figure: Lines) -> list[Markup]:
    """Visible dots on short curves, and invisible ones on long curves, to carry the tooltips."""
    shown = len(line.x) <= DOTTED
    step = max(1, len(line.x) // 60)
    return [
        element(
            "circle",
            cx=frame.x(line.x[i]),
            cy=frame.y(line.y[i]),
            r=3 if shown else 6,
            class_=f"{'dot' if shown else 'hover'} s{index % LOOKS}",
            data_tip=f"{line.name}\n{figure.x_label}: {tick_label(line.x[i], figure.x_unit)}\n"
            f"{figure.y_label}: {number(line.y[i], figure.y_unit)}",
        )
        for i in range(0, len(line.x), step)
    ]
