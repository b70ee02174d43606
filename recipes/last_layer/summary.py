"""What the study of last layers says: `python -m recipes.last_layer.summary OUT` prints the tables of its page.

OUT is what `recipes.last_layer.small` wrote. "Recovered" is how far the class probe of a network gets from a guess to
the probe of the network that was trained on the same problem without the correlation (agreement 0.5).
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from recipes.tables import show

WORST, DRAWS, ALL = "worst group", "worst group over draws", "accuracy"
WAYS = ("dfr", "afr", "jtt", "self")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with (args.out / "numbers.csv").open(newline="") as file:
        found = {
            (
                row["problem"],
                float(row["agreement"]),
                int(row["seed"]),
                row["head"],
                int(row["rows"]),
                row["number"],
            ): row
            for row in csv.DictReader(file)
        }
    networks = sorted({key[:3] for key in found if key[0] != "pacs"}, key=lambda key: (key[0], -key[1], key[2]))
    show(
        [
            ("Claims, by the rules of the page", claims(found, networks)),
            ("What is there, and what the last layer makes of it", known(found, networks)),
            ("Worst group by method, group-balanced held-out rows", methods(found, networks, "")),
            ("Worst group by method, held-out rows with the correlation", methods(found, networks, "correlated, ")),
            ("The same, settings chosen without group labels", methods(found, networks, "correlated, ", blind=True)),
            ("DFR by rows of each group", by_rows(found, networks)),
            ("PACS, embedded model, five halvings", pacs(found)),
        ]
    )


def claims(found, networks):
    yield "problem", "agreement", "D1: the class is there", "D2: DFR above ERM", "D2: no other way surely above DFR"
    for about in networks:
        if 0.9 <= about[1] < 1:
            rows = rows_of(found, about)
            probe, erm, dfr = (found[key] for key in ((*about, "class probe", 0, ALL), (*about, "erm", 0, WORST),
                                                      (*about, "dfr", rows, WORST)))  # fmt: skip
            others = [found[(*about, way, rows, WORST)] for way in WAYS[1:] if (*about, way, rows, WORST) in found]
            there = float(probe["low"]) > max(0.5, float(erm["value"]))
            above = float(dfr["low"]) > float(erm["high"])
            best = all(float(each["low"]) <= float(dfr["high"]) for each in others)
            yield about[0], f"{about[1]:.2f}", *("yes" if each else "not surely" for each in (there, above, best))


def known(found, networks):
    yield (
        "problem",
        "agreement",
        "all right, ERM",
        "worst group, ERM",
        "attribute read",
        "class read",
        "recovered",
        "DFR",
    )
    for about in networks:
        free = value(found, (about[0], 0.5, about[2], "class probe", 0, ALL))
        own = value(found, (*about, "class probe", 0, ALL))
        recovered = "" if free is None or own is None else f"{(own - 0.5) / (free - 0.5):.0%}"
        cells = [cell(found, (*about, head, 0, number)) for head, number in
                 (("erm", ALL), ("erm", WORST), ("attribute probe", ALL), ("class probe", ALL))]  # fmt: skip
        yield about[0], f"{about[1]:.2f}", *cells, recovered, cell(found, (*about, "dfr", rows_of(found, about), WORST))


def methods(found, networks, kind: str, *, blind: bool = False):
    ways = [f"{kind}{way}" + (", no groups" if blind else "") for way in WAYS if not (blind and way == "dfr")]
    yield "problem", "agreement", "ERM", *ways
    for about in networks:
        cells = [cell(found, (*about, way, rows_of(found, about), WORST)) for way in ways]
        if any(cells):
            yield about[0], f"{about[1]:.2f}", cell(found, (*about, "erm", 0, WORST)), *cells


def by_rows(found, networks):
    sizes = sorted({key[4] for key in found if key[5] == DRAWS and key[0] != "pacs"})
    yield "problem", "agreement", *(f"{size // 4}" for size in sizes)
    for about in networks:
        cells = [found.get((*about, "dfr", size, DRAWS)) for size in sizes]
        yield about[0], f"{about[1]:.2f}", *("" if each is None else spread(each) for each in cells)


def pacs(found):
    heads = defaultdict(list)
    for (problem, _, _, head, _, number), row in found.items():
        if problem == "pacs" and number in (WORST, ALL, "worst group, picked apart"):
            heads[head, number].append(float(row["value"]))
    yield "head", "all right", "worst group", "worst group, picked apart"
    for head in dict.fromkeys(name for name, _ in heads):
        numbers = [heads[head, number] for number in (ALL, WORST, "worst group, picked apart")]
        yield head, *(f"{np.mean(each):.3f} ({min(each):.3f} to {max(each):.3f})" if each else "" for each in numbers)


def rows_of(found, about) -> int:
    return max((key[4] for key in found if key[:4] == (*about, "dfr") and key[5] == WORST), default=0)


def value(found, key) -> float | None:
    return float(found[key]["value"]) if key in found else None


def cell(found, key) -> str:
    row = found.get(key)
    return "" if row is None else f"{float(row['value']):.3f} ({float(row['low']):.3f} to {float(row['high']):.3f})"


def spread(row) -> str:
    return f"{float(row['value']):.2f} ({float(row['low']):.2f} to {float(row['high']):.2f})"


if __name__ == "__main__":
    main()
