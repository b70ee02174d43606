"""The report as one HTML page that needs nothing else: no network, no font, no library."""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from candid.report import charts, wording
from candid.report.behind import sheet
from candid.report.content import Content, Thumbnails
from candid.report.selection import by_severity, key_rows

__all__ = ["html"]

TEMPLATES = Path(__file__).parent / "templates"


def html(content: Content) -> str:
    """The whole page. Names of classes and files are foreign text: everything is escaped, and the page's own policy
    runs only the one script and the one style it was written with, by their hashes."""
    style, script = (Markup((TEMPLATES / name).read_text("utf-8")) for name in ("style.css", "page.js"))  # noqa: S704
    return _templates().get_template("page.html").render(
        content=content,
        data=_data(content),
        keys=key_rows(content),
        reasons=by_severity(content.verdict.reasons),
        known=next((i for i in content.inputs if i.role == "known"), None),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
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
        sheet=sheet,
        level_words=wording.level_words,
        with_interval=wording.with_interval,
        interval=wording.interval,
        value_of=wording.value_of,
        count=wording.count,
        as_json=_pretty,
    )
    return templates


def _printed(value: object) -> object:
    """Foreign text made harmless to look at; escaping comes after this."""
    return wording.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


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
    return Markup(text)  # noqa: S704 no character left that HTML gives a meaning


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
