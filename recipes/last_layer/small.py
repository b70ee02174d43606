"""What networks trained on spurious attributes know: `python -m recipes.last_layer.small SOURCES NETWORKS OUT`.

For every network of `recipes.last_layer.networks`: accuracy by group of its own last layer, of probes that read class
and attribute from its features, and of retrained last layers (all of `groups.METHODS`, and DFR with ever fewer rows),
on test images that nothing learnt from. OUT/numbers.csv gets a line a number, with its interval; a network that has its
lines is not asked again. With `--pacs DATA` it also retrains heads of the embedded model on PACS, class against style.
"""

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from candid import data, groups, metrics, models, workflows
from candid.errors import InputError
from candid.types import Head, ImageSet
from recipes.last_layer.problems import made
from recipes.vlm_study.sets import table

VALIDATION, TEST = {"dominoes-clothes": 560, "scenes": 1600}, {"dominoes-clothes": 1000}  # else 2,000 each
PER_GROUP = (5, 10, 25, 50, 100, 200, 400)
SEEDS = range(5)
SPLITS = 5
COLUMNS = ("problem", "agreement", "seed", "head", "rows", "number", "value", "low", "high", "n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("networks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pacs", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for folder in sorted(args.networks.iterdir()):
        if folder.suffix != ".part" and (folder / "config.json").is_file():  # a .part is still being trained
            problem, agreement, seed = folder.name.rsplit("-", 2)
            once(args.out, folder.name, network, args.sources, folder, problem, int(agreement), int(seed))
    if args.pacs:
        once(args.out, "pacs", pacs, args.pacs)
    lines = [row for part in sorted(args.out.glob("*.json")) for row in json.loads(part.read_text())]
    with (args.out / "numbers.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(lines)


def once(out: Path, name: str, work, *given) -> None:
    if not (out / f"{name}.json").is_file():
        lines = work(*given)
        (out / f"{name}.json").write_text(json.dumps(lines))
        print(name, len(lines), flush=True)


def network(sources: Path, folder: Path, problem: str, agreement: int, seed: int) -> list[tuple]:
    model = models.load(str(folder), device="cpu")
    n = VALIDATION.get(problem, 2000), TEST.get(problem, 2000)
    held = workflows.encode(model, made(sources, problem, "validation", n=n[0], agreement=None, seed=100), cache=False)
    test = workflows.encode(model, made(sources, problem, "test", n=n[1], agreement=None, seed=200), cache=False)
    about = (problem, agreement / 100, seed)
    lines = retrained(about, model.head, held, test)
    if problem.startswith("dominoes"):
        alone = workflows.encode(
            model, made(sources, problem, "test", n=n[1], agreement=None, seed=200, hide="top"), cache=False
        )
        lines += accuracies((*about, "erm, attribute hidden", 0), model.head, alone)
    # the validation set as one has it: with the correlation of the training set
    if agreement not in (50, 100):
        biased = made(sources, problem, "validation", n=n[0], agreement=agreement / 100, seed=100)
        biased = workflows.encode(model, biased, cache=False)
        if np.bincount(biased.groups, minlength=4).min() >= 2:
            lines += retrained((problem, agreement / 100, seed), model.head, biased, test, only="correlated, ")
    return lines


def retrained(about: tuple, head: Head, held, test, only: str = "", ways=tuple(groups.METHODS)) -> list[tuple]:
    """Lines of the head as it is, of probes, and of every way to retrain it on the held-out rows."""
    lines = []
    if not only:
        lines += accuracies((*about, "erm", 0), head, test)
        lines += probes(about, test)
    for name in ways:
        method = groups.METHODS[name]
        options = {"head": head} if method.needs == "head" else {"classes": head.classes}
        try:
            found = method.retrain(
                held.vectors, held.labels, held.groups, seed=about[2], tuning_splits=SPLITS, **options
            )
        except InputError as error:
            print(about, only + name, error, flush=True)
            continue
        lines += accuracies((*about, only + name, len(held)), found.head, test)
        if method.needs == "head":
            blind = method.retrain(held.vectors, held.labels, None, seed=about[2], tuning_splits=SPLITS, **options)
            lines += accuracies((*about, f"{only}{name}, no groups", len(held)), blind.head, test)
    if not only and len(held.classes) == 2:
        for m in PER_GROUP:
            lines += few(about, head, held, test, m)
    return lines


def few(about: tuple, head: Head, held, test, m: int) -> list[tuple]:
    """DFR with m rows of each group, over draws."""
    if np.bincount(held.groups).min() < m:
        return []
    worst = []
    for draw in SEEDS:
        random = np.random.default_rng([draw, m])
        rows = np.concatenate(
            [random.permutation(np.flatnonzero(held.groups == g))[:m] for g in np.unique(held.groups)]
        )
        found = groups.retrain_last_layer(
            held.vectors[rows],
            held.labels[rows],
            held.groups[rows],
            seed=draw,
            tuning_splits=SPLITS,
            classes=head.classes,
        )
        worst.append(metrics.group_accuracy(found.head(test.vectors), test.labels, test.groups).worst.value)
    return [(*about, "dfr", 4 * m, "worst group over draws", float(np.mean(worst)), min(worst), max(worst), len(worst))]


def probes(about: tuple, test) -> list[tuple]:
    """What can be read from the features of the test images, by cross-validation on balanced groups."""
    attributes = test.groups % (len(test.group_names) // len(test.classes))
    lines = []
    for name, targets in (("class", test.labels), ("attribute", attributes)):
        right = groups.probe(test.vectors, targets, test.groups).right
        found = metrics.proportion(int(right.sum()), len(right))
        lines.append((*about, f"{name} probe", 0, "accuracy", found.value, found.low, found.high, found.n))
    return lines


def accuracies(about: tuple, head: Head, test) -> list[tuple]:
    found = metrics.group_accuracy(head(test.vectors), test.labels, test.groups)
    rows = {"worst group": found.worst, "accuracy": found.mean}
    rows |= {f"group: {test.group_names[group]}": each for group, each in found.by_group.items()}
    lines = [(*about, name, each.value, each.low, each.high, each.n) for name, each in rows.items()]
    if found.worst_apart is not None:
        lines.append((*about, "worst group, picked apart", found.worst_apart, None, None, found.worst.n))
    return lines


def pacs(folder: Path) -> list[tuple]:
    """The embedded model on PACS: zero-shot and retrained, half of every class and style retraining."""
    rows = table(folder, "pacs")
    classes, styles = (tuple(sorted(set(rows[column]))) for column in ("name", "domain"))
    encoded = rows["image"]
    ids = tuple(str(i) for i in range(len(encoded)))
    images = ImageSet(ids, lambda i: data.decode(encoded[i], ids[i]), lambda i: encoded[i], classes,
                      np.array([classes.index(name) for name in rows["name"]]),
                      np.array([styles.index(name) for name in rows["domain"]]), styles)  # fmt: skip
    model = models.load("tiny", device="cpu")
    features = workflows.encode(model, images, cache=False)
    lines = []
    for seed in SEEDS:
        crossed = groups.cross(features.labels, features.groups, classes, styles)
        whole = replace(features, groups=crossed.groups, group_names=crossed.names)
        judging, retraining = groups.halves(crossed.groups, np.random.default_rng(seed))
        head = models.zero_shot(model, classes)
        # of seven classes and 28 groups the other ways take minutes a halving
        lines += retrained(
            ("pacs", 0.25, seed), head, whole.rows(retraining), whole.rows(judging), ways=("dfr", "self")
        )
    return lines


if __name__ == "__main__":
    main()
