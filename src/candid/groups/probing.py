"""What frozen vectors know: how well a linear probe reads an attribute from them, and the class in the worst group.

The questions of Kirichenko et al. 2023, https://arxiv.org/abs/2204.02937, section 4: features of the class can be there
although the last layer leans on the attribute. Probes are fitted to balanced subsets and judged on rows they have not
seen, by cross-validation in which every fold has its share of every group.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from candid.errors import InputError
from candid.groups.balance import balanced
from candid.groups.linear import Scaler, paths
from candid.types import Groups, Labels, Vectors

__all__ = ["Probed", "probe", "read_out"]

PENALTIES = (0.1,)


class Probed(NamedTuple):
    """Whether each row was `right`, by a probe that had not seen it, and the chance of a guess."""

    right: Bool[np.ndarray, " n"]
    chance: float

    def by(self, groups: Groups) -> dict[int, float]:
        """Share right of each group that has rows."""
        return {int(group): float(self.right[groups == group].mean()) for group in np.unique(groups)}


def probe(vectors: Vectors, targets: Labels, groups: Groups, *, folds: int = 5, seed: int = 0) -> Probed:
    """How well a linear probe reads the targets from the vectors, when no group is more frequent than another.

    >>> rng = np.random.default_rng(0)
    >>> targets = np.arange(200) % 2
    >>> told = probe(np.stack([targets + rng.normal(0, 0.2, 200), rng.normal(size=200)], 1), targets, targets)
    >>> bool(told.right.mean() > 0.95), told.chance
    (True, 0.5)
    """
    out = read_out(vectors, targets, groups, folds=folds, seed=seed)
    return Probed(out == np.asarray(targets), 1 / len(np.unique(targets)))


def read_out(
    vectors: Vectors, targets: Labels, groups: Groups, *, folds: int = 5, seed: int = 0
) -> Int[np.ndarray, " n"]:
    """What the probe takes each row's target for. A group with fewer rows than folds is an `InputError`."""
    targets, groups = np.asarray(targets), np.asarray(groups)
    names, index = np.unique(targets, return_inverse=True)
    if len(names) < 2:
        raise InputError("expected targets of two or more kinds to tell apart, got one")
    fold = _folds(groups, folds, np.random.default_rng([seed, folds]))
    found = np.empty(len(targets), np.int64)
    for each in range(folds):
        train = np.flatnonzero(fold != each)
        train = train[balanced(groups[train], np.random.default_rng([seed, folds, each]))]
        scaler = Scaler.fit(vectors[train])
        ((linear, _),) = paths(scaler(vectors[train]), index[train], len(names), PENALTIES, penalise_intercept=False)
        found[fold == each] = linear.on(scaler)(vectors[fold == each]).argmax(axis=1)
    answers: np.ndarray = names[found]
    return answers


def _folds(groups: Groups, folds: int, random: np.random.Generator) -> Int[np.ndarray, " n"]:
    fold = np.empty(len(groups), np.int64)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        if len(rows) < folds:
            raise InputError(f"group {group} has {len(rows)} rows, {folds} are needed for as many folds")
        fold[random.permutation(rows)] = np.arange(len(rows)) % folds
    return fold
