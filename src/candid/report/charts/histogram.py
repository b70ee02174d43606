"""Shares of several sets over common bins, as step outlines over a light fill."""

from markupsafe import Markup

from candid.report.charts.axes import ROW, Frame, Scale, label_room, marker_rows
from candid.report.charts.svg import FONT, LOOKS, element, picture
from candid.report.content import Counts, Histogram
from candid.report.wording import count, number

__all__ = ["describe", "draw"]


def draw(figure: Histogram, width: float, name: str) -> Markup:
    """The outlines in a picture of this width."""
    frame = _frame(figure, width)
    marks = [frame.grid(figure.x_label, "share of the set", x_unit=figure.x_unit, y_unit="percent")]
    marks += [_outline(frame, figure.edges, s, i, fill=True) for i, s in enumerate(figure.series)]
    marks += [_outline(frame, figure.edges, s, i, fill=False) for i, s in enumerate(figure.series)]
    marks.append(frame.markers(figure.markers))
    marks += _columns(frame, figure)
    return picture(width, frame.height, name, figure.title, describe(figure), *marks)


def describe(figure: Histogram) -> str:
    """Where each set peaks, in words."""
    peaks = []
    for series in figure.series:
        top = max(range(len(series.shares)), key=series.shares.__getitem__)
        peaks.append(f"{series.name} (n = {count(series.n)}) peaks {_bin(figure, top)}")
    return f"Shares over {figure.x_label}. " + "; ".join(peaks) + "."


def _frame(figure: Histogram, width: float) -> Frame:
    values = [*figure.edges, *(m.value for m in figure.markers if m.axis == "x")]
    low, high = min(values), max(values)
    top = max(max(s.shares) for s in figure.series) * 1.06 or 1.0
    left = label_room(0.0, top, 0.42 * width, "percent")
    ceiling = FONT + 14 + ROW * marker_rows(figure.markers, low, high, width, left, False)
    height = ceiling + 0.42 * width + 42
    return Frame(width, height, Scale(low, high, left, width - 8), Scale(0, top, height - 42, ceiling))


def _outline(frame: Frame, edges: tuple[float, ...], series: Counts, index: int, *, fill: bool) -> Markup:
    points = [(edges[0], 0.0)]
    for low, high, share in zip(edges[:-1], edges[1:], series.shares, strict=True):
        points += [(low, share), (high, share)]
    points.append((edges[-1], 0.0))
    path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
    return element(
        "polygon" if fill else "polyline", points=path, class_=f"{'band' if fill else 'curve'} s{index % LOOKS}"
    )


def _columns(frame: Frame, figure: Histogram) -> list[Markup]:
    """Invisible columns that carry the tooltips."""
    marks = []
    for i, (low, high) in enumerate(zip(figure.edges[:-1], figure.edges[1:], strict=True)):
        lines = [f"{s.name}: {number(s.shares[i], 'percent')}" for s in figure.series]
        marks.append(
            element(
                "rect",
                x=frame.x(low),
                y=frame.y.end,
                width=max(0.0, frame.x(high) - frame.x(low)),
                height=frame.y.start - frame.y.end,
                class_="hover",
                data_tip="\n".join([f"{figure.x_label} {_bin(figure, i)}", *lines]),
            )
        )
    return marks


def _bin(figure: Histogram, index: int) -> str:
    low, high = (number(e, figure.x_unit) for e in figure.edges[index : index + 2])
    return f"between {low} and {high}"
