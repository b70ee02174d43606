"""Settings tried on halves of the rows and judged by the worst group; what every method of this room shares."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from candid.arrays import check_labels
from candid.errors import InputError
from candid.groups.balance import group_counts, halves
from candid.types import Groups, Head, Labels, Logits, Vectors

__all__ = ["HeldOut", "Retrained", "Rows", "Trial", "search", "worst_accuracy"]

TUNING = 1  # stream of the seed


class HeldOut(NamedTuple):
    """Rows that only score settings, such as validation data where training data's own rows retrain."""

    vectors: Vectors
    labels: Labels
    groups: Groups


@dataclass(frozen=True)
class Trial:
    """A `setting` with the worst group's accuracy on the scoring rows of each tuning split, and its `mean`."""

    setting: Mapping[str, Any]
    worst: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.worst))


@dataclass(frozen=True)
class Retrained:
    """A retrained last layer: the `head` on vectors as they are, and what made it.

    `tried` are all settings in the order asked, `setting` the one chosen: the best mean, of equals the first. `counts`
    are the rows of each group it learnt from, by name where groups have names. `excluded` are groups left out by wish.
    """

    head: Head
    tried: tuple[Trial, ...]
    setting: Mapping[str, Any]
    counts: Mapping[str, int]
    method: str
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """Checked vectors, labels and groups of one set, and what classes and groups are called."""

    vectors: Vectors
    labels: Labels
    groups: Groups
    classes: tuple[str, ...]
    group_names: Mapping[int, str]
    excluded: tuple[str, ...] = ()

    @classmethod
    def checked(
        cls, vectors: Vectors, labels: Labels, groups: Groups, *, classes: Sequence[str] | None,
        group_names: Sequence[str] | None, exclude: Sequence[int | str], smallest: int,
    ) -> "Rows":  # fmt: skip
        """These rows without excluded groups; a group with fewer than `smallest` rows is an `InputError`."""
        labels, groups = np.asarray(labels), np.asarray(groups)
        if vectors.ndim != 2 or not len(vectors) == len(labels) == len(groups) or not len(vectors):
            raise InputError(
                "expected vectors n d with a label and a group a row, "
                f"got {vectors.shape}, {labels.shape}, {groups.shape}"
            )
        if not np.isfinite(vectors).all():
            raise InputError(f"row {int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])} of vectors is not finite")
        k = int(labels.max()) + 1 if classes is None else len(classes)
        names = tuple(str(label) for label in range(k)) if classes is None else tuple(classes)
        check_labels(labels, classes=k, rows=len(vectors))
        called = _called(groups, group_names)
        out = _excluded(exclude, called)
        keep = ~np.isin(groups, out)
        counts = group_counts(groups[keep])
        tiny = [group for group, n in counts.items() if n < smallest]
        missing = set(called) - set(counts) - set(out)
        if missing or tiny:
            group = min(missing) if missing else tiny[0]
            raise InputError(
                f"group {called[group]!r} has {counts.get(group, 0)} rows, {smallest} are needed to train "
                f"and to score; bring more, or leave it out with exclude=[{called[group]!r}]"
            )
        absent = set(range(k)) - set(np.unique(labels[keep]).tolist())
        if absent or k < 2:
            lacking = f"class {names[min(absent)]!r} has none" if absent else f"there is one, {names[0]!r}"
            raise InputError(f"expected rows of two or more classes, and of each of them; {lacking}")
        return cls(vectors[keep], labels[keep], groups[keep], names, called, tuple(called[group] for group in out))

    def part(self, rows: Int[np.ndarray, " m"]) -> "Rows":
        """These rows, in this order."""
        return replace(self, vectors=self.vectors[rows], labels=self.labels[rows], groups=self.groups[rows])

    @property
    def counts(self) -> dict[str, int]:
        return {self.group_names[group]: n for group, n in group_counts(self.groups).items()}


Fit = Callable[[Rows, np.random.Generator], Sequence[Callable[[Vectors], Logits]]]


def search(
    rows: Rows, judge: Rows | None, settings: Sequence[Mapping[str, Any]], fit: Fit, *, seed: int, splits: int
) -> tuple[Mapping[str, Any], tuple[Trial, ...]]:
    """The setting whose worst group is best, of equals the first, and all trials.

    `fit(rows, random)` gives a head for each setting. Without a judge half of every group's rows is fitted and the
    other judges, anew for each of the splits.
    """
    if splits < 1:
        raise InputError(f"expected one or more tuning splits, got {splits}")
    by_split = []
    for split in range(splits):
        random = np.random.default_rng([seed, TUNING, split])
        asked, own = judge, np.arange(len(rows.labels))
        if asked is None:
            scoring, own = halves(rows.groups, random)
            asked = rows.part(scoring)
        heads = fit(rows.part(own), random)
        by_split.append([worst_accuracy(head(asked.vectors).argmax(1), asked.labels, asked.groups) for head in heads])
    worst = zip(*by_split, strict=True)
    tried = tuple(Trial(dict(setting), found) for setting, found in zip(settings, worst, strict=True))
    return max(tried, key=lambda trial: trial.mean).setting, tried  # max keeps the first of equals


def worst_accuracy(predicted: Int[np.ndarray, " n"], labels: Labels, groups: Groups) -> float:
    """The lowest accuracy of the groups that have rows."""
    right = predicted == labels
    return min(float(right[groups == group].mean()) for group in np.unique(groups))


def _called(groups: Groups, names: Sequence[str] | None) -> dict[int, str]:
    if not np.issubdtype(groups.dtype, np.integer) or groups.min() < 0:
        raise InputError(f"groups must be integers from 0, got {groups.dtype}")
    if names is None:
        return {int(group): str(group) for group in np.unique(groups)}
    if groups.max() >= len(names):
        raise InputError(f"expected groups below {len(names)}, the number of group_names, got {int(groups.max())}")
    return dict(enumerate(names))


def _excluded(exclude: Sequence[int | str], called: Mapping[int, str]) -> list[int]:
    by_name = {name: group for group, name in called.items()}
    found = [each if isinstance(each, int) else by_name.get(each, -1) for each in exclude]
    if any(group not in called for group in found):
        raise InputError(f"exclude names groups, of which there are {sorted(by_name)}; got {list(exclude)}")
    return found
