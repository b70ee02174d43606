"""What a task is: contenders, what their results are worth, and when one is right."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from against.inputs import Data

Call = Callable[[], Any]
Contender = Callable[[Data], Call]
"""Takes the data, imports and converts; the call it returns is what is measured."""


@dataclass(frozen=True)
class Task:
    """`value` turns a call's result into the number judged, `reference` gives the true one, within `tolerance` of it.

    `tolerance` is relative. Without a `reference` the value is a loss on rows held out, and right is within an absolute
    `tolerance` of the lowest loss that any contender reached. `classes` caps the classes of the default size.
    """

    contenders: Mapping[str, Contender]
    value: Callable[[Any, Data], float]
    tolerance: float
    reference: Contender | None = None
    classes: int | None = None
    grows: bool = False
    unit: str = ""


def number(result: Any, data: Data) -> float:
    return float(result)


def held_nll(probs: np.ndarray, data: Data) -> float:
    """Mean -log p of the held-out labels, in nats."""
    given = np.asarray(probs)[np.arange(len(data.held_labels)), data.held_labels]
    return float(-np.log(np.maximum(given.astype(np.float64), 1e-300)).mean())


def held_brier(probs: np.ndarray, data: Data) -> float:
    """Mean squared distance to the held-out labels, 0 to 2: what binned forms are judged by, as zeros have no nll."""
    probs = np.asarray(probs).astype(np.float64)
    given = probs[np.arange(len(data.held_labels)), data.held_labels]
    return float((np.einsum("ij,ij->i", probs, probs) - 2 * given + 1).mean())


def mean_size(sets: np.ndarray, data: Data) -> float:
    return float(np.asarray(sets).sum(axis=1).mean())
