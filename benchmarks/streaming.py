"""A temperature and its ECE from features and a head, against the same with all logits in memory, and scikit-learn.

python benchmarks/streaming.py [ROWS CLASSES] runs one size (20,000 x 2,100 unless told), then ten times its rows, then
ten times its classes: under three minutes. Every route runs in a process of its own, on one thread, on the same unit
vectors of 512 dimensions. Memory is the peak above the process that has loaded vectors and weights. CPU seconds are
those of one first call: multiply, fit, judge before and after, ECE of both. scikit-learn runs on the smallest size.
--largest streams 1,000,000 x 21,000 of 64 dimensions instead, whose logits would be 84 GB: about eight minutes.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROWS, CLASSES, DIMENSIONS = 20_000, 2_100, 512
FACTOR = 10
SCALE = 100.0
NOISE = 4.5  # length of the noise on a unit class vector
LARGEST = (1_000_000, 21_000)
NARROW, QUIET = 64, 1.2  # dimensions and noise there
Found = dict[str, float]


def streamed(folder: Path) -> Found:
    from candid import metrics
    from candid.calibrate import Temperature

    head, vectors, labels = _load(folder)

    def call() -> Found:
        fitted = Temperature.fit_streaming(head, vectors, labels)
        raw, cooled = metrics.judge_streaming(head, vectors, labels, temperatures=(1.0, fitted.value))
        return _found(fitted.value, raw.confidence, raw.correct, cooled.confidence, passes=fitted.evaluations)

    return _measured(call)


def held(folder: Path) -> Found:
    from candid import metrics
    from candid.calibrate import Temperature

    head, vectors, labels = _load(folder)

    def call() -> Found:
        logits = head(vectors)
        fitted = Temperature.fit(logits, labels)
        raw, cooled = metrics.judge(logits, labels), metrics.judge(logits, labels, temperature=fitted.value)
        return _found(fitted.value, raw.confidence, raw.correct, cooled.confidence, passes=fitted.evaluations)

    return _measured(call)


def scikit_learn(folder: Path) -> Found:
    from scipy.special import softmax
    from sklearn.calibration import _TemperatureScaling

    head, vectors, labels = _load(folder)

    def call() -> Found:
        logits = head(vectors)
        value = float(1 / _TemperatureScaling().fit(logits, labels).beta_)
        correct = logits.argmax(1) == labels
        raw, cooled = (softmax(logits / t, axis=1).max(1) for t in (1.0, value))
        return _found(value, raw, correct, cooled)

    return _measured(call)


ROUTES: dict[str, Callable[[Path], Found]] = {
    "candid, streamed": streamed,
    "candid, in memory": held,
    "scikit-learn": scikit_learn,
}


def main(rows: int, classes: int) -> None:
    """Three sizes, one table."""
    _print_header()
    smallest = (rows, classes)
    for n, k in (smallest, (FACTOR * rows, classes), (rows, FACTOR * classes)):
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), n, k)
            for name in ROUTES:
                if name.startswith("candid") or (n, k) == smallest:
                    _run(folder, name, n, k)


def largest() -> None:
    """The streamed route alone, at a size that no memory holds."""
    _print_header()
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), *LARGEST, dimensions=NARROW, noise=QUIET)
        _run(folder, "candid, streamed", *LARGEST)


def _print_header() -> None:
    print(f"{'rows x classes':<20}{'logits MB':>10}  {'route':<19}{'CPU s':>8}{'peak MB':>9}{'passes':>8}", end="")
    print(f"{'T':>13}{'ECE raw':>10}{'fitted':>9}")


def _run(folder: str, name: str, n: int, k: int) -> None:
    print(f"{f'{n:,} x {k:,}':<20}{n * k * 4 / 1e6:>10,.0f}  {name:<19}", end="")
    print(_line(_in_own_process(folder, name)), flush=True)


def _line(row: Found) -> str:
    passes = f"{row['passes']:.0f}" if "passes" in row else ""
    measured = f"{row['seconds']:>8.2f}{row['memory']:>9,.0f}{passes:>8}"
    return f"{measured}{row['value']:>13.9f}{row['raw']:>10.4f}{row['fitted']:>9.4f}"


def _found(value: float, raw: np.ndarray, correct: np.ndarray, cooled: np.ndarray, **more: float) -> Found:
    from candid import metrics

    return {
        "value": value,
        "raw": metrics.ece_of_top(np.minimum(raw, 1.0), correct),
        "fitted": metrics.ece_of_top(np.minimum(cooled, 1.0), correct),
        **more,
    }


def _measured(call: Callable[[], Found]) -> Found:
    Path("/proc/self/clear_refs").write_text("5")
    state, start = _peak(), _cpu()
    found = call()
    return {**found, "seconds": _cpu() - start, "memory": _peak() - state}


def _in_own_process(folder: str, name: str) -> Found:
    command = [sys.executable, __file__, "--one", folder, name]
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
    row: Found = json.loads(done.stdout.splitlines()[-1])
    return row


def _write(folder: Path, rows: int, classes: int, *, dimensions: int = DIMENSIONS, noise: float = NOISE) -> None:
    """Unit class vectors, and images that are noisy copies of them."""
    rng = np.random.default_rng(0)
    weights = _unit(rng.standard_normal((classes, dimensions), dtype=np.float32))
    labels = rng.integers(classes, size=rows)
    around = _unit(rng.standard_normal((rows, dimensions), dtype=np.float32))
    np.save(folder / "weights.npy", weights)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "vectors.npy", _unit(weights[labels] + np.float32(noise) * around))


def _load(folder: Path):
    from candid.types import Head

    weights = np.load(folder / "weights.npy")
    head = Head(weights, tuple(map(str, range(len(weights)))), scale=SCALE)
    return head, np.load(folder / "vectors.npy"), np.load(folder / "labels.npy")


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak() -> float:
    """Highest resident memory since the last reset, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(ROUTES[sys.argv[3]](Path(sys.argv[2]))))
    elif sys.argv[1:2] == ["--largest"]:
        largest()
    else:
        main(*(int(a) for a in sys.argv[1:3] or (ROWS, CLASSES)))
