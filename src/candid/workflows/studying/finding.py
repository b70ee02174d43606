"""One number of a study, and everything a model said: values that survive as JSON and as lines of a CSV file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from candid.errors import InputError
from candid.files import read_json, write_json
from candid.types import Estimate

__all__ = ["COLUMNS", "Finding", "ModelFindings"]

KIND, VERSION = "candid-study-model", 1


@dataclass(frozen=True)
class Finding:
    """`metric` of a model on `used_on`, with what was `fitted_on` (empty: nothing was fitted) by `method`.

    `question` is T1, T2, ...; `method` says how (a calibrator, a prompt pair, a number of labels); `n_fit` rows fitted
    and `n` judged. The interval is 95 %; over rows, or over draws where `method` is a number of labels.
    """

    question: str
    model: str
    kind: str
    metric: str
    used_on: str
    fitted_on: str
    method: str
    n_fit: int
    n: int
    value: float
    low: float | None
    high: float | None

    @property
    def estimate(self) -> Estimate:
        """The number as an estimate; an absent interval is the value itself."""
        low = self.value if self.low is None else self.low
        return Estimate(self.value, low, self.value if self.high is None else self.high, self.n)


COLUMNS: tuple[str, ...] = tuple(each.name for each in fields(Finding))


@dataclass(frozen=True)
class ModelFindings:
    """Everything one model said in one study, or the `failure` that kept it from answering.

    `key` is the plan's, `card` describes the model, `sets` what each set held, `notes` what could not be asked and why.
    `reliability` maps "set, state" to the bins of a reliability diagram.
    """

    name: str
    key: str
    card: Mapping[str, Any]
    sets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    reliability: Mapping[str, list[dict[str, float]]] = field(default_factory=dict)
    failure: str = ""

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        content = asdict(self)
        content["findings"] = [list(asdict(each).values()) for each in self.findings]
        write_json(path, {"columns": list(COLUMNS), **content}, kind=KIND, version=VERSION)

    @classmethod
    def load(cls, path: Path) -> "ModelFindings":
        """The findings `save` wrote."""
        content = read_json(path, kind=KIND, version=VERSION)
        try:
            rows = [Finding(**dict(zip(content["columns"], row, strict=True))) for row in content["findings"]]
            known = {each.name for each in fields(cls)}
            return cls(**{k: v for k, v in content.items() if k in known} | {"findings": tuple(rows),
                       "notes": tuple(content["notes"])})  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a whole record of a model ({error}); delete it to ask again") from error
