"""Where to draw the line, from known inputs alone: accept an input iff its score is at most the threshold."""

from dataclasses import dataclass
from math import ceil, inf
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import betainc, betaincinv
from scipy.stats import betabinom

from candid.arrays import check_labels, check_scores
from candid.errors import InputError
from candid.metrics.intervals import proportion
from candid.types import Estimate, Labels, Scores

__all__ = ["Guarantee", "Threshold", "UnderShift", "conformal_threshold", "threshold"]

Guarantee = Literal["rows", "average", "sure"]


def threshold(known_scores: Scores, *, keep: float = 0.95) -> float:
    """The ceil(keep * n)-th smallest known score: accepting scores at most this keeps at least `keep` of these rows.

    >>> threshold(np.arange(1.0, 101.0))
    95.0
    """
    scores = check_scores(known_scores, name="known_scores")
    return _smallest(scores, _rank(keep, len(scores)))


def conformal_threshold(known_scores: Scores, *, keep: float = 0.95) -> float:
    """The ceil(keep * (n + 1))-th smallest known score: it accepts a *new* known input with probability >= `keep`.

    Holds over the draw of these rows and the new one, whatever the scores' distribution (Vovk et al. 2005), where the
    new input comes from the same source and these rows taught the score nothing. Needs n >= keep / (1 - keep) rows.

    >>> conformal_threshold(np.arange(1.0, 101.0))
    96.0
    """
    scores = check_scores(known_scores, name="known_scores")
    rank = _rank(keep, len(scores) + 1)
    if rank > len(scores):
        raise InputError(
            f"{len(scores)} scores cannot promise to keep {keep:.4g} of new inputs; use more rows or keep less"
        )
    return _smallest(scores, rank)


@dataclass(frozen=True)
class UnderShift:
    """What a threshold does to known inputs under other conditions: the share it refuses, the share that is expected
    where nothing has changed, and the chance of at least so many refusals there (over the draw of the calibration
    inputs too, exact for scores without ties; small: something has changed)."""

    refused: Estimate
    expected: float
    chance: float


@dataclass(frozen=True, eq=False)
class Threshold:
    """A threshold fit to deploy, with what is promised of it: one for all inputs, or one for each predicted class.

    `values` are one number, or k of which a class with too few calibration inputs has infinity: it refuses nothing.
    `counts` are the calibration inputs behind each. Promises hold for new inputs from where these came from (not under
    shift: see `under_shift`), and if these inputs taught the score nothing.

    * "rows": refuses at most 1 - keep of the calibration inputs themselves; the convention of papers, no promise.
    * "average": refuses a new known input with chance at most 1 - keep, over the draw of both (Vovk et al. 2005).
    * "sure": with chance `confidence` over the draw of the calibration inputs, refuses at most 1 - keep of all new
      known inputs for ever after (Vovk 2012, https://arxiv.org/abs/1209.2673, proposition 2b).

    >>> found = Threshold.fit(np.arange(1.0, 201.0), keep=0.95, guarantee="sure")
    >>> found.values.tolist(), found(np.array([150.0, 199.0])).tolist()
    ([196.0], [True, False])
    >>> round(found.refusal(0).high, 3)
    0.05
    """

    values: Float[np.ndarray, " k"]
    counts: Int[np.ndarray, " k"]
    keep: float
    guarantee: Guarantee
    confidence: float

    @classmethod
    def fit(
        cls,
        known_scores: Scores,
        predicted: Labels | None = None,
        *,
        classes: int | None = None,
        keep: float = 0.95,
        guarantee: Guarantee = "average",
        confidence: float = 0.95,
    ) -> "Threshold":
        """From scores of known inputs; with the class each was `predicted` as, one threshold a class."""
        scores = check_scores(known_scores, name="known_scores")
        if guarantee not in ("rows", "average", "sure"):
            raise InputError(f"guarantee is 'rows', 'average' or 'sure', got {guarantee!r}")
        if predicted is None:
            rank = _promised(keep, len(scores), guarantee, confidence)
            if rank > len(scores):
                raise InputError(
                    f"{len(scores)} scores cannot promise to keep {keep:.4g} of new inputs; use more rows or keep less"
                )
            values, counts = np.array([_smallest(scores, rank)]), np.array([len(scores)])
            return cls(values, counts, keep, guarantee, confidence)
        k = int(np.max(predicted, initial=0)) + 1 if classes is None else classes
        predicted = check_labels(predicted, classes=k, rows=len(scores), name="predicted classes")
        counts = np.bincount(predicted, minlength=k)
        values = np.full(k, inf)
        for label in np.flatnonzero(counts):
            rank = _promised(keep, int(counts[label]), guarantee, confidence)
            if rank <= counts[label]:
                values[label] = _smallest(scores[predicted == label], rank)
        return cls(values, counts, keep, guarantee, confidence)

    def __call__(self, scores: Scores, predicted: Labels | None = None) -> Bool[np.ndarray, " n"]:
        """Which inputs are accepted; with thresholds by class, of inputs predicted as these."""
        scores = check_scores(scores)
        return scores <= self._of(len(scores), predicted)

    def refusal(self, place: int = 0, *, level: float = 0.95) -> Estimate:
        """The chance that a new known input is refused by threshold `place`: its mean and interval over what the
        calibration inputs might have been, exact for scores without ties (a Beta distribution), less with them.

        >>> Threshold.fit(np.arange(1.0, 100.0), keep=0.9).refusal().value
        0.1
        """
        n = int(self.counts[place])
        if not np.isfinite(self.values[place]):
            return Estimate(0.0, 0.0, 0.0, n, level)
        rank = _promised(self.keep, n, self.guarantee, self.confidence)
        above = n + 1 - rank
        low, high = (float(betaincinv(above, rank, (1 + side * level) / 2)) for side in (-1, 1))
        return Estimate(above / (n + 1), low, high, n, level)

    def under_shift(self, scores: Scores, predicted: Labels | None = None) -> dict[int, UnderShift]:
        """What becomes of each threshold on known inputs under other conditions, by its place in `values`.

        Thresholds that none of the inputs meets are absent.
        """
        scores = check_scores(scores)
        inside = self(scores, predicted)
        place = np.zeros(len(scores), np.int64) if len(self.values) == 1 else np.asarray(predicted)
        found = {}
        for each in np.unique(place).tolist():
            n, refused = int((place == each).sum()), int((~inside & (place == each)).sum())
            count = int(self.counts[each])
            rank = min(_promised(self.keep, count, self.guarantee, self.confidence), count)
            above = count + 1 - rank
            chance = float(betabinom.sf(refused - 1, n, above, rank)) if np.isfinite(self.values[each]) else 1.0
            found[each] = UnderShift(proportion(refused, n), self.refusal(each).value, chance)
        return found

    def _of(self, n: int, predicted: Labels | None) -> Float[np.ndarray, " n"]:
        if len(self.values) == 1:
            return np.full(n, self.values[0])
        if predicted is None:
            raise InputError(f"there is a threshold for each of {len(self.values)} classes; pass the predicted classes")
        found: Float[np.ndarray, " n"] = self.values[
            check_labels(predicted, classes=len(self.values), rows=n, name="predicted classes")
        ]
        return found


def _promised(keep: float, n: int, guarantee: Guarantee, confidence: float) -> int:
    """Rank of the calibration score that is the threshold; n + 1 where n scores cannot promise it."""
    if guarantee == "rows":
        return _rank(keep, n)
    if guarantee == "average":
        return _rank(keep, n + 1)
    if not 0 < keep < 1 or not 0 < confidence < 1:
        raise InputError(f"keep and confidence must lie in (0, 1), got {keep} and {confidence}")
    ranks = np.arange(1, n + 1)  # the share that rank r keeps is Beta(r, n + 1 - r)
    enough = betainc(ranks, n + 1 - ranks, keep) <= 1 - confidence
    return int(ranks[enough][0]) if enough.any() else n + 1


def _rank(keep: float, n: int) -> int:
    """The least m with m / n >= keep; a plain ceil(keep * n) is one too many where the product rounds up."""
    if not 0 < keep <= 1:
        raise InputError(f"keep must lie in (0, 1], got {keep}; 95 % is 0.95")
    rank = ceil(keep * n)
    return rank - 1 if (rank - 1) / n >= keep else rank


def _smallest(scores: Scores, rank: int) -> float:
    return float(np.partition(scores, rank - 1)[rank - 1])
