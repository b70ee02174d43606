"""Contenders that fit a step or rising function of a probability: histogram binning, isotonic, spline."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from against import packages
from against.inputs import Data
from against.scaling import candid, netcal
from against.tasks import Call, Contender, Task, held_brier


def torch_uncertainty(name: str, **options: Any) -> Contender:
    def contender(data: Data) -> Call:
        scaler_of = getattr(packages.torch_uncertainty_scalers(), name)
        logits, labels, held = data.tensors("logits", "labels", "held_logits")

        def call() -> Callable[[], np.ndarray]:
            scaler = scaler_of(**options)
            scaler.fit([(logits, labels)], progress=False)
            return lambda: scaler(held).exp().numpy()

        return call

    return contender


def sklearn_each_class(data: Data) -> Call:
    """CalibratedClassifierCV on a classifier that hands its probabilities through: one isotonic regression a class."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import KFold

    probs, labels, held = data.probs, data.labels, data.held_probs

    class Through(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(probs.shape[1])

        def fit(self, x: np.ndarray, y: np.ndarray) -> "Through":
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return x

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x.argmax(axis=1)

        def __sklearn_is_fitted__(self) -> bool:
            return True

    def call() -> Callable[[], np.ndarray]:
        model = CalibratedClassifierCV(FrozenEstimator(Through()), method="isotonic", ensemble=False, cv=KFold(2))
        model.fit(probs, labels)
        return lambda: model.predict_proba(held)

    return call


def sklearn_all_pairs(data: Data) -> Call:
    """One isotonic regression of all n k pairs: what nobody offers, from scikit-learn's own part."""
    from sklearn.isotonic import IsotonicRegression

    probs, labels, held = data.probs, data.labels, data.held_probs

    def call() -> Callable[[], np.ndarray]:
        hit = np.zeros(probs.shape, dtype=np.float32)
        hit[np.arange(len(labels)), labels] = 1
        model = IsotonicRegression(out_of_bounds="clip").fit(probs.ravel(), hit.ravel())

        def apply() -> np.ndarray:
            fitted = model.predict(held.ravel()).reshape(held.shape)
            return fitted / fitted.sum(axis=1, keepdims=True)

        return apply

    return call


def probmetrics_spline(data: Data) -> Call:
    """Its spline is for two classes: fitted on (confidence, right), the others sharing the rest as they did."""
    from probmetrics.calibrators import CDFSplineCalibrator

    held = data.held_probs.astype(np.float64)

    def call() -> Callable[[], np.ndarray]:
        confidence, right = data.top()
        two = np.stack([1 - confidence, confidence], axis=1)
        model = CDFSplineCalibrator().fit(two, right.astype(np.int64))

        def apply() -> np.ndarray:
            top = held.max(axis=1)
            new = np.clip(model.predict_proba(np.stack([1 - top, top], axis=1))[:, 1], 0, 1)
            out = held * ((1 - new) / (1 - top))[:, None]
            out[np.arange(len(out)), held.argmax(axis=1)] = new
            return out

        return apply

    return call


TASKS: Mapping[str, Task] = {
    "histogram binning": Task(
        {
            "candid": candid("HistogramBinning", binning="equal-width"),
            "candid, equal mass": candid("HistogramBinning"),
            "netcal": netcal("binning", "HistogramBinning", bins=10),
            "torch-uncertainty": torch_uncertainty("HistogramBinningScaler", num_bins=10),
        },
        held_brier,
        0.01,
        unit="Brier",
    ),
    "isotonic, a class each": Task(
        {
            "candid": candid("Isotonic", variant="one-vs-rest"),
            "netcal": netcal("binning", "IsotonicRegression"),
            "torch-uncertainty": torch_uncertainty("IsotonicRegressionScaler"),
            "scikit-learn": sklearn_each_class,
        },
        held_brier,
        0.01,
        grows=True,
        unit="Brier",
    ),
    "isotonic, all pairs": Task(
        {"candid": candid("Isotonic"), "scikit-learn by hand": sklearn_all_pairs}, held_brier, 0.01, unit="Brier"
    ),
    "spline": Task({"candid": candid("Spline"), "probmetrics": probmetrics_spline}, held_brier, 0.01, unit="Brier"),
}
