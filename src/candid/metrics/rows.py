"""What one pass over logits says about each row: its best class, and three numbers of the softmax at 1 / T = beta.

Confidence, likelihood, energy, entropy and the temperature fit all follow from these n x 4 numbers, so nothing n x k
is ever copied: numpy works in blocks that stay in cache, and above `COMPILED_CELLS` the extra "fast" runs the same
formulas compiled. Both are float64; they agree to rounding.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from candid.arrays import check_logits
from candid.errors import InputError
from candid.extras import installed
from candid.types import Logits

__all__ = ["Highest", "Tilted", "highest", "inverse_mass", "row_blocks", "tilted"]

BLOCK_CELLS = 1 << 16  # float64 temporaries of half a MB stay in the second-level cache
COMPILED_CELLS = 1 << 24  # below this, importing numba costs more than it saves
FLOOR = -1e30  # stands for the gap of a masked class: exp(beta * FLOOR) is 0, and 0 * FLOOR is not NaN


class Highest(NamedTuple):
    """Per row: the `label` of the highest logit (the first of tied ones) and its `value`."""

    label: Int[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]


class Tilted(NamedTuple):
    """Per row, of the gaps g = z - max z with p = softmax(beta z): log sum exp(beta g), E_p[g] and Var_p[g]."""

    log_sum: Float[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    variance: Float[np.ndarray, " n"]


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
    """Log-partition, mean and variance of each row's gaps to `top`, its maximum, under softmax(beta * logits).

    >>> t = tilted(np.array([[0.0, 1.0]]), np.array([1.0]), beta=1.0)
    >>> round(float(t.log_sum[0]), 6), round(float(t.mean[0]), 6), round(float(t.variance[0]), 6)
    (0.313262, -0.268941, 0.196612)
    """
    out = np.empty((3, len(logits)))
    if compiled_pays(logits):
        from candid.metrics import compiled

        compiled.tilted(logits, top, check_beta(beta), out)
        return Tilted(*out)
    mass = np.empty((block_rows(logits), logits.shape[1]))
    for rows, gaps in gap_blocks(logits, top):
        weights = np.multiply(gaps, check_beta(beta), out=mass[: len(gaps)])
        total = np.exp(weights, out=weights).sum(axis=1)
        weights *= gaps
        mean = weights.sum(axis=1) / total
        out[0, rows] = np.log(total)
        out[1, rows] = mean
        out[2, rows] = np.einsum("ij,ij->i", weights, gaps) / total - mean**2
    np.maximum(out[2], 0.0, out=out[2])
    return Tilted(*out)


def inverse_mass(logits: Logits, top: Float[np.ndarray, " n"], beta: float) -> Float[np.ndarray, " n"]:
    """1 / sum exp(beta (z - top)) of each row: the probability of its best class."""
    out = np.empty(len(logits))
    if compiled_pays(logits):
        from candid.metrics import compiled

        compiled.inverse_mass(logits, top, check_beta(beta), out)
        return out
    for rows, gaps in gap_blocks(logits, top):
        gaps *= check_beta(beta)
        out[rows] = 1.0 / np.exp(gaps, out=gaps).sum(axis=1)
    return out


def inverse_mass_single(
    logits: Float[np.ndarray, "n k"], top: Float[np.ndarray, " n"], beta: float
) -> Float[np.ndarray, " n"]:
    """`inverse_mass` in float32, right to 1e-6, in a third of the time: for callers who mend what that moves."""
    out = np.empty(len(logits))
    if compiled_pays(logits):
        from candid.metrics import compiled

        compiled.inverse_mass_single(logits, top, np.float32(check_beta(beta)), out)
        return out
    buffer = np.empty((block_rows(logits), logits.shape[1]), dtype=np.float32)
    for rows in row_blocks(*logits.shape):
        gaps = np.subtract(logits[rows], top[rows, None], out=buffer[: rows.stop - rows.start])
        gaps *= np.float32(beta)
        out[rows] = 1.0 / np.exp(gaps, out=gaps).sum(axis=1)
    return out


def gap_blocks(logits: Logits, top: Float[np.ndarray, " n"]) -> Iterator[tuple[slice, Float[np.ndarray, "rows k"]]]:
    """Blocks of z - top in float64, where the difference of float32 logits is exact; masked classes at FLOOR.

    Every block is written over the one before: fresh memory for each costs more than the arithmetic.
    """
    buffer = np.empty((block_rows(logits), logits.shape[1]))
    for rows in row_blocks(*logits.shape):
        gaps = np.subtract(logits[rows], top[rows, None], out=buffer[: rows.stop - rows.start], dtype=np.float64)
        yield rows, np.maximum(gaps, FLOOR, out=gaps)


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices that cover `rows` rows, each of about 65,000 cells.

    >>> [(s.start, s.stop) for s in row_blocks(5, 30_000)]
    [(0, 2), (2, 4), (4, 5)]
    """
    step = max(1, BLOCK_CELLS // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def block_rows(logits: Logits) -> int:
    """Rows of the largest block of `row_blocks`."""
    rows, columns = logits.shape
    return int(min(rows, max(1, BLOCK_CELLS // columns)))


def compiled_pays(logits: Logits) -> bool:
    """Whether these logits are large enough, and laid out right, for the compiled route, and numba is installed."""
    return (
        logits.size >= COMPILED_CELLS
        and logits.flags.c_contiguous
        and logits.dtype in (np.float32, np.float64)
        and installed("fast")
    )


def check_beta(beta: float) -> float:
    """The inverse temperature, after refusing one that is not positive and finite."""
    if not (beta > 0 and np.isfinite(beta)):
        raise InputError(f"an inverse temperature must be positive and finite, got {beta}")
    return float(beta)
