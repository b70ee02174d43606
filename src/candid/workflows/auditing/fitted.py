"""What the calibration rows gave, one temperature or another calibrator beside it, and how confidence reads with it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from candid import calibrate, metrics
from candid.arrays import softmax
from candid.errors import InputError, NoOptimum
from candid.types import Estimate, Labels, Logits, Probs
from candid.workflows import calibrators
from candid.workflows.judged import Judged, judge

__all__ = ["Fitted", "Other", "fit_other", "fit_temperature", "judge_probs"]

FEWEST_TO_FIT = 10
WIDEST = 100  # high over low of a temperature's interval; beyond it the fit is noise


@dataclass(frozen=True)
class Other:
    """A fitted calibrator that is not the temperature, by its name in `calibrate.METHODS`, from `n` rows."""

    name: str
    n: int
    calibrator: Any = field(repr=False, compare=False)


@dataclass(frozen=True)
class Fitted:
    """One temperature, or why there is none: `reason` in a few words, `detail` in full.

    `other` is the calibrator in use where another one was asked for and could be fitted; the temperature is then the
    reference. `missing` says in words why a calibrator that was asked for is not in use.
    """

    temperature: Estimate | None
    reason: str = ""
    detail: str = ""
    other: Other | None = None
    missing: str = ""

    @property
    def value(self) -> float:
        """The temperature to divide by; 1 where none could be fitted."""
        return 1.0 if self.temperature is None else self.temperature.value

    @property
    def mends(self) -> bool:
        """Whether anything could be fitted; if not, confidence stays as shipped."""
        return self.other is not None or self.temperature is not None

    @property
    def words(self) -> str:
        """What mends the confidence, as in "after one temperature"."""
        return calibrators.spoken("temperature" if self.other is None else self.other.name)

    @property
    def short(self) -> str:
        """The same as a thing of its own, as in "with the temperature of the known set"."""
        return "temperature" if self.other is None else self.words

    @property
    def rows(self) -> int:
        """Labelled rows behind what is in use."""
        if self.other is not None:
            return self.other.n
        return 0 if self.temperature is None else self.temperature.n

    def probs(self, logits: Logits) -> Probs:
        """Calibrated probabilities in float64."""
        if self.other is None:
            return softmax(logits, temperature=self.value)
        return calibrators.probabilities(self.other.calibrator, logits)

    def judge(self, logits: Logits, labels: Labels) -> Judged:
        """What the calibrated answers are worth, row by row."""
        if self.other is None:
            return judge(logits, labels, temperature=self.value)
        return judge_probs(self.probs(logits), labels)

    def top_scores(self, logits: Logits) -> metrics.TopScores:
        """The calibrated answer of each row and the confidence in it."""
        if self.other is None:
            return metrics.top_scores(logits, temperature=self.value)
        probs = self.probs(logits)
        return metrics.TopScores(probs.argmax(axis=1), np.minimum(probs.max(axis=1), 1.0))

    def top_label(self, logits: Logits, labels: Labels) -> metrics.Top:
        """The confidence of each calibrated answer and whether it is right."""
        if self.other is None:
            return metrics.top_label(logits, labels, temperature=self.value)
        return metrics.top_of_probs(self.probs(logits), labels)


def fit_temperature(logits: Logits, labels: Labels) -> Fitted:
    """The temperature of these rows with its 95% interval, or the reason why they have none."""
    if len(labels) < FEWEST_TO_FIT:
        return Fitted(None, f"{len(labels)} rows are too few, {FEWEST_TO_FIT} are needed")
    try:
        fit = calibrate.Temperature.fit(logits, labels)
    except NoOptimum as error:
        return Fitted(None, f"{len(labels)} rows have no best one ({error.verdict})", str(error))
    low, high = fit.interval()
    if high > WIDEST * low:
        return Fitted(None, f"{len(labels)} rows cannot tell it: its 95% interval spans a factor of more than {WIDEST}")
    return Fitted(Estimate(fit.value, low, high, fit.n))


def fit_other(name: str, logits: Logits, labels: Labels) -> Other | str:
    """The named calibrator fitted on these rows, or in a few words why they have none."""
    if len(labels) < FEWEST_TO_FIT:
        return f"{len(labels)} rows are too few, {FEWEST_TO_FIT} are needed"
    try:
        return Other(name, len(labels), calibrators.fit(name, logits, labels))
    except NoOptimum as error:
        return f"{len(labels)} rows have no best one ({error.verdict})"
    except InputError as error:
        return str(error)


def judge_probs(probs: Probs, labels: Labels) -> Judged:
    """What `judge` says of logits, of probabilities; a label of probability 0 has an infinite `nll`.

    >>> judge_probs(np.array([[0.25, 0.75]]), np.array([1])).brier.round(3).tolist()
    [0.125]
    """
    rows = np.arange(len(probs))
    predicted = probs.argmax(axis=1)
    truth = probs[rows, labels].astype(np.float64)
    with np.errstate(divide="ignore"):
        nll = -np.log(truth)
    brier = np.einsum("ij,ij->i", probs, probs, dtype=np.float64) - 2 * truth + 1
    confidence = np.minimum(probs[rows, predicted].astype(np.float64), 1.0)
    return Judged(predicted, confidence, predicted == labels, nll, brier)
