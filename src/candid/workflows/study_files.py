"""What studies keep on disk: finished units as JSON that a stopped run finds again, and every record as CSV."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from candid.errors import InputError
from candid.files import digest, fresh_folder, read_json, write_json
from candid.report.content import Input
from candid.report.tables import write_csv
from candid.types import ImageSet

__all__ = ["Flat", "Tables", "input_of", "load_unit", "save_unit", "slug"]


@runtime_checkable
class Flat(Protocol):
    """A record as a line of a CSV file."""

    @property
    def question(self) -> str: ...
    def flat(self) -> dict[str, Any]: ...


Made = TypeVar("Made")


@dataclass(frozen=True)
class Tables:
    """Every record as CSV files, one a question, and `all.csv`; `columns` come first, a note last."""

    records: Sequence[Flat]
    columns: tuple[str, ...]

    def save(self, folder: Path, *, exist_ok: bool = False) -> Path:
        """The folder, now holding the files."""
        folder = fresh_folder(folder, exist_ok=exist_ok)
        for question in ("all", *dict.fromkeys(each.question for each in self.records)):
            rows = [each.flat() for each in self.records if question in ("all", each.question)]
            numbers = dict.fromkeys(name for found in rows for name in found if name not in (*self.columns, "note"))
            write_csv(folder / f"{question}.csv", rows, columns=(*self.columns, *numbers, "note"))
        return folder


def save_unit(path: Path, key: str, records: Sequence[Any], *, kind: str, version: int) -> None:
    """Write the records of one unit of work, whole or not at all; `key` is a hash of all that they depend on."""
    write_json(path, {"key": key, "records": [asdict(each) for each in records]}, kind=kind, version=version)


def load_unit(
    path: Path, key: str, make: Callable[[dict[str, Any]], Made], *, kind: str, version: int
) -> list[Made] | None:
    """The records of a unit with this key; None where there are none, or those of another run."""
    if not path.is_file():
        return None
    content = read_json(path, kind=kind, version=version)
    try:
        return [make(each) for each in content["records"]] if content["key"] == key else None
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is not a whole record of a run ({error}); delete it to run it again") from error


def input_of(role: Any, name: str, images: ImageSet) -> Input:
    """An image set as a report lists it, by the names of its images."""
    return Input(role=role, name=name, path=images.source, n=len(images),
                 digest=digest("\n".join(images.ids).encode()), labelled=images.labels is not None)  # fmt: skip


def slug(name: str) -> str:
    """The name as part of a file's name.

    >>> slug("openai/clip-vit base")
    'openai-clip-vit-base'
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.") or "x"
