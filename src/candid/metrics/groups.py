"""A metric group by group, and the group that fares worst. A group without rows is absent, never 0."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from candid.errors import InputError
from candid.types import Groups, Labels, Logits

__all__ = ["WorstGroup", "by_group", "worst_group"]

T = TypeVar("T")


class WorstGroup(NamedTuple):
    """The `group` where a metric is worst, its `value` there and the `n` rows behind it."""

    group: int
    value: float
    n: int


def by_group(metric: Callable[[Logits, Labels], T], logits: Logits, labels: Labels, groups: Groups) -> dict[int, T]:
    """The metric on each group that has rows, in order of the group's number.

    Works with whatever the metric takes in place of logits and whatever it returns: `nll` with probs,
    `accuracy_interval` for an interval a group.

    >>> from candid.metrics import accuracy
    >>> by_group(accuracy, np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), np.array([0, 1, 1]), np.array([0, 0, 3]))
    {0: 1.0, 3: 0.0}
    """
    groups, labels = np.asarray(groups), np.asarray(labels)
    if groups.ndim != 1 or not np.issubdtype(groups.dtype, np.integer):
        raise InputError(f"groups must be a flat array of integers, got {groups.dtype} of shape {groups.shape}")
    if len(groups) == 0 or not len(groups) == len(labels) == len(logits):
        raise InputError(f"expected one group and one label a row, got {len(logits)}, {len(labels)}, {len(groups)}")
    return {int(g): metric(logits[groups == g], labels[groups == g]) for g in np.unique(groups)}


def worst_group(
    metric: Callable[[Logits, Labels], float],
    logits: Logits,
    labels: Labels,
    groups: Groups,
    *,
    higher_is_better: bool = True,
) -> WorstGroup:
    """The group with the lowest value of the metric (highest, where lower is better), the first of equals.

    >>> from candid.metrics import accuracy
    >>> worst_group(accuracy, np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), np.array([0, 1, 1]), np.array([0, 0, 3]))
    WorstGroup(group=3, value=0.0, n=1)
    """
    values = by_group(metric, logits, labels, groups)
    worst = (min if higher_is_better else max)(values, key=values.__getitem__)
    return WorstGroup(worst, values[worst], int((np.asarray(groups) == worst).sum()))
