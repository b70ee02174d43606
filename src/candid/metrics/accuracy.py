"""How often the top label is right."""

from candid.arrays import check_labels
from candid.metrics.intervals import proportion
from candid.metrics.rows import highest
from candid.types import Correct, Estimate, Labels, Logits

__all__ = ["accuracy", "accuracy_interval"]


def accuracy(logits: Logits, labels: Labels) -> float:
    """Share of rows whose highest logit is the label, in [0, 1]. Of tied classes the first is the prediction.

    >>> import numpy as np
    >>> accuracy(np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([1, 1]))
    0.5
    """
    return float(hits(logits, labels).mean())


def accuracy_interval(logits: Logits, labels: Labels, *, level: float = 0.95) -> Estimate:
    """Accuracy with its exact binomial (Clopper-Pearson) interval.

    >>> import numpy as np
    >>> found = accuracy_interval(np.array([[0.2, 0.8], [0.9, 0.5]]), np.array([1, 0]))
    >>> found.value, round(found.low, 6), found.high, found.n
    (1.0, 0.158114, 1.0, 2)
    """
    right = hits(logits, labels)
    return proportion(int(right.sum()), len(right), level=level)


def hits(logits: Logits, labels: Labels) -> Correct:
    """Whether each row's prediction is its label."""
    predicted = highest(logits).label
    hit: Correct = predicted == check_labels(labels, classes=logits.shape[1], rows=len(logits))
    return hit
