"""The detectors an audit may choose from and a predictor may hold: those of `detect.METHODS` that need no more than a
head and vectors."""

from typing import Any

import numpy as np
from jaxtyping import Float

from candid import detect
from candid.detect.methods import FROM_VECTORS
from candid.errors import InputError, nearest
from candid.types import Head, Labels, Vectors

__all__ = ["AUTO", "DETECTORS", "check_detector", "fit_detector", "is_fitted", "refused_for"]

AUTO = "auto"
DETECTORS: tuple[str, ...] = tuple(
    sorted(name for name, method in detect.METHODS.items() if FROM_VECTORS.issuperset(method.takes))
)
NEIGHBOURS = {"knn": 50, "nnguide": 100}  # published k; of a small bank a tenth


def check_detector(name: str) -> None:
    """Nothing, or an `InputError` for a name that is neither a detector's nor "auto"."""
    if name != AUTO and name not in DETECTORS:
        raise InputError(f"no detector named {name}; {nearest(name, (*DETECTORS, AUTO))}")


def is_fitted(name: str) -> bool:
    """Whether the detector learns from known images.

    >>> is_fitted("energy"), is_fitted("knn")
    (False, True)
    """
    return bool({"vectors", "labels", "logits"} & {*detect.METHODS[name].fits})


def refused_for(name: str, vectors: Vectors, *, labelled: bool, language: bool = True, words: bool = False) -> str:
    """Why the detector does not suit this model or these images, in a few words; empty where it does."""
    method = detect.METHODS[name]
    if method.suits == "rectified" and len(vectors) and vectors.min() < 0:
        return "it shapes activations behind a rectifier, and these vectors have negative entries"
    if method.suits == "language" and not language:
        return "it needs classes that were read by a text tower"
    if "words" in method.fits and not words:
        return f"it asks for many words to be read, which is done where it is chosen: --detector {name}"
    if "labels" in method.fits and not labelled:
        return "it learns from labels, and there are none"
    return ""


def fit_detector(
    name: str, head: Head, vectors: Vectors, labels: Labels | None, words: Float[np.ndarray, "w d"] | None = None
) -> detect.Detector:
    """The detector, fitted on these known vectors if it learns; k of a small bank is a tenth of it.

    `words` are text vectors of many words, for the one that learns from them.

    >>> head = Head(np.eye(2, dtype=np.float32), ("cat", "dog"))
    >>> fit_detector("knn", head, np.eye(2, dtype=np.float32), None).fitted.k
    1
    """
    options: dict[str, Any] = {}
    if name in NEIGHBOURS:
        options["k"] = max(1, min(NEIGHBOURS[name], len(vectors) // 10))
    reason = refused_for(name, vectors, labelled=labels is not None, words=words is not None)
    if reason:
        raise InputError(f"{name}: {reason}")
    return detect.Detector.fit(name, head, vectors if is_fitted(name) else None, labels, words, **options)
