"""Calibrators, metrics and prediction sets against the packages that have them: CPU seconds, memory, and who is right.

python benchmarks/calibration.py [--quick] [--tasks NAME ...] prints a table a task: every contender in a process of its
own, on the same files of 50,000 x 1,000 float32 numbers, one thread. "first" is its first call with late imports and
compilation, "best" the best of up to six; "extra MB" the peak of the last above the state before it; "apply" what a
fit costs on the rows held out (a fifth, at most 10,000). A ratio is CPU time to candid's. WRONG is off a reference of
our own, WORSE a higher loss on the rows held out than others reach. Then CPU seconds as rows and classes grow by 10.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from against import binned, judging, scaling, sets
from against.inputs import write
from against.measure import Row, import_slow, in_a_fork, in_own_process, one
from against.tasks import Task

TASKS: Mapping[str, Task] = {**scaling.TASKS, **judging.TASKS, **binned.TASKS, **sets.TASKS}
SIZE, QUICK = (50_000, 1_000), (5_000, 100)
GROWTH = ((5_000, 100), (50_000, 100), (500_000, 100)), ((50_000, 10), (50_000, 100), (50_000, 1_000))
OURS = "candid"
SLOW = ("torch._dynamo", "candid.calibrate", "candid.metrics", "sklearn.calibration", "torchmetrics", "netcal.metrics")
SLOW += ("netcal.scaling", "netcal.binning", "probmetrics.calibrators", "mapie.classification", "relplot")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5,000 x 100, no growth: does everything still run?")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), metavar="NAME")
    parser.add_argument("--no-growth", action="store_true")
    parser.add_argument("--limit", type=int, help="seconds of CPU a contender may take: 60, with --quick 10")
    options = parser.parse_args()
    if options.quick:
        import_slow(SLOW)
    bench = Bench(options.limit or (10 if options.quick else 60), options.quick)
    best = {name: bench.table(name, *(QUICK if options.quick else SIZE)) for name in options.tasks}
    if not (options.quick or options.no_growth):
        bench.growth({name: peer for name, peer in best.items() if TASKS[name].grows})


class Bench:
    """Data of each size, written when first needed, and removed at the end."""

    def __init__(self, limit: int, quick: bool) -> None:
        self.limit, self.quick = limit, quick
        self.folder = tempfile.TemporaryDirectory()
        self.found: dict[tuple[str, str, int, int], Row] = {}

    def table(self, name: str, rows: int, classes: int) -> str | None:
        """Prints one task; returns the name of the fastest right contender that is not ours."""
        classes = min(classes, TASKS[name].classes or classes)
        found = {who: self.run(name, who, rows, classes) for who in TASKS[name].contenders}
        truth = self.run(name, "reference", rows, classes)["value"] if TASKS[name].reference else None
        print(f"\n{name}, {rows:,} x {classes:,}", flush=True)
        print(f"  {'':<28}{'first':>8}{'best':>9}{'extra MB':>10}{'apply':>8}{'value':>14}{'off by':>10}{'ratio':>8}")
        errors = errors_of(found, TASKS[name], truth)
        ours = found[OURS].get("best")
        for who, row in found.items():
            print(line(who, row, errors.get(who), TASKS[name], ours))
        return verdict(found, errors, TASKS[name])

    def growth(self, best: Mapping[str, str | None]) -> None:
        """Prints CPU seconds of candid and the best peer of each task, by rows and by classes."""
        for sizes in GROWTH:
            print(f"\n{'CPU s, best of calls':<50}" + "".join(f"{f'{n:,} x {k:,}':>18}" for n, k in sizes))
            for name, peer in best.items():
                for who in (OURS, peer):
                    if who is not None:
                        cells = [self.run(name, who, *size) for size in sizes if fits(TASKS[name], size)]
                        shown = "".join(f"{row['best']:>18.3f}" if "best" in row else f"{'-':>18}" for row in cells)
                        print(f"  {name:<24}{who:<24}{shown}", flush=True)

    def run(self, name: str, who: str, rows: int, classes: int) -> Row:
        folder = Path(self.folder.name) / f"{rows}x{classes}"
        if not folder.exists():
            folder.mkdir()
            write(folder, rows, classes)
        asked = name, who, rows, classes
        if asked not in self.found:
            alone = in_a_fork(folder, TASKS[name], who, self.limit) if self.quick else None
            self.found[asked] = alone or in_own_process(__file__, folder, name, who, self.limit)
        return self.found[asked]


def fits(task: Task, size: tuple[int, int]) -> bool:
    return task.classes is None or size[1] <= task.classes


def errors_of(found: Mapping[str, Row], task: Task, truth: float | None) -> dict[str, float]:
    """Distance to the truth, relative; or to the lowest loss, absolute, where nobody knows it."""
    values = {who: row["value"] for who, row in found.items() if "value" in row}
    if truth is None:
        return {who: value - min(values.values()) for who, value in values.items()}
    return {who: abs(value / truth - 1) for who, value in values.items()}


def line(who: str, row: Row, error: float | None, task: Task, ours: float | None) -> str:
    if error is None:
        return f"  {who:<28}{row['why']}"
    ratio = f"{row['best'] / ours:.1f}" if ours else "-"
    apply = f"{row['apply']:.2f}" if "apply" in row else ""
    verdict = "WRONG" if task.reference else "WORSE"
    wrong = "" if error <= task.tolerance else f"  {verdict}, allowed {task.tolerance:g} {task.unit}".rstrip()
    return (
        f"  {who:<28}{row['first']:>8.2f}{row['best']:>9.3f}{row['memory']:>10.0f}{apply:>8}{row['value']:>14.8g}"
        f"{error:>10.1e}{ratio:>8}{wrong}"
    )


def verdict(found: Mapping[str, Row], errors: Mapping[str, float], task: Task) -> str | None:
    right = {w: found[w]["best"] for w, e in errors.items() if e <= task.tolerance and not w.startswith(OURS)}
    if not right:
        print("  no other contender is right and was measured")
        return None
    peer = min(right, key=lambda who: right[who])
    if OURS in errors:
        print(f"  the fastest other that is right, {peer}: {right[peer] / found[OURS]['best']:.1f} times candid's CPU")
    return peer


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        folder, task, who, limit = sys.argv[2:]
        print(json.dumps(one(folder, TASKS[task], who, int(limit))))
    else:
        main()
