"""What one pass over logits says about each row: its best class, and a few numbers of the softmax at 1 / T = beta.

Confidence, likelihood, Brier score, energy, entropy and the temperature fit all follow from these numbers, so nothing
n x k is ever copied: numpy works in blocks that stay in cache. A process that has put `COMPILED_CELLS` cells through
them goes on with the same formulas compiled, where the extra "fast" is installed. The two agree to rounding.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from candid.arrays import BLOCK_CELLS, check_logits, row_blocks
from candid.errors import InputError
from candid.extras import installed
from candid.types import Logits

__all__ = [
    "Highest",
    "Mass",
    "Tilted",
    "highest",
    "inverse_mass",
    "inverse_mass_single",
    "mass",
    "row_blocks",
    "scaled_gaps",
    "tilted",
    "tilted_single",
]

COMPILED_CELLS = 1 << 27  # by then compiled code would have saved what importing numba costs
COMPILED_FROM = 1 << 18  # smaller arrays neither count nor change route
LOWEST = -750.0  # stands for anything below, masked classes too: exp of it is 0, and 0 times it is not NaN
ONE_THREAD = 8192  # BLAS starts threads for longer dot products, which costs more than it saves
LOWEST_SINGLE = -87.0  # the same in float32: exp of it is 1e-38
_passed = 0  # cells seen so far in this process by `compiled_pays`


class Highest(NamedTuple):
    """Per row: the `label` of the highest logit (the first of tied ones) and its `value`."""

    label: Int[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]


class Tilted(NamedTuple):
    """Per row, of gaps g = z - max z under softmax(beta z): log sum exp(beta g), E[g], Var[g], third central moment."""

    log_sum: Float[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    variance: Float[np.ndarray, " n"]
    third: Float[np.ndarray, " n"]


class Mass(NamedTuple):
    """Per row, of the gaps g = z - max z: `total` sum exp(beta g), at least 1, and `squares` sum exp(2 beta g)."""

    total: Float[np.ndarray, " n"]
    squares: Float[np.ndarray, " n"]


def highest(logits: Logits) -> Highest:
    """Best class of every row and its logit, after refusing what no softmax can use (see `check_logits`)."""
    if not isinstance(logits, np.ndarray):
        raise InputError(f"logits must be a numpy array, got {type(logits).__name__}; pass np.asarray(logits)")
    if logits.ndim != 2 or logits.size == 0 or not np.issubdtype(logits.dtype, np.floating):
        check_logits(logits)
    label = logits.argmax(axis=1)  # the first NaN where there is one, so the next line sees every bad row
    value = logits[np.arange(len(logits)), label]
    if not np.isfinite(value).all():
        check_logits(logits)
    return Highest(label, value)


def tilted(logits: Logits, top: Float[np.ndarray, " n"], beta: float) -> Tilted:
    """Log-partition and first three central moments of each row's gaps to `top`, its maximum, under softmax(beta z).

    >>> t = tilted(np.array([[0.0, 1.0]]), np.array([1.0]), beta=1.0)
    >>> round(float(t.log_sum[0]), 6), round(float(t.mean[0]), 6), round(float(t.variance[0]), 6)
    (0.313262, -0.268941, 0.196612)
    """
    sums = np.empty((4, len(logits)))
    if compiled_pays(logits):
        from candid.metrics import compiled

        compiled.tilted(logits, top, check_beta(beta), sums)
    else:
        spare = np.empty((2, block_rows(logits), logits.shape[1]))
        for rows, gaps in scaled_gaps(logits, top, beta):
            _sum_powers(gaps, spare[:, : len(gaps)], sums[:, rows])
    return _central(sums, beta)


def tilted_single(logits: Float[np.ndarray, "n k"], top: Float[np.ndarray, " n"], beta: float) -> Tilted:
    """`tilted` in float32, right to about 1e-6, in half the time: for the steps that only lead to an answer."""
    sums = np.empty((4, len(logits)))
    if compiled_pays(logits) and logits.dtype == np.float32:
        from candid.metrics import compiled

        compiled.tilted_single(logits, top, np.float32(check_beta(beta)), sums)
    else:
        spare = np.empty((2, block_rows(logits), logits.shape[1]), dtype=np.float32)
        for rows, gaps in _scaled_gaps_single(logits, top, beta):
            _sum_powers(gaps, spare[:, : len(gaps)], sums[:, rows])
    return _central(sums, beta)


def mass(logits: Logits, top: Float[np.ndarray, " n"], beta: float) -> Mass:
    """What confidence, likelihood and Brier score of a row are made of: confidence is 1 / total.

    >>> mass(np.array([[0.0, np.log(3.0)]]), np.array([np.log(3.0)]), 1.0).total.round(6).tolist()
    [1.333333]
    """
    out = np.empty((2, len(logits)))
    if compiled_pays(logits):
        from candid.metrics import compiled

        compiled.mass(logits, top, check_beta(beta), out)
        return Mass(*out)
    for rows, gaps in scaled_gaps(logits, top, beta):
        np.exp(gaps, out=gaps)
        out[0, rows], out[1, rows] = np.einsum("ij->i", gaps), _dots(gaps, gaps)
    return Mass(*out)


def inverse_mass(logits: Logits, top: Float[np.ndarray, " n"], beta: float) -> Float[np.ndarray, " n"]:
    """1 / sum exp(beta (z - top)) of each row: the probability of its best class."""
    out = np.empty(len(logits))
    if compiled_pays(logits):
        from candid.metrics import compiled

        compiled.inverse_mass(logits, top, check_beta(beta), out)
        return out
    for rows, gaps in scaled_gaps(logits, top, beta):
        out[rows] = 1.0 / np.einsum("ij->i", np.exp(gaps, out=gaps))
    return out


def inverse_mass_single(
    logits: Float[np.ndarray, "n k"], top: Float[np.ndarray, " n"], beta: float
) -> Float[np.ndarray, " n"]:
    """`inverse_mass` in float32, right to 1e-6, in a third of the time: for callers who mend what that moves."""
    out = np.empty(len(logits))
    if compiled_pays(logits) and logits.dtype == np.float32:
        from candid.metrics import compiled

        compiled.inverse_mass_single(logits, top, np.float32(check_beta(beta)), out)
        return out
    for rows, gaps in _scaled_gaps_single(logits, top, beta):
        out[rows] = 1.0 / np.einsum("ij->i", np.exp(gaps, out=gaps))
    return out


def scaled_gaps(
    logits: Logits, top: Float[np.ndarray, " n"], beta: float
) -> Iterator[tuple[slice, Float[np.ndarray, "rows k"]]]:
    """Blocks of beta (z - top) in float64, where the difference of float32 logits is exact; none below LOWEST.

    Every block is written over the one before: fresh memory for each costs more than the arithmetic.
    """
    beta = check_beta(beta)
    buffer = np.empty((block_rows(logits), logits.shape[1]))
    for rows in row_blocks(*logits.shape):
        gaps = buffer[: rows.stop - rows.start]
        gaps[:] = logits[rows]  # converted by itself: a subtraction that converts takes twice as long
        gaps -= top[rows, None]
        gaps *= beta
        if gaps.min() < LOWEST:
            np.maximum(gaps, LOWEST, out=gaps)
        yield rows, gaps


def _scaled_gaps_single(
    logits: Logits, top: Float[np.ndarray, " n"], beta: float
) -> Iterator[tuple[slice, Float[np.ndarray, "rows k"]]]:
    factor = np.float32(check_beta(beta))
    buffer = np.empty((block_rows(logits), logits.shape[1]), dtype=np.float32)
    for rows in row_blocks(*logits.shape):
        gaps = np.subtract(logits[rows], top[rows, None], out=buffer[: rows.stop - rows.start], dtype=np.float32)
        gaps *= factor
        if gaps.min() < LOWEST_SINGLE:
            np.maximum(gaps, np.float32(LOWEST_SINGLE), out=gaps)
        yield rows, gaps


def _sum_powers(
    gaps: Float[np.ndarray, "rows k"], spare: Float[np.ndarray, "two rows k"], out: Float[np.ndarray, "four rows"]
) -> None:
    """Into the four rows of `out`: sums of exp(x) x^0, x^1, x^2, x^3 over each row."""
    weights, squares = spare
    out[0] = np.einsum("ij->i", np.exp(gaps, out=weights))
    out[1] = _dots(weights, gaps)
    out[2] = _dots(weights, np.multiply(gaps, gaps, out=squares))
    weights *= gaps
    out[3] = _dots(weights, squares)


def _dots(a: Float[np.ndarray, "rows k"], b: Float[np.ndarray, "rows k"]) -> Float[np.ndarray, " rows"]:
    """Row by row a . b, as BLAS does it: a third of the time of einsum."""
    dots = np.zeros(len(a))
    for start in range(0, a.shape[1], ONE_THREAD):
        part = slice(start, start + ONE_THREAD)
        dots += np.matmul(a[:, None, part], b[:, part, None])[:, 0, 0]
    return dots


def _central(sums: Float[np.ndarray, "four n"], beta: float) -> Tilted:
    """Central moments of g from raw sums of powers of beta g."""
    total, mean, second, third = sums
    np.divide(sums[1:], total, out=sums[1:])
    third += mean * (2 * mean**2 - 3 * second)
    second -= mean**2
    np.maximum(second, 0.0, out=second)
    for power in range(1, 4):
        sums[power:] /= beta
    np.log(total, out=total)
    return Tilted(total, mean, second, third)


def block_rows(logits: Logits) -> int:
    """Rows of the largest block of `row_blocks`."""
    rows, columns = logits.shape
    return int(min(rows, max(1, BLOCK_CELLS // columns)))


def compiled_pays(logits: Logits) -> bool:
    """Whether to take the compiled route: numba is there, the layout is right, and enough cells came before.

    One fit of 50,000 x 1,000 stays with numpy, for importing numba takes longer; a study or a stream does not.
    """
    global _passed
    if logits.size < COMPILED_FROM or not logits.flags.c_contiguous or logits.dtype not in (np.float32, np.float64):
        return False
    _passed += logits.size
    return _passed >= COMPILED_CELLS and installed("fast")


def check_beta(beta: float) -> float:
    """The inverse temperature, after refusing one that is not positive and finite."""
    if not (beta > 0 and np.isfinite(beta)):
        raise InputError(f"an inverse temperature must be positive and finite, got {beta}")
    return float(beta)
