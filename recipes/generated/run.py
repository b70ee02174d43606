"""The study of generated sets: `python -m recipes.generated.run OUT [--data DATA --published FOLDER]`.

Without DATA the toy experiments alone. Every comparison is one block of lines in OUT/numbers.csv, written when it is
done; one that is there is not done again. FOLDER is what `recipes.energy.networks published` wrote.
"""

import argparse
import csv
import hashlib
from pathlib import Path

import numpy as np

from candid import generative as g
from candid import models
from recipes.generated.sets import Pack, colour_sets, digit_sets
from recipes.generated.toys import SAMPLES, TOYS

FIELDS = ("experiment", "setting", "seed", "n", "metric", "value", "low", "high")
METRICS = {
    **{name: row.at() for name, row in g.METHODS.items()},
    "probabilistic, median": g.ProbabilisticPrecisionRecallAt(radius="median"),
}
REPEATS = 20
SMALL = 3000  # samples of the real sets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, help="the data pack; without it toys alone")
    parser.add_argument("--published", type=Path, help="folder with the published resnet20")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="of each toy set")
    parser.add_argument("--small", type=int, default=SMALL, help="of each real set")
    parser.add_argument("--seeds", type=int, default=3, help="draws of each toy")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    results = Results(args.out / "numbers.csv")
    if args.data is not None:
        pack = Pack(args.data)
        for case in digit_sets(pack, args.small, 0):
            results.keep(*case, intervals=True)
        if args.published is not None:
            network = models.load(str(args.published / "resnet20"))
            for case in colour_sets(pack, network, args.small, 0):
                results.keep(*case, intervals=True)
    for seed in range(args.seeds):
        for name, toy in TOYS.items():
            for setting in toy.settings:
                if not results.has(name, setting, seed):
                    pair = toy.draw(
                        setting, np.random.default_rng([seed, _number(name), round(1000 * abs(setting))]), args.samples
                    )
                    results.keep(name, setting, *pair, seed=seed)


class Results:
    """The table of numbers, one block a comparison."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known = set()
        if path.is_file():
            with path.open(newline="") as file:
                self.known = {(row["experiment"], row["setting"], row["seed"]) for row in csv.DictReader(file)}

    def has(self, experiment: str, setting, seed: int) -> bool:
        return (experiment, str(setting), str(seed)) in self.known

    def keep(self, experiment: str, setting, real, fake, *, seed: int = 0, intervals: bool = False) -> None:
        """Measure and write, unless it is there."""
        if self.has(experiment, setting, seed):
            return
        real, fake = (each.astype(np.float32) for each in (real, fake))
        rows = measured(real, fake) if intervals else plain(real, fake)
        new = not self.path.is_file()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(FIELDS)
            writer.writerows([experiment, setting, seed, len(fake), *row] for row in rows)
        self.known.add((experiment, str(setting), str(seed)))
        shown = {name: round(value, 3) for name, value, *_ in rows if name.startswith("probabilistic")}
        print(experiment, setting, seed, shown, flush=True)


def plain(real, fake):
    """Every number of the whole sets."""
    found = g.compare(real, fake, list(METRICS.values()))
    rows = [
        (f"{name} {field}", value, "", "")
        for name, result in zip(METRICS, found, strict=True)
        for field, value in g.numbers_of(result).items()
    ]
    return [*rows, ("frechet", g.frechet(real, fake), "", "")]


def measured(real, fake):
    """The same with intervals, and the calibrated scores."""
    found = g.resampled(real, fake, list(METRICS.values()), repeats=REPEATS)
    rows = [
        (f"{name} {field}", each.value, each.low, each.high)
        for name, numbers in zip(METRICS, found, strict=True)
        for field, each in numbers.items()
    ]
    calibrated = g.calibrated_precision_recall(real, fake, splits=REPEATS)
    for field in ("precision", "recall"):
        each = getattr(calibrated, field)
        rows.append((f"calibrated {field}", each.value, each.low, each.high))
    whole = {"frechet": g.frechet(real, fake), "kernel": g.kernel(real, fake)}
    again = g.estimated(
        real, fake, lambda a, b: {"frechet": g.frechet(a, b), "kernel": g.kernel(a, b)}, whole, repeats=REPEATS
    )
    return rows + [(name, each.value, each.low, each.high) for name, each in again.items()]


def _number(name: str) -> int:
    """A stream of the seed for every toy; with and without an outlier share theirs."""
    kind = name.replace("no outlier", "outlier").replace("one outlier", "outlier")
    return int(hashlib.sha256(kind.encode()).hexdigest()[:8], 16)


if __name__ == "__main__":
    main()
