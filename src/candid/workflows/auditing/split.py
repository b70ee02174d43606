"""One seeded, stratified order of the rows; every share of the data is a prefix of it."""

import numpy as np
from jaxtyping import Int

from candid.errors import InputError
from candid.types import Labels

__all__ = ["stratified_order"]


def stratified_order(rows: int, labels: Labels | None = None, *, seed: int = 0) -> Int[np.ndarray, " n"]:
    """A permutation of the rows of which every prefix holds the classes in about their overall shares.

    Row r of the m rows of a class gets the key (place + u) / m, with a random place in the class and one u a class, and
    rows are sorted by key. Without labels it is a plain permutation.

    >>> order = stratified_order(8, np.array([0, 0, 0, 0, 1, 1, 1, 1]))
    >>> (np.sort(order[:4] // 4)).tolist()
    [0, 0, 1, 1]
    """
    if rows < 1:
        raise InputError(f"expected at least one row to split, got {rows}")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(rows)
    if labels is None:
        return shuffled
    _, kind, counts = np.unique(labels[shuffled], return_inverse=True, return_counts=True)
    by_class = np.argsort(kind, kind="stable")
    place = np.empty(rows)
    place[by_class] = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)
    key = (place + rng.random(len(counts))[kind]) / counts[kind]
    return shuffled[np.argsort(key, kind="stable")]
