"""T6, our addition: every calibrator and every conformal set on the same halves of the same answers.

The calibrators are fitted on the fitting half. For the sets that half is halved again: one part fits the temperature,
the other the threshold, for a threshold from rows that fitted the probabilities would promise too much.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from candid import calibrate, metrics
from candid.arrays import softmax
from candid.errors import InputError
from candid.types import Estimate, Labels, Probs
from candid.workflows.auditing import resampled
from candid.workflows.auditing.calibration import fit_temperature
from candid.workflows.calibrators import CALIBRATORS, SQUARE, fit, probabilities
from candid.workflows.studying.answers import Answers, Cell
from candid.workflows.studying.finding import Finding
from candid.workflows.studying.measured import How, Note

__all__ = ["SET_METHODS", "methods"]

SET_METHODS: tuple[Literal["lac", "aps", "raps", "saps"], ...] = ("lac", "aps", "raps", "saps")
WIDEST = 300  # classes beyond which calibrators with k x k numbers are left out: sets have too few rows for them


def methods(answers: Answers, name: str) -> Iterator[Finding]:
    """ECE, NLL, Brier, accuracy of every calibrator; coverage, size and singletons of every conformal set."""
    note = Note("T6", answers, name)
    for found in answers.sets:
        if found.role == "source":
            cell = answers.cell(found)
            yield from _calibrators(cell, note, found.name, answers.plan.seed)
            yield from _sets(cell, note, found.name, answers.plan.coverage, answers.plan.seed)


def _calibrators(cell: Cell, note: Note, used_on: str, seed: int) -> Iterator[Finding]:
    logits, labels = cell.judging()
    for method in CALIBRATORS:
        if method in SQUARE and logits.shape[1] > WIDEST:
            continue
        try:
            probs = probabilities(fit(method, *cell.fitting()), logits)
        except InputError:  # no optimum on these rows, or too few of them: the table shows a gap
            continue
        how = How(used_on, used_on, method, len(cell.fits))
        yield from note.findings(_scores(probs, labels, seed), how)


def _scores(probs: Probs, labels: Labels, seed: int) -> dict[str, Estimate]:
    n, rows = len(labels), np.arange(len(labels))
    predicted = probs.argmax(axis=1)
    confidence, correct = probs[rows, predicted], predicted == labels
    given = probs[rows, labels]
    found = {
        "accuracy": metrics.proportion(int(correct.sum()), n),
        "ece": resampled.bootstrap_rows(resampled.ece_of(np.minimum(confidence, 1.0), correct), n, seed=seed),
    }
    if (given > 0).all():  # else the mean is infinite, which is no number to report
        found["nll"] = _mean(-np.log(given), seed, most=np.inf)
    found["brier"] = _mean((probs * probs).sum(axis=1) - 2 * given + 1, seed, most=2.0)
    return found


def _mean(values: np.ndarray, seed: int, *, most: float) -> Estimate:
    return resampled.bootstrap_rows(resampled.mean_of(values), len(values), seed=seed, within=(0.0, most))


def _sets(cell: Cell, note: Note, used_on: str, coverage: float, seed: int) -> Iterator[Finding]:
    logits, labels = cell.judging()
    first, second = np.array_split(cell.fits, 2)
    temperature = fit_temperature(cell.logits[first], cell.labels[first])
    for state, value in {"as shipped": 1.0, "own temperature": temperature.value}.items():
        for method in SET_METHODS:
            fitted = calibrate.ConformalSet.fit(
                softmax(cell.logits[second], temperature=value), cell.labels[second], coverage, method, seed=seed
            )
            sets = fitted(softmax(logits, temperature=value))
            size = sets.sum(axis=1).astype(np.float64)
            found = {
                "coverage": metrics.coverage(sets, labels),
                "set_size": _mean(size, seed, most=float(sets.shape[1])),
                "singletons": metrics.proportion(int((size == 1).sum()), len(size)),
                "empty_sets": metrics.proportion(int((size == 0).sum()), len(size)),
            }
            how = How(used_on, used_on, f"{method}, {state}", len(second))
            yield from note.findings(found, how)
