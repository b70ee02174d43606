"""The table of detectors, and `Detector`: any of them on a head and vectors, fitted where it has to be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from candid.detect.boundaries import FDBD, NCI
from candid.detect.concepts import NegLabel, gl_mcm
from candid.detect.mahalanobis import Mahalanobis, RelativeMahalanobis
from candid.detect.matching import SHE, KLMatching
from candid.detect.moments import check_rows
from candid.detect.neighbours import Knn, NNGuide
from candid.detect.rectified import Dice, ReAct, ash, scale
from candid.detect.scores import energy, entropy, gen, grad_norm, max_logit, mcm, msp, odin
from candid.detect.subspace import Residual, ViM
from candid.errors import InputError, nearest
from candid.types import Head, Labels, Logits, Scores, Vectors

__all__ = ["FROM_VECTORS", "METHODS", "Detector", "Method", "cosines"]

Suits = Literal["any", "rectified", "language"]


@dataclass(frozen=True)
class Method:
    """One detector: what it scores, what its `fit` takes in this order (nothing: it has none), and where it belongs.

    `takes`: "logits", "vectors", "head" and "cosines" follow from a head and vectors; "patch cosines" and "perturbed
    logits" need the model too. `fits`: "words" are text vectors of many words. `suits` "rectified" wants vectors that
    are not negative, "language" class names that were read by a text tower. `prefer` is a sentence for tables. Calling
    a method calls its function.
    """

    score: Any
    takes: tuple[str, ...]
    fits: tuple[str, ...] = ()
    suits: Suits = "any"
    prefer: str = ""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.score(*args, **options)


METHODS: dict[str, Method] = {
    "ash": Method(ash, ("vectors", "head"), suits="rectified", prefer="convolutional networks, nothing to fit"),
    "dice": Method(Dice, ("vectors",), ("vectors", "head"), prefer="wide last layers with noisy weights"),
    "energy": Method(energy, ("logits",), prefer="logits as trained; the default of this literature"),
    "entropy": Method(entropy, ("logits",), prefer="few classes that may be confused"),
    "fdbd": Method(FDBD, ("vectors",), ("vectors", "head"), prefer="speed with features: one mean vector is fitted"),
    "gen": Method(gen, ("logits",), prefer="many classes, probabilities only"),
    "gl-mcm": Method(
        gl_mcm, ("cosines", "patch cosines"), suits="language", prefer="the object is a part of the image"
    ),
    "grad-norm": Method(grad_norm, ("vectors", "logits"), prefer="activations whose length says how sure the net is"),
    "kl-matching": Method(KLMatching, ("logits",), ("logits",), prefer="classes that are confused in their own ways"),
    "knn": Method(Knn, ("vectors",), ("vectors",), prefer="no labels, no assumption; a bank of known vectors"),
    "mahalanobis": Method(Mahalanobis, ("vectors",), ("vectors", "labels"), prefer="far from known; labelled vectors"),
    "max_logit": Method(max_logit, ("logits",), prefer="many classes; no temperature to set"),
    "mcm": Method(mcm, ("cosines",), suits="language", prefer="CLIP, zero-shot"),
    "msp": Method(msp, ("logits",), prefer="the baseline; probabilities only"),
    "nci": Method(NCI, ("vectors",), ("vectors", "head"), prefer="networks trained until classes collapse"),
    "neg-label": Method(NegLabel, ("vectors",), ("head", "words"), "language", "CLIP, zero-shot, far and near"),
    "nnguide": Method(NNGuide, ("vectors",), ("vectors", "head"), prefer="features and logits together"),
    "odin": Method(odin, ("perturbed logits",), prefer="the network is at hand and time does not press"),
    "react": Method(ReAct, ("vectors",), ("vectors", "head"), "rectified", "networks with outlying activations"),
    "relative-mahalanobis": Method(
        RelativeMahalanobis, ("vectors",), ("vectors", "labels"), prefer="near to known; labelled vectors"
    ),
    "residual": Method(Residual, ("vectors",), ("vectors", "head"), prefer="far from known; no labels"),
    "scale": Method(scale, ("vectors", "head"), suits="rectified", prefer="convolutional networks, nothing to fit"),
    "she": Method(SHE, ("vectors",), ("vectors", "labels", "head"), prefer="speed: one product with a stored pattern"),
    "vim": Method(ViM, ("vectors",), ("vectors", "head"), prefer="features and logits together; no labels"),
}
FROM_VECTORS = {"logits", "vectors", "head", "cosines"}


@dataclass(frozen=True)
class Detector:
    """A detector by name on the vectors of one model: outlier scores in float64, higher = further from known."""

    name: str
    head: Head
    fitted: Any = None

    @classmethod
    def fit(
        cls,
        name: str,
        head: Head,
        vectors: Vectors | None = None,
        labels: Labels | None = None,
        words: Float[np.ndarray, "w d"] | None = None,
        **options: Any,
    ) -> "Detector":
        """The detector, from known vectors, their labels, or text vectors of words where it learns from them.

        `options` go to its `fit`.

        >>> head = Head(np.eye(2, dtype=np.float32), ("a", "b"))
        >>> Detector.fit("max_logit", head)(np.array([[0.6, 0.8]], np.float32)).round(4).tolist()
        [-0.8]
        >>> Detector.fit("knn", head, np.eye(2, dtype=np.float32), k=1)(np.array([[1.0, 0.0]], np.float32)).tolist()
        [0.0]
        """
        if name not in METHODS:
            raise InputError(f"no detector named {name}; {nearest(name, METHODS)}")
        method = METHODS[name]
        if not FROM_VECTORS.issuperset(method.takes):
            raise InputError(f"{name} looks at more than an image's vector; call detect.{name.replace('-', '_')}")
        if not method.fits and options:
            raise InputError(
                f"{name} learns nothing that {next(iter(options))} could change; call its function with it"
            )
        if not method.fits:
            return cls(name, head)
        given = {
            "vectors": vectors,
            "labels": labels,
            "head": head,
            "logits": head(vectors) if vectors is not None and "logits" in method.fits else None,
            "words": words,
        }
        missing = [part for part in method.fits if given[part] is None]
        if missing:
            raise InputError(f"{name} is fitted on {', '.join(method.fits)}, got no {missing[0]}")
        return cls(name, head, method.score.fit(*(given[part] for part in method.fits), **options))

    def __call__(self, vectors: Vectors) -> Scores:
        method = METHODS[self.name]
        parts: dict[str, Callable[[], Any]] = {
            "vectors": lambda: vectors,
            "head": lambda: self.head,
            "logits": lambda: self.head(vectors),
            "cosines": lambda: cosines(self.head, vectors),
        }
        apply = method.score if self.fitted is None else self.fitted
        return np.asarray(apply(*(parts[part]() for part in method.takes)), dtype=np.float64)


def cosines(head: Head, vectors: Vectors) -> Logits:
    """Cosines of unit vectors with the classes.

    >>> cosines(Head(np.array([[2.0, 0.0]], np.float32), ("a",), scale=100.0), np.array([[0.6, 0.8]])).round(3).tolist()
    [[0.6]]
    """
    check_rows(vectors, width=head.weights.shape[1])
    lengths = np.linalg.norm(head.weights, axis=1, keepdims=True)
    return np.asarray(vectors @ (head.weights / lengths).T)
