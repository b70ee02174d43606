"""Labels from the model's own answers, for images that have none: the classes it names, some images of each.

UPL (Huang, Chu & Wei 2022, arxiv.org/abs/2204.03649, section 3.2) keeps the most confident images of every predicted
class, with probabilities averaged over several models where there are several. Robust UPL (Wu et al. 2023,
arxiv.org/abs/2307.11978, section 5) draws them at random, which is noisier and more diverse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from candid.arrays import check_labels, softmax
from candid.errors import InputError, nearest
from candid.metrics import proportion
from candid.types import Estimate, Labels, Logits, Probs

__all__ = ["ClassPseudoLabels", "PseudoLabelReport", "PseudoLabels", "Select", "pseudo_label"]

Select = Literal["top", "random", "confident-random"]
Rows = Int[np.ndarray, " m"]
Choose = Callable[[Rows], Rows]


@dataclass(frozen=True)
class ClassPseudoLabels:
    """How good the pseudo-labels of one class are; None where there is nothing to count.

    `accuracy` is the share of the images kept for the class that are of it, `coverage` the share of all images of the
    class that were predicted as it. `kept` and `predicted` count images.
    """

    kept: int
    predicted: int
    accuracy: Estimate | None
    coverage: Estimate | None


@dataclass(frozen=True)
class PseudoLabelReport:
    """Accuracy of the kept pseudo-labels (None if none is kept), of all predictions, and both by class."""

    accuracy: Estimate | None
    predictions: Estimate
    classes: tuple[ClassPseudoLabels, ...]


@dataclass(frozen=True)
class PseudoLabels:
    """Images to train on: their `rows`, the class each was given, and how confidently, in (0, 1].

    Rows are ordered by class, within a class by falling confidence. `predicted` is the class of every image, `missing`
    the classes that were never predicted and so have no image.
    """

    rows: Rows
    labels: Rows
    confidence: Float[np.ndarray, " m"]
    predicted: Labels
    missing: tuple[int, ...]
    classes: int

    def report(self, labels: Labels) -> PseudoLabelReport:
        """How right these pseudo-labels are, where the true `labels` of all images are known, with 95 % intervals."""
        truth = check_labels(labels, classes=self.classes, rows=len(self.predicted))
        right, kept_right = self.predicted == truth, self.labels == truth[self.rows]
        by_class = []
        for label in range(self.classes):
            kept, own = self.labels == label, truth == label
            predicted = int((self.predicted == label).sum())
            found = ClassPseudoLabels(int(kept.sum()), predicted, _share(kept_right[kept]), _share(right[own]))
            by_class.append(found)
        return PseudoLabelReport(_share(kept_right), proportion(int(right.sum()), len(right)), tuple(by_class))


def pseudo_label(
    logits: Logits | Sequence[Logits],
    *,
    per_class: int = 16,
    select: str = "top",
    fraction: float = 0.5,
    seed: int = 0,
) -> PseudoLabels:
    """At most `per_class` images for each class that is predicted, every image once and with its most probable class.

    Several arrays of logits are several models: their probabilities are averaged (UPL*), each on its own scale.
    `select` keeps the most confident ("top", ties in row order), draws uniformly ("random"), or draws from the most
    confident `fraction` of a class, at least `per_class` of them ("confident-random"). Each class has a generator of
    its own, so what is drawn for one does not depend on the others.

    >>> found = pseudo_label(np.array([[2.0, 0.0], [3.0, 0.0], [1.0, 0.0]]), per_class=2)
    >>> found.rows.tolist(), found.labels.tolist(), found.confidence.round(3).tolist(), found.missing
    ([1, 0], [0, 0], [0.953, 0.881], (1,))
    """
    if per_class < 1 or not 0 < fraction <= 1:
        raise InputError(f"expected per_class of 1 or more and fraction in (0, 1], got {per_class} and {fraction}")
    if select not in get_args(Select):
        raise InputError(f"no selection named {select}; {nearest(select, get_args(Select))}")
    probs = _probs(logits)
    predicted, confidence = probs.argmax(axis=1), probs.max(axis=1)
    rows = []
    for label in np.unique(predicted):
        own = np.flatnonzero(predicted == label)
        surest = own[np.argsort(-confidence[own], kind="stable")]
        rows.append(
            surest[_places(len(surest), per_class, select, fraction, np.random.default_rng([seed, int(label)]))]
        )
    chosen = np.concatenate(rows)
    missing = np.setdiff1d(np.arange(probs.shape[1]), predicted)
    return PseudoLabels(
        chosen, predicted[chosen], confidence[chosen], predicted, tuple(missing.tolist()), probs.shape[1]
    )


def _places(found: int, most: int, select: str, fraction: float, random: np.random.Generator) -> Rows:
    """Which of `found` images, the surest first, are kept; in rising order."""
    among = max(min(most, found), int(np.ceil(fraction * found))) if select == "confident-random" else found
    if select == "top" or among <= most:
        return np.arange(min(most, found))
    return np.sort(random.choice(among, most, replace=False))


def _probs(logits: Logits | Sequence[Logits]) -> Probs:
    models = [logits] if isinstance(logits, np.ndarray) else list(logits)
    if not models or any(each.shape != models[0].shape for each in models):
        raise InputError(
            f"expected logits of one shape from every model, got {[each.shape for each in models]}; "
            "ask all of them about the same images and classes"
        )
    mean: Float[np.ndarray, "n k"] = np.mean([softmax(each) for each in models], axis=0)
    return mean


def _share(hits: np.ndarray) -> Estimate | None:
    return proportion(int(hits.sum()), len(hits)) if len(hits) else None
