"""How unlike its own class an input is: in its probabilities (KL-matching), in its activations (SHE)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from candid.arrays import check_labels, check_logits, row_blocks, softmax
from candid.detect.linear import bias_of, weights_of
from candid.detect.moments import VectorRows, blocks, check_rows
from candid.errors import InputError
from candid.types import Head, Labels, Logits, Scores

__all__ = ["SHE", "KLMatching"]


@dataclass(frozen=True, eq=False)
class KLMatching:
    """min over classes of KL(p || typical p of inputs predicted as the class), in nats. Hendrycks et al. 2022.

    https://arxiv.org/abs/1911.11132, section 4.1. Fitted on held-out known inputs; a class that none of them was
    predicted as has no typical p and is left out. `log_typical` are logarithms, one row for each class left.

    >>> found = KLMatching.fit(np.log([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]]))
    >>> found(np.log([[0.7, 0.3], [0.5, 0.5]])).round(3).tolist()
    [0.0, 0.087]
    """

    log_typical: Float[np.ndarray, "c k"]

    @classmethod
    def fit(cls, logits: Logits) -> "KLMatching":
        """From logits of known inputs; their labels play no part."""
        k = check_logits(logits).shape[1]
        sums, counts = np.zeros((k, k)), np.zeros(k)
        for rows in row_blocks(*logits.shape):
            probs = softmax(logits[rows])
            predicted = logits[rows].argmax(axis=1)
            np.add.at(sums, predicted, probs)
            counts += np.bincount(predicted, minlength=k)
        seen = counts > 0
        with np.errstate(divide="ignore"):
            return cls(np.log(sums[seen] / counts[seen, None]))

    def __call__(self, logits: Logits) -> Scores:
        if logits.shape[1] != self.log_typical.shape[1]:
            raise InputError(f"expected logits of {self.log_typical.shape[1]} classes, got {logits.shape[1]}")
        scores = np.empty(len(check_logits(logits)))
        finite = np.maximum(self.log_typical, np.finfo(np.float64).min / 4)  # a typical 0 is beyond every score
        for rows in row_blocks(*logits.shape):
            p = softmax(logits[rows])
            with np.errstate(divide="ignore", invalid="ignore"):
                own = np.where(p > 0, p * np.log(p), 0.0).sum(axis=1)
            scores[rows] = np.maximum(own - (p @ finite.T).max(axis=1), 0.0)
        return scores


@dataclass(frozen=True, eq=False)
class SHE:
    """-<z, mean of known vectors that were rightly predicted as z's predicted class>. Zhang et al. 2023.

    https://openreview.net/forum?id=KkazG4lgKL, eq. 9, the simplified Hopfield energy. On unit vectors the products are
    cosines times the mean's length.

    >>> head = Head(np.eye(2, dtype=np.float32), ("a", "b"))
    >>> found = SHE.fit(np.array([[2.0, 0.0], [0.0, 4.0]], np.float32), np.array([0, 1]), head)
    >>> found(np.array([[1.0, 0.5], [0.5, 1.0]], np.float32)).tolist()
    [-2.0, -4.0]
    """

    means: Float[np.ndarray, "k d"]
    weights: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, " k"]

    @classmethod
    def fit(cls, vectors: VectorRows, labels: Labels, head: Head) -> "SHE":
        """From known vectors, the class of each, and their head."""
        weights, k = weights_of(head, vectors), len(head.weights)
        n, d = check_rows(vectors)
        labels = check_labels(labels, classes=k, rows=n)
        sums, counts = np.zeros((k, d)), np.zeros(k)
        for rows, block in blocks(vectors):
            truth = labels[rows]
            right = head(block).argmax(axis=1) == truth
            np.add.at(sums, truth[right], block[right].astype(np.float64))
            counts += np.bincount(truth[right], minlength=k)
        if not counts.all():
            missing = head.classes[int(np.argmin(counts))]
            raise InputError(
                f"SHE needs a known vector of every class that the head gets right, got none of {missing!r}; give more "
                "of that class or take knn"
            )
        return cls(sums / counts[:, None], weights, bias_of(head))

    def __call__(self, vectors: VectorRows) -> Scores:
        n, _ = check_rows(vectors, width=self.means.shape[1])
        scores = np.empty(n)
        for rows, block in blocks(vectors):
            predicted = (block @ self.weights.T + self.bias).argmax(axis=1)
            scores[rows] = -np.einsum("nd,nd->n", block.astype(np.float64), self.means[predicted])
        return scores
