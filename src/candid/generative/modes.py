"""Ours: where a score is low, by clusters of look-alikes, so that a missing or an invented mode is one finding."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from candid.errors import InputError
from candid.generative.points import checked, gathered
from candid.metrics.streaming import VectorRows
from candid.types import Estimate

__all__ = ["Mode", "modes"]

FITTED = 5000  # rows that place the clusters; all others join the nearest
STARTS = 3
NORMAL = 1.959964


class Mode(NamedTuple):
    """A cluster: its `rows`, the most typical first, its `share` of the set, and its mean `score` with an interval."""

    rows: Int[np.ndarray, " r"]
    share: float
    score: Estimate


def modes(vectors: VectorRows, scores: Float[np.ndarray, " n"], *, count: int = 12, seed: int = 0) -> list[Mode]:
    """`count` k-means clusters of the vectors, lowest mean score first.

    With reals and their P-recall scores the first are modes that are missing; with fakes and their P-precision scores
    modes that were invented. The interval takes scores of a cluster for independent.
    """
    n, _ = checked(vectors)
    if len(scores) != n:
        raise InputError(f"expected {n} scores, one a row, got {len(scores)}")
    if not 1 <= count <= n:
        raise InputError(f"count must lie between 1 and the {n} rows, got {count}")
    from sklearn.cluster import KMeans  # takes a second to load, which those who want only numbers need not wait for

    random = np.random.default_rng(seed)
    everything = vectors if isinstance(vectors, np.ndarray) else gathered(vectors, np.arange(n))
    fitted = everything if n <= FITTED else everything[np.sort(random.choice(n, FITTED, replace=False))]
    clusters = KMeans(count, n_init=STARTS, random_state=seed).fit(fitted)
    labels, away = clusters.predict(everything), clusters.transform(everything)
    found = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(away[rows, label], kind="stable")]
        found.append(Mode(rows, len(rows) / n, _mean(scores[rows])))
    return sorted(found, key=lambda mode: mode.score.value)


def _mean(scores: Float[np.ndarray, " r"]) -> Estimate:
    """A mean of scores in [0, 1]; of one row it is not known how it varies."""
    value = float(scores.mean())
    half = NORMAL * float(scores.std(ddof=1)) / len(scores) ** 0.5 if len(scores) > 1 else 1.0
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), len(scores))
