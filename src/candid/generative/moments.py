"""The Frechet distance of two sets as Gaussians, in float64 by symmetric eigenvalues, and what it tends to."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from candid.arrays import row_blocks
from candid.errors import InputError
from candid.generative.points import CHECKED, checked, gathered
from candid.metrics.streaming import VectorRows

__all__ = ["Extrapolated", "Gaussian", "frechet", "frechet_extrapolated"]

SIZES = 15
SMALLEST = 0.1  # of the rows, the smallest subset that is extrapolated from


class Gaussian(NamedTuple):
    """Mean and covariance of n vectors, float64; the covariance divides by n - 1."""

    mean: Float64[np.ndarray, " d"]
    covariance: Float64[np.ndarray, "d d"]
    n: int

    @classmethod
    def of(cls, vectors: VectorRows, rows: Int[np.ndarray, " n"] | None = None) -> "Gaussian":
        """Of all rows, or of some."""
        n, d = checked(vectors)
        if rows is not None:
            return cls.of(gathered(vectors, rows))
        if n < 2:
            raise InputError(f"a covariance needs two rows or more, got {n}")
        mean = sum(block.sum(axis=0) for block in _blocks(vectors)) / n
        covariance = np.zeros((d, d))
        for block in _blocks(vectors):
            block -= mean
            covariance += block.T @ block
        return cls(np.asarray(mean), covariance / (n - 1), n)

    def root(self) -> Float64[np.ndarray, "d d"]:
        """The symmetric root of the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        rooted: Float64[np.ndarray, "d d"] = (vectors * np.sqrt(_clean(values))) @ vectors.T
        return rooted


def frechet(real: VectorRows | Gaussian, fake: VectorRows | Gaussian) -> float:
    """Squared Frechet distance |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), 0 for equal moments, lower is better.

    With pooled Inception-v3 activations this is the FID. Heusel et al. 2017, https://arxiv.org/abs/1706.08500, eq. 6.
    It falls with the number of samples: compare only sets of one size, or see `frechet_extrapolated`. Singular
    covariances (fewer rows than dimensions) are no trouble; everything is float64. A `Gaussian` stands for a set whose
    statistics are kept.

    >>> frechet(np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]]))
    6.0
    """
    first, second = (each if isinstance(each, Gaussian) else Gaussian.of(each) for each in (real, fake))
    return _apart(first, first.root(), second)


class Extrapolated(NamedTuple):
    """`value` at infinitely many samples, with the `sizes` and `distances` that lead there by a line in 1 / size."""

    value: float
    slope: float
    sizes: Int[np.ndarray, " s"]
    distances: Float64[np.ndarray, " s"]


def frechet_extrapolated(real: VectorRows, fake: VectorRows, *, sizes: int = SIZES, seed: int = 0) -> Extrapolated:
    """The Frechet distance that infinitely many fakes would have: intercept of the distance over 1 / size.

    Chong and Forsyth 2020, https://arxiv.org/abs/1911.07023, section 4: the reals stay, fakes are drawn without
    replacement in `sizes` even steps from a tenth of them (at least two) to all. May fall below 0 by chance.
    """
    m, _ = checked(fake)
    least = max(2, round(SMALLEST * m))
    if m < least + sizes:
        raise InputError(f"extrapolating over {sizes} sizes needs at least {least + sizes} fakes, got {m}")
    random, reals = np.random.default_rng(seed), Gaussian.of(real)
    root = reals.root()
    steps = np.linspace(least, m, sizes).round().astype(np.int64)
    drawn = (Gaussian.of(fake, random.choice(m, size, replace=False)) for size in steps.tolist())
    found = [_apart(reals, root, each) for each in drawn]
    slope, value = np.polyfit(1 / steps, found, 1)
    return Extrapolated(float(value), float(slope), steps, np.array(found))


def _apart(first: Gaussian, root: Float64[np.ndarray, "d d"], second: Gaussian) -> float:
    """Squared distance of two Gaussians, of which the first's root R is known: tr (S1 S2)^(1/2) is the sum of the
    roots of the eigenvalues of R S2 R, which is symmetric."""
    if len(first.mean) != len(second.mean):
        raise InputError(f"real and fake need vectors of one width, got {len(first.mean)} and {len(second.mean)}")
    inner = root @ second.covariance @ root
    shared = np.sqrt(_clean(np.linalg.eigvalsh((inner + inner.T) / 2))).sum()
    gap = first.mean - second.mean
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    return max(0.0, float(gap @ gap + traces - 2 * shared))


def _clean(values: Float64[np.ndarray, " d"]) -> Float64[np.ndarray, " d"]:
    """Eigenvalues without what is only rounding: its root would be eight digits larger than itself."""
    limit = len(values) * np.finfo(np.float64).eps * max(float(values[-1]), 0.0)
    return np.where(values > limit, values, 0.0)


def _blocks(vectors: VectorRows) -> Iterable[Float64[np.ndarray, "b d"]]:
    return (np.array(vectors[rows], np.float64) for rows in row_blocks(*vectors.shape, cells=CHECKED))
