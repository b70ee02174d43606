"""The top label of each row and how sure the model is of it: n numbers where the probabilities are n x k."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from candid.arrays import CHECKED_CELLS, ROW_SUM_TOLERANCE, check_labels, check_probs, surely_probs
from candid.errors import InputError
from candid.metrics.rows import Highest, compiled_pays, highest, inverse_mass, mass, row_blocks
from candid.types import Correct, Labels, Logits, Probs, Scores

__all__ = ["Judged", "Top", "check_top", "judge", "judge_rows", "top_label", "top_of_probs", "top_scores"]


class Top(NamedTuple):
    """Per row: `confidence` in the predicted class, in [0, 1], and whether that class is `correct`."""

    confidence: Scores
    correct: Correct


class TopScores(NamedTuple):
    """Per row: the predicted `label` (the first of tied ones) and the `confidence` in it, in [0, 1]."""

    label: Labels
    confidence: Scores


@dataclass(frozen=True)
class Judged:
    """Per row, in 33 bytes: the `predicted` label, the `confidence` in it, whether it is `correct`, two proper losses.

    The means of `nll` (nats; infinite for a label that was not on offer) and `brier` (in [0, 2]) are `metrics.nll` and
    `metrics.brier`; `confidence` and `correct` are what the `*_of_top` functions and `aurc` take.
    """

    predicted: Labels
    confidence: Scores
    correct: Correct
    nll: Scores
    brier: Scores


def judge(logits: Logits, labels: Labels, *, temperature: float = 1.0) -> Judged:
    """What `metrics` would average of softmax(logits / temperature), row by row, in one pass without probabilities.

    >>> judge(np.array([[0.0, np.log(3.0)]]), np.array([1])).brier.round(3).tolist()
    [0.125]
    """
    best = highest(logits)
    return judge_rows(logits, best, check_labels(labels, classes=logits.shape[1], rows=len(logits)), temperature)


def judge_rows(logits: Logits, best: Highest, labels: Labels, temperature: float) -> Judged:
    """`judge` of checked rows whose highest logits are known."""
    if not 0 < temperature < np.inf:
        raise InputError(f"temperature must be positive and finite, got {temperature}")
    total, squares = mass(logits, best.value, 1.0 / temperature)
    gap = (logits[np.arange(len(logits)), labels].astype(np.float64) - best.value) / temperature
    given = np.exp(gap) / total
    return Judged(
        predicted=best.label,
        confidence=1.0 / total,
        correct=best.label == labels,
        nll=np.log(total) - gap,
        brier=np.maximum(squares / total**2 - 2 * given + 1, 0.0),
    )


def top_label(logits: Logits, labels: Labels, *, temperature: float = 1.0) -> Top:
    """Confidence and correctness of softmax(logits / temperature), without the n x k probabilities.

    >>> top_label(np.array([[0.0, np.log(3.0)]]), np.array([1]))
    Top(confidence=array([0.75]), correct=array([ True]))
    """
    label, confidence = top_scores(logits, temperature=temperature)
    truth = check_labels(labels, classes=logits.shape[1], rows=len(logits))
    return Top(confidence, label == truth)


def top_scores(logits: Logits, *, temperature: float = 1.0) -> TopScores:
    """Predicted label and confidence of softmax(logits / temperature), where no truth is at hand."""
    if not temperature > 0:
        raise InputError(f"temperature must be positive, got {temperature}")
    label, value = highest(logits)
    return TopScores(label, inverse_mass(logits, value, 1.0 / temperature))


def top_of_probs(probs: Probs, labels: Labels) -> Top:
    """Confidence and correctness of probabilities; float32 values are converted, never recomputed.

    >>> top_of_probs(np.array([[0.5, 0.5]]), np.array([1]))
    Top(confidence=array([0.5]), correct=array([False]))
    """
    label, confidence = most_probable(probs)
    truth = check_labels(labels, classes=probs.shape[1], rows=len(probs))
    return Top(np.minimum(confidence, 1.0), label == truth)  # a float32 softmax may sum to 1 + 6e-8


def most_probable(probs: Probs) -> TopScores:
    """Label and probability of each row's most probable class, after refusing rows that are not probabilities."""
    if isinstance(probs, np.ndarray) and probs.ndim == 2 and compiled_pays(probs):
        from candid.metrics import compiled

        label, confidence, total = np.empty(len(probs), np.int64), np.empty(len(probs)), np.empty(len(probs))
        compiled.most_probable(probs, probs.view(f"i{probs.itemsize}"), label, confidence, total)
        if (np.abs(total - 1.0) <= ROW_SUM_TOLERANCE).all():
            return TopScores(label, confidence)  # else `check_probs` finds the row, and the words
    if not isinstance(probs, np.ndarray) or probs.ndim != 2 or probs.size == 0:
        probs = check_probs(probs)
    best: Int[np.ndarray, " n"] = np.empty(len(probs), dtype=np.int64)
    sure = np.issubdtype(probs.dtype, np.floating)
    for rows in row_blocks(*probs.shape, cells=CHECKED_CELLS):
        block = probs[rows]
        sure = sure and surely_probs(block)
        block.argmax(axis=1, out=best[rows])
    if not sure:
        check_probs(probs)
    return TopScores(best, probs[np.arange(len(probs)), best].astype(np.float64))


def check_top(confidence: Scores, correct: Correct) -> Top:
    """The pair as float64 and bool, after refusing empty input, unequal lengths and values outside [0, 1]."""
    confidence = np.asarray(confidence, dtype=np.float64)
    correct = np.asarray(correct)
    if confidence.ndim != 1 or confidence.size == 0 or confidence.shape != correct.shape:
        raise InputError(
            f"confidence and correct must be flat, non-empty and of one length, got {confidence.shape}, {correct.shape}"
        )
    if correct.dtype != np.bool_:
        raise InputError(f"correct must be bool, got {correct.dtype}; pass predicted == labels")
    bad = ~((confidence >= 0) & (confidence <= 1))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"confidence must lie in [0, 1], row {row} is {confidence[row]}; are these logits?")
    return Top(confidence, correct)
