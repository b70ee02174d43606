"""Logits in, calibrated logits out. A fitted calibrator is born fitted: `fit` returns it, calling it applies it."""

from candid.calibrate.temperature import Temperature

__all__ = ["METHODS", "Temperature"]

METHODS: dict[str, type[Temperature]] = {"temperature": Temperature}
