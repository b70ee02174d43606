"""Numbers and names as people read them: sensible rounding, percentages, harmless text."""

import math
import unicodedata
from datetime import datetime

from candid.report.content import Level, Row, Unit

__all__ = ["LEVELS", "clean", "count", "day", "interval", "level_words", "number", "value_of", "with_interval"]

# level: mark for one character of space, the word beside a reason, the words of the verdict's badge
LEVELS: dict[Level, tuple[str, str, str]] = {
    "good": ("✓", "good", "Can be trusted"),
    "caution": ("!", "caution", "Use with care"),
    "bad": ("✕", "bad", "Do not rely on it"),
    "unknown": ("?", "cannot say", "Not enough to say"),
}
SIGNIFICANT = 3  # digits of a number that comes without an interval
HARMFUL = {"Cc", "Cs", "Co"}  # control characters, lone surrogates (undecodable file names), private use
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")  # would turn the text around them


def clean(text: str) -> str:
    """The text with what could break a page or a terminal shown as U+FFFD: control, bidi and undecodable characters.

    >>> clean("a\\x1b[31m b")
    'a�[31m b'
    """
    if text.isprintable() and text.isascii():
        return text
    return "".join("\ufffd" if _harmful(c) else c for c in text)


def number(value: float, unit: Unit = "number", *, decimals: int | None = None) -> str:
    """The value, rounded to `decimals` of what is printed, or to three significant digits.

    >>> number(0.8312, "percent"), number(0.08312), number(-12345.6)
    ('83.1%', '0.0831', '\u221212,346')
    """
    shown = 100 * value if unit == "percent" else value
    if decimals is None:
        decimals = 1 if unit == "percent" else _significant_decimals(shown)
    text = f"{abs(shown):,.{decimals}f}"
    negative = shown < 0 and float(text.replace(",", "")) != 0
    return ("−" if negative else "") + text + ("%" if unit == "percent" else "")


def interval(low: float, high: float, unit: Unit = "number") -> str:
    """Both ends, to two significant digits of the half-width.

    >>> interval(0.071, 0.0962), interval(0.792, 0.8641, "percent")
    ('0.071 to 0.096', '79.2% to 86.4%')
    """
    decimals = _interval_decimals(low, high, unit)
    return f"{number(low, unit, decimals=decimals)} to {number(high, unit, decimals=decimals)}"


def with_interval(value: float, low: float | None, high: float | None, unit: Unit = "number") -> str:
    """The value and its interval, rounded alike.

    >>> with_interval(0.0834, 0.071, 0.0962), with_interval(0.5, None, None, "percent")
    ('0.083 (0.071 to 0.096)', '50.0%')
    """
    if low is None or high is None:
        return number(value, unit)
    return f"{number(value, unit, decimals=_interval_decimals(low, high, unit))} ({interval(low, high, unit)})"


def value_of(row: Row) -> str:
    """The row's value alone, with the digits its interval allows."""
    if row.low is None or row.high is None:
        return number(row.value, row.unit)
    return number(row.value, row.unit, decimals=_interval_decimals(row.low, row.high, row.unit))


def count(n: int) -> str:
    """A whole number with thousands apart.

    >>> count(12345)
    '12,345'
    """
    return f"{n:,}"


def day(moment: str) -> str:
    """The date of an ISO 8601 moment in words; what is no moment stays as it is.

    >>> day("2026-11-23T09:30:00Z")
    '23 November 2026'
    """
    try:
        when = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return f"{when.day} {when:%B %Y}"


def level_words(level: Level) -> tuple[str, str, str]:
    """Mark, word and badge of a level."""
    return LEVELS[level]


def _harmful(character: str) -> bool:
    return character in BIDI or (unicodedata.category(character) in HARMFUL and character not in "\n\t")


def _significant_decimals(shown: float) -> int:
    if shown == 0:
        return 0
    return min(6, max(0, SIGNIFICANT - 1 - math.floor(math.log10(abs(shown)))))


def _interval_decimals(low: float, high: float, unit: Unit) -> int:
    width = abs(high - low) * (100 if unit == "percent" else 1)
    if width == 0:
        return 1 if unit == "percent" else _significant_decimals(high)
    return min(6, max(0, 1 - math.floor(math.log10(width))))
