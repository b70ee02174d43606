"""How much of a vector lies outside the directions in which known vectors vary: the residual, and ViM."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from candid.detect.linear import bias_of, weights_of
from candid.detect.moments import Moments, VectorRows, blocks, check_rows
from candid.detect.scores import energy
from candid.errors import InputError
from candid.types import Head, Scores

__all__ = ["Residual", "ViM", "principal_dimensions"]


@dataclass(frozen=True, eq=False)
class Residual:
    """Length of (z - origin) outside the principal subspace of known vectors. Wang et al. 2022, eq. 3.

    https://arxiv.org/abs/2203.10807. The origin is the point where the head's logits are all alike, -W^+ b; principal
    directions are those of the second moment about it. `outside` (d, r) spans the rest.

    >>> head = Head(np.eye(2, dtype=np.float32), ("a", "b"))
    >>> found = Residual.fit(np.array([[1.0, 0.0], [3.0, 0.1], [-2.0, 0.0]]), head, dimensions=1)
    >>> found(np.array([[5.0, 1.0]])).round(2).tolist()
    [0.89]
    """

    origin: Float[np.ndarray, " d"]
    outside: Float[np.ndarray, "d r"]

    @classmethod
    def fit(cls, vectors: VectorRows, head: Head, *, dimensions: int | None = None) -> "Residual":
        """From known vectors, read in blocks, and their head; `dimensions` None are `principal_dimensions`."""
        return cls.of(Moments.of(vectors), head, dimensions=dimensions)

    @classmethod
    def of(cls, moments: Moments, head: Head, *, dimensions: int | None = None) -> "Residual":
        """From statistics that were gathered part by part."""
        d = moments.means.shape[1]
        dimensions = principal_dimensions(d) if dimensions is None else dimensions
        if not 0 < dimensions < d:
            raise InputError(f"dimensions of the principal subspace must lie between 0 and {d}, got {dimensions}")
        origin = _origin(head, d)
        away = moments.mean - origin
        second = moments.scatter / moments.n + np.outer(away, away)
        _, directions = np.linalg.eigh(second)  # ascending
        return cls(origin, directions[:, : d - dimensions])

    def __call__(self, vectors: VectorRows) -> Scores:
        n, _ = check_rows(vectors, width=len(self.origin))
        scores = np.empty(n)
        for rows, block in blocks(vectors):
            outside = (block.astype(np.float64) - self.origin) @ self.outside
            scores[rows] = np.sqrt(np.einsum("nr,nr->n", outside, outside))
        return scores


@dataclass(frozen=True, eq=False)
class ViM:
    """alpha * `Residual` - logsumexp(logits): the residual as one more logit. Wang et al. 2022, eq. 5.

    https://arxiv.org/abs/2203.10807. alpha makes the residual as large on average as the highest logit of known
    vectors. Logits must be on the model's own scale.

    >>> head = Head(np.eye(2, dtype=np.float32), ("a", "b"))
    >>> known = np.array([[1.0, 0.0], [3.0, 0.1], [-2.0, 0.0]])
    >>> found = ViM.fit(known, head, dimensions=1)
    >>> found(np.array([[2.0, 0.0], [2.0, 2.0]])).round(2).tolist()
    [-0.41, 75.59]
    """

    origin: Float[np.ndarray, " d"]
    outside: Float[np.ndarray, "d r"]
    weights: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, " k"]
    alpha: float

    @classmethod
    def fit(cls, vectors: VectorRows, head: Head, *, dimensions: int | None = None) -> "ViM":
        """From known vectors, read in blocks twice, and their head; `dimensions` None are `principal_dimensions`."""
        residual = Residual.fit(vectors, head, dimensions=dimensions)
        top, outside = 0.0, 0.0
        for _, block in blocks(vectors):
            top += float(head(block).max(axis=1).astype(np.float64).sum())
            outside += float(residual(block).sum())
        if not outside > 0 or not top > 0:
            raise InputError(
                "ViM weighs residuals by mean highest logit over mean residual of known vectors, got sums of "
                f"{top:.4g} and {outside:.4g}; both must be positive: give fewer dimensions"
            )
        return cls(residual.origin, residual.outside, weights_of(head, vectors), bias_of(head), top / outside)

    def __call__(self, vectors: VectorRows) -> Scores:
        n, _ = check_rows(vectors, width=len(self.origin))
        residual = Residual(self.origin, self.outside)
        scores = np.empty(n)
        for rows, block in blocks(vectors):
            scores[rows] = self.alpha * residual(block) + energy(block @ self.weights.T + self.bias)
        return scores


def principal_dimensions(d: int) -> int:
    """How many dimensions are principal: 1,000 of 2,048 and more, 512 of 768 and more, as published; else half.

    >>> principal_dimensions(2048), principal_dimensions(768), principal_dimensions(64)
    (1000, 512, 32)
    """
    return 1000 if d >= 2048 else 512 if d >= 768 else d // 2


def _origin(head: Head, d: int) -> Float[np.ndarray, " d"]:
    weights = np.asarray(head.weights, dtype=np.float64) * head.scale
    if weights.shape[1] != d:
        raise InputError(f"the head takes vectors of {weights.shape[1]} dimensions, the vectors have {d}")
    bias = np.broadcast_to(np.asarray(head.bias, dtype=np.float64), (len(weights),))
    return -np.linalg.pinv(weights) @ bias
