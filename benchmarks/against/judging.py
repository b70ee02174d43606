"""Contenders that judge: calibration errors of the top label and of every class, and what a proper score is made of."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from against import packages
from against.inputs import Data
from against.scaling import without_numba
from against.tasks import Call, Contender, Task, number

BINS = 15
REDRAWN = 200


def candid(name: str, kind: str = "probs", **options: Any) -> Contender:
    """A metric of probs (or logits) and labels."""

    def contender(data: Data) -> Call:
        from candid import metrics

        metric, given, labels = getattr(metrics, name), getattr(data, kind), data.labels
        return lambda: metric(given, labels, **options)

    return contender


def candid_null(data: Data) -> Call:
    from candid import metrics

    confidence, _ = data.top()
    return lambda: metrics.ece_null(confidence, resamples=REDRAWN).mean()


def null_by_hand(data: Data) -> Call:
    """Labels drawn from the confidences, and the ECE of each draw: what nobody offers, in plain numpy."""
    confidence, _ = data.top()

    def call() -> float:
        rng = np.random.default_rng(1)
        return float(np.mean([_ece(confidence, rng.random(len(confidence)) < confidence) for _ in range(REDRAWN)]))

    return call


def ece_by_hand(data: Data) -> Call:
    """The reference: (lo, hi] by a loop over float64 edges."""
    return lambda: _ece(*data.top())


def ece_of_logits_by_hand(data: Data) -> Call:
    from against.inputs import softmax

    def call() -> float:
        parts = np.array_split(data.logits, max(1, data.logits.size // 1_000_000))
        confidence = np.concatenate([softmax(part.astype(np.float64)).max(axis=1) for part in parts])
        return _ece(confidence, data.logits.argmax(axis=1) == data.labels)

    return call


def adaptive_by_hand(data: Data) -> Call:
    def call() -> float:
        confidence, right = data.top()
        gap = (right - confidence)[np.argsort(confidence, kind="stable")]
        return sum(abs(run.sum()) for run in np.array_split(gap, BINS)) / len(gap)

    return call


def classwise_by_hand(data: Data) -> Call:
    def call() -> float:
        columns = data.probs.T.astype(np.float64)
        return float(np.mean([_ece(p, data.labels == c) for c, p in enumerate(columns)]))

    return call


def brier_split_by_hand(data: Data) -> Call:
    """Miscalibration of the Brier score of the top label: what isotonic regression takes off it."""
    from sklearn.isotonic import isotonic_regression

    def call() -> float:
        confidence, right = data.top()
        _, place = np.unique(confidence, return_inverse=True)
        count = np.bincount(place)
        fitted = isotonic_regression(np.bincount(place, right) / count, sample_weight=count)[place]
        return float(np.square(confidence - right).mean() - np.square(fitted - right).mean())

    return call


def candid_brier_split(data: Data) -> Call:
    from candid import metrics

    probs, labels = data.probs, data.labels
    return lambda: metrics.score_parts(probs, labels).miscalibration


def torchmetrics_ece(kind: str) -> Contender:
    def contender(data: Data) -> Call:
        from torchmetrics.functional.classification import multiclass_calibration_error

        given, labels = data.tensors(kind, "labels")
        return lambda: multiclass_calibration_error(given, labels, given.shape[1], BINS)

    return contender


def netcal_ece(data: Data) -> Call:
    from netcal.metrics import ECE

    probs, labels = data.probs, data.labels
    return lambda: ECE(BINS).measure(probs, labels)


def netcal_ece_of_logits(data: Data) -> Call:
    import torch
    from netcal.metrics import ECE

    (logits,), labels = data.tensors("logits"), data.labels
    return lambda: ECE(BINS).measure(torch.softmax(logits, 1).numpy(), labels)


def mapie_ece(data: Data) -> Call:
    """16 bins: it counts edges, so that is everyone's 15."""
    from mapie.metrics.calibration import expected_calibration_error

    def call() -> float:
        confidence, right = data.top()
        return float(expected_calibration_error(right.astype(int), confidence, num_bins=BINS + 1))

    return call


def torch_uncertainty(name: str, kind: str = "probs", **options: Any) -> Contender:
    def contender(data: Data) -> Call:
        metric_of: Callable[..., Any] = getattr(packages.torch_uncertainty_metrics(), name)
        given, labels = data.tensors(kind, "labels")
        extra = {} if name == "SmoothCalibrationError" else {"num_classes": given.shape[1], "num_bins": BINS}
        extra |= {} if name in ("SmoothCalibrationError", "ClasswiseCalibrationError") else {"task": "multiclass"}

        def call() -> Any:
            metric = metric_of(**extra, **options)
            metric.update(given, labels)
            return metric.compute()

        return call

    return contender


def probmetrics(name: str, kind: str = "logits") -> Contender:
    def contender(data: Data) -> Call:
        from probmetrics import distributions, metrics

        given, labels = data.tensors(kind, "labels")
        wrap = {"logits": distributions.CategoricalLogits, "probs": distributions.CategoricalProbs}[kind]
        truth = distributions.CategoricalDirac(labels, given.shape[1])
        metric = getattr(metrics, name)()
        return lambda: metric.compute(truth, wrap(given))

    return contender


def relplot_smooth(data: Data) -> Call:
    import relplot

    probs, labels = data.probs, data.labels

    def call() -> float:
        confidence = probs.max(axis=1).astype(np.float64)
        return float(relplot.smECE(confidence, probs.argmax(axis=1) == labels))

    return call


def _ece(confidence: np.ndarray, right: np.ndarray) -> float:
    edges = np.linspace(0, 1, BINS + 1)
    inside = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    return float(np.abs(np.bincount(inside, right - confidence, BINS)).sum() / len(confidence))


ECE = 1e-5  # relative: what float32 probabilities and sums leave uncertain, not which bins a row falls in

TASKS: Mapping[str, Task] = {
    "ECE from logits": Task(
        {
            "candid": candid("ece_of_logits", "logits"),
            "candid, numpy alone": without_numba(candid("ece_of_logits", "logits")),
            "torchmetrics": torchmetrics_ece("logits"),
            "torch-uncertainty": torch_uncertainty("CalibrationError", "logits"),
            "torch softmax, netcal": netcal_ece_of_logits,
            "probmetrics": probmetrics("CalibrationError"),
        },
        number,
        ECE,
        ece_of_logits_by_hand,
        grows=True,
    ),
    "ECE from probs": Task(
        {
            "candid": candid("ece"),
            "candid, numpy alone": without_numba(candid("ece")),
            "torchmetrics": torchmetrics_ece("probs"),
            "netcal": netcal_ece,
            "MAPIE, of the top label": mapie_ece,
        },
        number,
        ECE,
        ece_by_hand,
        grows=True,
    ),
    "adaptive ECE": Task(
        {
            "candid": candid("adaptive_ece"),
            "torch-uncertainty": torch_uncertainty("AdaptiveCalibrationError"),
            "numpy by hand": adaptive_by_hand,
        },
        number,
        ECE,
        adaptive_by_hand,
    ),
    "class-wise ECE": Task(
        {
            "candid": candid("classwise_ece"),
            "torch-uncertainty": torch_uncertainty("ClasswiseCalibrationError"),
            "numpy by hand": classwise_by_hand,
        },
        number,
        1e-4,  # float32 sums over a thousand classes
        classwise_by_hand,
        grows=True,
    ),
    "smooth ECE": Task(
        {
            "candid": candid("smooth_ece"),
            "relplot": relplot_smooth,
            "probmetrics (relplot)": probmetrics("SmoothCalibrationError"),
            "torch-uncertainty": torch_uncertainty("SmoothCalibrationError", kernel_type="reflected"),
        },
        number,
        1e-4,
        relplot_smooth,
        grows=True,
    ),
    "kernel ECE": Task({"candid": candid("kde_ece")}, number, 1e-6),
    "Brier split": Task(
        {"candid": candid_brier_split, "scikit-learn by hand": brier_split_by_hand}, number, 1e-6, brier_split_by_hand
    ),
    "null of ECE, 200 draws": Task({"candid": candid_null, "numpy by hand": null_by_hand}, number, 0.05, null_by_hand),
}
