"""Where to draw the line, from known inputs alone: accept an input iff its score is at most the threshold."""

from math import ceil

import numpy as np

from candid.arrays import check_scores
from candid.errors import InputError
from candid.types import Scores

__all__ = ["conformal_threshold", "threshold"]


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


def _rank(keep: float, n: int) -> int:
    """The least m with m / n >= keep; a plain ceil(keep * n) is one too many where the product rounds up."""
    if not 0 < keep <= 1:
        raise InputError(f"keep must lie in (0, 1], got {keep}; 95 % is 0.95")
    rank = ceil(keep * n)
    return rank - 1 if (rank - 1) / n >= keep else rank


def _smallest(scores: Scores, rank: int) -> float:
    return float(np.partition(scores, rank - 1)[rank - 1])
