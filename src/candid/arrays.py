"""Checks at the public doors, and the two transforms everything shares. float64 where it matters."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from candid.errors import InputError
from candid.types import Labels, Logits, Probs, Scores

__all__ = ["check_labels", "check_logits", "check_probs", "check_scores", "log_softmax", "on_device", "softmax"]

ROW_SUM_TOLERANCE = 1e-3  # float16 probabilities over 1,000 classes still sum to 1 within this
BLOCK_CELLS = 1 << 16  # float64 temporaries of half a MB stay in the second-level cache
CHECKED_CELLS = 1 << 18  # what is read again and again, and makes no temporaries, may be larger
PLAIN_SUM = 4096  # terms that float32 adds one after another to well within the tolerance


def check_logits(logits: Logits, *, name: str = "logits") -> Logits:
    """The same array, after refusing what no softmax can use: not n x k, empty, NaN, +inf, or a row of only -inf."""
    logits = _matrix(logits, name)
    top = logits.max(axis=1)  # NaN and +inf both survive a maximum; -inf is a masked class
    bad = ~np.isfinite(top)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"{name} must be finite (-inf masks a class, never a whole row), row {row} has top {top[row]}")
    return logits


def check_probs(probs: Probs, *, name: str = "probs") -> Probs:
    """The same array, after refusing rows that are not probabilities."""
    probs = _matrix(probs, name)
    if all(surely_probs(probs[rows]) for rows in row_blocks(*probs.shape, cells=CHECKED_CELLS)):
        return probs
    sums = probs.sum(axis=1, dtype=np.promote_types(probs.dtype, np.float64))
    bad = ~(np.abs(sums - 1.0) <= ROW_SUM_TOLERANCE)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"rows of {name} must sum to 1, row {row} sums to {sums[row]:.4g}; are these logits? pass softmax(logits)"
        )
    if probs.min() < 0:
        row = int(np.argmax(probs.min(axis=1) < 0))
        raise InputError(f"{name} must not be negative, row {row} holds {probs[row].min():.4g}")
    return probs


def surely_probs(block: Float[np.ndarray, "rows k"]) -> bool:
    """Whether all rows are probabilities beyond doubt; where this is False, `check_probs` decides.

    The fast sum may be off by its rounding, so it has to be inside the tolerance by as much.
    """
    if block.dtype == np.float16:
        block = block.astype(np.float32)
    sums = np.einsum("ij->i", block[:, :PLAIN_SUM]).astype(np.float64)
    for start in range(PLAIN_SUM, block.shape[1], PLAIN_SUM):
        sums += np.einsum("ij->i", block[:, start : start + PLAIN_SUM])
    off = ROW_SUM_TOLERANCE - min(block.shape[1], PLAIN_SUM) * 2.0**-24
    return bool(sums.min() >= 1 - off and sums.max() <= 1 + off and block.min() >= 0)


def check_labels(labels: Labels, *, classes: int, rows: int, name: str = "labels") -> Int[np.ndarray, " n"]:
    """Labels as int64, after refusing another length, non-integers and values outside [0, classes)."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) != rows:
        raise InputError(f"expected {rows} {name}, one a row, got shape {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{name} must be integers in [0, {classes}), got {labels.dtype}; map names to indices first")
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        row = int(np.argmax((labels < 0) | (labels >= classes)))
        raise InputError(f"{name} must lie in [0, {classes}), row {row} is {labels[row]}")
    return labels.astype(np.int64, copy=False)


def check_scores(scores: Scores, *, name: str = "scores") -> Float[np.ndarray, " n"]:
    """Scores as float64, after refusing an empty or non-flat array and NaN; infinities order fine and stay."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise InputError(f"{name} must be a flat, non-empty array, got shape {scores.shape}")
    bad: Bool[np.ndarray, " n"] = np.isnan(scores)
    if bad.any():
        raise InputError(f"{name} must not be NaN, row {int(np.argmax(bad))} is")
    return scores


def row_blocks(rows: int, columns: int, *, cells: int = BLOCK_CELLS) -> Iterator[slice]:
    """Slices that cover `rows` rows, each of about `cells` cells, by default 65,000.

    >>> [(s.start, s.stop) for s in row_blocks(5, 30_000)]
    [(0, 2), (2, 4), (4, 5)]
    """
    step = max(1, cells // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def softmax(logits: Logits, *, temperature: float = 1.0) -> Probs:
    """Probabilities in float64; columns at -inf get exactly 0.

    >>> softmax(np.array([[0.0, 0.0, -np.inf]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    probs: Probs = np.exp(log_softmax(logits, temperature=temperature))
    return probs


def log_softmax(logits: Logits, *, temperature: float = 1.0) -> Float[np.ndarray, "n k"]:
    """Log-probabilities in float64, exact where the softmax itself would underflow."""
    if not temperature > 0:
        raise InputError(f"temperature must be positive, got {temperature}")
    z = check_logits(logits).astype(np.float64) / temperature
    z -= z.max(axis=1, keepdims=True)
    z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
    return z


def _matrix(array: Float[np.ndarray, "n k"], name: str) -> Float[np.ndarray, "n k"]:
    array = np.asarray(array)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{name} must be n x k with n, k > 0, got shape {array.shape}")
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name} must be floating point, got {array.dtype}")
    return array


def on_device(array: np.ndarray, device: str | None) -> Any:
    """The array itself for None, else a torch tensor of its numbers on the device ("cuda", "mps", "cpu")."""
    if device is None:
        return array
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
