"""Figures as inline SVG, each drawn at two widths so that its text is as readable on a phone as on a desk."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from candid.report.charts import bars, histogram, lines, reliability
from candid.report.content import Bars, Figure, Histogram, Lines, Reliability

__all__ = ["NARROW", "WIDE", "Panel", "legend", "panels"]

WIDE, NARROW = 540.0, 330.0


@dataclass(frozen=True)
class Panel:
    """One picture in both widths, a title where a figure has several, and whether it is folded away at first."""

    wide: Markup
    narrow: Markup
    title: str = ""
    folded: bool = False


def panels(figure: Figure) -> list[Panel]:
    """The pictures of a figure; none where it has no data or is not drawn (tables, thumbnails)."""
    match figure:
        case Reliability():
            filled = [s for s in figure.series if s.bins]
            return [
                _both(lambda w, n, s=s: reliability.draw(s, w, n), f"{figure.id}-{i}", s.name)
                for i, s in enumerate(filled)
            ]
        case Lines() if any(line.x for line in figure.series):
            return [_both(lambda w, n: lines.draw(figure, w, n), figure.id)]
        case Histogram() if any(s.shares for s in figure.series):
            return [_both(lambda w, n: histogram.draw(figure, w, n), figure.id)]
        case Bars() if figure.bars:
            return _bars(figure)
    return []


def legend(figure: Figure) -> list[tuple[str, str]]:
    """Swatch and name of what the colours mean, where there is more than one thing to tell apart."""
    match figure:
        case Reliability():
            return [
                ("bar", "accuracy"),
                ("gap over", "overconfident by"),
                ("gap under", "underconfident by"),
                ("diagonal", "perfectly calibrated"),
            ]
        case Lines():
            return [(f"curve s{i % 6}", line.name) for i, line in enumerate(figure.series)]
        case Histogram():
            return [(f"curve s{i % 6}", f"{s.name} (n = {s.n:,})") for i, s in enumerate(figure.series)]
    return []


def _bars(figure: Bars) -> list[Panel]:
    rows = bars.ordered(figure)
    first, rest = rows[: bars.FIRST], rows[bars.FIRST :]
    if len(rest) <= 3:  # a fold that hides three bars costs more than it saves
        first, rest = rows, ()
    shown = [_both(lambda w, n: bars.draw(figure, first, w, n), figure.id)]
    if rest:
        title = f"The other {len(rest)}"
        shown.append(_both(lambda w, n: bars.draw(figure, rest, w, n), f"{figure.id}-rest", title, folded=True))
    return shown


def _both(draw: Callable[[float, str], Markup], name: str, title: str = "", *, folded: bool = False) -> Panel:
    return Panel(draw(WIDE, f"{name}-wide"), draw(NARROW, f"{name}-narrow"), title, folded)
