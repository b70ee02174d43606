"""Sets of labels that hold the right one as often as promised. Vovk et al. 2005; Sadinle, Lei & Wasserman 2019.

A label is in the set iff its score is at most a threshold: the ceil((n + 1) coverage)-th smallest score that the right
labels of n calibration rows got. If those rows and a new one are exchangeable, the new label is inside with at least
the promised probability, whatever the model. Angelopoulos & Bates 2021, https://arxiv.org/abs/2107.07511, is the guide.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from candid.arrays import check_labels, check_probs
from candid.calibrate.conformal_scores import ConformalMethod, Scoring
from candid.calibrate.conformal_tuning import check_constants, chosen
from candid.errors import InputError, nearest
from candid.metrics.coverage import conformal_rank, conformal_rows
from candid.types import Groups, Labels, Probs

__all__ = ["ConformalSet"]

Per = Literal["all", "class", "group"]
Empty = Literal["allow", "top"]


@dataclass(frozen=True)
class ConformalSet:
    """Fitted prediction sets: calling it on probs returns which labels are in each row's set, bool n k.

    `cuts` are the thresholds as they are compared, one a stratum in `strata`: 0 for `per="all"`, the classes, or the
    groups' numbers; `thresholds` gives them in the literature's form. `rows` counts each stratum's calibration rows,
    `n` all of them; the rows `spent` on choosing `penalty` and `rank` are not among them.
    """

    method: str
    coverage: float
    per: str
    empty: str
    classes: int
    n: int
    cuts: Float[np.ndarray, " strata"]
    strata: Int[np.ndarray, " strata"]
    rows: Int[np.ndarray, " strata"]
    penalty: float
    rank: int
    randomised: bool
    seed: int
    spent: Int[np.ndarray, " spent"]

    def __post_init__(self) -> None:
        if np.isnan(self.cuts).any() or not len(self.cuts) == len(self.strata) == len(self.rows):
            raise InputError("a conformal set needs one threshold and one count a stratum, none of them NaN")
        Scoring(self.method, self.penalty, self.rank, self.randomised, self.seed)

    @staticmethod
    def fit(
        probs: Probs,
        labels: Labels,
        coverage: float = 0.9,
        method: ConformalMethod = "lac",
        *,
        per: Per = "all",
        groups: Groups | None = None,
        empty: Empty = "allow",
        randomised: bool = True,
        penalty: float | None = None,
        rank: int | None = None,
        tune: float = 0.2,
        seed: int = 0,
    ) -> "ConformalSet":
        """Prediction sets that hold the label of a new row with probability at least `coverage`.

        * "lac": score 1 - p_y. Smallest sets on average, empty ones where nothing is probable enough.
        * "aps": probability of all labels down to y. Sets grow with difficulty (Romano, Sesia & Candes 2020,
          https://arxiv.org/abs/2006.02544).
        * "raps": aps + `penalty` for each place of y beyond `rank`: far smaller where classes are many (Angelopoulos et
          al. 2021, https://arxiv.org/abs/2009.14193).
        * "saps": the largest probability, then `penalty` a place: ignores the noise of small probabilities (Huang et
          al. 2024, https://arxiv.org/abs/2310.06430).

        Where `penalty` (raps, saps) or `rank` (raps) is None, it is chosen on a random share `tune` of the rows, listed
        in `spent`, by the smallest mean set; those rows set no threshold. `randomised` lets the last label in by
        chance, one U a row from a hash of the row and `seed`, so that coverage is close to `coverage` and not above it;
        LAC needs none. `per` promises coverage over all rows, within each class, or within each of `groups`. A stratum
        of too few rows has the threshold infinity: its label (class), or every label, is always inside; `verdict` says
        so. `empty="top"` puts the most probable label into sets that would be empty.

        A label of probability exactly 0 has the largest score of all: it is in a set only where everything is.

        >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
        >>> fitted = ConformalSet.fit(probs, np.array([0, 0, 0, 1]), coverage=0.6)     # 3rd smallest of .1 .2 .3 .6
        >>> round(fitted.threshold, 6), fitted(np.array([[0.5, 0.5], [0.75, 0.25]])).tolist()
        (0.3, [[False, False], [True, False]])
        """
        probs = check_probs(probs)
        labels = check_labels(labels, classes=probs.shape[1], rows=len(probs))
        conformal_rank(len(probs), coverage)  # refuses a coverage that is none
        _check_choice("per", per, get_args(Per))
        _check_choice("empty", empty, get_args(Empty))
        check_constants(method, penalty, rank)
        groups = _check_groups(groups, len(probs), per)
        scoring, spent = chosen(
            Scoring(method, penalty or 0.0, rank or 0, randomised and method != "lac", seed),
            probs,
            labels,
            coverage=coverage,
            penalty=penalty,
            rank=rank,
            share=tune,
        )
        keep = np.setdiff1d(np.arange(len(probs)), spent, assume_unique=True) if len(spent) else None
        if per == "group":
            strata, members = np.unique(groups, return_inverse=True)
        else:
            strata, members = np.arange(probs.shape[1] if per == "class" else 1), labels if per == "class" else groups
        stratum = members if keep is None else members[keep]
        cuts, rows = _cuts(scoring.of_labels(probs, labels, keep), stratum, len(strata), coverage)
        return ConformalSet(
            method=method,
            coverage=float(coverage),
            per=per,
            empty=empty,
            classes=probs.shape[1],
            n=len(probs) - len(spent),
            cuts=cuts,
            strata=strata.astype(np.int64),
            rows=rows,
            penalty=float(scoring.penalty),
            rank=int(scoring.rank),
            randomised=scoring.randomised,
            seed=int(seed),
            spent=spent,
        )

    def __call__(self, probs: Probs, groups: Groups | None = None) -> Bool[np.ndarray, "n k"]:
        """Labels in the set of each row. A row's set does not depend on the rows beside it; `groups` as in the fit."""
        probs = check_probs(probs)
        if probs.shape[1] != self.classes:
            raise InputError(f"expected probs of {self.classes} classes as in the fit, got {probs.shape[1]}")
        groups = _check_groups(groups, len(probs), self.per)
        scoring = Scoring(self.method, self.penalty, self.rank, self.randomised, self.seed)
        if self.per == "class":
            sets = scoring.sets_by_class(probs, self.cuts)
        else:
            sets = scoring.sets(probs, self.cuts[self._places(groups)] if self.per == "group" else self.cuts)
        if self.empty == "top":
            bare = np.flatnonzero(~sets.any(axis=1))
            sets[bare, probs[bare].argmax(axis=1)] = True
        return sets

    @property
    def thresholds(self) -> Float[np.ndarray, " strata"]:
        """The largest score inside, one a stratum, infinite where too few rows set it; LAC's is 1 - p_y."""
        return 1.0 + self.cuts if self.method == "lac" else self.cuts

    @property
    def threshold(self) -> float:
        """The one threshold of `per="all"`."""
        if len(self.cuts) != 1:
            raise InputError(f"there are {len(self.cuts)} thresholds, one a {self.per}; ask for `thresholds`")
        return float(self.thresholds[0])

    @property
    def full(self) -> Bool[np.ndarray, " strata"]:
        """Strata whose promise can only be kept by leaving nothing out."""
        limit: Bool[np.ndarray, " strata"] = self.cuts >= (0.0 if self.method == "lac" else np.inf)
        return limit

    @property
    def verdict(self) -> str:
        """One sentence: what the thresholds rest on, and which strata have too little to exclude anything."""
        if not self.full.any():
            return f"{self.n} rows set every threshold"
        needed = conformal_rows(self.coverage)
        reason = f"{self.coverage:.4g} coverage needs {needed} rows, and labels of probability above 0"
        if self.per == "all":
            return f"the set is always all {self.classes} labels: {reason}; there were {self.n} rows"
        what = "are in every set" if self.per == "class" else "get every label"
        return f"{int(self.full.sum())} of {len(self.full)} {_PLURAL[self.per]} {what}: {reason} in each"

    def _places(self, groups: Groups) -> Int[np.ndarray, " n"]:
        """Index of each row's group among the strata."""
        place = np.minimum(np.searchsorted(self.strata, groups), len(self.strata) - 1)
        unknown = self.strata[place] != groups
        if unknown.any():
            row = int(np.argmax(unknown))
            raise InputError(f"group {groups[row]} of row {row} had no calibration rows; fit on rows of every group")
        return place


_PLURAL = {"class": "classes", "group": "groups"}


def _cuts(
    scores: Float[np.ndarray, " n"], stratum: Int[np.ndarray, " n"], strata: int, coverage: float
) -> tuple[Float[np.ndarray, " strata"], Int[np.ndarray, " strata"]]:
    """The conformal quantile of the scores of each stratum, and how many there are."""
    if strata == 1:
        return np.array([_quantile(scores, coverage)]), np.array([len(scores)])
    rows = np.bincount(stratum, minlength=strata)
    parts = np.split(scores[np.argsort(stratum, kind="stable")], np.cumsum(rows)[:-1])
    return np.array([_quantile(part, coverage) for part in parts]), rows


def _quantile(scores: Float[np.ndarray, " n"], coverage: float) -> float:
    rank = conformal_rank(len(scores), coverage)
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else np.inf


def _check_groups(groups: Groups | None, rows: int, per: str) -> Groups:
    if (groups is None) == (per == "group"):
        raise InputError(f'groups go with per="group" and only with it, got per="{per}"')
    if groups is None:
        return np.zeros(rows, dtype=np.int64)
    groups = np.asarray(groups)
    if groups.shape != (rows,) or not np.issubdtype(groups.dtype, np.integer):
        raise InputError(f"expected {rows} integer groups, one a row, got {groups.dtype} of shape {groups.shape}")
    return groups


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"unknown {name}={value!r}; {nearest(str(value), known)}")
