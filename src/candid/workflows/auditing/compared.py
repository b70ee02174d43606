"""Would another calibrator have done better: all of them on the same rows, and a choice made on other rows.

The best of many looks better than it is on the rows it was picked by. The choice is therefore made by likelihood on the
calibration rows, each part of them judged by a fit on the others, and the evaluation rows only say what it is worth.
"""

from math import inf
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from candid import metrics
from candid.report.content import Section, Table
from candid.types import Estimate, Labels, Logits
from candid.workflows.auditing import resampled
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.fitted import FEWEST_TO_FIT, Fitted, Other, fit_other
from candid.workflows.auditing.part import NUMBERS, Part, row, share, span
from candid.workflows.calibrators import CALIBRATORS, SQUARE, spoken
from candid.workflows.judged import Judged, judge

__all__ = ["compared"]

FOLDS = 4
WIDEST = 300  # classes beyond which calibrators with k x k numbers are left out
MOST_CELLS = 1 << 24  # logits fitted on; beyond it the first rows stand for all


class _Tried(NamedTuple):
    """One calibrator: its answers on the evaluation rows and its held-out losses on the calibration rows."""

    judged: Judged
    held_out: Float[np.ndarray, " rows"]


def compared(evidence: Evidence, fitted: Fitted) -> Part:
    """Rows `ece`, `nll` and `accuracy` of every calibrator, slices `calibrator: NAME`, and which to take."""
    if evidence.known.labels is None:
        return Part()
    rows = (evidence.calibration if fitted.other is None else evidence.fit_rows)[
        : max(FOLDS, MOST_CELLS // len(evidence.head.classes))
    ]
    if len(rows) < 2 * FEWEST_TO_FIT:
        question = "Whether another calibrator would have done better: "
        return Part(cannot_say=(f"{question}{len(rows)} rows to fit on do not show it.",))
    found = {name: _tried(name, evidence, rows) for name in CALIBRATORS if not _too_wide(name, evidence)}
    tried = {name: each for name, each in found.items() if isinstance(each, _Tried)}
    numbers = {name: _numbers(each.judged, evidence.seed) for name, each in tried.items()}
    in_use = fitted.other.name if fitted.other else "temperature" if fitted.mends else "none"
    section = Section(
        id="calibrators",
        title="Would another calibrator have done better?",
        answer=" ".join(_answer(tried, in_use, len(rows), evidence)),
        figures=(_table(found, numbers, in_use, evidence.seed),),
    )
    shown = tuple(
        row(metric, f"calibrator: {name}", estimate, label=f"{NUMBERS[metric].label}, after {spoken(name)}")
        for name, each in numbers.items()
        for metric, estimate in each.items()
    )
    return Part(shown, (section,))


def _too_wide(name: str, evidence: Evidence) -> bool:
    return name in SQUARE and len(evidence.head.classes) > WIDEST


def _tried(name: str, evidence: Evidence, rows: Int[np.ndarray, " m"]) -> _Tried | str:
    logits, labels = evidence.logits[rows], evidence.truth[rows]
    whole = fit_other(name, logits, labels)
    if isinstance(whole, str):
        return whole
    return _Tried(
        _judge(whole, evidence.logits[evidence.evaluation], evidence.truth[evidence.evaluation]),
        _held_out(name, logits, labels),
    )


def _judge(found: Other, logits: Logits, labels: Labels) -> Judged:
    if found.name == "temperature":
        return judge(logits, labels, temperature=float(found.calibrator.value))
    return Fitted(None, other=found).judge(logits, labels)


def _held_out(name: str, logits: Logits, labels: Labels) -> Float[np.ndarray, " rows"]:
    """Loss of each row under a fit on the other folds; as shipped where these have no optimum."""
    losses = np.empty(len(labels))
    for fold in np.array_split(np.arange(len(labels)), FOLDS):  # runs of a stratified order are stratified, strides not
        here = np.isin(np.arange(len(labels)), fold)
        part = fit_other(name, logits[~here], labels[~here])
        judged = (
            judge(logits[here], labels[here]) if isinstance(part, str) else _judge(part, logits[here], labels[here])
        )
        losses[here] = judged.nll
    return losses


def _numbers(judged: Judged, seed: int) -> dict[str, Estimate]:
    n = len(judged.correct)
    found = {
        "ece": resampled.bootstrap_rows(resampled.ece_of(judged.confidence, judged.correct), n, seed=seed),
        "accuracy": metrics.proportion(int(judged.correct.sum()), n),
    }
    if np.isfinite(judged.nll).all():
        found["nll"] = _mean(judged.nll, seed)
    return found


def _answer(tried: dict[str, _Tried], in_use: str, n: int, evidence: Evidence) -> list[str]:
    wide = [spoken(name) for name in CALIBRATORS if _too_wide(name, evidence)]
    text = [f"Each was fitted on the same {n:,} rows and read on the same {len(evidence.evaluation):,} others."]
    if wide:
        classes = len(evidence.head.classes)
        text.append(f"Left out, for they fit a number for every pair of {classes:,} classes: {', '.join(wide)}.")
    means = {name: float(each.held_out.mean()) for name, each in tried.items()}
    best = min(means, key=lambda name: means[name], default=None)
    if best is None or not np.isfinite(means[best]):
        return [*text, "None could be fitted."]
    text.append(_choice(best, tried, in_use, evidence.seed))
    text.append(
        "That choice did not look at the numbers below; picking the lowest of them would, and would flatter what is "
        "picked."
    )
    return text


def _choice(best: str, tried: dict[str, _Tried], in_use: str, seed: int) -> str:
    by = "By likelihood on calibration rows held out in turn"
    if best == in_use:
        return f"{by}, the one in use, {spoken(best)}, is the best."
    if in_use not in tried or not np.isfinite(tried[in_use].held_out).all():
        return f"{by}, {spoken(best)} is the best (--calibrator {best})."
    gained = tried[in_use].held_out - tried[best].held_out
    found = _mean(gained, seed)
    if found.low > 0:
        return f"{by}, {spoken(best)} beats {spoken(in_use)} by {span(found)} nats a row: try --calibrator {best}."
    return (
        f"{by}, {spoken(best)} comes first, but by no more than chance ({span(found)} nats a row over "
        f"{spoken(in_use)}): no reason to change."
    )


def _mean(losses: Float[np.ndarray, " rows"], seed: int) -> Estimate:
    return resampled.bootstrap_rows(resampled.mean_of(losses), len(losses), seed=seed, within=(-inf, inf))


def _table(found: dict[str, _Tried | str], numbers: dict[str, dict[str, Estimate]], in_use: str, seed: int) -> Table:
    """The one in use first, then the likeliest on rows held out."""
    body: list[tuple[str | int | None, ...]] = []
    losses = {name: inf if isinstance(each, str) else float(each.held_out.mean()) for name, each in found.items()}
    for name in sorted(found, key=lambda name: (name != in_use, losses[name])):
        each = found[name]
        called = name + (" (in use)" if name == in_use else "")
        if isinstance(each, str):
            body.append((called, f"not fitted: {each}", None, None, None))
        else:
            mine = numbers[name]
            nll = span(mine["nll"]) if "nll" in mine else "infinite"
            kept = span(_mean(each.held_out, seed)) if np.isfinite(losses[name]) else "infinite"
            body.append((called, span(mine["ece"]), share(mine["accuracy"]), nll, kept))
    return Table(
        id="calibrators-numbers",
        title="Every calibrator on the same rows",
        caption="The last column chose: mean negative log-likelihood of calibration rows, each under a fit on the "
        "others. The rest is read on the evaluation rows.",
        columns=("calibrator", "ECE", "right", "log-likelihood loss", "the same, held out"),
        rows=tuple(body),
    )
