"""The memoryless detectors on a head and vectors: those of `detect.METHODS` read logits, MCM reads cosines."""

import numpy as np

from candid import detect
from candid.errors import InputError, nearest
from candid.types import Head, Scores, Vectors

__all__ = ["DETECTORS", "outlier_scores"]

DETECTORS: tuple[str, ...] = tuple(sorted({*detect.METHODS, "mcm"}))


def outlier_scores(head: Head, vectors: Vectors, detector: str) -> Scores:
    """Scores in float64, higher = further from what the model knows; logits are its own, before any temperature.

    >>> head = Head(np.eye(2, dtype=np.float32), ("cat", "dog"), scale=10.0)
    >>> outlier_scores(head, np.array([[0.6, 0.8]], dtype=np.float32), "max_logit").tolist()
    [-8.0]
    """
    if detector == "mcm":
        lengths = np.linalg.norm(head.weights, axis=1, keepdims=True)
        scores = detect.mcm(vectors @ (head.weights / lengths).T)
    elif detector in detect.METHODS:
        scores = detect.METHODS[detector](head(vectors))
    else:
        raise InputError(f"no detector named {detector}; {nearest(detector, DETECTORS)}")
    return np.asarray(scores, dtype=np.float64)
