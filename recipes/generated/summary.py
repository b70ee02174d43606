"""What the study of generated sets says: `python -m recipes.generated.summary OUT` prints the tables of its page.

OUT is what `recipes.generated.run` wrote. Toys are means over seeds.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from recipes.tables import show

SHOWN = {
    "probabilistic precision": "P-prec",
    "probabilistic recall": "P-rec",
    "probabilistic, median precision": "P-prec, median",
    "probabilistic, median recall": "P-rec, median",
    "calibrated precision": "cal. P-prec",
    "calibrated recall": "cal. P-rec",
    "precision_recall precision": "precision",
    "precision_recall recall": "recall",
    "density_coverage density": "density",
    "density_coverage coverage": "coverage",
    "clipped density": "clipped density",
    "clipped coverage": "clipped coverage",
    "symmetric precision": "sym. precision",
    "symmetric recall": "sym. recall",
    "cover precision": "precision cover",
    "cover recall": "recall cover",
    "authenticity share": "authentic",
    "probabilistic saturation": "saturation",
    "frechet": "Frechet",
}
PLAIN = ("probabilistic precision", "probabilistic recall", "precision_recall precision", "precision_recall recall",
         "density_coverage density", "density_coverage coverage", "clipped density", "clipped coverage")  # fmt: skip
FIDELITY = ("probabilistic precision", "probabilistic, median precision", "precision_recall precision",
            "density_coverage density", "clipped density", "symmetric precision", "cover precision")  # fmt: skip
DIVERSITY = ("probabilistic recall", "probabilistic, median recall", "precision_recall recall",
             "density_coverage coverage", "clipped coverage", "symmetric recall", "cover recall")  # fmt: skip
ROBUST, RISE, FALL = 0.05, 0.02, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    found = read(args.out / "numbers.csv")
    experiments = list(dict.fromkeys(key[0] for key in found))
    tables = [("G1: what one outlier changes, at most", robust(found))]
    tables += [("G2: what truncation and a drop of modes change", follows(found))]
    for name in experiments:
        metrics = PLAIN + (("probabilistic saturation",) if name == "dimension" else ())
        if any("calibrated precision" in each for key, each in found.items() if key[0] == name):
            metrics = ("calibrated precision", "calibrated recall", *PLAIN, "authenticity share", "frechet")
        if name.startswith("garbage"):
            metrics = (*metrics, "probabilistic, median recall")
        tables.append((name, table(found, name, metrics)))
    show(tables)


def read(path: Path):
    """(experiment, setting) -> metric -> (value, low, high), means over seeds."""
    values = defaultdict(lambda: defaultdict(list))
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            low, high = (float(row[name]) if row[name] else np.nan for name in ("low", "high"))
            values[row["experiment"], row["setting"]][row["metric"]].append((float(row["value"]), low, high))
    return {key: {metric: np.mean(each, axis=0) for metric, each in found.items()} for key, found in values.items()}


def table(found, experiment: str, metrics):
    rows = [("setting", *(SHOWN[metric] for metric in metrics))]
    for (name, setting), values in found.items():
        if name == experiment:
            rows.append((setting, *(cell(values.get(metric)) for metric in metrics)))
    return rows


def cell(value) -> str:
    if value is None:
        return ""
    if np.isnan(value[1]):
        return f"{value[0]:.3f}"
    return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})"


def robust(found):
    """The largest change that one outlier makes over the shifts at which the sets share nothing (1 and more)."""
    rows = [("metric", "outlier among reals", "outlier among fakes", "robust")]
    for metric in (*FIDELITY, *DIVERSITY):
        changes = []
        for where in ("reals", "fakes"):
            both = [
                abs(found[f"one outlier among {where}", setting][metric][0] - values[metric][0])
                for (name, setting), values in found.items()
                if name == f"no outlier among {where}" and abs(float(setting)) >= 1
            ]
            changes.append(max(both, default=np.nan))
        rows.append((SHOWN[metric], *(f"{change:.3f}" for change in changes), yes(max(changes) <= ROBUST)))
    return rows


def follows(found):
    """By the rules of the page, which metrics follow truncation and a drop of modes."""
    rows = [("metric", "truncation", "wider fakes", "modes dropped", "digits dropped", "follows")]
    for kind, metrics in (("fidelity", FIDELITY), ("diversity", DIVERSITY)):
        for metric in metrics:
            narrow = series(found, "truncation", metric, [1.0, 0.8, 0.6, 0.4, 0.2])
            wide = series(found, "truncation", metric, [1.0, 1.2, 1.5])
            modes = series(found, "mode drop", metric, [0.0, 0.2, 0.4, 0.6])
            digits = series(found, "digits dropped", metric, [0.0, 0.2, 0.4, 0.6])
            if kind == "fidelity":
                held = [not falls(narrow), falls(wide), not falls(modes), not falls(digits)]
            else:
                held = [falls(narrow), not falls(wide), falls(modes), falls(digits)]
            cells = [" ".join(f"{value:.2f}" for value in each) for each in (narrow, wide, modes, digits)]
            marked = [f"{text} {yes(each)}" for text, each in zip(cells, held, strict=True)]
            rows.append((SHOWN[metric], *marked, yes(all(held))))
    return rows


def series(found, experiment: str, metric: str, settings):
    return [found[experiment, str(setting)][metric][0] for setting in settings if (experiment, str(setting)) in found]


def falls(values) -> bool:
    """By at least 0.05 in all, and never up by more than 0.02."""
    steps = np.diff(values)
    return bool(len(steps) and values[0] - values[-1] >= FALL and steps.max() <= RISE)


def yes(holds: bool) -> str:
    return "yes" if holds else "no"


if __name__ == "__main__":
    main()
