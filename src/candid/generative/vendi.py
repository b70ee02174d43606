"""The Vendi score: how many different samples a set is worth."""

import numpy as np

from candid.arrays import row_blocks
from candid.errors import InputError
from candid.generative.points import CHECKED, checked
from candid.metrics.streaming import VectorRows

__all__ = ["vendi"]


def vendi(vectors: VectorRows, *, order: float = 1.0) -> float:
    """The effective number of different samples, from 1 (all alike) to n or d: exp of the entropy of similarity.

    Friedman and Dieng 2023, https://arxiv.org/abs/2210.02410; `order` q gives the Renyi entropy, infinity included
    (Pasarkar and Dieng 2024, https://arxiv.org/abs/2310.12952). Similarity is the cosine, so the eigenvalues are those
    of a d x d matrix, exactly, whatever n. Of one set: it knows no reals, and noise scores high.

    >>> round(vendi(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 1.0]])), 6)
    2.0
    """
    n, d = checked(vectors, "vectors")
    if not order >= 0:
        raise InputError(f"order must be 0 or more, got {order}")
    scatter = np.zeros((d, d))
    for rows in row_blocks(n, d, cells=CHECKED):
        block = np.array(vectors[rows], np.float64)
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        if not lengths.all():
            raise InputError(f"a row of zeros has no direction, row {rows.start + int(np.argmin(lengths))} is one")
        block /= lengths
        scatter += block.T @ block
    shares = np.linalg.eigvalsh(scatter / n)
    shares = shares[shares > d * np.finfo(np.float64).eps]
    if order == 1:
        return float(np.exp(-(shares * np.log(shares)).sum()))
    if np.isinf(order):
        return float(1 / shares.max())
    return float((shares**order).sum() ** (1 / (1 - order)))
