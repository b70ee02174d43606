"""How much a model doubts each given label. Higher = more doubtful. Probabilities must come from a model that did not
train on these labels, e.g. from cross-validation."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from candid.arrays import check_labels, check_probs
from candid.types import Labels, Probs

__all__ = ["METHODS", "margin", "normalised_margin", "self_confidence"]

Doubt = Float[np.ndarray, " n"]


def self_confidence(probs: Probs, labels: Labels) -> Doubt:
    """1 - p of the given label, in [0, 1]. Northcutt et al. 2021, arxiv.org/abs/1911.00068, section 2.

    >>> self_confidence(np.array([[0.9, 0.1], [0.25, 0.75]]), np.array([0, 0])).round(2).tolist()
    [0.1, 0.75]
    """
    return 1.0 - _of_label(*_checked(probs, labels))


def margin(probs: Probs, labels: Labels) -> Doubt:
    """Highest p of another class minus p of the given label, in [-1, 1]; above 0 the model prefers another.

    >>> margin(np.array([[0.9, 0.1], [0.25, 0.75]]), np.array([0, 0])).round(2).tolist()
    [-0.8, 0.5]
    """
    probs, labels = _checked(probs, labels)
    others = probs.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    best = others.max(axis=1)
    doubt: Doubt = best - _of_label(probs, labels)
    return doubt


def normalised_margin(probs: Probs, labels: Labels) -> Doubt:
    """`margin` of probabilities that are each divided by their class's mean over its given labels.

    A class the model is unsure of throughout is then not the one whose labels are all doubted; the per-class thresholds
    of confident learning as a score (Northcutt et al. 2021, eq. 2). Classes without a given label keep their
    probability.
    """
    probs, labels = _checked(probs, labels)
    means = np.ones(probs.shape[1])
    for c in np.unique(labels):
        means[c] = max(probs[labels == c, c].mean(), np.finfo(np.float64).tiny)
    scaled = probs / means
    others = scaled.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    best = others.max(axis=1)
    doubt: Doubt = best - _of_label(scaled, labels)
    return doubt


METHODS: dict[str, Callable[[Probs, Labels], Doubt]] = {
    "margin": margin,
    "normalised-margin": normalised_margin,
    "self-confidence": self_confidence,
}


def _checked(probs: Probs, labels: Labels) -> tuple[Probs, Labels]:
    probs = check_probs(probs).astype(np.float64)
    return probs, check_labels(labels, classes=probs.shape[1], rows=len(probs))


def _of_label(probs: Probs, labels: Labels) -> Doubt:
    found: Doubt = probs[np.arange(len(labels)), labels]
    return found
