"""The report for a terminal: verdict, reasons, key numbers, answers, what cannot be said."""

import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from candid.report.content import Content, Input, Level, Reason
from candid.report.selection import cards, key_rows, reasons
from candid.report.wording import clean, count, interval, level_words, value_of

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["text"]

STYLES: dict[Level, str] = {"good": "bold green", "caution": "bold yellow", "bad": "bold red", "unknown": "bold cyan"}


def text(content: Content, *, width: int | None = None, color: bool | None = None) -> str:
    """The terminal view, wrapped to `width` columns (default: the terminal's). Colour (default: on a terminal, unless
    NO_COLOR is set) never carries meaning alone."""
    from rich.console import Console

    if color is None:
        color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=color,
        no_color=not color,
        color_system="standard" if color else None,
        markup=False,  # class names may hold brackets
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    for block in (_verdict(content), _numbers(content), _answers(content), _open_questions(content), _inputs(content)):
        if block is not None:
            console.print(block)
            console.print()
    return _encodable("\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines()) + "\n")


def _verdict(content: Content) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    level = content.verdict.level
    mark, _, badge = level_words(level or "unknown")
    parts = [(f"{mark} {badge}. ", STYLES[level])] if level else []
    headline = Text.assemble(*parts, clean(content.verdict.headline))
    asked: list[RenderableType] = [Text(clean(content.title), "bold"), ""] if content.title else []
    return Group(*asked, headline, "", _listed(reasons(content)))


def _listed(reasons: Sequence[Reason]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for reason in reasons:
        mark, word, _ = level_words(reason.level)
        table.add_row(Text(f"  {mark} {clean(reason.word or word)}", STYLES[reason.level]), Text(clean(reason.text)))
    return table


def _numbers(content: Content) -> "RenderableType | None":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    rows = key_rows(content)
    if not rows:
        return None
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("number", overflow="fold")
    table.add_column("of", overflow="fold")
    for name in ("value", "95% interval", "n"):
        table.add_column(name, justify="right", no_wrap=name == "value")
    for row in rows:
        around = interval(row.low, row.high, row.unit) if row.low is not None and row.high is not None else ""
        cells = (row.label or row.metric, row.slice, value_of(row), around, count(row.n))
        table.add_row(*(Text(clean(cell)) for cell in cells))
    return table


def _answers(content: Content) -> "RenderableType | None":
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    if not content.sections:
        return None
    parts: list[RenderableType] = []
    for section in content.sections:
        parts += [Text(clean(section.title), "bold"), Padding(Text(clean(section.answer)), (0, 0, 0, 2))]
    return Group(*parts)


def _open_questions(content: Content) -> "RenderableType | None":
    from rich.console import Group
    from rich.text import Text

    if not content.cannot_say:
        return None
    return Group(Text("What these data cannot say", "bold"), *(Text(f"  - {clean(q)}") for q in content.cannot_say))


def _inputs(content: Content) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    lines = [Text(f"  - {clean(_input(i))}") for i in content.inputs]
    models = cards(content)
    if len(models) > 1:
        lines.append(Text(f"  - {len(models)} models: {clean(', '.join(model.id for model in models))}"))
    return Group(Text("What went in", "bold"), *lines)


def _input(one: Input) -> str:
    skipped = f", {count(len(one.skipped))} files skipped (listed in the report)" if one.skipped else ""
    return f"{one.role}: {one.name}, {count(one.n)} images{'' if one.labelled else ', no labels'}{skipped}"


def _encodable(words: str) -> str:
    """The text as far as this terminal's encoding goes, so that printing it cannot fail."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return words.encode(encoding, "replace").decode(encoding)
