"""Logits in, calibrated logits out. A fitted calibrator is born fitted: `fit` returns it, calling it applies it."""

from candid.calibrate.beta import Beta
from candid.calibrate.bias_corrected import BiasCorrected
from candid.calibrate.conformal import ConformalSet
from candid.calibrate.dirichlet import Dirichlet
from candid.calibrate.distance import DistanceAware
from candid.calibrate.ensemble import EnsembleTemperature
from candid.calibrate.histogram import HistogramBinning
from candid.calibrate.isotonic import Isotonic
from candid.calibrate.matrix import Matrix
from candid.calibrate.per_sample import PerSampleTemperature
from candid.calibrate.spline import Spline
from candid.calibrate.structured import Structured
from candid.calibrate.temperature import Temperature
from candid.calibrate.vector import Vector

__all__ = [
    "METHODS",
    "Beta",
    "BiasCorrected",
    "ConformalSet",
    "Dirichlet",
    "DistanceAware",
    "EnsembleTemperature",
    "HistogramBinning",
    "Isotonic",
    "Matrix",
    "PerSampleTemperature",
    "Spline",
    "Structured",
    "Temperature",
    "Vector",
]

METHODS: dict[str, type] = {
    "beta": Beta,
    "bias-corrected": BiasCorrected,
    "dirichlet": Dirichlet,
    "distance-aware": DistanceAware,
    "ensemble-temperature": EnsembleTemperature,
    "histogram-binning": HistogramBinning,
    "isotonic": Isotonic,
    "matrix": Matrix,
    "per-sample-temperature": PerSampleTemperature,
    "spline": Spline,
    "structured": Structured,
    "temperature": Temperature,
    "vector": Vector,
}
