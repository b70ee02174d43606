"""The study's questions about temperatures, one function each: a model's answers in, findings out.

T1 before and after on every set; T2 a temperature of one set on another; T3 of one level of a hierarchy on another;
T4 of one prompt on another; T5 by where its labels came from; F2 by how many there were; F3 the reliability diagrams.
"""

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from candid import metrics
from candid.workflows.auditing.calibration import Fitted, fit_temperature, reliability_series
from candid.workflows.auditing.labels import ece_at, sizes
from candid.workflows.judged import judge
from candid.workflows.studying.answers import Answers, Cell
from candid.workflows.studying.finding import Finding
from candid.workflows.studying.measured import (
    NOTHING,
    How,
    Note,
    ece_estimate,
    gap_estimate,
    measures,
    over_draws,
    single,
)
from candid.workflows.studying.plan import StudySet

__all__ = [
    "QUESTIONS",
    "diagrams",
    "few_labels",
    "hierarchy",
    "label_sources",
    "prompts",
    "tables",
    "transfer",
]

FEW = 50  # labels: the number the paper recommends
SHIPPED, OWN, ORACLE = "as shipped", "own temperature", "temperature of the shifted set"


def tables(answers: Answers, name: str) -> Iterator[Finding]:
    """T1: accuracy, ECE, NLL, Brier on every set, as shipped and with the temperature of its source set."""
    note, plan = Note("T1", answers, name), answers.plan
    for found in answers.sets:
        if found.role == "generated":
            continue
        logits, labels = answers.cell(found).judging()
        fitted = answers.temperature(plan.home(found))
        states = {SHIPPED: NOTHING, OWN: fitted}
        if found.role == "shift":
            states[ORACLE] = answers.temperature(found)
        for state, used in states.items():
            if state != SHIPPED and used.temperature is None:
                continue
            numbers = measures(logits, labels, used.value, seed=plan.seed)
            if used.temperature is not None:
                numbers["temperature"] = used.temperature
            source = "" if state == SHIPPED else found.name if state == ORACLE else plan.home(found).name
            yield from note.findings(numbers, How(found.name, source, state, _rows(used)))


def transfer(answers: Answers, name: str) -> Iterator[Finding]:
    """T2: ECE on every set with the temperature of every source set, and the gap to the set's own temperature."""
    note, seed = Note("T2", answers, name), answers.plan.seed
    can = [found for found in answers.sets if found.role != "generated"]
    sources = [found for found in can if found.role == "source"]
    for used in can:
        logits, labels = answers.cell(used).judging()
        own = answers.temperature(used)
        for source in sources:
            fitted = answers.temperature(source)
            if fitted.temperature is None:
                continue
            found = ece_estimate(logits, labels, fitted.value, seed=seed)
            how = How(used.name, source.name, n_fit=_rows(fitted))
            yield note.finding("ece", found, how)
            if own.temperature is not None:
                yield note.finding("ece_gap", gap_estimate(logits, labels, fitted.value, own.value, seed=seed), how)


def hierarchy(answers: Answers, name: str) -> Iterator[Finding]:
    """T3: ECE at level b of a set's classes with the temperature fitted at level a; 0 is the finest."""
    note, seed = Note("T3", answers, name), answers.plan.seed
    for found in answers.sets:
        if found.role != "source" or not found.depth or answers.kind != "vlm":
            continue
        for a, b in product(range(found.depth + 1), repeat=2):
            fitted = answers.temperature(found, level=a)
            if fitted.temperature is not None:
                logits, labels = answers.cell(found, level=b).judging()
                error = ece_estimate(logits, labels, fitted.value, seed=seed)
                yield note.finding("ece", error, How(found.name, found.name, f"level {a} -> level {b}", _rows(fitted)))


def few_labels(answers: Answers, name: str) -> Iterator[Finding]:
    """F2: ECE and temperature against the number of labels, over seeded draws; and how many classes a draw covers."""
    note, plan = Note("F2", answers, name), answers.plan
    for found in answers.sets:
        if found.role != "source":
            continue
        cell = answers.cell(found)
        logits, labels = cell.judging()
        steps = sizes(len(cell.fits))
        drawn, covered = _draws(cell, steps, plan.draws, plan.seed)
        errors = ece_at(drawn, logits, labels)
        for i, step in enumerate(steps):
            how = How(found.name, found.name, f"{step} labels", step)
            yield note.finding("ece", over_draws(errors[i], len(labels)), how)
            yield note.finding("ece_sd", single(float(errors[i].std(ddof=1)), plan.draws), how)
            yield note.finding("temperature", over_draws(drawn[i], plan.draws), how)
            yield note.finding("classes_covered", over_draws(covered[i], plan.draws), how)


def prompts(answers: Answers, name: str) -> Iterator[Finding]:
    """T4: ECE and accuracy with prompt q, and the temperature fitted with prompt p."""
    note, plan = Note("T4", answers, name), answers.plan
    if answers.kind != "vlm":
        return
    for found in answers.sets:
        if found.role != "source":
            continue
        for p, q in product(plan.prompts, repeat=2):
            fitted = answers.temperature(found, prompt=p)
            logits, labels = answers.cell(found, prompt=q).judging()
            how = How(found.name, found.name, f"{p} -> {q}", _rows(fitted))
            if fitted.temperature is not None:
                yield note.finding("ece", ece_estimate(logits, labels, fitted.value, seed=plan.seed), how)
            if p == q:
                right = int((logits.argmax(axis=1) == labels).sum())
                yield note.finding("accuracy", metrics.proportion(right, len(labels)), how)
                raw = ece_estimate(logits, labels, 1.0, seed=plan.seed)
                yield note.finding("ece", raw, How(found.name, method=f"none -> {q}"))


def label_sources(answers: Answers, name: str) -> Iterator[Finding]:
    """T5: ECE by the source of the labels: own, 50 of them, other label sets, generated images, none.

    "other label sets" is the geometric mean of the temperatures of all other source sets: it has seen no image and no
    class of this one.
    """
    note, plan = Note("T5", answers, name), answers.plan
    can = answers.sets
    sources = [found for found in can if found.role == "source"]
    for used in sources:
        cell = answers.cell(used)
        logits, labels = cell.judging()
        for way, (temperature, rows, source) in _ways(answers, used, can).items():
            how = How(used.name, source, way, rows)
            yield note.finding("ece", ece_estimate(logits, labels, temperature, seed=plan.seed), how)
            yield note.finding("temperature", single(temperature, rows), how)
        if len(cell.fits) > FEW:
            drawn, _ = _draws(cell, [FEW], plan.draws, plan.seed)
            errors = over_draws(ece_at(drawn, logits, labels)[0], len(labels))
            yield note.finding("ece", errors, How(used.name, used.name, f"{FEW} own labels", FEW))


def _ways(answers: Answers, used: StudySet, can: list[StudySet]) -> dict[str, tuple[float, int, str]]:
    """Temperature, rows and set of every source of labels that has a temperature."""
    ways = {"none": (1.0, 0, "")}
    own = answers.temperature(used)
    if own.temperature is not None:
        ways["own labels"] = (own.value, _rows(own), used.name)
    others = [answers.temperature(each) for each in can if each.role == "source" and each.name != used.name]
    found = [each for each in others if each.temperature is not None]
    if found:
        shared = float(np.exp(np.mean([np.log(each.value) for each in found])))
        ways["other label sets"] = (shared, sum(map(_rows, found)), "all others")
    for made in can:
        if made.role == "generated" and made.of == used.name:
            fitted = answers.temperature(made)
            if fitted.temperature is not None:
                ways[f"generated: {made.name}"] = (fitted.value, _rows(fitted), made.name)
    return ways


def diagrams(answers: Answers) -> dict[str, list[dict[str, float]]]:
    """F3: bins of the reliability diagram of every judged set, as shipped and with its source's temperature."""
    found_bins = {}
    for found in answers.sets:
        if found.role == "generated":
            continue
        logits, labels = answers.cell(found).judging()
        fitted = answers.temperature(answers.plan.home(found))
        for state, used in ((SHIPPED, NOTHING), (OWN, fitted)):
            if state == SHIPPED or used.temperature is not None:
                bins = reliability_series(state, judge(logits, labels, temperature=used.value)).bins
                found_bins[f"{found.name}, {state}"] = [each.model_dump() for each in bins]
    return found_bins


QUESTIONS: dict[str, Callable[[Answers, str], Iterator[Finding]]] = {
    "T1": tables,
    "T2": transfer,
    "T3": hierarchy,
    "F2": few_labels,
    "T4": prompts,
    "T5": label_sources,
}


def _rows(fitted: Fitted) -> int:
    return 0 if fitted.temperature is None else fitted.temperature.n


def _draws(cell: Cell, steps: list[int], draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Temperatures (1 where a draw has none) and classes seen, steps x draws."""
    rng = np.random.default_rng(seed)
    found, seen = np.ones((len(steps), draws)), np.zeros((len(steps), draws))
    for i, step in enumerate(steps):
        for j in range(draws):
            rows = rng.choice(cell.fits, step, replace=False)
            found[i, j] = fit_temperature(cell.logits[rows], cell.labels[rows]).value
            seen[i, j] = len(np.unique(cell.labels[rows]))
            if step == len(cell.fits):  # every draw is the whole half
                found[i], seen[i] = found[i, j], seen[i, j]
                break
    return found, seen
