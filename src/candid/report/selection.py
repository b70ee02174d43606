"""What a reader sees first: the question, the key numbers, the worst reasons."""

from collections.abc import Iterable

from candid.report.content import Content, Input, Level, ModelCard, Reason, Row

__all__ = ["by_severity", "called", "cards", "key_rows", "question", "reasons", "subject"]

KEYS = 6  # numbers at the top when the content marks none
SEVERITY: tuple[Level, ...] = ("bad", "unknown", "caution", "good")


def key_rows(content: Content) -> tuple[Row, ...]:
    """The rows that head the report: the marked ones, else the first over everything."""
    marked = tuple(row for row in content.rows if row.key)
    return marked or tuple(row for row in content.rows if row.slice == "all")[:KEYS] or content.rows[:KEYS]


def by_severity(reasons: Iterable[Reason]) -> list[Reason]:
    """Worst first; equals in the order given."""
    return sorted(reasons, key=lambda reason: SEVERITY.index(reason.level))


def reasons(content: Content) -> list[Reason]:
    """The reasons of a verdict, worst first; the findings of a study in the order given."""
    found = content.verdict.reasons
    return list(found) if content.verdict.level is None else by_severity(found)


def cards(content: Content) -> tuple[ModelCard, ...]:
    """Every model of the report."""
    return (*((content.model,) if content.model else ()), *content.models)


def subject(content: Content) -> str:
    """What the known images are called, empty where there are none or several sets of them."""
    known = [one for one in content.inputs if one.role == "known"]
    return called(known[0]) if len(known) == 1 else ""


def called(one: Input) -> str:
    """A set by its name, or by its folder where the name only repeats the role."""
    if one.name != one.role:
        return one.name
    parts = [part for part in one.path.replace("\\", "/").split("/") if part]
    return "/".join(parts[-2:]) or "these images"


def question(content: Content) -> tuple[str, ...]:
    """What the page answers, in parts of which every second is a name."""
    if content.title:
        return (content.title,)
    models, images = cards(content), subject(content)
    who = models[0].id if len(models) == 1 else f"{len(models)} models" if models else "the model"
    return ("How far can ", who, *((" be trusted on ", images, "?") if images else (" be trusted?",)))
