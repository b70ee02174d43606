"""What tuning changed on images it was not trained on: before and after on the same rows, seeds alone and together."""

from dataclasses import dataclass
from math import inf

import numpy as np

from candid import metrics
from candid.report.content import Row
from candid.types import Features, Head
from candid.workflows.auditing import resampled
from candid.workflows.auditing.part import NUMBERS, row
from candid.workflows.judged import Judged, judge

__all__ = ["Comparison", "compare", "rows_of"]

States = dict[str, Judged]


@dataclass(frozen=True)
class Comparison:
    """The same labelled images judged by the zero-shot head, by the tuned one, and by each of its seeds alone."""

    before: Judged
    after: Judged
    members: tuple[Judged, ...]
    seed: int

    @property
    def n(self) -> int:
        """Images judged."""
        return len(self.before.correct)

    @property
    def member_accuracies(self) -> list[float]:
        """Accuracy of every seed alone."""
        return [float(each.correct.mean()) for each in self.members]


def compare(
    features: Features, before: Head, after: Head, members: tuple[Head, ...], *, seed: int
) -> Comparison | None:
    """The comparison on these images; None where they have no labels or are none."""
    if features.labels is None or not len(features):
        return None
    found = [judge(head(features.vectors), features.labels) for head in (before, after, *members)]
    return Comparison(found[0], found[1], tuple(found[2:]), seed)


def rows_of(found: Comparison) -> list[Row]:
    """Rows `accuracy`, `nll`, `ece` of both states, what was gained with paired intervals, and accuracy by seed."""
    rows = [each for name, judged in _states(found).items() for each in _state(name, judged, found.seed)]
    rows += _gained(found)
    if len(found.members) > 1:
        each_right = np.stack([member.correct for member in found.members]).mean(axis=0, dtype=np.float64)
        alone = resampled.bootstrap_rows(resampled.mean_of(each_right), found.n, seed=found.seed)
        rows.append(row("accuracy", "single seeds", alone, label="right, mean of single seeds"))
        for i, member in enumerate(found.members):
            share = metrics.proportion(int(member.correct.sum()), found.n)
            rows.append(row("accuracy", f"seed {i}", share, label=f"right, seed {i} alone"))
    return rows


def _states(found: Comparison) -> States:
    return {"zero-shot": found.before, "tuned": found.after}


def _state(name: str, judged: Judged, seed: int) -> list[Row]:
    n = len(judged.correct)
    error = resampled.bootstrap_rows(resampled.ece_of(judged.confidence, judged.correct), n, seed=seed)
    loss = resampled.bootstrap_rows(resampled.mean_of(judged.nll), n, seed=seed, within=(0.0, inf))
    found = {"accuracy": metrics.proportion(int(judged.correct.sum()), n), "nll": loss, "ece": error}
    return [
        row(metric, name, estimate, key=metric != "nll", label=f"{NUMBERS[metric].label}, {name}")
        for metric, estimate in found.items()
    ]


def _gained(found: Comparison) -> list[Row]:
    """Differences on the same rows, so that what both find hard cancels."""
    before, after, n, seed = found.before, found.after, found.n, found.seed
    right = after.correct.astype(np.float64) - before.correct
    errors = [resampled.ece_of(judged.confidence, judged.correct) for judged in (before, after)]
    gained = resampled.bootstrap_rows(resampled.mean_of(right), n, seed=seed, within=(-1.0, 1.0))
    nll = resampled.bootstrap_rows(resampled.mean_of(before.nll - after.nll), n, seed=seed, within=(-inf, inf))
    ece = resampled.bootstrap_rows(lambda rows: errors[0](rows) - errors[1](rows), n, seed=seed, within=(-1.0, 1.0))
    return [
        row("accuracy_gained", "all", gained, key=True),
        row("nll_removed", "all", nll),
        row("ece_removed", "all", ece, label="ECE removed by tuning"),
    ]
