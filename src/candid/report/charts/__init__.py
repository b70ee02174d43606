"""Figures as inline SVG, each drawn at two widths so that its text is as readable on a phone as on a desk."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from candid.report.charts import bars, heatmap, histogram, lines, reliability, scatter
from candid.report.charts.svg import LOOKS
from candid.report.content import Bars, Figure, Heatmap, Histogram, Lines, Reliability, ReliabilitySeries, Scatter

__all__ = ["NARROW", "WIDE", "Panel", "legend", "panels"]

WIDE, NARROW = 430.0, 330.0


@dataclass(frozen=True)
class Panel:
    """One picture in both widths, a title where a figure has several, and whether it is folded away at first."""

    wide: Markup
    narrow: Markup
    title: str = ""
    folded: bool = False


def panels(figure: Figure, name: str) -> list[Panel]:
    """The pictures of a figure; none where it has no data or is not drawn (tables, heatmaps, thumbnails).

    `name` is unique in the page: two figures of a report may carry the same id.
    """
    figure = _filled(figure)
    match figure:
        case Reliability():
            return [_reliability(series, f"{name}-{i}") for i, series in enumerate(figure.series)]
        case Lines() if figure.series:
            return [_both(partial(lines.draw, figure), name)]
        case Histogram() if figure.series:
            return [_both(partial(histogram.draw, figure), name)]
        case Bars() if figure.bars:
            return _bars(figure, name)
        case Scatter() if figure.series:
            return [_both(partial(scatter.draw, figure), name)]
    return []


def legend(figure: Figure) -> list[tuple[str, str]]:
    """Swatch and name of what the colours mean, where there is more than one thing to tell apart."""
    figure = _filled(figure)
    match figure:
        case Reliability():
            return [
                ("bar", "accuracy"),
                ("gap over", "overconfident by"),
                ("gap under", "underconfident by"),
                ("diagonal", "perfectly calibrated"),
            ]
        case Lines():
            return [(f"curve s{i % LOOKS}", line.name) for i, line in enumerate(figure.series)]
        case Histogram():
            return [(f"curve s{i % LOOKS}", f"{s.name} (n = {s.n:,})") for i, s in enumerate(figure.series)]
        case Scatter():
            return [(f"spot {i}", s.name) for i, s in enumerate(figure.series)]
        case Heatmap():
            return heatmap.legend(figure)
    return []


def _filled(figure: Figure) -> Figure:
    """The figure without series that hold nothing."""
    match figure:
        case Reliability():
            return figure.model_copy(update={"series": tuple(s for s in figure.series if s.bins)})
        case Lines():
            return figure.model_copy(update={"series": tuple(s for s in figure.series if s.x)})
        case Histogram():
            return figure.model_copy(update={"series": tuple(s for s in figure.series if s.shares)})
        case Scatter():
            return figure.model_copy(update={"series": tuple(s for s in figure.series if s.points)})
    return figure


def _reliability(series: ReliabilitySeries, name: str) -> Panel:
    return _both(partial(reliability.draw, series), name, series.name)


def _bars(figure: Bars, name: str) -> list[Panel]:
    rows = bars.ordered(figure)
    first, rest = rows[: bars.FIRST], rows[bars.FIRST :]
    if len(rest) <= 3:  # a fold that hides three bars costs more than it saves
        first, rest = rows, ()
    shown = [_both(partial(bars.draw, figure, first), name)]
    if rest:
        title = f"The other {len(rest):,}"
        shown.append(_both(partial(bars.draw, figure, rest), f"{name}-rest", title, folded=True))
    return shown


def _both(draw: Callable[[float, str], Markup], name: str, title: str = "", *, folded: bool = False) -> Panel:
    return Panel(draw(WIDE, f"{name}-wide"), draw(NARROW, f"{name}-narrow"), title, folded)
