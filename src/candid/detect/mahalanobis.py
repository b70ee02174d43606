"""Distance to the nearest class mean in units of the spread within classes, and the same relative to all classes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from candid.detect.moments import Moments, VectorRows, blocks, check_rows
from candid.errors import InputError
from candid.types import Labels, Scores

__all__ = ["Mahalanobis", "RelativeMahalanobis"]

CONDITION = 1e-10  # smallest over largest variance below which Cholesky's factor is not trusted
CELLS = 1 << 22  # float64 of a block of whitened queries and of their distances to all classes: 32 MB each


@dataclass(frozen=True, eq=False)
class Mahalanobis:
    """min over classes of (z - mean)^T S^-1 (z - mean), S the covariance within classes. Lee et al. 2018.

    https://arxiv.org/abs/1807.03888, eq. 2, on the vectors as they are. S is divided by n. Where it is singular its
    pseudo-inverse is taken, so that departures in directions in which no fitted vector varies do not count.
    `whitening` W has W W^T = S^-1; `centre` and `means` are whitened already.

    >>> found = Mahalanobis.fit(np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]]), np.zeros(4, int))
    >>> found(np.array([[1.0, 1.0], [4.0, 1.0]])).tolist()
    [0.0, 9.0]
    """

    whitening: Float[np.ndarray, "d r"]
    centre: Float[np.ndarray, " r"]
    means: Float[np.ndarray, "k r"]
    present: Float[np.ndarray, " k"]  # 0, and infinity for classes that no fitted vector had

    @classmethod
    def fit(cls, vectors: VectorRows, labels: Labels) -> "Mahalanobis":
        """From vectors with the class of each, read in blocks."""
        return cls.of(Moments.of(vectors, labels))

    @classmethod
    def of(cls, moments: Moments) -> "Mahalanobis":
        """From statistics that were gathered part by part."""
        present = moments.counts > 0
        if moments.n <= int(present.sum()):
            raise InputError(f"{moments.n} vectors of {int(present.sum())} classes leave no spread to measure by")
        whitening = _whitening(moments.within / moments.n)
        centre = moments.mean @ whitening
        means = moments.means @ whitening - centre
        return cls(whitening, centre, means, np.where(present, 0.0, np.inf))

    def __call__(self, vectors: VectorRows) -> Scores:
        return self.nearest(vectors)[0]

    def nearest(self, vectors: VectorRows) -> tuple[Scores, Labels]:
        """The score of each vector, and the class whose mean is nearest to it."""
        n, _ = check_rows(vectors, width=len(self.whitening))
        scores, classes = np.empty(n), np.empty(n, dtype=np.int64)
        lengths = np.einsum("kr,kr->k", self.means, self.means) + self.present
        for rows, block in blocks(vectors, rows=max(1, CELLS // max(*self.whitening.shape, len(self.means)))):
            z = block.astype(np.float64) @ self.whitening - self.centre
            apart = z @ self.means.T
            apart *= -2.0
            apart += lengths
            classes[rows] = apart.argmin(axis=1)
            own = np.einsum("nr,nr->n", z, z)
            scores[rows] = np.maximum(apart[np.arange(len(z)), classes[rows]] + own, 0.0)
        return scores, classes


@dataclass(frozen=True, eq=False)
class RelativeMahalanobis:
    """`Mahalanobis` less the distance to the mean of all vectors in units of their whole spread. Ren et al. 2021.

    https://arxiv.org/abs/2106.09022, eq. 3. What is unusual for every image no longer counts; usually the better one of
    the two near the known classes.

    >>> vectors = np.array([[0.0], [2.0], [6.0], [8.0]])
    >>> RelativeMahalanobis.fit(vectors, np.array([0, 0, 1, 1]))(np.array([[1.0], [4.0]])).round(9).tolist()
    [-0.9, 9.0]
    """

    by_class: Mahalanobis
    of_all: Mahalanobis

    @classmethod
    def fit(cls, vectors: VectorRows, labels: Labels) -> "RelativeMahalanobis":
        """From vectors with the class of each, read in blocks."""
        return cls.of(Moments.of(vectors, labels))

    @classmethod
    def of(cls, moments: Moments) -> "RelativeMahalanobis":
        """From statistics that were gathered part by part."""
        whole = Moments(np.array([moments.n]), moments.mean[None], moments.scatter)
        return cls(Mahalanobis.of(moments), Mahalanobis.of(whole))

    def __call__(self, vectors: VectorRows) -> Scores:
        found: Scores = self.by_class(vectors) - self.of_all(vectors)
        return found


def _whitening(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d r"]:
    """W with W W^T the inverse of the covariance, or its pseudo-inverse where it has none."""
    if not covariance.any():
        raise InputError("the fitted vectors do not vary within their classes; give more than one vector a class")
    try:
        factor = np.linalg.cholesky(covariance)
        spread = np.diagonal(factor) ** 2
        if spread.min() > CONDITION * spread.max():
            return np.linalg.inv(factor).T
    except np.linalg.LinAlgError:
        pass
    values, directions = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    whitening: Float[np.ndarray, "d r"] = directions[:, kept] / np.sqrt(values[kept])
    return whitening
