"""The report as one HTML page that needs nothing else: no network, no font, no library."""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from candid.report import behind, charts, wording
from candid.report.charts import heatmap, scatter
from candid.report.content import Content, Thumbnails
from candid.report.selection import called, cards, key_rows, question, reasons

__all__ = ["html"]

TEMPLATES = Path(__file__).parent / "templates"
ROLES = {
    "shift": " (shifted)",
    "ood": " (unknown)",
    "transfer": " (other data)",
    "source": " (source)",
    "generated": " (generated)",
}
FIRST_ROWS = 10  # rows of a table before the rest folds away
MOST_NAMED = 6  # sets named at the top; more are counted there and listed below


def html(content: Content) -> str:
    """The whole page. Names of classes and files are foreign text: everything is escaped, and the page's own policy
    runs only the one script and the one style it was written with, by their hashes."""
    style, script = (Markup((TEMPLATES / name).read_text("utf-8")) for name in ("style.css", "page.js"))
    return (
        _templates()
        .get_template("page.html")
        .render(
            content=content,
            data=_data(content),
            keys=key_rows(content),
            models=cards(content),
            page_title=_title(content),
            question=question(content),
            reasons=reasons(content),
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
        )
    )


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printed,
    )
    templates.globals.update(
        panels=charts.panels,
        legend=charts.legend,
        sheet=behind.sheet,
        parted=behind.parted,
        number_sheet=behind.number_sheet,
        input_sheet=behind.input_sheet,
        skipped_sheet=behind.skipped_sheet,
        model_sheet=behind.model_sheet,
        cells=heatmap.cells,
        upright=heatmap.upright,
        describe_heatmap=heatmap.describe,
        spot=scatter.spot,
        called=called,
        FIRST_ROWS=FIRST_ROWS,
        MOST_NAMED=MOST_NAMED,
        ROLES=ROLES,
        level_words=wording.level_words,
        day=wording.day,
        number=wording.number,
        interval=wording.interval,
        value_of=wording.value_of,
        count=wording.count,
        as_json=_pretty,
        breakable=_breakable,
    )
    return templates


def _title(content: Content) -> str:
    """What the browser's tab says: the verdict in front, where there is one."""
    level, parts = content.verdict.level, question(content)
    asked = content.title or " on ".join(parts[1::2])
    return f"{wording.level_words(level)[2]}: {asked}" if level else asked


def _printed(value: object) -> object:
    """Foreign text made harmless to look at; escaping comes after this."""
    return wording.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(text: str) -> Markup:
    """The text, allowed to break after the _ and / of identifiers and paths."""
    return escape(wording.clean(text)).replace("_", Markup("_<wbr>")).replace("/", Markup("/<wbr>"))


def _data(content: Content) -> Markup:
    """The content as JSON that no text in it can end early. Pictures stay in the page; the script puts them back."""
    data = {"format": "candid-report", "version": 1, **content.model_dump(mode="json")}
    for section in data["sections"]:
        for figure in section["figures"]:
            if figure["kind"] == Thumbnails.model_fields["kind"].default:
                for item in figure["items"]:
                    item["uri"] = ""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
