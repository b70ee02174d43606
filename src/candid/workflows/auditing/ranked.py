"""Bootstrap of every two-sample ranking number at once, from one sort of the pooled scores.

A resample is a count at each distinct score; all of AUROC, FPR95 and AUPR are then cumulated sums along the scores.
The values themselves come from `metrics`; with every count at its own these formulas equal them (tested).
"""

import numpy as np
from jaxtyping import Float, Int

from candid import metrics
from candid.types import Estimate
from candid.workflows.auditing import resampled

__all__ = ["numbers_of", "ranking"]

TPR = 0.95
Known = Float[np.ndarray, " known"]
Unknown = Float[np.ndarray, " unknown"]
Draws = Float[np.ndarray, " b"]


def ranking(known: Known, unknown: Unknown, *, seed: int) -> dict[str, Estimate]:
    """AUROC, FPR95 and AUPR in both directions, each with its interval; n counts both sides.

    >>> found = ranking(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0]), seed=0)
    >>> round(found["auroc"].value, 3), found["fpr95_known_positive"].value
    (0.75, 0.5)
    """
    values = {
        "auroc": metrics.auroc(known, unknown),
        "fpr95_known_positive": metrics.fpr_at_tpr(known, unknown, tpr=TPR, positive="known"),
        "fpr95_unknown_positive": metrics.fpr_at_tpr(known, unknown, tpr=TPR, positive="unknown"),
        "aupr_known_positive": metrics.aupr(known, unknown, positive="known"),
        "aupr_unknown_positive": metrics.aupr(known, unknown, positive="unknown"),
    }
    draws = _draws(known, unknown, seed)
    n = len(known) + len(unknown)
    return {name: Estimate(value, *resampled.shifted_interval(value, draws[name]), n) for name, value in values.items()}


def _draws(known: Known, unknown: Unknown, seed: int) -> dict[str, Draws]:
    levels, place = np.unique(np.concatenate([known, unknown]), return_inverse=True)
    at_known, at_unknown = place[: len(known)], place[len(known) :]
    pairs = zip(
        _counts(at_known, len(levels), seed), _counts(at_unknown, len(levels), seed + 1), strict=True
    )  # one resample at a time keeps memory at the size of the scores
    found = [numbers_of(k, u) for k, u in pairs]
    return {name: np.array([each[name] for each in found]) for name in found[0]}


def _counts(places: Int[np.ndarray, " n"], levels: int, seed: int) -> list[Int[np.ndarray, " g"]]:
    return [
        np.bincount(places[sample], minlength=levels)
        for block in resampled.resamples(len(places), seed=seed)
        for sample in block
    ]


def numbers_of(known: Int[np.ndarray, " g"], unknown: Int[np.ndarray, " g"]) -> dict[str, float]:
    """The five numbers from how many known and unknown rows lie at each distinct score, scores ascending."""
    below, caught = np.cumsum(known), np.cumsum(unknown[::-1])[::-1]
    let_in, thrown_out = np.cumsum(unknown), np.cumsum(known[::-1])[::-1]
    n_known, n_unknown = below[-1], let_in[-1]
    keeps = np.searchsorted(below, TPR * n_known - 1e-9)
    catches = len(caught) - 1 - np.searchsorted(caught[::-1], TPR * n_unknown - 1e-9)
    return {
        "auroc": float((unknown * (below - known / 2)).sum() / (n_known * n_unknown)),
        "fpr95_known_positive": float(let_in[keeps] / n_unknown),
        "fpr95_unknown_positive": float(thrown_out[catches] / n_known),
        "aupr_known_positive": float((known * below / np.maximum(below + let_in, 1)).sum() / n_known),
        "aupr_unknown_positive": float((unknown * caught / np.maximum(caught + thrown_out, 1)).sum() / n_unknown),
    }
