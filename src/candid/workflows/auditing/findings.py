"""The audit without the model: from features to rows, sections, a temperature and a threshold. Pure arithmetic."""

from collections.abc import Callable
from dataclasses import dataclass, field

from candid.calibrate import ConformalSet
from candid.report.content import Row, Section
from candid.types import Estimate, Image
from candid.workflows.auditing.abstaining import abstaining, own_probability
from candid.workflows.auditing.accuracy import accuracy
from candid.workflows.auditing.at_test_time import Tuned, at_test_time
from candid.workflows.auditing.calibration import calibration
from candid.workflows.auditing.compared import compared
from candid.workflows.auditing.detection import Detected, detection
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.fitted import Fitted
from candid.workflows.auditing.labels import labels_needed
from candid.workflows.auditing.sets import prediction_sets
from candid.workflows.auditing.shift import shift, transfer
from candid.workflows.auditing.spurious import spurious
from candid.workflows.auditing.thumbnails import mistakes
from candid.workflows.auditing.wording import wording
from candid.workflows.tuning import TuningAtTestTime

__all__ = ["Findings", "audit_features"]


@dataclass(frozen=True)
class Findings:
    """Answers to the audit's questions, the open ones, and what a predictor needs: calibrator, sets, detector."""

    rows: tuple[Row, ...]
    sections: tuple[Section, ...]
    cannot_say: tuple[str, ...]
    detected: Detected
    fitted: Fitted
    sets: ConformalSet | None = field(compare=False)
    tuning: TuningAtTestTime | None = None

    @property
    def threshold(self) -> float:
        """The outlier score up to which an image is accepted."""
        return self.detected.threshold

    @property
    def temperature(self) -> Estimate | None:
        """The temperature in use, or the reference beside another calibrator."""
        return self.fitted.temperature


def audit_features(
    evidence: Evidence, picture: Callable[[str], Image] | None = None, tuned: Tuned | None = None
) -> Findings:
    """Everything the audit can say about these features. `picture` reads an image by id for the thumbnails.

    `tuned` holds what tuning at test time makes of the known rows, where that was asked for.
    """
    calibrated, fitted = calibration(evidence)
    unknown, detected = detection(evidence)
    in_sets, sets = prediction_sets(evidence, fitted)
    moved, tuning = at_test_time(evidence, fitted, tuned)
    parts = (
        accuracy(evidence),
        spurious(evidence),
        calibrated,
        labels_needed(evidence, fitted),
        compared(evidence, fitted),
        moved,
        transfer(evidence, fitted),
        shift(evidence, fitted),
        in_sets,
        unknown,
        wording(evidence, fitted),
        abstaining(evidence, fitted),
        mistakes(evidence, fitted, picture),
        own_probability(evidence),
    )
    return Findings(
        tuple(row for part in parts for row in part.rows),
        tuple(section for part in parts for section in part.sections),
        tuple(question for part in parts for question in part.cannot_say),
        detected,
        fitted,
        sets,
        tuning,
    )
