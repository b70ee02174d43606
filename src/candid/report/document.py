"""The report as files: report.json, which repeats the run, and index.html, which people read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import ValidationError

from candid.errors import InputError
from candid.files import atomic, fresh_folder, read_json, write_json
from candid.report.content import Content
from candid.report.page import html
from candid.report.terminal import text

__all__ = ["Report", "Savable"]

FORMAT = "candid-report"
VERSION = 1


@runtime_checkable
class Savable(Protocol):
    """Anything that can live in a folder beside the report, e.g. a predictor."""

    def save(self, folder: Path, /, *, exist_ok: bool = False) -> object: ...


@dataclass(frozen=True)
class Report:
    """What a run found, and what it made. `made` is saved beside the report, one sub-folder a name."""

    content: Content
    made: Mapping[str, Savable] = field(default_factory=dict)

    def save(self, folder: str | Path, *, exist_ok: bool = False) -> Path:
        """Path of the index.html written, with report.json and every made thing beside it in `folder`."""
        folder = fresh_folder(Path(folder), exist_ok=exist_ok)
        for name, thing in self.made.items():
            thing.save(folder / name, exist_ok=exist_ok)
        write_json(folder / "report.json", self.content.model_dump(mode="json"), kind=FORMAT, version=VERSION)
        page = folder / "index.html"
        with atomic(page) as part:
            part.write_text(html(self.content), encoding="utf-8", errors="replace")
        return page

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """The report of a folder or of a report.json; what was made beside it stays on disk."""
        path = Path(path)
        path = path / "report.json" if path.is_dir() else path
        found = read_json(path, kind=FORMAT, version=VERSION)
        try:
            return cls(Content.model_validate({k: v for k, v in found.items() if k not in ("format", "version")}))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{path} is not a whole report: {where}: {first['msg']}; run it again") from error

    def html(self) -> str:
        """The self-contained page."""
        return html(self.content)

    def text(self, *, width: int | None = None, color: bool | None = None) -> str:
        """The terminal view."""
        return text(self.content, width=width, color=color)
