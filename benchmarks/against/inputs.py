"""The data of one size: float32 logits, labels drawn at a temperature and mild class effects, and rows held out.

Written once, then read by every contender from the same files. A contender takes what its package wants (logits,
probabilities, tensors) before the clock starts; only what it makes of them is measured.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

TRUTH = 0.7
HELD = 10_000


@dataclass(frozen=True)
class Data:
    """Arrays of one folder, each read when first asked for."""

    folder: Path

    @cached_property
    def logits(self) -> np.ndarray:
        return np.load(self.folder / "logits.npy")

    @cached_property
    def labels(self) -> np.ndarray:
        return np.load(self.folder / "labels.npy")

    @cached_property
    def probs(self) -> np.ndarray:
        return np.load(self.folder / "probs.npy")

    @cached_property
    def held_logits(self) -> np.ndarray:
        return np.load(self.folder / "held_logits.npy")

    @cached_property
    def held_labels(self) -> np.ndarray:
        return np.load(self.folder / "held_labels.npy")

    @cached_property
    def held_probs(self) -> np.ndarray:
        return np.load(self.folder / "held_probs.npy")

    def top(self) -> tuple[np.ndarray, np.ndarray]:
        """Confidence in float64 and whether it was right, looked up again each time."""
        return self.probs.max(axis=1).astype(np.float64), self.probs.argmax(axis=1) == self.labels

    def tensors(self, *names: str) -> list[Any]:
        """The named arrays as torch tensors, on one thread."""
        import torch

        torch.set_num_threads(1)
        return [torch.from_numpy(getattr(self, name)) for name in names]


def write(folder: Path, rows: int, classes: int) -> Data:
    """`rows` and a fifth as many held out, at most 10,000."""
    rng = np.random.default_rng(0)
    scale = np.exp(0.1 * rng.standard_normal(classes)) / TRUTH
    shift = 0.3 * rng.standard_normal(classes)
    for prefix, n in (("", rows), ("held_", min(HELD, rows // 5))):
        logits = 3 * rng.standard_normal((n, classes), dtype=np.float32)
        labels, probs = np.empty(n, dtype=np.int64), np.empty_like(logits)
        for part in np.array_split(np.arange(n), max(1, logits.size // 1_000_000)):
            exact = logits[part].astype(np.float64)
            labels[part] = (exact * scale + shift + rng.gumbel(size=exact.shape)).argmax(axis=1)
            probs[part] = softmax(exact)
        for name, array in (("logits", logits), ("labels", labels), ("probs", probs)):
            np.save(folder / f"{prefix}{name}.npy", array)
    return Data(folder)


def softmax(logits: np.ndarray) -> np.ndarray:
    mass = np.exp(logits - logits.max(axis=1, keepdims=True))
    return mass / mass.sum(axis=1, keepdims=True)
