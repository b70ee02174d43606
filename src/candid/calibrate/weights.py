"""How much each row counts in a fit."""

import numpy as np
from jaxtyping import Float

from candid.errors import InputError

__all__ = ["Weights", "check_weights", "shares"]

Weights = Float[np.ndarray, " n"]


def check_weights(weights: Weights, rows: int) -> Weights:
    """Weights as float64, after refusing another length, negative, infinite or missing numbers, and nothing but 0."""
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (rows,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise InputError(f"weights must be {rows} finite numbers >= 0, not all 0, one a row; got shape {weights.shape}")
    return weights


def shares(weights: Weights | None, rows: int) -> Weights:
    """Each row's part of the whole: its weight over their sum; equal ones without weights.

    >>> shares(np.array([1.0, 3.0]), 2).tolist(), shares(None, 2).tolist()
    ([0.25, 0.75], [0.5, 0.5])
    """
    if weights is None:
        return np.full(rows, 1.0 / rows)
    checked = check_weights(weights, rows)
    share: Weights = checked / checked.sum()
    return share
