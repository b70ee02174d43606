"""The tables of docs/studies/vlm_calibration.md from a finished study: `python -m recipes.vlm_study.summary OUT`.

Medians are over models and sets; what stands in brackets is the range over models, or the interval of a claim.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from candid.workflows.studying.claims import CLAIMS, claims
from candid.workflows.studying.finding import Finding, ModelFindings
from candid.workflows.studying.questions import ORACLE, OWN, SHIPPED
from recipes.tables import show

KNOWN = 0.35  # accuracy from which a model is said to know a set; chosen after the first look at the transfer matrix
CIFAR = "cifar10"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    models = [ModelFindings.load(path) for path in sorted((parser.parse_args().out / "models").glob("*.json"))]
    models = sorted(models, key=lambda model: (model.card.get("kind") != "vlm", model.name))
    findings = [each for model in models for each in model.findings]
    print(f"{len(models)} models, {sum(bool(model.failure) for model in models)} failed, {len(findings)} findings\n")
    show((
        ("Claims", claim_rows(findings)),
        ("Every model on CIFAR-10 and its shifts", model_rows(models)),
        ("Every set, vision-language models", set_rows(findings)),
        ("Transfer, by whether the model knows both sets", transfer_rows(findings)),
        ("Levels and prompts", crossed_rows(findings)),
        ("Number of labels", label_rows(findings)),
        ("Source of the labels", source_rows(findings)),
        ("Calibrators, against one temperature", calibrator_rows(findings)),
        ("Prediction sets", set_method_rows(findings)),
    ))  # fmt: skip


def claim_rows(findings: list[Finding]) -> Iterable[tuple]:
    yield "", "claim", "here", "evidence"
    for each in claims(findings):
        yield each.number, CLAIMS[each.number], each.outcome, each.evidence


def model_rows(models: list[ModelFindings]) -> Iterable[tuple]:
    yield ("model", "accuracy", "ECE as shipped", "with T", "T", "shifted: ECE as shipped", "with the unshifted T",
           "with its own T")  # fmt: skip
    for model in models:
        found = {(f.used_on, f.method, f.metric): f for f in model.findings if f.question == "T1"}
        moved = [name for name, facts in model.sets.items() if facts["role"] == "shift" and facts["of"] == CIFAR]
        temperature = found.get((CIFAR, OWN, "temperature"))
        yield (
            f"`{model.name}`",
            f"{100 * found[CIFAR, SHIPPED, 'accuracy'].value:.1f} %",
            within(found[CIFAR, SHIPPED, "ece"]),
            within(found[CIFAR, OWN, "ece"]) if temperature else "no T",
            f"{temperature.value:.2f}" if temperature else "",
            *(mean_of(found, moved, state) for state in (SHIPPED, OWN, ORACLE)),
        )


def set_rows(findings: list[Finding]) -> Iterable[tuple]:
    yield "set", "models", "accuracy", "ECE as shipped", "with T", "if calibrated", "T"
    table = [each for each in findings if each.question == "T1" and each.kind == "vlm"]
    for used_on in dict.fromkeys(each.used_on for each in table):
        here = [each for each in table if each.used_on == used_on]
        cells = [
            (SHIPPED, "accuracy"),
            (SHIPPED, "ece"),
            (OWN, "ece"),
            (OWN, "ece_if_calibrated"),
            (OWN, "temperature"),
        ]
        spreads = [
            spread([each.value for each in here if (each.method, each.metric) == cell], percent=cell[1] == "accuracy")
            for cell in cells
        ]
        yield used_on, len({each.model for each in here}), *spreads


def transfer_rows(findings: list[Finding]) -> Iterable[tuple]:
    yield "fitted on, used on", "pairs", "gap to its own T, median (quartiles)", "better than as shipped"
    right = values(findings, "T1", "accuracy", lambda each: each.method == SHIPPED)
    raw = values(findings, "T1", "ece", lambda each: each.method == SHIPPED)
    sources = {each.fitted_on for each in findings if each.question == "T2"}
    gaps: dict[str, list[float]] = {}
    wins: dict[str, list[bool]] = {}
    for each in findings:
        if each.question == "T2" and each.kind == "vlm" and each.used_on in sources and each.used_on != each.fitted_on:
            known = [right[each.model, name] >= KNOWN for name in (each.fitted_on, each.used_on)]
            kind = f"{'known' if known[0] else 'unknown'}, {'known' if known[1] else 'unknown'}"
            if each.metric == "ece_gap":
                gaps.setdefault(kind, []).append(each.value)
            elif each.metric == "ece":
                wins.setdefault(kind, []).append(each.value < raw[each.model, each.used_on])
    for kind in sorted(gaps):
        low, middle, high = np.quantile(gaps[kind], [0.25, 0.5, 0.75])
        yield kind, len(gaps[kind]), f"{middle:.3f} ({low:.3f} to {high:.3f})", f"{100 * np.mean(wins[kind]):.0f} %"


def crossed_rows(findings: list[Finding]) -> Iterable[tuple]:
    yield "question", "set", "gap to its own T, median over models and pairs", "largest"
    for question in ("T3", "T4"):
        cells = {}
        for each in findings:
            if each.question == question and each.metric == "ece" and each.kind == "vlm":
                cells[(each.model, each.used_on, *each.method.split(" -> "))] = each.value
        for used_on in dict.fromkeys(key[1] for key in cells):
            gaps = [
                value - cells[model, used, q, q]
                for (model, used, p, q), value in cells.items()
                if used == used_on and p not in (q, "none") and (model, used, q, q) in cells
            ]
            if gaps:
                yield question, used_on, f"{np.median(gaps):.4f}", f"{max(gaps):.3f}"


def label_rows(findings: list[Finding]) -> Iterable[tuple]:
    found = [each for each in findings if each.question == "F2" and each.kind == "vlm"]
    sets = list(dict.fromkeys(each.used_on for each in found))
    yield "labels", *sets, *(f"{name}: classes seen" for name in sets)
    for step in sorted({each.n_fit for each in found}):
        here = [each for each in found if each.n_fit == step]
        errors = [spread([e.value for e in here if (e.metric, e.used_on) == ("ece", name)]) for name in sets]
        seen = [[e.value for e in here if (e.metric, e.used_on) == ("classes_covered", name)] for name in sets]
        yield step, *errors, *(f"{np.median(each):.0f}" if each else "" for each in seen)


def source_rows(findings: list[Finding]) -> Iterable[tuple]:
    found = [each for each in findings if (each.question, each.metric, each.kind) == ("T5", "ece", "vlm")]
    sets = list(dict.fromkeys(each.used_on for each in found))
    yield "labels", *sets
    for way in dict.fromkeys(each.method for each in found):
        yield way, *(spread([e.value for e in found if (e.method, e.used_on) == (way, name)]) for name in sets)


def calibrator_rows(findings: list[Finding]) -> Iterable[tuple]:
    yield (
        "calibrator",
        "NLL minus that of one temperature, median (quartiles)",
        "better in",
        "ECE minus",
        "accuracy minus",
    )
    found = {(e.model, e.used_on, e.method, e.metric): e.value for e in findings if e.question == "T6"}
    for method in sorted({key[2] for key in found if ", " not in key[2]}):
        change = {
            metric: [
                value - found[model, used_on, "temperature", metric]
                for (model, used_on, name, kind), value in found.items()
                if (name, kind) == (method, metric) and (model, used_on, "temperature", metric) in found
            ]
            for metric in ("nll", "ece", "accuracy")
        }
        if method == "temperature" or not change["nll"]:
            continue
        low, middle, high = np.quantile(change["nll"], [0.25, 0.5, 0.75])
        yield (
            method,
            f"{middle:+.3f} ({low:+.3f} to {high:+.3f})",
            f"{sum(value < 0 for value in change['nll'])} of {len(change['nll'])}",
            f"{np.median(change['ece']):+.4f}",
            f"{100 * np.median(change['accuracy']):+.2f} %",
        )


def set_method_rows(findings: list[Finding]) -> Iterable[tuple]:
    found = [each for each in findings if each.question == "T6" and ", " in each.method]
    metrics = ("coverage", "set_size", "singletons", "empty_sets")
    yield "method", *(f"{name.replace('_', ' ')} on {CIFAR}" for name in metrics), "coverage on all sets"
    for method in dict.fromkeys(each.method for each in found):
        here = [each for each in found if each.method == method]
        own = [[e.value for e in here if (e.metric, e.used_on) == (name, CIFAR)] for name in metrics]
        everywhere = [each.value for each in here if each.metric == "coverage"]
        yield method, *(spread(each) for each in own), spread(everywhere)


def values(
    findings: list[Finding], question: str, metric: str, keep: Callable[[Finding], bool]
) -> dict[tuple[str, str], float]:
    return {
        (each.model, each.used_on): each.value
        for each in findings
        if each.question == question and each.metric == metric and keep(each)
    }


def mean_of(found: dict[tuple[str, str, str], Finding], sets: list[str], state: str) -> str:
    errors = [found[name, state, "ece"].value for name in sets if (name, state, "ece") in found]
    return f"{np.mean(errors):.3f}" if errors else ""


def within(each: Finding) -> str:
    return f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f})"


def spread(found: list[float], *, percent: bool = False) -> str:
    if not found:
        return ""
    scale, digits = (100, 1) if percent else (1, 3)
    low, middle, high = (scale * value for value in (min(found), np.median(found), max(found)))
    unit = " %" if percent else ""
    return f"{middle:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    main()
