"""What it does with images it does not know: every detector that suits, and the threshold production will use."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from candid import detect, metrics
from candid.errors import InputError
from candid.report.content import Counts, Histogram, Marker, Row, Section, Table
from candid.types import Correct, Scores
from candid.workflows.auditing.detecting import Choice, Detectors, choose, detectors
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.part import Part, percent, row, share, span

__all__ = ["Detected", "detection"]

AnyScores = Float[np.ndarray, "_"]  # each set has its own length
BINS = 40
UNLIKELY = 0.01  # chance of as many refusals under a shift, below which the report says so
RANKED = {  # the report's name of a number, and that of `metrics.separation`
    "auroc": "auroc",
    "fpr95_known_positive": "fpr_known_positive_first",
    "fpr95_unknown_positive": "fpr_unknown_positive_first",
    "aupr_known_positive": "aupr_known_positive",
    "aupr_unknown_positive": "aupr_unknown_positive",
}
TAIL = 0.001  # share of scores cut off at each end of the histogram's axis and counted in its end bins


@dataclass(frozen=True)
class Detected:
    """The detector in use and its threshold."""

    detector: detect.Detector
    threshold: float


def detection(evidence: Evidence) -> tuple[Part, Detected]:
    """Ranking numbers for every set and detector, what the threshold keeps and lets in, and the threshold itself."""
    found = detectors(evidence)
    choice = choose(evidence, found)
    evidence = replace(evidence, detector=choice.name)
    if choice.name not in found.usable:
        raise InputError(f"{choice.name} {found.left_out[choice.name]}; choose another detector")
    used = found.usable[choice.name]
    known = used(evidence.known.vectors)
    cannot_say = list[str]()
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
    shown = _histogram(known, scores, threshold, evidence.detector)
    section = Section(
        id="unknown",
        title="What does it do with images it does not know?",
        answer=_answer(rows, evidence, cut, choice, shifted),
        figures=(shown, *_chosen(choice), *_tables(rows, evidence, found)),
    )
    return Part(tuple(rows), (section,), tuple(cannot_say)), Detected(used, threshold)


def _left_out(found: Detectors) -> str:
    """The detectors that do not suit, by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in found.left_out.items():
        by_reason.setdefault(reason, []).append(name)
    return "".join(f" Left out: {', '.join(names)} ({reason})." for reason, names in by_reason.items())


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


PROMISES: dict[str, str] = {
    "rows": "keeps {keep}% of {n:,} known images",
    "average": "from {n:,} known images refuses a new one with a chance of at most {refuse:g}%",
    "sure": "from {n:,} known images refuses, 95 times in 100 draws of these, at most {refuse:g}% of all new ones",
}


def _answer(
    rows: list[Row], evidence: Evidence, cut: detect.Threshold, choice: Choice,
    shifted: Mapping[str, detect.UnderShift],
) -> str:  # fmt: skip
    named = {(found.metric, found.slice): found for found in rows}
    promise = PROMISES[cut.guarantee].format(
        keep=f"{100 * cut.keep:.0f}", n=int(cut.counts[0]), refuse=round(100 * (1 - cut.keep), 6)
    )
    text = f"Score: {evidence.detector}, higher = less known. A threshold of {float(cut.values[0]):.4g} {promise}"
    if ("kept", "known") in named:
        kept = named["kept", "known"]
        text += f"{' and' if cut.guarantee == 'rows' else '; it keeps'} {span(kept)} of {kept.n:,} others"
    let_in = [f"{span(named['let_in', f'ood: {name}'])} of {name}" for name in evidence.ood]
    if let_in:
        text += f". It lets in {', '.join(let_in)}"
    for name, under in shifted.items():
        text += f". Of {name} it refuses {share(under.refused)}, where {percent(under.expected)} would be as promised"
        text += f" (chance {under.chance:.1g} if nothing had changed)" if under.chance < UNLIKELY else ""
    alarms = [found for found in rows if found.metric == "false_alarms"]
    if alarms:
        worst = max(alarms, key=lambda found: found.value)
        text += f". It refuses known images of {worst.slice.removeprefix('group: ')} most often: {span(worst)}"
    if choice.auroc:
        text += ". The detector was chosen by images made from known ones, not by any unknown set"
    return text + "."


def _chosen(choice: Choice) -> tuple[Table, ...]:
    if not choice.auroc:
        return ()
    means = {name: float(np.mean(list(each.values()))) for name, each in choice.auroc.items()}
    order = sorted(means, key=lambda name: -means[name])
    kinds = tuple(choice.auroc[order[0]])
    body = tuple(
        (name + (" (used)" if name == choice.name else ""), f"{means[name]:.3f}",
         *(f"{choice.auroc[name][kind]:.3f}" for kind in kinds))
        for name in order
    )  # fmt: skip
    caption = (
        "AUROC of known images against images made from them so as to be unlike them. It chose the detector; it does "
        "not say how well unknown things are told."
    )
    return (Table(id="chosen-detector", title="How the detector was chosen", caption=caption,
                  columns=("detector", "mean", *kinds), rows=body),)  # fmt: skip


def _histogram(known: Scores, sets: Mapping[str, AnyScores], threshold: float, detector: str) -> Histogram:
    pooled = np.concatenate([known, *sets.values()])
    pooled = pooled[np.isfinite(pooled)]
    low, high = np.quantile(pooled, [TAIL, 1 - TAIL]) if len(pooled) else (threshold, threshold)
    low, high = min(low, threshold), max(high, threshold)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    series = []
    for name, found in {"known": known, **sets}.items():
        counts, _ = np.histogram(np.clip(found, low, high), edges)
        series.append(Counts(name=name, shares=tuple((counts / len(found)).tolist()), n=len(found)))
    return Histogram(
        id="scores",
        title="Scores of known and unknown images",
        caption="Shares of each set. Right of the threshold the predictor abstains. The end bins hold the tails.",
        x_label=f"{detector} score, higher = less known",
        edges=tuple(edges.tolist()),
        series=tuple(series),
        markers=(Marker(axis="x", value=threshold, label="threshold"),),
    )


def _tables(rows: list[Row], evidence: Evidence, detected: Detectors) -> tuple[Table, ...]:
    named = {(found.metric, found.slice): found for found in rows}
    order = {
        "auroc": "AUROC",
        "fpr95_known_positive": "FPR95, known positive",
        "fpr95_unknown_positive": "FPR95, unknown positive",
        "aupr_known_positive": "AUPR, known positive",
        "aupr_unknown_positive": "AUPR, unknown positive",
    }
    tables = []
    for place, (name, found) in enumerate(evidence.ood.items()):
        body = []
        shown = [each for each in detected.usable if ("auroc", f"ood: {name}, {each}") in named]
        for detector in sorted(shown, key=lambda each: -named["auroc", f"ood: {name}, {each}"].value):
            cells = [span(named[metric, f"ood: {name}, {detector}"]) for metric in order]
            known = named["auroc", f"ood: {name}, {detector}"].n - len(found)
            body.append((detector + (" (used)" if detector == evidence.detector else ""), f"{known:,}", *cells))
        tables.append(
            Table(
                id=f"detectors-{place + 1}",
                title=f"Detectors on {name}",
                caption="FPR95, known positive: unknown images let in when 95% of known ones are kept. Unknown "
                "positive: known images thrown out when 95% of unknown ones are caught. AUPR depends on the mix of "
                f"known images, here in their column, with {len(found):,} unknown ones. A detector that learns from "
                "known images is judged on others. The order is that of AUROC on this set, which is no way to choose "
                f"one: --detector auto is.{_left_out(detected)}",
                columns=("detector", "known images", *order.values()),
                rows=tuple(body),
            )
        )
    return tuple(tables)
