"""Logits in, calibrated logits out. A fitted calibrator is born fitted: `fit` returns it, calling it applies it."""

from candid.calibrate.histogram import HistogramBinning
from candid.calibrate.isotonic import Isotonic
from candid.calibrate.temperature import Temperature

__all__ = ["METHODS", "HistogramBinning", "Isotonic", "Temperature"]

METHODS: dict[str, type] = {
    "temperature": Temperature,
    "histogram-binning": HistogramBinning,
    "isotonic": Isotonic,
}
