"""The calibrators an audit may choose from and a predictor may hold: those of `calibrate.METHODS` that need labels."""

from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import numpy as np

from candid import calibrate
from candid.arrays import softmax
from candid.errors import InputError, nearest
from candid.types import Labels, Logits, Probs

__all__ = ["CALIBRATORS", "SQUARE", "calibrator_named", "fit", "pack", "probabilities", "spoken", "unpack"]

_LABELLED: dict[str, Any] = {
    name: kind for name, kind in calibrate.METHODS.items() if getattr(kind, "needs", None) == "labels"
}
CALIBRATORS: tuple[str, ...] = tuple(sorted(_LABELLED))
SQUARE = frozenset({"dirichlet", "matrix", "structured"})  # a number for every pair of classes
_SPOKEN = {
    "bias-corrected": "bias-corrected temperature scaling",
    "beta": "beta calibration",
    "dirichlet": "Dirichlet calibration",
    "ensemble-temperature": "ensemble temperature scaling",
    "isotonic": "isotonic calibration",
    "matrix": "matrix scaling",
    "per-sample-temperature": "per-sample temperature scaling",
    "spline": "spline calibration",
    "structured": "structured matrix scaling",
    "temperature": "one temperature",
    "vector": "vector scaling",
}
_NOT_FINITE = ("inf", "-inf", "nan")


def calibrator_named(name: str) -> Any:
    """The class of a calibrator; its `fit(logits, labels)` returns a fitted one.

    >>> calibrator_named("temperature").__name__
    'Temperature'
    """
    if name not in _LABELLED:
        raise InputError(f"no calibrator named {name}; {nearest(name, CALIBRATORS)}")
    return _LABELLED[name]


def spoken(name: str) -> str:
    """The calibrator in words, as in "after vector scaling".

    >>> spoken("vector"), spoken("histogram-binning")
    ('vector scaling', 'histogram binning')
    """
    return _SPOKEN.get(name, name.replace("-", " "))


def fit(name: str, logits: Logits, labels: Labels) -> Any:
    """The named calibrator, fitted; `InputError` where these rows have no optimum or are too few."""
    return calibrator_named(name).fit(logits, labels)


def probabilities(calibrator: Any, logits: Logits) -> Probs:
    """Probabilities of a fitted calibrator; those that return logits go through a softmax.

    >>> logits = np.array([[2.0, 0.0]] * 4)
    >>> probabilities(fit("temperature", logits, np.array([0, 0, 0, 1])), logits[:1]).round(9).tolist()
    [[0.75, 0.25]]
    """
    out = calibrator(logits)
    probs: Probs = softmax(out) if calibrator.returns == "logits" else out
    return probs


def pack(fitted: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A fitted dataclass as what JSON can hold and what safetensors can: plain values, and arrays, by field.

    A dataclass within is packed the same way, its arrays under "field.name".
    """
    values: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for each in fields(fitted):
        value = getattr(fitted, each.name)
        if is_dataclass(value):
            values[each.name], inner = pack(value)
            arrays |= {f"{each.name}.{name}": array for name, array in inner.items()}
        elif isinstance(value, np.ndarray) and value.ndim:
            arrays[each.name] = np.ascontiguousarray(value)
        else:
            plain = value.item() if isinstance(value, np.generic | np.ndarray) else value
            values[each.name] = plain if not isinstance(plain, float) or np.isfinite(plain) else {"float": str(plain)}
    return values, arrays


def unpack(kind: Any, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """The fitted dataclass that `pack` took apart; `TypeError` or `KeyError` where a field is missing or strange."""
    own = {name: array for name, array in arrays.items() if "." not in name}
    parts = {
        each.name: get_type_hints(kind)[each.name]
        for each in fields(kind)
        if is_dataclass(get_type_hints(kind)[each.name])
    }
    inner = {
        name: unpack(part, values[name], {key.removeprefix(f"{name}."): array for key, array in arrays.items()
                                          if key.startswith(f"{name}.")})
        for name, part in parts.items()
    }  # fmt: skip
    plain = {name: _plain(value) for name, value in values.items() if name not in parts}
    return kind(**plain, **own, **inner)


def _plain(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value["float"] not in _NOT_FINITE:
        raise TypeError(f"expected one of {', '.join(_NOT_FINITE)}, got {value['float']}")
    return float(value["float"])
