"""Every detector that suits the model, fitted where it learns, and the choice among them without any unknown set."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from candid import detect, metrics
from candid.errors import InputError
from candid.types import Scores
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.detectors import AUTO, DETECTORS, fit_detector, is_fitted, refused_for

__all__ = ["Choice", "Detectors", "choose", "detectors"]

FEWEST = 20  # images a detector may learn from
FALLBACK = "mcm"


@dataclass(frozen=True)
class Detectors:
    """The detectors by name, and of each that is left out, why. A fitted one is judged on rows it has not seen."""

    usable: Mapping[str, detect.Detector]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def known(self, name: str, evidence: Evidence) -> Scores:
        """Scores of those known rows that may be compared with unknown images: all, or those it did not learn from."""
        rows = evidence.threshold_judges if is_fitted(name) else np.arange(len(evidence.known))
        return self.usable[name](evidence.known.vectors[rows])


@dataclass(frozen=True)
class Choice:
    """The detector chosen, and by detector and kind of made images the AUROC that chose it."""

    name: str
    auroc: Mapping[str, Mapping[str, float]]


def detectors(evidence: Evidence) -> Detectors:
    """All detectors that this head and these known images allow."""
    usable, left_out = dict[str, detect.Detector](), dict[str, str]()
    rows = evidence.detector_rows
    vectors = evidence.known.vectors[rows]
    labels = None if evidence.known.labels is None else evidence.known.labels[rows]
    given = {"labelled": labels is not None, "words": evidence.words is not None}
    for name in DETECTORS:
        if reason := refused_for(name, evidence.known.vectors, **given):
            left_out[name] = reason
            continue
        if is_fitted(name) and len(rows) < FEWEST:
            left_out[name] = f"learning from {len(rows)} known images is not possible, {FEWEST} are needed"
            continue
        try:
            usable[name] = fit_detector(name, evidence.head, vectors, labels, evidence.words)
        except InputError as error:
            left_out[name] = str(error).removeprefix(f"{name}: ")
    return Detectors(usable, left_out)


def choose(evidence: Evidence, found: Detectors) -> Choice:
    """The detector of the highest mean AUROC between known images and images made from them to be unlike them.

    No unknown set takes part, so what the report says of those is not flattered by the choice. The known rows are some
    that no detector has learnt from and that judge nothing.
    """
    if evidence.detector != AUTO or not evidence.unlike or not len(evidence.unseen_rows):
        return Choice(FALLBACK if evidence.detector == AUTO else evidence.detector, {})
    auroc = {}
    for name, detector in found.usable.items():
        known = detector(evidence.known.vectors[evidence.unseen_rows])
        auroc[name] = {kind: metrics.auroc(known, detector(made.vectors)) for kind, made in evidence.unlike.items()}
    best = max(auroc, key=lambda name: float(np.mean(list(auroc[name].values()))))
    return Choice(best, auroc)
