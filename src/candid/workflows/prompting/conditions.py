"""A difference between two ways of training, paired, and whether it lies above its bound."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from candid.report.wording import with_interval
from candid.types import Estimate
from candid.workflows.claimed import Outcome
from candid.workflows.prompting.record import Record

__all__ = ["Condition", "Keep", "Way", "interval", "over_zero_shot", "paired"]

FEWEST = 3  # model-set pairs, to speak of a claim
Keep = Callable[[Record], bool]
Way = Callable[[Record], bool]


@dataclass(frozen=True)
class Condition:
    """`words`: `found` must lie above `bound`; no `found`: the records do not hold what it takes."""

    words: str
    found: Estimate | None
    bound: float = 0.0

    @property
    def outcome(self) -> Outcome:
        if self.found is None:
            return "cannot be tested here"
        if self.found.low > self.bound:
            return "holds"
        return "does not hold" if self.found.high <= self.bound else "not settled"

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.words}: too few runs"
        shown = with_interval(self.found.value, self.found.low, self.found.high)
        return f"{self.words}: {shown}, {self.found.n} model-set pairs"


def paired(
    records: Sequence[Record], metric: str, first: Way, second: Way, keep: Keep, *, over: Sequence[str] = ()
) -> Estimate | None:
    """Mean over model-set pairs of the metric of `first` minus that of `second`, with a 95 % t interval.

    Two records pair where model, set, draw and the fields `over` are equal. None with fewer than 3 pairs of model and
    set.
    """
    sides: list[dict[tuple, list[float]]] = [{}, {}]
    for each in records:
        if keep(each) and metric in each.numbers:
            key = (each.model, each.set, each.draw, *(getattr(each, name) for name in over))
            for side, way in zip(sides, (first, second), strict=True):
                if way(each):
                    side.setdefault(key, []).append(each.numbers[metric])
    gaps: dict[tuple, list[float]] = {}
    for key in sorted(sides[0].keys() & sides[1].keys()):
        gaps.setdefault(key[:2], []).append(float(np.mean(sides[0][key]) - np.mean(sides[1][key])))
    return interval([float(np.mean(values)) for _, values in sorted(gaps.items())])


def interval(values: Sequence[float]) -> Estimate | None:
    """Mean with a 95 % t interval; None for fewer than 3 values."""
    if len(values) < FEWEST:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Estimate(mean, mean - half, mean + half, len(values))


def over_zero_shot(asked: Sequence[Record], way: Way, records: Sequence[Record]) -> Estimate | None:
    """Mean over model-set pairs of the accuracy of `way` minus that of the zero-shot head, with a 95 % t interval."""
    zero = {(each.model, each.set): each.numbers["accuracy"] for each in records if each.question == "zero-shot"}
    gaps: dict[tuple[str, str], list[float]] = {}
    for each in asked:
        if "accuracy" in each.numbers and (each.model, each.set) in zero and way(each):
            gaps.setdefault((each.model, each.set), []).append(each.numbers["accuracy"] - zero[each.model, each.set])
    return interval([float(np.mean(values)) for values in gaps.values()])
