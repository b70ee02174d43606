"""Proper scores: they reward the probability given to the truth, so lower means both sharper and better calibrated."""

import numpy as np

from candid.arrays import check_labels, check_probs
from candid.errors import InputError
from candid.metrics.rows import highest, row_blocks, tilted
from candid.types import Labels, Logits, Probs

__all__ = ["brier", "nll", "nll_of_logits"]


def nll(probs: Probs, labels: Labels) -> float:
    """Mean of -log p(label), in nats, lower is better; infinite where a label was given probability 0.

    Prefer `nll_of_logits`, which does not lose what the softmax rounds away.

    >>> round(nll(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 0])), 6)
    1.039721
    """
    probs = check_probs(probs)
    truth = check_labels(labels, classes=probs.shape[1], rows=len(probs))
    given = probs[np.arange(len(probs)), truth].astype(np.float64)
    with np.errstate(divide="ignore"):
        return float(-np.log(given).mean()) + 0.0  # never -0.0


def nll_of_logits(logits: Logits, labels: Labels, *, temperature: float = 1.0) -> float:
    """Mean of -log softmax(logits / temperature)[label], in nats, exact where the softmax itself would underflow.

    >>> nll_of_logits(np.array([[0.0, -2000.0]]), np.array([1]))
    2000.0
    """
    if not 0 < temperature < np.inf:
        raise InputError(f"temperature must be positive and finite, got {temperature}")
    top = highest(logits).value
    truth = check_labels(labels, classes=logits.shape[1], rows=len(logits))
    gap = logits[np.arange(len(logits)), truth].astype(np.float64) - top
    return float((tilted(logits, top, 1.0 / temperature).log_sum - gap / temperature).mean())


def brier(probs: Probs, labels: Labels) -> float:
    """Mean over rows of the squared error summed over classes, in [0, 2], lower is better. Brier 1950.

    >>> round(brier(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 0])), 6)
    0.8125
    """
    probs = check_probs(probs)
    truth = check_labels(labels, classes=probs.shape[1], rows=len(probs))
    total = 0.0
    for rows in row_blocks(*probs.shape):
        miss = probs[rows].astype(np.float64)
        miss[np.arange(len(miss)), truth[rows]] -= 1.0
        total += float(np.einsum("ij,ij->", miss, miss))
    return total / len(probs)
