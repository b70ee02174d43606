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
from candid.report.content import Content, Thumbnails
from candid.report.selection import by_severity, key_rows

__all__ = ["html"]

TEMPLATES = Path(__file__).parent / "templates"
ROLES = {"shift": " (shifted)", "ood": " (unknown)", "transfer": " (other data)"}
FIRST_ROWS = 10  # rows of a table before the rest folds away


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
            reasons=by_severity(content.verdict.reasons),
            subject=_subject(content),
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
        FIRST_ROWS=FIRST_ROWS,
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


def _subject(content: Content) -> str:
    """What the known images are called: by their name, or by their folder where the name only repeats the role."""
    known = next((i for i in content.inputs if i.role == "known"), None)
    if known is None:
        return ""
    if known.name != known.role:
        return known.name
    parts = [part for part in known.path.replace("\\", "/").split("/") if part]
    return "/".join(parts[-2:]) or "these images"


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
