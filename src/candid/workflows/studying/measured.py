"""Numbers of one cell under one temperature, each with an interval, as findings."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from candid import metrics
from candid.types import Estimate, Labels, Logits
from candid.workflows.auditing import resampled
from candid.workflows.auditing.calibration import Fitted, null_ece
from candid.workflows.judged import Judged, judge
from candid.workflows.studying.answers import Answers
from candid.workflows.studying.finding import Finding

__all__ = ["NOTHING", "How", "Note", "ece_estimate", "gap_estimate", "measures", "over_draws", "single"]

NOTHING = Fitted(None)


class How(NamedTuple):
    """Which set judged, what was fitted where, on how many rows."""

    used_on: str
    fitted_on: str = ""
    method: str = ""
    n_fit: int = 0


@dataclass(frozen=True)
class Note:
    """Fills in what all findings of one question share."""

    question: str
    answers: Answers
    name: str

    def finding(self, metric: str, found: Estimate, how: How) -> Finding:
        """The estimate as a finding of this question."""
        return Finding(
            question=self.question,
            model=self.name,
            kind=self.answers.kind,
            metric=metric,
            used_on=how.used_on,
            fitted_on=how.fitted_on,
            method=how.method,
            n_fit=how.n_fit,
            n=found.n,
            value=found.value,
            low=found.low,
            high=found.high,
        )

    def findings(self, found: Mapping[str, Estimate], how: How) -> list[Finding]:
        """Each of these estimates as a finding."""
        return [self.finding(metric, each, how) for metric, each in found.items()]


def ece_estimate(logits: Logits, labels: Labels, temperature: float, *, seed: int) -> Estimate:
    """ECE with its interval over rows."""
    return _ece(judge(logits, labels, temperature=temperature), seed)


def gap_estimate(logits: Logits, labels: Labels, temperature: float, reference: float, *, seed: int) -> Estimate:
    """ECE with one temperature minus ECE with another on the same rows; positive: the first is worse."""
    ours, theirs = (judge(logits, labels, temperature=value) for value in (temperature, reference))
    first, second = (resampled.ece_of(found.confidence, found.correct) for found in (ours, theirs))
    return resampled.bootstrap_rows(lambda rows: first(rows) - second(rows), len(labels), seed=seed, within=(-1.0, 1.0))


def measures(logits: Logits, labels: Labels, temperature: float, *, seed: int) -> dict[str, Estimate]:
    """Accuracy, ECE and its null, smooth ECE, NLL and Brier of these rows under this temperature."""
    found = judge(logits, labels, temperature=temperature)
    n = len(labels)

    def mean(values: Float[np.ndarray, " n"], most: float) -> Estimate:
        return resampled.bootstrap_rows(resampled.mean_of(values), n, seed=seed, within=(0.0, most))

    return {
        "accuracy": metrics.proportion(int(found.correct.sum()), n),
        "ece": _ece(found, seed),
        "ece_if_calibrated": null_ece(found, seed=seed),
        "smooth_ece": _smooth(found, seed),
        "nll": mean(found.nll, inf),
        "brier": mean(found.brier, 2.0),
    }


def single(value: float, n: int) -> Estimate:
    """A number that comes without an interval of its own."""
    return Estimate(value, value, value, n)


def over_draws(values: Float[np.ndarray, " draws"], n: int) -> Estimate:
    """Mean over draws with the central 95 % of them."""
    low, high = np.quantile(values, [0.025, 0.975])
    mean = float(values.mean())
    return Estimate(mean, min(float(low), mean), max(float(high), mean), n)


def _ece(found: Judged, seed: int) -> Estimate:
    return resampled.bootstrap_rows(resampled.ece_of(found.confidence, found.correct), len(found.correct), seed=seed)


def _smooth(found: Judged, seed: int, draws: int = 40) -> Estimate:
    statistic = resampled.one_by_one(
        lambda rows: metrics.smooth_ece_of_top(found.confidence[rows], found.correct[rows])
    )
    return resampled.bootstrap_rows(statistic, len(found.correct), seed=seed, count=draws)
