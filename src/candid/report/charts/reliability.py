"""Accuracy against confidence: one panel a series, with gaps, intervals, the diagonal and how many fell where."""

from markupsafe import Markup

from candid.report.charts.axes import Frame, Scale
from candid.report.charts.svg import FONT, element, picture, text, whisker
from candid.report.content import Bin, ReliabilitySeries
from candid.report.wording import count, number, with_interval

__all__ = ["describe", "draw"]

STRIP = 46.0  # height of the strip of counts
LEFT = 40.0


def draw(series: ReliabilitySeries, width: float, name: str) -> Markup:
    """One panel of this width."""
    side = min(width - LEFT - 8, 400.0)
    ceiling = FONT + 14
    plot = Frame(width, 0, Scale(0, 1, LEFT, LEFT + side), Scale(0, 1, ceiling + 0.86 * side, ceiling))
    floor = plot.y.start + 58 + STRIP
    marks = [plot.grid("confidence", "accuracy", x_unit="percent", y_unit="percent")]
    for b in series.bins:
        marks += _bin(plot, b)
    diagonal = {"x1": plot.x(0), "y1": plot.y(0), "x2": plot.x(1), "y2": plot.y(1)}
    marks.append(element("line", class_="diagonal", **diagonal))
    marks += [_whisker(plot, b) for b in series.bins]
    marks += _strip(plot, series, floor)
    marks += [_hover(plot, b, floor) for b in series.bins]
    title = f"Reliability, {series.name}"
    return picture(width, floor + 4, name, title, describe(series), *marks)


def describe(series: ReliabilitySeries) -> str:
    """The panel in words: in how many bins the model claims more, or less, than it delivers."""
    over = sum(b.confidence > b.accuracy for b in series.bins)
    surest = max(series.bins, key=lambda b: b.high)
    return (
        f"{count(sum(b.n for b in series.bins))} predictions in {len(series.bins)} bins, overconfident in {over}. "
        f"The surest bin claims {number(surest.confidence, 'percent')} and is right in "
        f"{number(surest.accuracy, 'percent')} of {count(surest.n)}."
    )


def _bin(plot: Frame, b: Bin) -> list[Markup]:
    x, width = plot.x(b.low) + 0.75, max(1.0, plot.x(b.high) - plot.x(b.low) - 1.5)
    floor, top, claim = plot.y(0), plot.y(b.accuracy), plot.y(b.confidence)
    kind = "over" if b.confidence > b.accuracy else "under"
    gap = {"x": x, "width": width, "y": min(top, claim), "height": abs(top - claim)}
    return [
        element("rect", x=x, width=width, y=top, height=floor - top, class_="bar"),
        element("rect", class_=f"gap {kind}", **gap),
        element("line", x1=x, x2=x + width, y1=top, y2=top, class_="level"),
    ]


def _whisker(plot: Frame, b: Bin) -> Markup:
    x = plot.x((b.low + b.high) / 2)
    low, high = plot.y(b.accuracy_low), plot.y(b.accuracy_high)
    path = f"M{x:.1f} {low:.1f}V{high:.1f}M{x - 3:.1f} {low:.1f}h6M{x - 3:.1f} {high:.1f}h6"
    return whisker(path)


def _strip(plot: Frame, series: ReliabilitySeries, floor: float) -> list[Markup]:
    """Bars of counts below the plot, on the same axis."""
    total, most = sum(b.n for b in series.bins), max(b.n for b in series.bins)
    marks = [text(f"predictions (n = {count(total)})", 0, floor - STRIP - 6, kind="label")]
    for b in series.bins:
        height = STRIP * b.n / most
        width = max(1.0, plot.x(b.high) - plot.x(b.low) - 1.5)
        marks.append(
            element("rect", x=plot.x(b.low) + 0.75, y=floor - height, width=width, height=height, class_="count")
        )
    marks.append(element("line", x1=plot.x.start, x2=plot.x.end, y1=floor, y2=floor, class_="axis"))
    marks.append(
        text(
            number(most / total, "percent", decimals=0), plot.x.start - 6, floor - STRIP + 9, kind="tick", anchor="end"
        )
    )
    return marks


def _hover(plot: Frame, b: Bin, floor: float) -> Markup:
    tip = (
        f"confidence {number(b.low, 'percent')} to {number(b.high, 'percent')}\n"
        f"claimed: {number(b.confidence, 'percent')}\n"
        f"right: {with_interval(b.accuracy, b.accuracy_low, b.accuracy_high, 'percent')}\n"
        f"n = {count(b.n)}"
    )
    x, y = plot.x(b.low), plot.y.end
    return element("rect", x=x, y=y, width=plot.x(b.high) - x, height=floor - y, class_="hover", data_tip=tip)
