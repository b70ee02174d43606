"""Maximum mean discrepancies: KID with its named estimators, and CMMD. float64, in blocks."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from candid.errors import InputError
from candid.generative.points import checked, gathered
from candid.metrics.streaming import VectorRows

__all__ = ["KernelSubsets", "cmmd", "kernel", "kernel_subsets"]

ROWS = 1024  # of a block
Estimator = Literal["unbiased", "biased"]
Block = Float64[np.ndarray, "_ d"]
Kernel = Callable[[Block, Block], Float64[np.ndarray, "b c"]]


def kernel(real: VectorRows, fake: VectorRows, *, estimator: Estimator = "unbiased") -> float:
    """Squared maximum mean discrepancy under the kernel (x.y / d + 1)^3, about 0 for equal distributions.

    With pooled Inception-v3 activations this is the KID. Binkowski et al. 2018, https://arxiv.org/abs/1801.01401.
    "unbiased" leaves each row's product with itself out and may fall below 0; "biased" keeps it in, is never negative
    and falls with the number of rows. All pairs of rows are used; `kernel_subsets` is the mean over subsets that
    published values are.

    >>> kernel(np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]]), estimator="biased")
    12.0
    """
    if estimator not in ("unbiased", "biased"):
        raise InputError(f"estimator must be unbiased or biased, got {estimator}")
    _alike(real, fake, least=2)
    return _discrepancy(real, fake, _cubic, unbiased=estimator == "unbiased")


class KernelSubsets(NamedTuple):
    """`mean` over subsets, their standard deviation `spread`, and the `values` themselves."""

    mean: float
    spread: float
    values: Float64[np.ndarray, " s"]


def kernel_subsets(
    real: VectorRows, fake: VectorRows, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> KernelSubsets:
    """`kernel`, unbiased, as the mean over random subsets of each set, drawn without replacement: KID as published.

    `size` is cut to the smaller set, where there are fewer rows.
    """
    n, m = _alike(real, fake, least=2)
    if subsets < 1 or size < 2:
        raise InputError(f"subsets must be 1 or more and size 2 or more, got {subsets} and {size}")
    random, size = np.random.default_rng(seed), min(size, n, m)
    values = []
    for _ in range(subsets):
        picked = (random.choice(count, size, replace=False) for count in (n, m))
        first, second = (gathered(each, rows) for each, rows in zip((real, fake), picked, strict=True))
        values.append(_discrepancy(first, second, _cubic, unbiased=True))
    return KernelSubsets(float(np.mean(values)), float(np.std(values)), np.array(values))


def cmmd(real: VectorRows, fake: VectorRows, *, sigma: float = 10.0) -> float:
    """1000 times the squared maximum mean discrepancy under the kernel exp(-|x - y|^2 / (2 sigma^2)), 0 or more.

    Biased: each row's distance to itself counts. Jayasumana et al. 2024, https://arxiv.org/abs/2401.09603, there of
    unit rows, CLIP ViT-L/14-336 embeddings; sigma 10 is meant for these. Rows are taken as they are.

    >>> round(cmmd(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])), 4)
    19.9003
    """
    if not sigma > 0:
        raise InputError(f"sigma must be positive, got {sigma}")
    _alike(real, fake, least=1)

    def gaussian(x: Block, y: Block) -> Float64[np.ndarray, "b c"]:
        squared = np.einsum("nd,nd->n", x, x)[:, None] + np.einsum("nd,nd->n", y, y) - 2 * (x @ y.T)
        less: Float64[np.ndarray, "b c"] = np.expm1(-np.maximum(squared, 0) / (2 * sigma**2))
        return less  # the ones cancel between the three means; without them no digits do

    return max(0.0, 1000 * _discrepancy(real, fake, gaussian, unbiased=False))


def _discrepancy(real: VectorRows, fake: VectorRows, of: Kernel, *, unbiased: bool) -> float:
    across = sum(float(of(x, y).sum()) for x in _blocks(real) for y in _blocks(fake))
    n, m = real.shape[0], fake.shape[0]
    return _within(real, of, unbiased) + _within(fake, of, unbiased) - 2 * across / (n * m)


def _within(vectors: VectorRows, of: Kernel, unbiased: bool) -> float:
    """The mean over pairs of one set; the blocks below the diagonal are those above it."""
    n, total = vectors.shape[0], 0.0
    for place, first in enumerate(_blocks(vectors)):
        own = of(first, first)
        total += float(own.sum()) - (float(np.trace(own)) if unbiased else 0.0)
        total += 2 * sum(float(of(first, other).sum()) for other in _blocks(vectors, after=place))
    return total / (n * (n - 1) if unbiased else n * n)


def _cubic(x: Block, y: Block) -> Float64[np.ndarray, "b c"]:
    products = x @ y.T
    products /= x.shape[1]
    products += 1
    cubes: Float64[np.ndarray, "b c"] = products * products * products
    return cubes


def _blocks(vectors: VectorRows, after: int = -1) -> Iterator[Block]:
    for start in range((after + 1) * ROWS, vectors.shape[0], ROWS):
        yield np.asarray(vectors[start : start + ROWS], np.float64)


def _alike(real: VectorRows, fake: VectorRows, *, least: int) -> tuple[int, int]:
    (n, width), (m, other) = checked(real, "real"), checked(fake, "fake")
    if width != other:
        raise InputError(f"real and fake need vectors of one width, got {width} and {other}")
    if min(n, m) < least:
        raise InputError(f"real and fake need {least} rows or more, got {n} and {m}")
    return n, m
