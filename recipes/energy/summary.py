"""Print the tables of the study's page from a finished run: `python -m recipes.energy.summary OUT`."""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from candid.report import Report
from candid.report.tables import write_csv
from recipes.tables import show

FPR = "fpr_known_positive_first"
OTHER = "fpr_unknown_positive_first"
LEFT_OUT = ("_trapezoid", "_even", "tied")  # of the CSV file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--csv", type=Path, help="also write what every detector scored, to four digits")
    args = parser.parse_args()
    records = [each for path in sorted((args.out / "runs").glob("*.json"))
               for each in json.loads(path.read_text())["records"]]  # fmt: skip
    print("## Claims\n")
    for reason in Report.load(args.out).content.verdict.reasons:
        print(f"* {reason.word}: {reason.text}")
    print()
    show(tables(records))
    if args.csv is not None:
        rows = [line(each) for each in records if each["question"] == "detectors" and each["numbers"]]
        write_csv(args.csv, rows, columns=tuple(dict.fromkeys(name for row in rows for name in row)))


def line(record: dict) -> dict:
    """A record without its histogram and the numbers that follow from others."""
    kept = {name: record[name] for name in ("model", "state", "set", "kind", "detector", "n_known", "n_unknown")}
    numbers = record["numbers"].items()
    return kept | {name: round(value, 4) for name, value in numbers if not any(part in name for part in LEFT_OUT)}


def tables(records: Sequence[dict]) -> Iterable[tuple[str, Iterable[tuple]]]:
    asked = [each for each in records if each["question"] == "detectors"]
    models = list(dict.fromkeys(each["model"] for each in asked))
    yield "Softmax and energy by state, means over unknown sets", states(asked, models)
    for model in models:
        yield f"{model}: every unknown set", sets(asked, model)
    yield "Every detector: AUROC / FPR95 known positive, means over unknown sets", every(asked, models)
    yield "Energy by temperature: AUROC, means over unknown sets", temperatures(records, models)
    yield "The identity", identity(records)
    yield "Thresholds: kept of other known images", thresholds(records)


def states(asked: Sequence[dict], models: Sequence[str]) -> Iterable[tuple]:
    kinds = ("near", "far")
    yield ("model", "state", "accuracy", "score",
           *(f"{kind}: AUROC, FPR95 known+, unknown+" for kind in kinds))  # fmt: skip
    for model in models:
        for state in dict.fromkeys(each["state"] for each in asked if each["model"] == model):
            here = [each for each in asked if (each["model"], each["state"]) == (model, state)]
            right = next(each["numbers"] for each in here if not each["detector"])
            for score in ("msp", "energy"):
                own = [each for each in here if each["detector"] == score]
                yield (model, state, span(right, "accuracy"), score,
                       *(", ".join(mean([e for e in own if e["kind"] == kind], name)
                                   for name in ("auroc", FPR, OTHER)) for kind in kinds))  # fmt: skip


def sets(asked: Sequence[dict], model: str) -> Iterable[tuple]:
    states = list(dict.fromkeys(each["state"] for each in asked if each["model"] == model))
    columns = [
        (state, score) for state in states for score in (("msp", "energy") if state == states[0] else ("energy",))
    ]
    yield ("unknown set", "kind", *(f"{score}, {state}: FPR95 known+ (AUROC)" for state, score in columns))
    for name in dict.fromkeys(each["set"] for each in asked if each["model"] == model and each["set"]):
        found = {(e["state"], e["detector"]): e for e in asked if e["model"] == model and e["set"] == name}
        kind = next(iter(found.values()))["kind"]
        yield (
            name,
            kind,
            *(f"{span(found[c]['numbers'], FPR)} ({100 * found[c]['numbers']['auroc']:.1f})" for c in columns),
        )


def every(asked: Sequence[dict], models: Sequence[str]) -> Iterable[tuple]:
    plain = [each for each in asked if each["state"] == "as it is" and each["detector"] and each["numbers"]]
    yield ("detector", *models)
    names = sorted({each["detector"] for each in plain})
    for name in names:
        cells = [[e for e in plain if (e["model"], e["detector"]) == (model, name)] for model in models]
        yield (name, *(f"{mean(cell, 'auroc')} / {mean(cell, FPR)}" if cell else "-" for cell in cells))


def temperatures(records: Sequence[dict], models: Sequence[str]) -> Iterable[tuple]:
    asked = [each for each in records if each["question"] == "temperature" and each["state"] == "as it is"]
    values = sorted({each["temperature"] for each in asked})
    yield ("model", *(f"T = {value:g}" for value in values))
    for model in models:
        yield (
            model,
            *(mean([e for e in asked if (e["model"], e["temperature"]) == (model, t)], "auroc") for t in values),
        )


def identity(records: Sequence[dict]) -> Iterable[tuple]:
    yield ("model", "unknown set", "energy: known, unknown", "highest logit: known, unknown",
           "AUROC: energy, highest logit, their sum", "largest error")  # fmt: skip
    for each in records:
        if each["question"] == "identity" and each["state"] == "as it is":
            n = each["numbers"]
            areas = ", ".join(f"{n[f'auroc_{part}']:.3f}" for part in ("energy", "top", "sum"))
            energy, top = (f"{n[f'known_{part}']:.2f}, {n[f'unknown_{part}']:.2f}" for part in ("energy", "top"))
            yield (each["model"], each["set"], energy, top, areas, f"{n['error']:.0e}")


def thresholds(records: Sequence[dict]) -> Iterable[tuple]:
    yield ("model", "state", "promise", "kept", "expected")
    seen = set()
    for each in records:
        key = (each["model"], each["state"], each["detector"])
        if each["question"] == "threshold" and each["numbers"] and key not in seen:
            seen.add(key)
            yield (*key, span(each["numbers"], "kept"), span(each["numbers"], "expected"))


def mean(found: Sequence[dict], name: str) -> str:
    values = [each["numbers"][name] for each in found if name in each["numbers"]]
    return f"{100 * float(np.mean(values)):.1f}" if values else "-"


def span(numbers: dict, name: str) -> str:
    return f"{100 * numbers[name]:.1f} [{100 * numbers[f'{name}_low']:.1f}, {100 * numbers[f'{name}_high']:.1f}]"


if __name__ == "__main__":
    main()
