"""Differences between two ways of training, paired by model and set."""

from collections.abc import Callable, Sequence

import numpy as np

from candid.types import Estimate
from candid.workflows.claimed import interval
from candid.workflows.prompting.record import Record

__all__ = ["Keep", "Way", "over_zero_shot", "paired"]

Keep = Callable[[Record], bool]
Way = Callable[[Record], bool]


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


def over_zero_shot(asked: Sequence[Record], way: Way, records: Sequence[Record]) -> Estimate | None:
    """Mean over model-set pairs of the accuracy of `way` minus that of the zero-shot head, with a 95 % t interval."""
    zero = {(each.model, each.set): each.numbers["accuracy"] for each in records if each.question == "zero-shot"}
    gaps: dict[tuple[str, str], list[float]] = {}
    for each in asked:
        if "accuracy" in each.numbers and (each.model, each.set) in zero and way(each):
            gaps.setdefault((each.model, each.set), []).append(each.numbers["accuracy"] - zero[each.model, each.set])
    return interval([float(np.mean(values)) for values in gaps.values()])
