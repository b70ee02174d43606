"""Contenders that fit a map of the logits: one temperature, a vector, a matrix, an ensemble of temperatures."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from against import packages
from against.inputs import Data, softmax
from against.tasks import Call, Contender, Task, held_nll, number

LEAST = 1e-6  # of a squared entry beside a mean: where rows are many, no penalty; where they are few, an optimum


def candid(name: str, **options: Any) -> Contender:
    """The calibrator of that name; its result applies it to the rows held out."""

    def contender(data: Data) -> Call:
        from candid import calibrate

        method = getattr(calibrate, name)
        logits, labels, held = data.logits, data.labels, data.held_logits

        def call() -> Callable[[], np.ndarray]:
            fitted = method.fit(logits, labels, **options)
            return lambda: fitted(held)

        return call

    return contender


def candid_temperature(data: Data) -> Call:
    from candid.calibrate import Temperature

    logits, labels = data.logits, data.labels
    return lambda: Temperature.fit(logits, labels).value


def without_numba(contender: Contender) -> Contender:
    """The same on numpy alone, as without the extra "fast" and in the first calls of a process with it."""

    def plain(data: Data) -> Call:
        from candid.metrics import rows

        rows.COMPILED_CELLS = sys.maxsize
        return contender(data)

    return plain


def temperature_by_bisection(data: Data) -> Call:
    """The zero of the derivative of the likelihood in float64, block by block: the reference."""
    logits, labels = data.logits, data.labels

    def slope(log_beta: float) -> float:
        total = 0.0
        for part in np.array_split(np.arange(len(logits)), max(1, logits.size // 1_000_000)):
            z = logits[part].astype(np.float64)
            total += (z * softmax(np.exp(log_beta) * z)).sum() - z[np.arange(len(z)), labels[part]].sum()
        return total

    def call() -> float:
        from scipy.optimize import brentq

        return float(np.exp(-brentq(slope, -1.0, 1.5, xtol=1e-11)))

    return call


def sklearn_temperature(kind: type) -> Contender:
    def contender(data: Data) -> Call:
        from sklearn.calibration import _TemperatureScaling

        logits, labels = data.logits.astype(kind), data.labels
        return lambda: 1 / _TemperatureScaling().fit(logits, labels).beta_

    return contender


def netcal_temperature(kind: type) -> Contender:
    def contender(data: Data) -> Call:
        from netcal.scaling import TemperatureScaling

        probs, labels = data.probs.astype(kind), data.labels

        def call() -> float:
            model = TemperatureScaling(method="mle")
            model.fit(probs, labels)
            return float(1 / np.ravel(model._sites["weights"]["values"])[0])

        return call

    return contender


def torch_uncertainty_temperature(data: Data) -> Call:
    scalers = packages.torch_uncertainty_scalers()
    batch = data.tensors("logits", "labels")

    def call() -> float:
        scaler = scalers.TemperatureScaler()
        scaler.fit([batch], progress=False)
        return float(scaler.temperature[0])

    return call


def torchcp_temperature(data: Data) -> Call:
    ts = packages.torchcp("utils").ConfCalibrator.registry_ConfCalibrator("TS")
    logits, labels = data.tensors("logits", "labels")
    batches = list(zip(logits.split(512), labels.split(512), strict=True))

    def call() -> float:
        scaler = ts()
        scaler.optimze(batches)
        return float(scaler.temperature)

    return call


def probmetrics(make: Callable[[Any], Any], value: Callable[[Any], Any] | None = None) -> Contender:
    """A calibrator of logits; `value` reads a number off it, else it is applied to the rows held out."""

    def contender(data: Data) -> Call:
        from probmetrics import calibrators
        from probmetrics.distributions import CategoricalLogits

        logits, labels, held = data.tensors("logits", "labels", "held_logits")
        make(calibrators)  # refuses here where its own needs are missing

        def call() -> Any:
            fitted = make(calibrators).fit_torch(CategoricalLogits(logits), labels)
            if value is not None:
                return value(fitted)
            return lambda: fitted.predict_proba_torch(CategoricalLogits(held)).get_probs().numpy()

        return call

    return contender


def torch_uncertainty(name: str, **options: Any) -> Contender:
    def contender(data: Data) -> Call:
        scaler_of = getattr(packages.torch_uncertainty_scalers(), name)
        logits, labels, held = data.tensors("logits", "labels", "held_logits")

        def call() -> Callable[[], np.ndarray]:
            scaler = scaler_of(num_classes=logits.shape[1], **options)
            scaler.fit([(logits, labels)], progress=False)
            return lambda: scaler(held).softmax(1).numpy()

        return call

    return contender


def netcal(module: str, name: str, **options: Any) -> Contender:
    def contender(data: Data) -> Call:
        from importlib import import_module

        method = getattr(import_module(f"netcal.{module}"), name)
        probs, labels, held = data.probs, data.labels, data.held_probs

        def call() -> Callable[[], np.ndarray]:
            model = method(**options)
            model.fit(probs, labels)
            return lambda: model.transform(held)

        return call

    return contender


def sklearn_logistic(data: Data) -> Call:
    from sklearn.linear_model import LogisticRegression

    logits, labels, held = data.logits, data.labels, data.held_logits

    def call() -> Callable[[], np.ndarray]:
        model = LogisticRegression(C=0.5 / LEAST / len(labels), max_iter=1000).fit(logits, labels)
        return lambda: model.predict_proba(held)

    return call


TEMPERATURES: Mapping[str, Contender] = {
    "candid": candid_temperature,
    "candid, numpy alone": without_numba(candid_temperature),
    "scikit-learn, float32": sklearn_temperature(np.float32),
    "scikit-learn, float64": sklearn_temperature(np.float64),
    "probmetrics, bisection": probmetrics(lambda c: c.TemperatureScalingCalibrator(), lambda f: 1 / f.invtemp_),
    "netcal, float32": netcal_temperature(np.float32),
    "netcal, float64": netcal_temperature(np.float64),
    "TorchCP, SGD": torchcp_temperature,
    "torch-uncertainty": torch_uncertainty_temperature,
}

TASKS: Mapping[str, Task] = {
    "temperature": Task(TEMPERATURES, number, 1e-6, temperature_by_bisection, grows=True),
    "ensemble temperature": Task(
        {
            "candid": candid("EnsembleTemperature"),
            "probmetrics ETS": probmetrics(lambda c: c.ETSCalibrator(loss="ce")),
        },
        held_nll,
        0.01,
        unit="nats",
    ),
    "vector": Task(
        {
            "candid": candid("Vector"),
            "probmetrics vector": probmetrics(lambda c: c.VectorScalingCalibrator()),
            "torch-uncertainty": torch_uncertainty("VectorScaler"),
            "netcal": netcal("scaling", "LogisticCalibration", method="mle"),
        },
        held_nll,
        0.02,
        grows=True,
        unit="nats",
    ),
    "matrix, least penalty": Task(
        {
            "candid": candid("Matrix", ridge=LEAST, ridge_bias=LEAST),
            "scikit-learn logistic": sklearn_logistic,
            "probmetrics matrix": probmetrics(lambda c: c.MatrixScalingCalibrator()),
            "torch-uncertainty": torch_uncertainty("MatrixScaler"),
        },
        held_nll,
        0.002,
        classes=100,
        grows=True,
        unit="nats",
    ),
    "Dirichlet": Task(
        {
            "candid": candid("Dirichlet"),
            "candid Matrix": candid("Matrix"),
            "torch-uncertainty": torch_uncertainty("DirichletScaler", lambda_reg=1e-3, mu_reg=1e-3),
        },
        held_nll,
        0.02,
        classes=100,
        unit="nats",
    ),
    "structured, diagonal": Task(
        {
            "candid": candid("Structured", form="vector"),
            "probmetrics SVS": probmetrics(lambda c: c.SVSCalibrator()),
        },
        held_nll,
        0.002,
        grows=True,
        unit="nats",
    ),
    "structured, full": Task(
        {"candid": candid("Structured"), "probmetrics SMS": probmetrics(lambda c: c.SMSCalibrator())},
        held_nll,
        0.002,
        classes=100,
        unit="nats",
    ),
    "beta": Task(
        {"candid": candid("Beta"), "netcal": netcal("scaling", "BetaCalibration", method="mle")},
        held_nll,
        0.02,
        classes=100,
        unit="nats",
    ),
}
