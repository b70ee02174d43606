"""Every calibrator on log-probabilities of real networks: top-label ECE, NLL and accuracy on rows held out.

python benchmarks/calibrators_on_real_probs.py FILE.npz, where FILE holds pairs NAME_logp (n x k), NAME_label (n). Even
rows fit, odd rows judge. Prints three tables; variants of one method have lines of their own. The figures of
docs/calibrators.md are of two LeNet-5, two WRN-16-4 and two cross-validated networks: the public outputs in
fabiankueppers/calibration-framework and cleanlab/label-errors on GitHub.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from candid import calibrate, metrics
from candid.arrays import softmax

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "histogram-binning": {"top-label": {"scope": "top-label"}},
    "isotonic": {"one-vs-rest": {"variant": "one-vs-rest"}, "top-label": {"variant": "top-label"}},
    "structured": {"vector": {"form": "vector"}},
}


def main() -> None:
    if len(sys.argv) != 2:
        print(__doc__)
        return
    with np.load(sys.argv[1]) as pack:
        names = [key.removesuffix("_logp") for key in pack if key.endswith("_logp")]
        sets = {name: (pack[f"{name}_logp"].astype(np.float32), pack[f"{name}_label"].astype(int)) for name in names}
    found = {method: [scores(fit, *pair) for pair in sets.values()] for method, fit in fits().items()}
    for place, metric in enumerate(("ECE", "NLL", "accuracy")):
        print(f"\n| {metric} | {' | '.join(sets)} |\n|{'---|' * (len(sets) + 1)}")
        for method, rows in found.items():
            print(f"| {method} | {' | '.join(f'{row[place]:.3f}' for row in rows)} |", flush=True)


def fits() -> dict[str, Callable[..., Any]]:
    """Every way to fit on labels, by name: the methods as they come, and their variants."""
    every: dict[str, Callable[..., Any]] = {"none": lambda logits, labels: None}
    for name, method in sorted(calibrate.METHODS.items(), key=lambda row: row[0] != "temperature"):
        if method.needs == "labels":
            every[name] = method.fit
            for variant, options in VARIANTS.get(name, {}).items():
                every[f"{name}, {variant}"] = lambda *pair, fit=method.fit, options=options: fit(*pair, **options)
    return every


def scores(fit: Callable[..., Any], logits: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """ECE, NLL and accuracy on the odd rows of what was fitted on the even ones."""
    calibrator = fit(logits[::2], labels[::2])
    logits, labels = logits[1::2], labels[1::2]
    out = logits if calibrator is None else calibrator(logits)
    probs = softmax(out) if calibrator is None or calibrator.returns == "logits" else out
    return (
        metrics.ece(probs, labels),
        -float(np.log(probs[np.arange(len(labels)), labels]).mean()),
        float((probs.argmax(axis=1) == labels).mean()),
    )


if __name__ == "__main__":
    main()
