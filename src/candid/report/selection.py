"""What a reader sees first: the key numbers, the worst reasons."""

from collections.abc import Iterable

from candid.report.content import Content, Level, Reason, Row

__all__ = ["by_severity", "key_rows"]

KEYS = 6  # numbers at the top when the content marks none
SEVERITY: tuple[Level, ...] = ("bad", "unknown", "caution", "good")


def key_rows(content: Content) -> tuple[Row, ...]:
    """The rows that head the report: the marked ones, else the first over everything."""
    marked = tuple(row for row in content.rows if row.key)
    return marked or tuple(row for row in content.rows if row.slice == "all")[:KEYS] or content.rows[:KEYS]


def by_severity(reasons: Iterable[Reason]) -> list[Reason]:
    """Worst first; equals in the order given."""
    return sorted(reasons, key=lambda reason: SEVERITY.index(reason.level))
