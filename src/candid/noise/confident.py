"""Confident learning: which given labels are wrong, and how many, from out-of-sample probabilities.

Northcutt, Jiang and Chuang 2021, arxiv.org/abs/1911.00068. An image counts as confidently of class j where p_j reaches
the mean p_j over the images labelled j (eq. 2); counting given against confident classes gives the joint (eq. 1),
scaled to the number of labels of each class (eq. 3).
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from candid.arrays import check_labels, check_probs
from candid.errors import InputError, nearest
from candid.types import Labels, Probs

__all__ = ["ConfidentLearning", "Prune", "confident_learning"]

Prune = Literal["noise-rate", "class", "both", "off-diagonal"]
SLACK = 1e-6  # a probability that equals its class's mean reaches it, whatever the rounding


@dataclass(frozen=True)
class ConfidentLearning:
    """What confident learning says of n given labels over k classes.

    `thresholds` (NaN for a class without labels), `counts` of confident images by given (rows) and true class, `joint`
    the estimated counts of all images (sums to n), `noise` P(given = i | true = j) at [i, j] (NaN in a column of a
    class that seems to have no image). `wrong` marks labels to doubt, `suggested` is each image's likeliest class.
    """

    thresholds: Float[np.ndarray, " k"]
    counts: Int[np.ndarray, "k k"]
    joint: Float[np.ndarray, "k k"]
    noise: Float[np.ndarray, "k k"]
    wrong: Bool[np.ndarray, " n"]
    suggested: Int[np.ndarray, " n"]

    @property
    def estimated_wrong(self) -> float:
        """Estimated number of wrong labels."""
        return float(self.joint.sum() - np.trace(self.joint))


def confident_learning(probs: Probs, labels: Labels, *, prune: Prune = "noise-rate") -> ConfidentLearning:
    """Estimated label errors. `prune` says how the estimated numbers choose images:

    "noise-rate": of each pair (given i, true j) as many as the joint says, largest p_j - p_i first; "class": of each
    given class as many as its row says, smallest p of the label first; "both": those that both choose; "off-diagonal":
    the images counted off the diagonal. An image whose likeliest class is its label is never chosen.

    >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    >>> confident_learning(probs, np.array([0, 0, 0, 1, 1])).wrong.tolist()
    [False, False, True, False, False]
    """
    if prune not in get_args(Prune):
        raise InputError(f"no way to prune named {prune!r}; {nearest(str(prune), get_args(Prune))}")
    probs = check_probs(probs).astype(np.float64)
    labels = check_labels(labels, classes=probs.shape[1], rows=len(probs))
    thresholds = _thresholds(probs, labels)
    confident = _confident_class(probs, thresholds)
    counts = _counted(labels, confident, probs.shape[1])
    joint = _joint(counts, labels)
    suggested = probs.argmax(axis=1)
    wrong = _chosen(prune, probs, labels, confident, joint) & (suggested != labels)
    totals = joint.sum(axis=0)
    with np.errstate(invalid="ignore"):
        noise = np.where(totals > 0, joint / np.where(totals > 0, totals, 1), np.nan)
    return ConfidentLearning(thresholds, counts, joint, noise, wrong, suggested)


def _thresholds(probs: Probs, labels: Labels) -> Float[np.ndarray, " k"]:
    sums = np.bincount(labels, probs[np.arange(len(labels)), labels], probs.shape[1])
    sizes = np.bincount(labels, minlength=probs.shape[1])
    found: Float[np.ndarray, " k"] = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)
    return found


def _confident_class(probs: Probs, thresholds: Float[np.ndarray, " k"]) -> Int[np.ndarray, " n"]:
    """The likeliest class of those whose threshold is reached (eq. 1), -1 where none is.

    cleanlab 2.9 takes the likeliest of all classes where several are reached, even one that is not.
    """
    reached = probs >= np.where(np.isnan(thresholds), np.inf, thresholds) - SLACK
    best = np.where(reached, probs, -1.0).argmax(axis=1)
    found: Int[np.ndarray, " n"] = np.where(reached.any(axis=1), best, -1)
    return found


def _counted(labels: Labels, confident: Int[np.ndarray, " n"], k: int) -> Int[np.ndarray, "k k"]:
    kept = confident >= 0
    counts: Int[np.ndarray, "k k"] = np.bincount(labels[kept] * k + confident[kept], minlength=k * k).reshape(k, k)
    return counts


def _joint(counts: Int[np.ndarray, "k k"], labels: Labels) -> Float[np.ndarray, "k k"]:
    """Counts scaled to the number of labels of each class; a class with labels and no confident image is all right."""
    sizes = np.bincount(labels, minlength=len(counts)).astype(np.float64)
    filled = counts.astype(np.float64)
    present = np.flatnonzero(sizes > 0)
    filled[present, present] = np.maximum(filled[present, present], 1)
    rows = filled.sum(axis=1)
    scaled: Float[np.ndarray, "k k"] = filled * (sizes / np.where(rows > 0, rows, 1))[:, None]
    return scaled


def _chosen(
    prune: Prune, probs: Probs, labels: Labels, confident: Int[np.ndarray, " n"], joint: Float[np.ndarray, "k k"]
) -> Bool[np.ndarray, " n"]:
    if prune == "off-diagonal":
        off: Bool[np.ndarray, " n"] = (confident >= 0) & (confident != labels)
        return off
    whole = _rounded(joint)
    if prune == "class":
        return _by_class(probs, labels, whole)
    by_rate = _by_noise_rate(probs, labels, whole)
    return by_rate & _by_class(probs, labels, whole) if prune == "both" else by_rate


def _rounded(joint: Float[np.ndarray, "k k"]) -> Int[np.ndarray, "k k"]:
    """Whole numbers with the rows' sums kept: what is left over goes to the largest fractions, in order of class."""
    whole = np.floor(joint + 1e-9)
    for i, row in enumerate(joint):
        left = round(float(row.sum() - whole[i].sum()))
        whole[i, np.argsort(whole[i] - row, kind="stable")[:left]] += 1
    return whole.astype(np.int64)


def _by_noise_rate(probs: Probs, labels: Labels, joint: Int[np.ndarray, "k k"]) -> Bool[np.ndarray, " n"]:
    wrong = np.zeros(len(labels), dtype=bool)
    for i in range(len(joint)):
        rows = np.flatnonzero(labels == i)
        for j in np.flatnonzero(joint[i]):
            if j != i:
                worst = np.argsort(probs[rows, i] - probs[rows, j], kind="stable")[: joint[i, j]]
                wrong[rows[worst]] = True
    return wrong


def _by_class(probs: Probs, labels: Labels, joint: Int[np.ndarray, "k k"]) -> Bool[np.ndarray, " n"]:
    wrong = np.zeros(len(labels), dtype=bool)
    for i in range(len(joint)):
        rows = np.flatnonzero(labels == i)
        worst = np.argsort(probs[rows, i], kind="stable")[: joint[i].sum() - joint[i, i]]
        wrong[rows[worst]] = True
    return wrong
