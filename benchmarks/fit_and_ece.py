"""Temperature fit and ECE against scikit-learn, netcal and torchmetrics: CPU seconds, memory and the value found.

python benchmarks/fit_and_ece.py [ROWS CLASSES] prints one table a task. Every contender runs in a process of its own on
the same file of float32 logits, one thread, three times (twice where a call takes over three seconds, eight times where
it takes under half a second: candid goes over to compiled code after a few). "first" includes imports, "again" is the
best later call; memory is the peak above the state before that call. A ratio
compares with the fastest peer whose value is right. (Not named statistics.py: it would hide the standard library's.)
"""

import json
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROWS, CLASSES = 50_000, 1_000
TRUTH = 0.7
SLOW, QUICK = 3.0, 0.5
Measured = Callable[[], float]


def candid_fit(logits: np.ndarray, labels: np.ndarray) -> Measured:
    def call() -> float:
        from candid.calibrate import Temperature

        return Temperature.fit(logits, labels).value

    return call


def candid_fit_numpy(logits: np.ndarray, labels: np.ndarray) -> Measured:
    _without_numba()
    return candid_fit(logits, labels)


def sklearn_fit(logits: np.ndarray, labels: np.ndarray) -> Measured:
    def call() -> float:
        from sklearn.calibration import _TemperatureScaling

        return float(1 / _TemperatureScaling().fit(logits, labels).beta_)

    return call


def netcal_fit_single(logits: np.ndarray, labels: np.ndarray) -> Measured:
    return _netcal_fit(_probs(logits), labels)


def netcal_fit_double(logits: np.ndarray, labels: np.ndarray) -> Measured:
    return _netcal_fit(_probs(logits).astype(np.float64), labels)


def candid_ece(logits: np.ndarray, labels: np.ndarray) -> Measured:
    def call() -> float:
        from candid import metrics

        return metrics.ece_of_logits(logits, labels)

    return call


def candid_ece_numpy(logits: np.ndarray, labels: np.ndarray) -> Measured:
    _without_numba()
    return candid_ece(logits, labels)


def candid_ece_double(logits: np.ndarray, labels: np.ndarray) -> Measured:
    def call() -> float:
        from candid import metrics

        return metrics.ece_of_top(*metrics.top_label(logits, labels))

    return call


def torchmetrics_ece(logits: np.ndarray, labels: np.ndarray) -> Measured:
    def call() -> float:
        import torch
        from torchmetrics.functional.classification import multiclass_calibration_error

        torch.set_num_threads(1)
        scores, truth = torch.from_numpy(logits), torch.from_numpy(labels)
        return float(multiclass_calibration_error(scores, truth, scores.shape[1], 15))

    return call


def netcal_ece(logits: np.ndarray, labels: np.ndarray) -> Measured:
    return lambda: _netcal_ece(_probs(logits), labels)


def candid_ece_probs(logits: np.ndarray, labels: np.ndarray) -> Measured:
    probs = _probs(logits)

    def call() -> float:
        from candid import metrics

        return metrics.ece(probs, labels)

    return call


def torchmetrics_ece_probs(logits: np.ndarray, labels: np.ndarray) -> Measured:
    return torchmetrics_ece(_probs(logits), labels)


def netcal_ece_probs(logits: np.ndarray, labels: np.ndarray) -> Measured:
    probs = _probs(logits)
    return lambda: _netcal_ece(probs, labels)


TASKS: dict[str, tuple[float, dict[str, Callable[[np.ndarray, np.ndarray], Measured]]]] = {
    "temperature fit": (
        1e-4,
        {
            "candid": candid_fit,
            "candid, without numba": candid_fit_numpy,
            "scikit-learn": sklearn_fit,
            "netcal, float32 probs": netcal_fit_single,
            "netcal, float64 probs": netcal_fit_double,
        },
    ),
    "ECE from logits": (
        1e-5,
        {
            "candid": candid_ece,
            "candid, without numba": candid_ece_numpy,
            "candid, all in float64": candid_ece_double,
            "torchmetrics": torchmetrics_ece,
            "torch softmax, netcal": netcal_ece,
        },
    ),
    "ECE from probs": (
        1e-5,
        {"candid": candid_ece_probs, "torchmetrics": torchmetrics_ece_probs, "netcal": netcal_ece_probs},
    ),
}


def main(rows: int, classes: int) -> None:
    """Write the data once, run every contender, print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        _write_data(Path(folder), rows, classes)
        print(f"{rows} rows, {classes} classes, float32; labels drawn at T = {TRUTH}")
        for task, (tolerance, contenders) in TASKS.items():
            _print_task(task, {name: _in_own_process(folder, task, name) for name in contenders}, tolerance)


def measure(folder: str, task: str, name: str) -> None:
    """One contender, in this process: JSON on stdout."""
    warnings.simplefilter("ignore")
    logits, labels = np.load(Path(folder) / "logits.npy"), np.load(Path(folder) / "labels.npy")
    try:
        call = TASKS[task][1][name](logits, labels)
        times, value, memory = [], 0.0, 0.0
        while len(times) < 2 or len(times) < (8 if min(times) < QUICK else 3 if times[-1] < SLOW else 2):
            _forget_peak()
            state, start = _peak(), _cpu()
            value = call()
            times.append(_cpu() - start)
            memory = _peak() - state
        found = {"value": value, "first": times[0], "again": min(times[1:]), "memory": memory}
    except ImportError as error:
        found = {"missing": f"not installed ({error.name})"}
    print(json.dumps(found))


def _print_task(task: str, found: dict[str, dict[str, float]], tolerance: float) -> None:
    truth = found["candid"]["value"]
    ours = found["candid"]["again"]
    print(f"\n{task:<24}{'CPU s first':>12}{'again':>9}{'extra MB':>10}{'value':>14}{'CPU / candid':>14}")
    peers = []
    for name, row in found.items():
        if "missing" in row:
            print(f"{name:<24}  {row['missing']}")
            continue
        right = abs(row["value"] / truth - 1) < tolerance
        if right and not name.startswith("candid"):
            peers.append((row["again"], name))
        note = "" if right else "  wrong"
        print(
            f"{name:<24}{row['first']:>12.3f}{row['again']:>9.3f}{row['memory']:>10.0f}{row['value']:>14.8f}"
            f"{row['again'] / ours:>14.1f}{note}"
        )
    if peers:
        fastest, name = min(peers)
        print(f"candid takes {fastest / ours:.1f} times less CPU time than the fastest right peer, {name}")


def _in_own_process(folder: str, task: str, name: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", folder, task, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def _write_data(folder: Path, rows: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((rows, classes), dtype=np.float32)
    labels = np.concatenate(
        [(block / TRUTH + rng.gumbel(size=block.shape)).argmax(axis=1) for block in np.array_split(logits, 50)]
    )
    np.save(folder / "logits.npy", logits)
    np.save(folder / "labels.npy", labels)


def _probs(logits: np.ndarray) -> np.ndarray:
    import torch

    torch.set_num_threads(1)
    return torch.softmax(torch.from_numpy(logits), 1).numpy()


def _netcal_fit(probs: np.ndarray, labels: np.ndarray) -> Measured:
    def call() -> float:
        from netcal.scaling import TemperatureScaling

        model = TemperatureScaling(method="mle")
        model.fit(probs, labels)
        return float(1 / np.ravel(model._sites["weights"]["values"])[0])

    return call


def _netcal_ece(probs: np.ndarray, labels: np.ndarray) -> float:
    from netcal.metrics import ECE

    return float(ECE(15).measure(probs, labels))


def _without_numba() -> None:
    from candid.metrics import rows

    rows.COMPILED_CELLS = sys.maxsize


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak() -> float:
    """Highest resident memory since the last `_forget_peak`, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(*sys.argv[2:])
    else:
        main(*(int(a) for a in sys.argv[1:3] or (ROWS, CLASSES)))
