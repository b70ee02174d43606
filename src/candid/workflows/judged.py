"""One pass over logits that keeps what every later number needs, a few bytes a row."""

from dataclasses import dataclass

import numpy as np

from candid.arrays import log_softmax
from candid.types import Correct, Labels, Logits, Scores

__all__ = ["Judged", "judge"]

BLOCK = 1 << 20  # float64 cells of a softmax held at a time, 8 MB


@dataclass(frozen=True)
class Judged:
    """Per row: the answer, its stated confidence, whether it is right, and the two proper losses."""

    predicted: Labels
    confidence: Scores
    correct: Correct
    nll: Scores
    brier: Scores


def judge(logits: Logits, labels: Labels, *, temperature: float = 1.0) -> Judged:
    """What `metrics` would average, row by row: their means are `metrics.nll` and `metrics.brier`.

    >>> judge(np.array([[0.0, np.log(3.0)]]), np.array([1])).brier.round(3).tolist()
    [0.125]
    """
    predicted = logits.argmax(axis=1)
    confidence, nll, brier = [], [], []
    start = 0
    for block in _blocks(logits):
        log_probs = log_softmax(block, temperature=temperature)
        truth = log_probs[np.arange(len(block)), labels[start : start + len(block)]]
        start += len(block)
        probs = np.exp(log_probs)
        confidence.append(probs.max(axis=1))
        nll.append(-truth)
        brier.append((probs * probs).sum(axis=1) - 2 * np.exp(truth) + 1)
    return Judged(
        predicted, np.concatenate(confidence), predicted == labels, np.concatenate(nll), np.concatenate(brier)
    )


def _blocks(logits: Logits) -> list[Logits]:
    rows = max(1, BLOCK // logits.shape[1])
    return [logits[start : start + rows] for start in range(0, len(logits), rows)]
