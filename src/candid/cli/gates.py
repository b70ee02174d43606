"""Thresholds on rows of a report, for use in continuous integration."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from candid.errors import GateFailed, InputError, nearest
from candid.report.content import Row

__all__ = ["Gate", "check_gates"]

FORM = re.compile(r"\s*([a-z0-9_]+)(?:@(.+?))?\s*(<=|>=)\s*([-+.\deE]+)\s*$")


@dataclass(frozen=True)
class Gate:
    """`metric` on `slice` (None: every slice that has it) must be at most or at least `value`."""

    metric: str
    slice: str | None
    at_most: bool
    value: float

    @classmethod
    def parse(cls, text: str) -> "Gate":
        """The gate written as METRIC[@SLICE]<=VALUE or >=.

        >>> Gate.parse("accuracy@all >= 0.8")
        Gate(metric='accuracy', slice='all', at_most=False, value=0.8)
        """
        match = FORM.match(text)
        try:
            if match is None:
                raise ValueError
            value = float(match[4])
        except ValueError:
            raise InputError(f"expected a gate like 'accuracy@all>=0.8', got {text!r}") from None
        return cls(match[1], match[2], match[3] == "<=", value)

    def __str__(self) -> str:
        where = f"@{self.slice}" if self.slice else ""
        return f"{self.metric}{where}{'<=' if self.at_most else '>='}{self.value:g}"


def check_gates(gates: Sequence[Gate], rows: Sequence[Row]) -> None:
    """Raises `GateFailed` naming every row that misses its gate; a gate that matches no row is an `InputError`."""
    failed = []
    for gate in gates:
        of_metric = [row for row in rows if row.metric == gate.metric]
        if not of_metric:
            raise InputError(
                f"no row {gate.metric} in this report; {nearest(gate.metric, {row.metric for row in rows})}"
            )
        matching = [row for row in of_metric if gate.slice in (None, row.slice)]
        if not matching:
            slices = sorted({row.slice for row in of_metric})
            raise InputError(f"no slice {gate.slice} of {gate.metric}; {nearest(str(gate.slice), slices)}")
        failed += [
            f"{gate}: {row.value:.4g} on {row.slice}"
            for row in matching
            if (row.value > gate.value if gate.at_most else row.value < gate.value)
        ]
    if failed:
        raise GateFailed("gate missed: " + "; ".join(failed))
