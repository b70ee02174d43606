"""Is an attribute to blame for a gap between groups: within a class, do images fare worse for what comes with them?"""

from itertools import permutations
from typing import NamedTuple

import numpy as np

from candid import groups, metrics
from candid.report.content import Bars, Row, Section
from candid.types import Correct, Estimate
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.part import Part, bar, row, share

__all__ = ["spurious"]

FOLDS = 5
MOST_CLASSES = 12  # that are probed one against the rest
MOST_BARS = 60
MOST_ROWS = 200  # of a cell that probes are fitted to
STREAM = 4  # of the seed


class _Gap(NamedTuple):
    """Of one class, the cell that fares better, the one that fares worse, and by how much."""

    better: int
    worse: int
    difference: Estimate


def spurious(evidence: Evidence) -> Part:
    """Rows of the largest gap within a class, of what probes read from the vectors, and the section that warns."""
    known = evidence.known
    if known.groups is None or known.labels is None:
        return Part()
    names = known.group_names or tuple(str(i) for i in range(int(known.groups.max()) + 1))
    found = groups.cross(evidence.truth, known.groups, evidence.head.classes, names)
    cells = [np.flatnonzero(found.groups == cell) for cell in range(len(found.names))]
    owners = [int(evidence.truth[rows[0]]) for rows in cells]
    pairs = [(a, b) for a, b in permutations(range(len(cells)), 2) if owners[a] == owners[b]]
    if not pairs:
        return Part()
    correct = evidence.logits.argmax(axis=1) == evidence.truth
    gap = _largest(pairs, cells, correct)
    rows = [row("gap_within_class", found.names[gap.worse], gap.difference)]
    shares = [metrics.proportion(int(correct[rows].sum()), len(rows)) for rows in cells]
    rows += [row("accuracy", f"class and group: {name}", each) for name, each in zip(found.names, shares, strict=True)]
    answer = _said(gap, found, shares)
    cannot_say: tuple[str, ...] = ()
    if gap.difference.low > 0:
        probed, cannot_say = _probed(evidence, found, gap, cells, correct)
        rows += probed
        answer += _blame(probed, found, gap, names)
    section = Section(
        id="spurious",
        title="Is what comes with a class to blame?",
        answer=answer,
        figures=(_bars(found.names, shares),),
    )
    return Part(tuple(rows), (section,), cannot_say)


def _largest(pairs: list[tuple[int, int]], cells: list[np.ndarray], correct: Correct) -> _Gap:
    """The pair of cells of one class whose accuracies differ most surely; intervals hold for all pairs at once."""
    level = 1 - 0.05 / len(pairs)
    gaps = [_Gap(a, b, _difference(correct[cells[a]], correct[cells[b]], level)) for a, b in pairs]
    return max(gaps, key=lambda gap: (gap.difference.low, gap.difference.value))


def _difference(better: np.ndarray, worse: np.ndarray, level: float) -> Estimate:
    """Newcombe's interval for the difference of two shares, from exact ones."""
    a, b = (metrics.proportion(int(each.sum()), len(each), level=level) for each in (better, worse))
    value = a.value - b.value
    low = value - float(np.hypot(a.value - a.low, b.high - b.value))
    high = value + float(np.hypot(a.high - a.value, b.value - b.low))
    return Estimate(value, low, high, n=len(better) + len(worse))


def _probed(
    evidence: Evidence, found: groups.Crossed, gap: _Gap, cells: list[np.ndarray], correct: Correct
) -> tuple[list[Row], tuple[str, ...]]:
    """What linear probes, fitted to equally many of each cell, read from vectors they have not seen."""
    few = [found.names[cell] for cell, rows in enumerate(cells) if len(rows) < FOLDS]
    if few:
        return [], (f"Whether an attribute is to blame for the gap: {few[0]} has fewer than {FOLDS} images.",)
    if len(evidence.head.classes) > MOST_CLASSES:
        return [], (f"Whether a balanced last layer would close the gap: over {MOST_CLASSES} classes are not probed.",)
    random = np.random.default_rng([evidence.seed, STREAM])
    picked = np.sort(np.concatenate([random.permutation(rows)[:MOST_ROWS] for rows in cells]))
    assert evidence.known.groups is not None
    vectors, by = evidence.known.vectors[picked], found.groups[picked]
    attributes, labels = evidence.known.groups[picked], evidence.truth[picked]
    own = np.isin(by, [gap.better, gap.worse])
    told = groups.probe(vectors, attributes, by, folds=FOLDS, seed=evidence.seed).right[own]
    right = groups.probe(vectors, labels, by, folds=FOLDS, seed=evidence.seed).right
    worse = by == gap.worse
    name = found.names[gap.worse]
    seen = metrics.proportion(int(right[worse].sum()), int(worse.sum()))
    rows = [
        row("attribute_read", name, metrics.proportion(int(told.sum()), len(told))),
        row("balanced_probe", name, seen),
    ]
    if seen.low > 1 / len(evidence.head.classes):  # else it guesses, and a guess is better than leaning the wrong way
        rows.append(row("balanced_probe_gain", name, _paired(correct[picked][worse], right[worse])))
    return rows, ()


def _paired(before: Correct, after: Correct) -> Estimate:
    """Mean difference on the same rows, with a normal interval that counts one change of each kind more."""
    n, up, down = len(before), int((after & ~before).sum()), int((before & ~after).sum())
    value = (up - down) / n
    spread = np.sqrt((up + down + 2 - (up - down) ** 2 / n) / n**2)
    return Estimate(value, value - 1.96 * float(spread), value + 1.96 * float(spread), n=n)


def _said(gap: _Gap, found: groups.Crossed, shares: list[Estimate]) -> str:
    worse, better = found.names[gap.worse], found.names[gap.better]
    text = f"{worse}: {share(shares[gap.worse])} are right; {better}: {share(shares[gap.better])}."
    if found.absent:
        text += f" No images of: {', '.join(found.absent[:10])}."
    if gap.difference.low <= 0:
        return f"No gap within a class is sure. The largest: {text}"
    return f"Within one class, it matters what comes with it. {text}"


def _blame(probed: list[Row], found: groups.Crossed, gap: _Gap, names: tuple[str, ...]) -> str:
    if not probed:
        return ""
    told, right, *more = probed
    gained = more[0] if more else None
    text = (
        f" A probe reads which of the {len(names)} groups an image of this class is in, from the features alone: "
        f"right on {_share(told)}. Another, balanced over class and group, is right on {_share(right)} of "
        f"{found.names[gap.worse]}: the features of the class are "
    )
    if gained is not None and gained.low is not None and gained.low > 0:
        return (
            text + "there, and the last layer leans on what comes with it. What mends that: candid adapt with --method "
            "dfr and --groups COLUMN on labelled images like these."
        )
    return text + "no easier to read than the model reads them, so another last layer would not surely help."


def _share(found: Row) -> str:
    return share(Estimate(found.value, found.low or 0.0, 1.0 if found.high is None else found.high, found.n))


def _bars(names: tuple[str, ...], shares: list[Estimate]) -> Bars:
    order = sorted(range(len(names)), key=lambda cell: shares[cell].value)[:MOST_BARS]
    return Bars(
        id="accuracy-class-group",
        title="Accuracy by class and group",
        caption=f"Worst first, at most {MOST_BARS}; 95% Clopper-Pearson intervals.",
        x_label="accuracy",
        unit="percent",
        better="higher",
        bars=tuple(bar(names[cell], shares[cell]) for cell in order),
    )
