"""One way of predicting a set as a flat record, with what it said of every image, so that ways can be paired."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from candid.workflows.study_files import load_unit, save_unit

__all__ = ["COLUMNS", "TuningRecord", "load_records", "save_records"]

KIND, VERSION = "candid-c-tpt-run", 1
PER_IMAGE = ("confidence", "right")


@dataclass(frozen=True)
class TuningRecord:
    """What a `method` with a `coefficient`, from a `start`, scored on a set; `draw` counts draws of labels.

    `numbers` are metrics over the `n` images; `confidence` and `right` are one an image, in the set's order.
    """

    question: str
    model: str
    set: str
    classes: int
    method: str
    start: str
    coefficient: float
    draw: int
    n: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    confidence: tuple[float, ...] = ()
    right: tuple[bool, ...] = ()
    note: str = ""

    def flat(self) -> dict[str, Any]:
        """The record as one level, without what it said of single images."""
        kept = {name: getattr(self, name) for name in (*COLUMNS, "note")}
        return {**kept, **self.numbers}

    @property
    def said(self) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Confidence in the prediction of every image, and whether it was right."""
        return np.array(self.confidence, np.float64), np.array(self.right, bool)


COLUMNS: tuple[str, ...] = tuple(
    each.name for each in fields(TuningRecord) if each.name not in ("numbers", "note", *PER_IMAGE)
)


def save_records(path: Path, key: str, records: list[TuningRecord]) -> None:
    """Write the records of one unit."""
    save_unit(path, key, records, kind=KIND, version=VERSION)


def load_records(path: Path, key: str) -> list[TuningRecord] | None:
    """The records of a unit with this key; None where there are none, or those of another run."""
    return load_unit(path, key, _made, kind=KIND, version=VERSION)


def _made(stored: dict[str, Any]) -> TuningRecord:
    return TuningRecord(**{**stored, **{name: tuple(stored[name]) for name in PER_IMAGE}})
