"""What it does with images it does not know: every detector that suits, and the threshold production will use."""

from dataclasses import dataclass, replace

import numpy as np

from candid import detect, metrics
from candid.errors import InputError
from candid.report.content import Row, Section
from candid.types import Correct, Scores
from candid.workflows.auditing.detecting import Detectors, choose, detectors
from candid.workflows.auditing.detection_shown import answer, chosen, histogram, tables
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.part import Part, row
from candid.workflows.detectors import AUTO

__all__ = ["Detected", "detection"]

RANKED = {  # the report's name of a number, and that of `metrics.separation`
    "auroc": "auroc",
    "fpr95_known_positive": "fpr_known_positive_first",
    "fpr95_unknown_positive": "fpr_unknown_positive_first",
    "aupr_known_positive": "aupr_known_positive",
    "aupr_unknown_positive": "aupr_unknown_positive",
}


@dataclass(frozen=True)
class Detected:
    """The detector in use and its threshold."""

    detector: detect.Detector
    threshold: float


def detection(evidence: Evidence) -> tuple[Part, Detected]:
    """Ranking numbers for every set and detector, what the threshold keeps and lets in, and the threshold itself."""
    found = detectors(evidence)
    choice = choose(evidence, found)
    asked, evidence = evidence.detector, replace(evidence, detector=choice.name)
    if choice.name not in found.usable:
        raise InputError(f"{choice.name} {found.left_out[choice.name]}; choose another detector")
    used = found.usable[choice.name]
    known = used(evidence.known.vectors)
    cannot_say = list[str]()
    if asked == AUTO and not choice.auroc:
        cannot_say.append(f"Which detector suits best: too few known images to choose by, so it is {choice.name}.")
    cut = _cut(known[evidence.threshold_rows], evidence, cannot_say)
    threshold = float(cut.values[0])
    rows: list[Row] = []
    judges = evidence.threshold_judges
    if len(judges):
        rows += _kept(evidence, known <= threshold)
    else:
        cannot_say.append(f"What share of other known images the threshold keeps: only {len(known)} known images.")
    shifted = {name: cut.under_shift(used(found.vectors))[0] for name, found in evidence.shift.items()}
    for name, under in shifted.items():
        still = metrics.proportion(round((1 - under.refused.value) * under.refused.n), under.refused.n)
        rows.append(row("kept", f"shift: {name}", still))
    if not evidence.ood:
        cannot_say.append("What it does with images it does not know: no such set was given (--ood).")
    scores = {name: used(images.vectors) for name, images in evidence.ood.items()}
    for name, each in scores.items():
        let_in = metrics.proportion(int((each <= threshold).sum()), len(each))
        rows.append(row("let_in", f"ood: {name}", let_in, key=True))
    for name in found.usable:
        rows += _ranking_rows(evidence, found, name)
    apart = found.known(choice.name, evidence)  # a detector that learnt has seen the other known images
    shown = histogram(apart if len(apart) else known, scores, threshold, evidence.detector)
    section = Section(
        id="unknown",
        title="What does it do with images it does not know?",
        answer=answer(rows, evidence, cut, choice, shifted),
        figures=(shown, *chosen(choice), *tables(rows, evidence, found)),
    )
    return Part(tuple(rows), (section,), tuple(cannot_say)), Detected(used, threshold)


def _cut(scores: Scores, evidence: Evidence, cannot_say: list[str]) -> detect.Threshold:
    """The threshold with the promise that was asked for, or without one where the rows are too few for it."""
    try:
        return detect.Threshold.fit(scores, keep=evidence.keep, guarantee=evidence.guarantee)
    except InputError as error:
        cannot_say.append(f"What share of new known images it refuses at most: {error}.")
        return detect.Threshold.fit(scores, keep=evidence.keep, guarantee="rows")


def _kept(evidence: Evidence, inside: Correct) -> list[Row]:
    """What the threshold keeps of known images it was not taken from: of all, and of each group of them."""
    judges = evidence.threshold_judges
    rows: list[Row] = [row("kept", "known", metrics.proportion(int(inside[judges].sum()), len(judges)))]
    groups = evidence.known.groups
    if groups is None:
        return rows
    names = evidence.known.group_names or tuple(str(i) for i in range(int(groups.max()) + 1))
    for place in np.unique(groups[judges]):
        members = judges[groups[judges] == place]
        refused = metrics.proportion(int((~inside[members]).sum()), len(members))
        rows.append(row("false_alarms", f"group: {names[place]}", refused))
    return rows


def _ranking_rows(evidence: Evidence, found: Detectors, name: str) -> list[Row]:
    known = found.known(name, evidence) if evidence.ood else np.empty(0)
    if not len(known):
        return []
    rows: list[Row] = []
    for which, images in evidence.ood.items():
        numbers = metrics.separation(known, found.usable[name](images.vectors), seed=evidence.seed).estimates()
        rows += [row(metric, f"ood: {which}, {name}", numbers[kept]) for metric, kept in RANKED.items()]
    return rows
