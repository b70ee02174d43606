"""A metric group by group, the group that fares worst, and the means that go by one name in papers on groups.

A group without rows is absent, never 0.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int
from scipy.stats import norm

from candid.errors import InputError
from candid.metrics.accuracy import hits
from candid.metrics.intervals import proportion
from candid.types import Correct, Estimate, Groups, Labels, Logits

__all__ = ["GroupAccuracy", "WorstGroup", "by_group", "group_accuracy", "worst_group"]

T = TypeVar("T")
HALVINGS = 100


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


class GroupAccuracy(NamedTuple):
    """Accuracy by group, and everything that is called worst or mean of it.

    `worst` has the lowest accuracy seen, at `worst_group`, and an interval for the lowest true one: each group at a
    level so high that all hold at once (Bonferroni), the lowest of both ends. The lowest of several is too low by
    selection; `worst_apart` is not: the group is picked on one half of the rows and measured on the other (None where
    a group has one row). `mean` is over rows, the accuracy of this set; `group_mean` weights groups alike; papers on
    Waterbirds call `train_weighted` the mean: groups by their share of the training set (None unless that is given).
    """

    by_group: dict[int, Estimate]
    worst_group: int
    worst: Estimate
    worst_apart: float | None
    mean: Estimate
    group_mean: Estimate
    train_weighted: Estimate | None


def group_accuracy(
    logits: Logits, labels: Labels, groups: Groups, *, train_groups: Int[np.ndarray, " t"] | None = None,
    level: float = 0.95, seed: int = 0,
) -> GroupAccuracy:  # fmt: skip
    """Accuracy of every group and of all, with intervals at `level`; see `GroupAccuracy` for which mean is which.

    `train_groups` are the groups of the training rows, for the mean weighted by their shares; a training group that
    has no row here is an `InputError`, for its accuracy is unknown. Sagawa et al. 2020, arxiv.org/abs/1911.08731.

    >>> logits = np.array([[2.0, 0], [2, 0], [0, 2], [2, 0]])
    >>> labels = groups = np.array([0, 0, 1, 1])
    >>> found = group_accuracy(logits, labels, groups, train_groups=np.array([0, 0, 0, 1]))
    >>> found.worst_group, found.worst.value, found.mean.value, found.train_weighted.value
    (1, 0.5, 0.75, 0.875)
    """
    right = hits(logits, labels)
    counts = by_group(lambda logits, labels: (int(hits(logits, labels).sum()), len(labels)), logits, labels, groups)
    together = 1 - (1 - level) / len(counts)
    strict = {group: proportion(*count, level=together) for group, count in counts.items()}
    worst = min(counts, key=lambda group: strict[group].value)
    ends = min(each.low for each in strict.values()), min(each.high for each in strict.values())
    alike = dict.fromkeys(counts, 1 / len(counts))
    shares = None if train_groups is None else _shares(train_groups, counts)
    return GroupAccuracy(
        {group: proportion(*count, level=level) for group, count in counts.items()},
        worst,
        Estimate(strict[worst].value, *ends, n=counts[worst][1], level=level),
        _apart(right, np.asarray(groups), seed),
        proportion(int(right.sum()), len(right), level=level),
        _weighted(counts, alike, level),
        None if shares is None else _weighted(counts, shares, level),
    )


def _shares(train_groups: Int[np.ndarray, " t"], counts: dict[int, tuple[int, int]]) -> dict[int, float]:
    found, n = np.unique(train_groups, return_counts=True)
    shares = {int(group): float(each / n.sum()) for group, each in zip(found, n, strict=True)}
    if unknown := sorted(set(shares) - set(counts)):
        raise InputError(f"training group {unknown[0]} has no rows here, so the mean it is part of is unknown")
    return shares


def _weighted(counts: dict[int, tuple[int, int]], shares: dict[int, float], level: float) -> Estimate:
    """A mean of proportions; its variance takes each group as one success and one failure richer (Agresti, Caffo)."""
    value = sum(share * counts[group][0] / counts[group][1] for group, share in shares.items())
    spread = 0.0
    for group, share in shares.items():
        hit, n = counts[group]
        p = (hit + 1) / (n + 2)
        spread += share**2 * p * (1 - p) / (n + 2)
    away = float(norm.ppf((1 + level) / 2)) * spread**0.5
    return Estimate(
        value, max(0.0, value - away), min(1.0, value + away), n=sum(counts[group][1] for group in shares), level=level
    )


def _apart(right: Correct, groups: Groups, seed: int) -> float | None:
    """Mean over halvings of the accuracy, on one half, of the group that is worst on the other."""
    rows = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    if min(len(own) for own in rows) < 2:
        return None
    random = np.random.default_rng(seed)
    found = []
    for _ in range(HALVINGS):
        parts = [np.array_split(random.permutation(right[own]), 2) for own in rows]
        for pick, measure in ((0, 1), (1, 0)):
            worst = min(parts, key=lambda part: part[pick].mean())
            found.append(float(worst[measure].mean()))
    return float(np.mean(found))
