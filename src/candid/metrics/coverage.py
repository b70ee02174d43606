"""Judging prediction sets: how often the label is inside, how large they are, and what coverage was to be expected.

A set of labels for each row is one row of a bool matrix n x k. Coverage is a share of rows and comes with its exact
interval; a stratum without rows is absent, never 0.
"""

from math import ceil, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import betaincinv, betaln, gammaln

from candid.arrays import check_labels
from candid.errors import InputError
from candid.metrics.intervals import proportion
from candid.types import Correct, Estimate, Groups, Labels

__all__ = [
    "SetSizes",
    "SizeStrata",
    "conformal_rank",
    "conformal_rows",
    "coverage",
    "coverage_by_group",
    "expected_coverage",
    "set_sizes",
    "singleton_accuracy",
    "size_stratified_coverage",
]

Sets = Bool[np.ndarray, "n k"]
SIZE_STRATA = (2, 4, 11, 101)  # sizes 0-1, 2-3, 4-10, 11-100, more: those of the RAPS paper


class SetSizes(NamedTuple):
    """Labels in a set: `mean` and its normal interval, `median`, `largest`; shares of `empty` and `single` sets."""

    mean: Estimate
    median: float
    largest: int
    empty: Estimate
    single: Estimate


class SizeStrata(NamedTuple):
    """Coverage of the sets of `low[i]` to `high[i]` labels, and the largest distance `violation` from the target."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    coverage: tuple[Estimate, ...]
    violation: float


def coverage(sets: Sets, labels: Labels, *, level: float = 0.95) -> Estimate:
    """Share of rows whose set holds the label, in [0, 1], with its exact (Clopper-Pearson) interval.

    >>> sets = np.array([[True, False], [True, True], [False, False], [False, True]])
    >>> found = coverage(sets, np.array([0, 1, 1, 1]))
    >>> found.value, round(found.low, 6), found.n
    (0.75, 0.19412, 4)
    """
    inside = covered(sets, labels)
    return proportion(int(inside.sum()), len(inside), level=level)


def coverage_by_group(sets: Sets, labels: Labels, groups: Groups, *, level: float = 0.95) -> dict[int, Estimate]:
    """Coverage in each group that has rows, in order of the group's number; with the labels as groups, by class.

    >>> found = coverage_by_group(np.eye(2, dtype=bool), np.array([0, 0]), np.array([3, 1]))
    >>> {group: estimate.value for group, estimate in found.items()}
    {1: 0.0, 3: 1.0}
    """
    inside = covered(sets, labels)
    groups = np.asarray(groups)
    if groups.shape != inside.shape or not np.issubdtype(groups.dtype, np.integer):
        raise InputError(f"expected {len(inside)} integer groups, one a row, got {groups.dtype} of {groups.shape}")
    numbers, index, rows = np.unique(groups, return_inverse=True, return_counts=True)
    hits = np.bincount(index, weights=inside)
    return {int(g): proportion(int(h), int(n), level=level) for g, h, n in zip(numbers, hits, rows, strict=True)}


def set_sizes(sets: Sets, *, level: float = 0.95) -> SetSizes:
    """How many labels the sets hold; smaller is more informative at equal coverage.

    The interval of the mean is normal, cut to [0, k], and all of [0, k] for a single row.

    >>> found = set_sizes(np.array([[True, False], [True, True], [False, False], [False, True]]))
    >>> found.mean.value, found.median, found.largest, found.empty.value, found.single.value
    (1.0, 1.0, 2, 0.25, 0.5)
    """
    sizes = check_sets(sets).sum(axis=1)
    n = len(sizes)
    return SetSizes(
        mean=_mean(sizes, sets.shape[1], level),
        median=float(np.median(sizes)),
        largest=int(sizes.max()),
        empty=proportion(int((sizes == 0).sum()), n, level=level),
        single=proportion(int((sizes == 1).sum()), n, level=level),
    )


def singleton_accuracy(sets: Sets, labels: Labels, *, level: float = 0.95) -> Estimate:
    """Share of the sets of one label that hold the right one, in [0, 1]; `n` counts those sets.

    A prediction set promises nothing about this number: coverage is a mean over all rows. `InputError` where no set
    has one label.

    >>> sets = np.array([[True, False], [True, True], [False, True]])
    >>> found = singleton_accuracy(sets, np.array([0, 1, 0]))
    >>> found.value, found.n
    (0.5, 2)
    """
    inside = covered(sets, labels)
    single = sets.sum(axis=1) == 1
    if not single.any():
        raise InputError(f"no set of the {len(inside)} holds exactly one label; there is no singleton to judge")
    return proportion(int(inside[single].sum()), int(single.sum()), level=level)


def size_stratified_coverage(
    sets: Sets,
    labels: Labels,
    *,
    target: float = 0.9,
    strata: tuple[int, ...] = SIZE_STRATA,
    level: float = 0.95,
) -> SizeStrata:
    """Coverage by size of the set, and its worst distance from `target`, in [0, 1], lower is better.

    Angelopoulos et al. 2021, https://arxiv.org/abs/2009.14193 (SSCV). `strata` are the sizes at which a new
    stratum starts; strata without rows are absent. The violation of small strata is mostly noise: read their n.

    >>> sets = np.array([[True, False, False], [True, True, False], [True, True, False], [True, True, True]])
    >>> found = size_stratified_coverage(sets, np.array([0, 2, 1, 0]), target=0.9, strata=(2, 3))
    >>> found.low, found.high, [c.value for c in found.coverage], round(found.violation, 6)
    ((0, 2, 3), (1, 2, 3), [1.0, 0.5, 1.0], 0.4)
    """
    sets = check_sets(sets)
    check_coverage(target, name="target")
    starts = (0, *strata)
    if list(starts) != sorted(set(starts)):
        raise InputError(f"strata must be rising sizes above 0, got {strata}")
    sizes = sets.sum(axis=1)
    found = coverage_by_group(sets, labels, np.searchsorted(starts, sizes, side="right") - 1, level=level)
    ends = (*(start - 1 for start in starts[1:]), sets.shape[1])
    return SizeStrata(
        low=tuple(starts[i] for i in found),
        high=tuple(min(ends[i], sets.shape[1]) for i in found),
        coverage=tuple(found.values()),
        violation=max(abs(estimate.value - target) for estimate in found.values()),
    )


def conformal_rank(n: int, coverage: float) -> int:
    """The least l with l / (n + 1) >= coverage: the l-th smallest of n scores is the threshold; n + 1 if there is none.

    It is ceil((n + 1) coverage), less one where that product rounds up past an integer.

    >>> conformal_rank(9, 0.9), conformal_rank(8, 0.9), conformal_rank(99, 0.55)
    (9, 9, 55)
    """
    check_coverage(coverage)
    rank = ceil((n + 1) * coverage)
    return rank - 1 if (rank - 1) / (n + 1) >= coverage else rank


def conformal_rows(coverage: float) -> int:
    """The fewest calibration rows that give a finite threshold: with one less, every set holds every label.

    >>> conformal_rows(0.9), conformal_rows(0.99), conformal_rows(0.5)
    (9, 99, 1)
    """
    rows = max(1, round(check_coverage(coverage) / (1 - coverage)) - 1)
    while conformal_rank(rows, coverage) > rows:
        rows += 1
    return rows


def expected_coverage(n: int, coverage: float = 0.9, *, rows: int | None = None, level: float = 0.95) -> Estimate:
    """The coverage a conformal set fitted on `n` rows should show: its mean and the central range that holds `level`.

    Over draws of the n rows the coverage of the fitted set follows Beta(l, n + 1 - l), l = `conformal_rank`, where
    scores have no ties; ties and `empty="top"` only raise it (Vovk 2012, https://arxiv.org/abs/1209.2673). With `rows`,
    the range is that of the share measured on so many new rows, which adds their own noise (beta-binomial). A measured
    coverage below `low` says that calibration and new rows do not come from one source, or bad luck.

    >>> found = expected_coverage(1000, 0.9)
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4)
    (0.9001, 0.8808, 0.9179)
    >>> found = expected_coverage(1000, 0.9, rows=1000)
    >>> found.low, found.high
    (0.873, 0.925)
    """
    if n < 1 or (rows is not None and rows < 1):
        raise InputError(f"expected at least one calibration row and one new row, got {n} and {rows}")
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level}; 95 % is 0.95")
    rank = conformal_rank(n, coverage)
    if rank > n:  # no finite threshold: every set holds every label
        return Estimate(1.0, 1.0, 1.0, n, level)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if rows is None:
        low, high = betaincinv(rank, n + 1 - rank, tails)
    else:
        low, high = np.searchsorted(_beta_binomial(rows, rank, n + 1 - rank), tails) / rows
    return Estimate(rank / (n + 1), float(low), float(high), n, level)


def covered(sets: Sets, labels: Labels) -> Correct:
    """Whether each row's set holds its label."""
    sets = check_sets(sets)
    inside: Correct = sets[np.arange(len(sets)), check_labels(labels, classes=sets.shape[1], rows=len(sets))]
    return inside


def check_sets(sets: Sets) -> Sets:
    """The same array, after refusing what is not a bool matrix with rows and columns."""
    sets = np.asarray(sets)
    if sets.ndim != 2 or sets.size == 0 or sets.dtype != np.bool_:
        raise InputError(f"sets must be a bool matrix n x k with n, k > 0, got {sets.dtype} of shape {sets.shape}")
    return sets


def check_coverage(coverage: float, *, name: str = "coverage") -> float:
    """The share, after refusing one outside (0, 1)."""
    if not 0 < coverage < 1:
        raise InputError(f"{name} must lie between 0 and 1, got {coverage}; 90 % is 0.9")
    return float(coverage)


def _mean(sizes: Int[np.ndarray, " n"], classes: int, level: float) -> Estimate:
    mean, n = float(sizes.mean()), len(sizes)
    if n == 1:
        return Estimate(mean, 0.0, float(classes), 1, level)
    spread = NormalDist().inv_cdf((1 + level) / 2) * float(sizes.std(ddof=1)) / sqrt(n)
    return Estimate(mean, max(mean - spread, 0.0), min(mean + spread, float(classes)), n, level)


def _beta_binomial(rows: int, a: int, b: int) -> Float[np.ndarray, " counts"]:
    """Probability of at most 0, 1, ... `rows` successes whose rate is drawn from Beta(a, b)."""
    hits = np.arange(rows + 1)
    choose = gammaln(rows + 1) - gammaln(hits + 1) - gammaln(rows - hits + 1)
    return np.cumsum(np.exp(choose + betaln(hits + a, rows - hits + b) - betaln(a, b)))
