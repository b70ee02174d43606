"""What the audit's arithmetic starts from: a head, features, and which rows may be used for what."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar, get_args

import numpy as np
from jaxtyping import Float, Int

from candid.arrays import check_labels, check_logits
from candid.calibrate.conformal_scores import ConformalMethod
from candid.detect import Guarantee
from candid.errors import InputError, nearest
from candid.types import Features, Head, ImageSet, Labels, Logits
from candid.workflows.auditing.split import stratified_order
from candid.workflows.calibrators import calibrator_named
from candid.workflows.detectors import AUTO, check_detector, is_fitted

__all__ = ["Evidence", "LabelledSet", "align", "check_calibration", "check_choices", "check_guarantee"]

FEWEST_TO_SPLIT = 20  # below this a half is too few rows to fit or to judge anything
FEWEST_TO_JUDGE = 10


@dataclass(frozen=True)
class LabelledSet:
    """Another labelled data set with the head for its own classes."""

    features: Features
    head: Head


@dataclass(frozen=True)
class Evidence:
    """Everything the questions of the audit are answered from.

    `labels` is how many labelled rows may be used to fit (None: half). `templates` maps the wording of a prompt to the
    head made from it alone. `calibrator` is a row of `calibrate.METHODS`; `sets` the kind of prediction sets wanted, at
    `coverage`, or None. `tuned` says that the head was learnt, so that no wording made it. Rows are used as
    `split.stratified_order` orders them. `unlike` are made from known images so as to be none of them; a detector that
    is to be chosen ("auto") is chosen by them. `words` are text vectors of many words, where a detector asks for them.
    `guarantee` is what the outlier threshold promises (`detect.Threshold`).
    """

    head: Head
    known: Features
    ood: Mapping[str, Features] = field(default_factory=dict)
    shift: Mapping[str, Features] = field(default_factory=dict)
    transfer: Mapping[str, LabelledSet] = field(default_factory=dict)
    templates: Mapping[str, Head] = field(default_factory=dict)
    labels: int | None = None
    seed: int = 0
    keep: float = 0.95
    detector: str = "mcm"
    calibrator: str = "temperature"
    coverage: float = 0.9
    sets: str | None = "lac"
    tuned: bool = False
    unlike: Mapping[str, Features] = field(default_factory=dict)
    words: Float[np.ndarray, "w d"] | None = None
    guarantee: Guarantee = "rows"

    def __post_init__(self) -> None:
        n, classes = len(self.known), self.head.classes
        check_choices(classes, n, labels=self.labels, keep=self.keep, detector=self.detector)
        check_guarantee(self.guarantee)
        check_calibration(self.calibrator, coverage=self.coverage, sets=self.sets)
        if self.known.labels is not None:
            check_labels(self.known.labels, classes=len(classes), rows=n)

    @cached_property
    def logits(self) -> Logits:
        """Logits of the known rows."""
        return check_logits(self.head(self.known.vectors))

    @property
    def truth(self) -> Labels:
        """Labels of the known rows; ask only where `known.labels` is there."""
        if self.known.labels is None:
            raise InputError("the known set has no labels")
        return self.known.labels

    @cached_property
    def order(self) -> Int[np.ndarray, " n"]:
        """Known rows in the order in which shares of them are taken."""
        return stratified_order(len(self.known), self.known.labels, seed=self.seed)

    @property
    def calibration(self) -> Int[np.ndarray, " m"]:
        """Rows that may fit anything, a temperature for one; empty where nothing can be held out."""
        return self.order[: self._fitted]

    @property
    def fit_rows(self) -> Int[np.ndarray, " m"]:
        """Rows a calibrator other than the temperature may be fitted on: half of them where sets need the others."""
        rows = self.calibration
        return rows if self.sets is None else rows[: len(rows) // 2]

    @property
    def set_rows(self) -> Int[np.ndarray, " m"]:
        """Rows no calibrator but the temperature has seen; they set the threshold of its prediction sets."""
        return self.calibration[len(self.calibration) // 2 :]

    @property
    def evaluation(self) -> Int[np.ndarray, " m"]:
        """Rows that judge what was fitted on the calibration rows."""
        return self.order[self._fitted :]

    @property
    def detector_rows(self) -> Int[np.ndarray, " m"]:
        """Rows a detector may learn from, if it learns: half of those that judge nothing; none where few are known."""
        return self.order[: self._half // 2]

    @property
    def threshold_rows(self) -> Int[np.ndarray, " m"]:
        """Rows the outlier threshold is taken from, which no detector has learnt from; it needs no labels."""
        if not self._half:
            return self.order
        return self.unseen_rows if self.detector != AUTO and is_fitted(self.detector) else self.order[: self._half]

    @property
    def unseen_rows(self) -> Int[np.ndarray, " m"]:
        """Rows that no detector has learnt from and that judge nothing."""
        return self.order[self._half // 2 : self._half]

    @property
    def threshold_judges(self) -> Int[np.ndarray, " m"]:
        """Rows that judge the threshold; empty where too few are known to hold any out."""
        return self.order[self._half :] if self._half else self.order[:0]

    @property
    def _half(self) -> int:
        return len(self.known) // 2 if len(self.known) >= FEWEST_TO_SPLIT else 0

    @property
    def _fitted(self) -> int:
        if self.known.labels is None:
            return 0
        return self._half if self.labels is None else self.labels


def check_choices(classes: tuple[str, ...], known: int, *, labels: int | None, keep: float, detector: str) -> None:
    """Refuse choices no audit of so many known images can follow; asked before anything is encoded."""
    if len(classes) < 2:
        raise InputError(f"expected at least 2 classes, got {list(classes)}; a choice among one is always right")
    if known == 0:
        raise InputError("expected at least one readable known image, got none")
    if not 0 < keep < 1:
        raise InputError(f"keep must lie between 0 and 1, got {keep}")
    check_detector(detector)
    most = max(0, known - FEWEST_TO_JUDGE)
    if labels is not None and not 0 <= labels <= most:
        raise InputError(
            f"labels must leave {FEWEST_TO_JUDGE} of the {known} known images to judge by: "
            f"expected 0 to {most}, got {labels}"
        )


def check_guarantee(guarantee: str) -> None:
    """Refuse a promise that no threshold makes."""
    if guarantee not in get_args(Guarantee):
        raise InputError(f"no guarantee named {guarantee}; {nearest(guarantee, get_args(Guarantee))}")


def check_calibration(calibrator: str, *, coverage: float, sets: str | None) -> None:
    """Refuse a calibrator, a coverage or a kind of prediction sets that does not exist."""
    calibrator_named(calibrator)
    if not 0 < coverage < 1:
        raise InputError(f"coverage must lie between 0 and 1, got {coverage}; 90 % is 0.9")
    if sets is not None and sets not in get_args(ConformalMethod):
        raise InputError(f"no prediction sets named {sets}; {nearest(sets, (*get_args(ConformalMethod), 'none'))}")


Labelled = TypeVar("Labelled", Features, ImageSet)


def align(features: Labelled, classes: tuple[str, ...], *, name: str) -> Labelled:
    """The same rows with labels that index `classes`, matched by class name.

    >>> shifted = Features(np.eye(2, dtype=np.float32), ("a", "b"), "m", np.array([0, 1]), classes=("dog", "cat"))
    >>> align(shifted, ("cat", "dog"), name="shifted").labels.tolist()
    [1, 0]
    """
    if features.labels is None or features.classes == classes:
        return features
    if features.classes is None:
        check_labels(features.labels, classes=len(classes), rows=len(features), name=f"labels of {name}")
        return features
    index = {label: place for place, label in enumerate(classes)}
    used = [features.classes[label] for label in np.unique(features.labels)]
    unknown = [label for label in used if label not in index]
    if unknown:
        raise InputError(
            f"set {name} holds the class {unknown[0]!r}, which is none of the {len(classes)} known classes; "
            f"{nearest(unknown[0], classes)}"
        )
    places = np.array([index.get(label, -1) for label in features.classes])
    return replace(features, labels=places[features.labels], classes=classes)
