"""Logits in, calibrated logits out. A fitted calibrator is born fitted: `fit` returns it, calling it applies it."""

from candid.calibrate.conformal import ConformalSet
from candid.calibrate.ensemble import EnsembleTemperature
from candid.calibrate.histogram import HistogramBinning
from candid.calibrate.isotonic import Isotonic
from candid.calibrate.temperature import Temperature
from candid.calibrate.vector import Vector

__all__ = ["METHODS", "ConformalSet", "EnsembleTemperature", "HistogramBinning", "Isotonic", "Temperature", "Vector"]

METHODS: dict[str, type] = {
    "ensemble-temperature": EnsembleTemperature,
    "histogram-binning": HistogramBinning,
    "isotonic": Isotonic,
    "temperature": Temperature,
    "vector": Vector,
}
