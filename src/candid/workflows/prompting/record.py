"""One judged head as a flat record: JSON in the run's folder, a line of a CSV file, the material of every figure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from candid.workflows.study_files import load_unit, save_unit

__all__ = ["COLUMNS", "METRICS", "Record", "load_records", "save_records"]

KIND, VERSION = "candid-ptnl-run", 1
METRICS = (
    "accuracy",
    "ece",
    "nll",
    "auroc_msp",
    "auroc_energy",
    "pseudo_label_accuracy",
    "pseudo_label_coverage",
    "classes_without",
)


@dataclass(frozen=True)
class Record:
    """What a head scored on the test images, and everything that tells it from the others.

    `member` is "one" for a single training and "average" for the mean logits of several; `rate` is the share of labels
    asked to be wrong, `wrong` the share that is. `numbers` are metrics; a gradient record has those of one space.
    """

    question: str
    model: str
    set: str
    variant: str
    loss: str
    protocol: str
    rate: float
    wrong: float
    setting: str
    epoch: int
    draw: int
    member: str
    n_train: int
    n_test: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def flat(self) -> dict[str, Any]:
        """The record as one level, numbers beside the rest."""
        found = asdict(self)
        return {**{name: value for name, value in found.items() if name != "numbers"}, **self.numbers}


COLUMNS: tuple[str, ...] = tuple(each.name for each in fields(Record) if each.name not in ("numbers", "note"))


def save_records(path: Path, key: str, records: list[Record]) -> None:
    """Write the records of one case."""
    save_unit(path, key, records, kind=KIND, version=VERSION)


def load_records(path: Path, key: str) -> list[Record] | None:
    """The records of a case with this key; None where there are none, or those of another run."""
    return load_unit(path, key, lambda each: Record(**each), kind=KIND, version=VERSION)
