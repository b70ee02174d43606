"""SVG as escaped text: elements, and an estimate of how wide a text will be."""

import unicodedata

from markupsafe import Markup, escape

from candid.report.wording import clean

__all__ = ["FONT", "LOOKS", "cut", "element", "picture", "text", "text_width", "whisker"]

LOOKS = 8  # styles of a series before they begin again: s0 to s7 of style.css
FONT = 12.0  # pixels; the page draws every picture at about its own size
NARROW = set(" .,:;'|!ijlIft()[]-")


def element(tag: str, *children: str | Markup, **attributes: str | float | int) -> Markup:
    """One SVG element. Plain strings are escaped; `class_` and `stroke_width` become class and stroke-width.

    >>> element("text", "a < b", x=1.5, class_="tick")
    Markup('<text x="1.5" class="tick">a &lt; b</text>')
    """
    parts = [f' {name.rstrip("_").replace("_", "-")}="{_attribute(value)}"' for name, value in attributes.items()]
    inside = Markup("").join(c if isinstance(c, Markup) else clean(c) for c in children)
    return Markup(f"<{tag}{''.join(parts)}>{inside}</{tag}>")


def picture(width: float, height: float, name: str, title: str, description: str, *marks: Markup) -> Markup:
    """A whole picture named for screen readers; `name` is unique in the page."""
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-desc"),
        *marks,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def text(words: str, x: float | int, y: float | int, *, kind: str, anchor: str = "start") -> Markup:
    """A text at its baseline."""
    return element("text", words, x=x, y=y, class_=kind, text_anchor=anchor)


def whisker(path: str) -> Markup:
    """An interval's path on a rim of the page's colour, so that it shows on a bar and off it."""
    return element("path", d=path, class_="rim") + element("path", d=path, class_="whisker")


def text_width(words: str, size: float = FONT) -> float:
    """About how many pixels wide the text is in a system font; errs on the wide side.

    >>> text_width("mmmm") > text_width("iiii")
    True
    """
    return size * sum(_width(c) for c in words)


def cut(words: str, room: float, size: float = FONT) -> str:
    """The text, or as much of it as fits the room and an ellipsis.

    >>> cut("a rather long class name", 60.0)
    'a rathe…'
    """
    if text_width(words, size) <= room:
        return words
    used, end = text_width("…", size), 0
    for character in words:
        used += size * _width(character)
        if used > room:
            break
        end += 1
    return words[:end].rstrip() + "…"


def _width(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    if character in NARROW:
        return 0.4
    return 0.8 if character.isupper() or character in "mw@%<>=+" else 0.62


def _attribute(value: str | float | int) -> str:
    if isinstance(value, str):
        return str(escape(clean(value)))
    return f"{value:.2f}".rstrip("0").rstrip(".")
