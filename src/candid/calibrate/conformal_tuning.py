"""The constants of RAPS and SAPS, chosen on rows that then set no threshold, so that the promise of coverage holds."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from candid.calibrate.conformal_scores import ConformalMethod, Scoring, blocks, descending, places
from candid.errors import InputError
from candid.metrics.coverage import conformal_rank
from candid.types import Labels, Probs

__all__ = ["check_constants", "chosen"]

PENALTIES = {
    "raps": (0.001, 0.01, 0.1, 0.2, 0.5),  # the grid of the RAPS authors
    "saps": (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
}


def check_constants(method: ConformalMethod, penalty: float | None, rank: int | None) -> None:
    """Refuses constants the method has no use for, and values that are none."""
    if penalty is not None and method not in PENALTIES:
        raise InputError(f'penalty belongs to "raps" and "saps", got it with "{method}"; leave it out')
    if rank is not None and method != "raps":
        raise InputError(f'rank belongs to "raps", got it with "{method}"; leave it out')
    if penalty is not None and not (0 <= penalty < np.inf and (penalty > 0 or method == "raps")):
        raise InputError(f'penalty must be finite and at least 0, above 0 for "saps", got {penalty}')
    if rank is not None and rank < 0:
        raise InputError(f"rank counts places that go without penalty, expected 0 or more, got {rank}")


def chosen(
    scoring: Scoring,
    probs: Probs,
    labels: Labels,
    *,
    coverage: float,
    penalty: float | None,
    rank: int | None,
    share: float,
) -> tuple[Scoring, Int[np.ndarray, " spent"]]:
    """The score with its missing constants filled in, and the rows spent on them: none where none is missing.

    As the RAPS authors do: `rank` is the number of places that hold `coverage` of the labels, `penalty` the one of a
    short list with the smallest mean set, both on the rows spent.
    """
    if scoring.method not in PENALTIES or (penalty is not None and (rank is not None or scoring.method == "saps")):
        return scoring, np.zeros(0, dtype=np.int64)
    spent = _slice(len(probs), share, scoring.seed)
    if rank is None and scoring.method == "raps":
        found = [places(block, labels[spent[part]]) for part, block in blocks(probs, spent)]
        scoring = replace(scoring, rank=int(np.sort(np.concatenate(found))[_rank(len(spent), coverage)]) + 1)
    if penalty is None:
        tried = [replace(scoring, penalty=value) for value in PENALTIES[scoring.method]]
        scoring = tried[int(np.argmin(_mean_sizes(tried, probs, labels, spent, coverage)))]
    return scoring, spent


def _slice(rows: int, share: float, seed: int) -> Int[np.ndarray, " spent"]:
    """A random share of the rows, in rising order."""
    if not 0 < share < 1:
        raise InputError(f"tune is a share of the rows, between 0 and 1, got {share}")
    count = int(share * rows)
    if count == 0:
        raise InputError(f"choosing penalty and rank needs {int(np.ceil(1 / share))} rows, got {rows}; pass both")
    return np.sort(np.random.default_rng(seed).permutation(rows)[:count])


def _mean_sizes(
    tried: list[Scoring], probs: Probs, labels: Labels, spent: Int[np.ndarray, " spent"], coverage: float
) -> Float[np.ndarray, " tried"]:
    """Mean set of each score on the rows that also set its threshold; each block is sorted once for all of them."""
    scores = np.empty((len(tried), len(spent)))
    for part, block in blocks(probs, spent):
        ordered, place = descending(block), places(block, labels[spent[part]])
        scores[:, part] = [scoring.at(ordered, place) for scoring in tried]
    cuts = np.sort(scores, axis=1)[:, [_rank(len(spent), coverage)]]
    total = np.zeros(len(tried))
    for _, block in blocks(probs, spent):
        ordered = descending(block)
        total += [scoring.counts(ordered, cut).sum() for scoring, cut in zip(tried, cuts, strict=True)]
    return total / len(spent)


def _rank(rows: int, coverage: float) -> int:
    """Index of the conformal quantile; the last where there is none: here it only steers a choice."""
    return min(conformal_rank(rows, coverage), rows) - 1
