"""The tables of docs/studies/noisy_prompts.md from a finished study: `python -m recipes.noisy_prompts.summary OUT`.

Means over draws; what stands in brackets is the 95 % interval over draws, of a claim that over model-set pairs.
"""

import argparse
import csv
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np

from candid.workflows.prompting.claims import CLAIMS, claims
from candid.workflows.prompting.pictures import over_draws
from candid.workflows.prompting.record import COLUMNS, Record
from recipes.tables import show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    found = read(parser.parse_args().out / "tables" / "all.csv")
    judged = sum(each.question != "zero-shot" and each.member == "one" for each in found)
    print(f"{judged:,} judged heads, models {', '.join(sorted({r.model for r in found}))}\n")
    show((
        ("Claims", claim_rows(found)),
        ("Means over sets under flip-exact noise, CE unless it says otherwise", mean_rows(found)),
        ("Accuracy by variant, CE unless it says otherwise", noise_rows(found, "accuracy")),
        ("ECE", noise_rows(found, "ece")),
        ("NLL", noise_rows(found, "nll")),
        ("AUROC of unknown images, MSP", noise_rows(found, "auroc_msp")),
        ("Labels that people gave", people_rows(found)),
        ("Losses", grid(of(found, "losses"), lambda r: r.loss, lambda r: f"{r.set} {r.rate:.0%}")),
        ("Context length", grid(of(found, "context"), lambda r: r.setting, lambda r: f"{r.set} {r.rate:.0%}")),
        ("Class names", grid(of(found, "names"), lambda r: r.setting, lambda r: f"{r.set} {r.rate:.0%}")),
        ("Gradients in parameters", gradient_rows(found, "parameters")),
        ("Gradients in class vectors", gradient_rows(found, "classes")),
        ("Epochs", epoch_rows(found)),
        ("No labels", unlabelled_rows(found)),
    ))  # fmt: skip


def read(path: Path) -> list[Record]:
    """The records of a finished study."""
    whole = {each.name: each.type for each in fields(Record)}
    kinds = {"int": int, "float": float, int: int, float: float}
    found = []
    for line in csv.DictReader(path.open(encoding="utf-8")):
        known = {name: kinds.get(whole[name], str)(line[name]) for name in COLUMNS}
        numbers = {name: float(value) for name, value in line.items() if name not in (*COLUMNS, "note") and value}
        found.append(Record(**known, numbers=numbers, note=line["note"]))
    return found


def mean_rows(found: list[Record]) -> Iterable[tuple]:
    """Only sets that were asked at every rate, each counting alike."""
    asked = [each for each in of(found, "noise") if each.protocol == "flip-exact"]
    rates = sorted({each.rate for each in asked})
    columns = [("accuracy", 100, 1), ("ece", 1, 3), ("nll", 1, 2), ("auroc_msp", 100, 1)]
    yield ("trained", *(f"{metric} {rate:.0%}" for metric, _, _ in columns for rate in rates))
    for trained in dict.fromkeys(map(way, asked)):
        cells = []
        for metric, times, digits in columns:
            for rate in rates:
                here = [each for each in asked if way(each) == trained and each.rate == rate]
                by_set = [np.mean([r.numbers[metric] for r in here if r.set == name]) for name in {r.set for r in here}]
                cells.append(f"{times * np.mean(by_set):.{digits}f}")
        yield (trained, *cells)


def of(found: list[Record], question: str) -> list[Record]:
    return [each for each in found if each.question == question]


def way(record: Record) -> str:
    return f"`{record.variant}`" + ("" if record.loss == "ce" else f", {record.loss.upper()}")


def claim_rows(found: list[Record]) -> Iterable[tuple]:
    yield "", "claim", "here", "evidence"
    for each in claims(found):
        yield each.number, CLAIMS[each.number], each.outcome, each.evidence


def noise_rows(found: list[Record], metric: str) -> Iterable[tuple]:
    asked = [each for each in of(found, "noise") if not each.protocol.startswith("people")]
    places = list(dict.fromkeys((each.protocol, each.rate) for each in asked))
    yield ("set", "trained", *(f"{protocol} {rate:.0%}" for protocol, rate in places))
    for name in dict.fromkeys(each.set for each in asked):
        here = [each for each in asked if each.set == name]
        for trained in dict.fromkeys(map(way, here)):
            cells = [[r for r in here if way(r) == trained and (r.protocol, r.rate) == place] for place in places]
            yield (name, trained, *(shown(cell, metric) for cell in cells))


def people_rows(found: list[Record]) -> Iterable[tuple]:
    asked = [each for each in of(found, "noise") if each.protocol.startswith("people")]
    kinds = list(dict.fromkeys(each.protocol for each in asked))
    wrong = {kind: np.mean([each.wrong for each in asked if each.protocol == kind]) for kind in kinds}
    yield ("trained", *(f"{kind} ({wrong[kind]:.0%} wrong){what}" for kind in kinds for what in ("", ", ECE")))
    for trained in dict.fromkeys(map(way, asked)):
        cells = [[r for r in asked if way(r) == trained and r.protocol == kind] for kind in kinds]
        yield (trained, *(shown(cell, metric) for cell in cells for metric in ("accuracy", "ece")))


def grid(asked: list[Record], row: Callable[[Record], str], column: Callable[[Record], str]) -> Iterable[tuple]:
    columns = list(dict.fromkeys(map(column, asked)))
    yield ("", *columns)
    for label in dict.fromkeys(map(row, asked)):
        yield (label, *(shown([r for r in asked if row(r) == label and column(r) == c], "accuracy") for c in columns))


def gradient_rows(found: list[Record], space: str) -> Iterable[tuple]:
    names = ("norm_right", "norm_wrong", "coherence_right", "coherence_wrong", "cosine", "pull")
    yield ("trained", "epochs done", *(name.replace("_", ", ") for name in names))
    asked = [each for each in of(found, "gradients") if each.setting == space]
    for trained in dict.fromkeys(map(way, asked)):
        for epoch in sorted({each.epoch for each in asked}):
            cell = [each for each in asked if way(each) == trained and each.epoch == epoch]
            yield (trained, epoch, *(shown(cell, name) for name in names))


def epoch_rows(found: list[Record]) -> Iterable[tuple]:
    asked = of(found, "epochs")
    places = sorted({each.epoch for each in asked} & {0, 1, 2, 5, 10, 20, 25, 40, 50, 100, 200})
    yield ("set", "trained", "wrong", *(f"{place}" for place in places))
    key = lambda r: (r.set, f"{way(r)}, {r.setting}, {r.member}", f"{r.rate:.0%}")  # noqa: E731
    for row in dict.fromkeys(map(key, asked)):
        yield (*row, *(shown([r for r in asked if key(r) == row and r.epoch == place], "accuracy") for place in places))


def unlabelled_rows(found: list[Record]) -> Iterable[tuple]:
    yield "set", "chosen", "loss", "prompts", "right", "ECE", "pseudo-labels right", "predicted as their own class"
    for each in found:
        if each.question == "zero-shot":
            yield each.set, "zero-shot", "", "", shown([each], "accuracy"), shown([each], "ece"), "", ""
    asked = of(found, "unlabelled")
    key = lambda r: (r.set, r.setting, r.loss, r.member)  # noqa: E731
    for row in dict.fromkeys(map(key, asked)):
        cell = [each for each in asked if key(each) == row]
        numbers = ("accuracy", "ece", "pseudo_label_accuracy", "pseudo_label_coverage")
        yield (*row, *(shown(cell, name) for name in numbers))


def shown(cell: list[Record], metric: str) -> str:
    found = over_draws(cell, metric)
    if found is None:
        return ""
    percent = metric == "accuracy" or metric.startswith(("auroc", "pseudo"))
    scale, digits = (100, 1) if percent else (1, 3 if metric == "ece" else 2)
    half = f" ±{scale * (found.high - found.low) / 2:.{digits}f}" if found.n > 1 else ""
    return f"{scale * found.value:.{digits}f}{half}"


if __name__ == "__main__":
    main()
