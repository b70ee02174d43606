"""Wrong labels found by candid.noise and by cleanlab, on real cross-validated answers of a network on CIFAR-10.

`.venv-bench/bin/python benchmarks/label_errors.py DATA` after `scripts/bench`; DATA holds
cifar10_oof_probs_resnet50.npz and cifar10_human_labels.npz. Prints, for five settings of label noise and three sets of
labels that people gave, what each finds, how right that is, and the seconds.
"""

import sys
import time
from pathlib import Path

import numpy as np

from candid import metrics, noise

SETTINGS = ("s00_n00", "s00_n02", "s00_n04", "s04_n04", "s06_n04")


def main(folder: Path) -> None:
    if not (folder / "cifar10_oof_probs_resnet50.npz").is_file():
        print(f"no answers to judge in {folder}; pass the folder that holds cifar10_oof_probs_resnet50.npz")
        return
    answers, people = (np.load(folder / f"cifar10_{name}.npz") for name in ("oof_probs_resnet50", "human_labels"))
    heads = ("labels", "wrong", "estimated", "flagged", "precision", "recall", f"AUROC: {', '.join(noise.METHODS)}",
             "seconds", "collisions", "cleanlab: flagged", "same images", "seconds, times")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    true = people["clean_label"].astype(np.int64)
    for setting in SETTINGS:
        show(setting, unit(answers[f"probs_{setting}"]), answers[f"noisy_{setting}"].astype(np.int64), true)
    clean = unit(answers["probs_s00_n00"])
    for name in ("aggre_label", "random_label1", "worse_label"):
        show(f"people: {name}", clean, people[name].astype(np.int64), true)
    print("\nAnswers for labels that people gave are those of the network that was trained on the clean labels.")


def show(name: str, probs: np.ndarray, given: np.ndarray, true: np.ndarray) -> None:
    wrong = given != true
    found, seconds = timed(lambda: noise.confident_learning(probs, given))
    hit = int((found.wrong & wrong).sum())
    doubts = [metrics.auroc(doubt(probs, given)[~wrong], doubt(probs, given)[wrong]) if wrong.any() else None
              for doubt in noise.METHODS.values()]  # fmt: skip
    shown = ", ".join("-" if value is None else f"{value:.3f}" for value in doubts)
    recall = f"{hit / wrong.sum():.3f}" if wrong.any() else "-"
    cells = (
        name,
        f"{int(wrong.sum()):,}",
        f"{found.estimated_wrong:,.0f}",
        f"{int(found.wrong.sum()):,}",
        f"{hit / max(1, found.wrong.sum()):.3f}",
        recall,
        shown,
        f"{seconds:.3f}",
        str(collisions(probs, found)),
        peer(probs, given, found, seconds),
    )
    print(f"| {' | '.join(cells)} |", flush=True)  # fmt: skip


def collisions(probs: np.ndarray, found: noise.ConfidentLearning) -> int:
    """Images of which several classes reach their threshold and the likeliest of all does not: cleanlab counts it."""
    reached = probs >= found.thresholds - 1e-6
    return int(((reached.sum(axis=1) > 1) & ~reached[np.arange(len(probs)), probs.argmax(axis=1)]).sum())


def peer(probs: np.ndarray, given: np.ndarray, found: noise.ConfidentLearning, ours: float) -> str:
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return "not installed | |"
    flagged, seconds = timed(lambda: find_label_issues(given, probs, n_jobs=1))
    same = int((flagged & found.wrong).sum()) / max(1, int((flagged | found.wrong).sum()))
    return f"{int(flagged.sum()):,} | {same:.1%} | {seconds / ours:.1f}"


def timed(call):
    seconds = []
    for _ in range(5):
        started = time.process_time()
        found = call()
        seconds.append(time.process_time() - started)
    return found, min(seconds)


def unit(probs: np.ndarray) -> np.ndarray:
    """Stored in half precision, so that rows sum to 1 to three digits."""
    wide = probs.astype(np.float64)
    return wide / wide.sum(axis=1, keepdims=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("data"))
