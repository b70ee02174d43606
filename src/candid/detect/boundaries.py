"""Where a vector lies to the head's decision boundaries (fDBD) and to its class's weights (NCI)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from candid.detect.linear import bias_of, weights_of
from candid.detect.moments import VectorRows, blocks, check_rows, mean_of
from candid.errors import InputError
from candid.types import Head, Scores

__all__ = ["FDBD", "NCI"]


@dataclass(frozen=True, eq=False)
class FDBD:
    """-mean over the other classes of the distance to their decision boundary, over |z - mean|. Liu & Qin 2024.

    https://arxiv.org/abs/2312.11536, eq. 10. The boundary of classes a and b is (f_a - f_b) / |w_a - w_b| away.

    >>> head = Head(np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32), ("a", "b"))
    >>> found = FDBD.fit(np.array([[2.0, 0.0], [-2.0, 0.0]], np.float32), head)
    >>> found(np.array([[3.0, 4.0], [5.0, 0.0]], np.float32)).round(3).tolist()
    [-0.6, -1.0]
    """

    mean: Float[np.ndarray, " d"]
    weights: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, " k"]

    @classmethod
    def fit(cls, vectors: VectorRows, head: Head) -> "FDBD":
        """From the mean of known vectors, and their head."""
        weights = weights_of(head, vectors)
        if len(np.unique(weights, axis=0)) < len(weights):
            raise InputError("two classes of the head have the same weights, so no boundary lies between them")
        return cls(mean_of(vectors), weights, bias_of(head))

    def __call__(self, vectors: VectorRows) -> Scores:
        n, _ = check_rows(vectors, width=len(self.mean))
        weights = self.weights.astype(np.float64)
        lengths = np.einsum("kd,kd->k", weights, weights)
        apart = np.sqrt(np.maximum(lengths[:, None] + lengths - 2 * weights @ weights.T, 0.0))
        np.fill_diagonal(apart, 1.0)
        others = len(weights) - 1
        scores = np.empty(n)
        for rows, part in blocks(vectors):
            block = part.astype(np.float64)
            logits = block @ weights.T + self.bias
            best = logits.argmax(axis=1)
            gaps = logits[np.arange(len(block)), best][:, None] - logits
            away = np.linalg.norm(block - self.mean, axis=1)
            scores[rows] = -(gaps / apart[best]).sum(axis=1) / others / np.where(away > 0, away, np.inf)
        return scores


@dataclass(frozen=True, eq=False)
class NCI:
    """-(w_y . (z - mean)) / |z - mean| - alpha |z|_1, y the predicted class. Liu & Qin 2025.

    https://arxiv.org/abs/2311.01479, eq. 5. Near to its class's weights in direction, and long, is known. The weights
    are as the head has them, with its scale.

    >>> head = Head(np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32), ("a", "b"))
    >>> found = NCI.fit(np.array([[2.0, 0.0], [-2.0, 0.0]], np.float32), head, alpha=0.1)
    >>> found(np.array([[3.0, 4.0], [5.0, 0.0]], np.float32)).round(3).tolist()
    [-1.3, -1.5]
    """

    mean: Float[np.ndarray, " d"]
    weights: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, " k"]
    alpha: float

    @classmethod
    def fit(cls, vectors: VectorRows, head: Head, *, alpha: float = 1e-4) -> "NCI":
        """From the mean of known vectors, and their head."""
        return cls(mean_of(vectors), weights_of(head, vectors), bias_of(head), alpha)

    def __call__(self, vectors: VectorRows) -> Scores:
        n, _ = check_rows(vectors, width=len(self.mean))
        scores = np.empty(n)
        for rows, part in blocks(vectors):
            block = part.astype(np.float64)
            best = (block @ self.weights.T + self.bias).argmax(axis=1)
            away = block - self.mean
            length = np.linalg.norm(away, axis=1)
            toward = np.einsum("nd,nd->n", away, self.weights[best].astype(np.float64))
            scores[rows] = -toward / np.where(length > 0, length, np.inf) - self.alpha * np.abs(block).sum(axis=1)
        return scores
