"""Rows by group: who is there, halves of every group, subsets in which all groups are equally large."""

import numpy as np
from jaxtyping import Int

from candid.types import Groups

__all__ = ["balanced", "group_counts", "halves"]


def group_counts(groups: Groups) -> dict[int, int]:
    """Rows of each group that has any, in order of its number.

    >>> group_counts(np.array([0, 0, 3]))
    {0: 2, 3: 1}
    """
    return {int(group): int(n) for group, n in zip(*np.unique(groups, return_counts=True), strict=True)}


def balanced(groups: Groups, random: np.random.Generator) -> Int[np.ndarray, " m"]:
    """Rows of a subset that has as many of each group as the smallest group has, drawn at random, in no order."""
    order = random.permutation(len(groups))
    own = [order[groups[order] == group] for group in np.unique(groups)]
    least = min(len(rows) for rows in own)
    return random.permutation(np.concatenate([rows[:least] for rows in own]))


def halves(groups: Groups, random: np.random.Generator) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " l"]]:
    """Rows that score and rows that train: each group halved, the odd row training."""
    scoring, training = [], []
    for group in np.unique(groups):
        rows = random.permutation(np.flatnonzero(groups == group))
        scoring.append(rows[: len(rows) // 2])
        training.append(rows[len(rows) // 2 :])
    return np.concatenate(scoring), np.concatenate(training)
