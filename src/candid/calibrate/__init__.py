"""Logits in, calibrated logits out. A fitted calibrator is born fitted: `fit` returns it, calling it applies it."""

from candid.calibrate.conformal import ConformalSet
from candid.calibrate.distance import DistanceAware
from candid.calibrate.ensemble import EnsembleTemperature
from candid.calibrate.histogram import HistogramBinning
from candid.calibrate.isotonic import Isotonic
from candid.calibrate.per_sample import PerSampleTemperature
from candid.calibrate.spline import Spline
from candid.calibrate.temperature import Temperature
from candid.calibrate.vector import Vector

__all__ = [
    "METHODS",
    "ConformalSet",
    "DistanceAware",
    "EnsembleTemperature",
    "HistogramBinning",
    "Isotonic",
    "PerSampleTemperature",
    "Spline",
    "Temperature",
    "Vector",
]

METHODS: dict[str, type] = {
    "distance-aware": DistanceAware,
    "ensemble-temperature": EnsembleTemperature,
    "histogram-binning": HistogramBinning,
    "isotonic": Isotonic,
    "per-sample-temperature": PerSampleTemperature,
    "spline": Spline,
    "temperature": Temperature,
    "vector": Vector,
}
