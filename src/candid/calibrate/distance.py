"""How far prompt tuning moved a class from those it was tuned on, and so how sure the head may be of it."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from candid.calibrate.columns import check_classes
from candid.errors import InputError
from candid.metrics.rows import row_blocks
from candid.types import Logits

__all__ = ["DistanceAware"]

SAME_CLASS = 0.05  # tuned texts nearer than this are one class: it was tuned on, and needs no correction
UNIT = 1e-2  # float16 rows are unit to this


@dataclass(frozen=True, eq=False)
class DistanceAware:
    """One fitted factor a class: calling it returns logits times the factor of their row's predicted class.

    Below 1 where tuning moved the class further from the classes tuned on than it was (confidence falls), above 1 where
    it came nearer, 1 for classes that were tuned on. It does nothing for a plain zero-shot head: without tuning both
    distances are the same and every factor is 1.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "logits"
    needs: ClassVar[Literal["labels", "text"]] = "text"
    prefer: ClassVar[str] = (
        "For a prompt-tuned head on classes it was not tuned on, without labels; useless for plain zero-shot heads."
    )

    factors: Float[np.ndarray, " k"]

    @staticmethod
    def fit(
        base_zero_shot: Float[np.ndarray, "b d"],
        base_tuned: Float[np.ndarray, "b d"],
        new_zero_shot: Float[np.ndarray, "k d"],
        new_tuned: Float[np.ndarray, "k d"],
        *,
        neighbours: int = 5,
    ) -> "DistanceAware":
        """The factors of the new classes from unit text features, before ("zero_shot") and after tuning.

        Factor c is exp(-d_tuned) / exp(-d_zero_shot), d the mean Euclidean distance of class c to its nearest
        `neighbours` base classes under the same prompts; 1 where the nearest is closer than 0.05 after tuning
        (Wang et al. 2024, https://arxiv.org/abs/2402.04655, sec. 4, and their code for that exception). Base classes
        are those the prompts were tuned on; new classes are the columns of the logits, in their order, and may include
        base ones. No labels are used. `InputError` for rows that are not unit or not paired, and for fewer base classes
        than neighbours.

        >>> base = np.eye(2)
        >>> fitted = DistanceAware.fit(base, base, np.array([[0.6, 0.8]]), np.array([[-1.0, 0.0]]), neighbours=1)
        >>> round(float(fitted.factors[0]), 4), round(float(np.exp(-(2**0.5) + 0.4**0.5)), 4)
        (0.4576, 0.4576)
        """
        for name, before, after in (("base", base_zero_shot, base_tuned), ("new", new_zero_shot, new_tuned)):
            _check_texts(before, f"{name}_zero_shot")
            _check_texts(after, f"{name}_tuned")
            if len(before) != len(after):
                raise InputError(f"expected one {name} row a class before and after, got {len(before)}, {len(after)}")
        if not 1 <= neighbours <= len(base_tuned):
            raise InputError(
                f"neighbours must lie between 1 and the number of base classes, {len(base_tuned)}, got {neighbours}"
            )
        tuned, plain = _nearest(new_tuned, base_tuned, neighbours), _nearest(new_zero_shot, base_zero_shot, neighbours)
        moved = np.exp(plain.mean(axis=1) - tuned.mean(axis=1))
        return DistanceAware(np.where(tuned.min(axis=1) < SAME_CLASS, 1.0, moved))

    def __call__(self, logits: Logits) -> Logits:
        """Logits times the factor of their row's highest, in their own precision (float16 becomes float32)."""
        best = check_classes(logits, len(self.factors))
        scaled = logits.astype(np.promote_types(logits.dtype, np.float32))
        scaled *= self.factors[best.label][:, None]
        return scaled


def _nearest(
    new: Float[np.ndarray, "k d"], base: Float[np.ndarray, "b d"], neighbours: int
) -> Float[np.ndarray, "k neighbours"]:
    """Distances of every new row to its nearest base rows, in no order."""
    new, base = new.astype(np.float64), base.astype(np.float64)
    out = np.empty((len(new), neighbours))
    lengths = np.einsum("ij,ij->i", base, base)
    for rows in row_blocks(len(new), len(base)):
        squares = lengths + np.einsum("ij,ij->i", new[rows], new[rows])[:, None] - 2 * new[rows] @ base.T
        out[rows] = np.partition(squares, neighbours - 1, axis=1)[:, :neighbours]
    nearest: Float[np.ndarray, "k neighbours"] = np.sqrt(np.maximum(out, 0.0))
    return nearest


def _check_texts(texts: Float[np.ndarray, "k d"], name: str) -> None:
    if texts.ndim != 2 or not len(texts) or not np.issubdtype(texts.dtype, np.floating):
        raise InputError(f"{name} must be one row of floating-point features a class, got {texts.dtype} {texts.shape}")
    lengths = np.linalg.norm(texts.astype(np.float64), axis=1)
    bad = ~(np.abs(lengths - 1) <= UNIT)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"rows of {name} must have length 1, row {row} has {lengths[row]:.4g}; divide it by its length"
        )
