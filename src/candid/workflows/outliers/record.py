"""One score on one unknown set as a flat record: every ranking number with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from candid.workflows.study_files import load_unit, save_unit

__all__ = ["COLUMNS", "OutlierRecord", "Spread", "load_records", "save_records"]

KIND, VERSION = "candid-energy-run", 1


@dataclass(frozen=True)
class Spread:
    """Shares of known and unknown scores over common bins."""

    edges: tuple[float, ...]
    known: tuple[float, ...]
    unknown: tuple[float, ...]


@dataclass(frozen=True)
class OutlierRecord:
    """What a `detector` (at a `temperature`) of a `model` in a `state` scored on an unknown `set` of a `kind`.

    `numbers` are metrics; `name_low` and `name_high` bound those that have an interval.
    """

    question: str
    model: str
    known: str
    state: str
    set: str
    kind: str
    detector: str
    temperature: float
    n_known: int
    n_unknown: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    spread: Spread | None = None
    note: str = ""

    def flat(self) -> dict[str, Any]:
        """The record as one level, without its histogram."""
        return {**{name: getattr(self, name) for name in (*COLUMNS, "note")}, **self.numbers}


COLUMNS: tuple[str, ...] = tuple(
    each.name for each in fields(OutlierRecord) if each.name not in ("numbers", "note", "spread")
)


def save_records(path: Path, key: str, records: list[OutlierRecord]) -> None:
    """Write the records of one unit."""
    save_unit(path, key, records, kind=KIND, version=VERSION)


def load_records(path: Path, key: str) -> list[OutlierRecord] | None:
    """The records of a unit with this key; None where there are none, or those of another run."""
    return load_unit(path, key, _made, kind=KIND, version=VERSION)


def _made(stored: dict[str, Any]) -> OutlierRecord:
    spread = stored["spread"]
    made = None if spread is None else Spread(**{name: tuple(values) for name, values in spread.items()})
    return OutlierRecord(**{**stored, "spread": made})
