"""The confidence corrected by the slope of a spline through the cumulated error.

Gupta et al. 2021, https://arxiv.org/abs/2006.12800: sort the rows by confidence and cumulate (correct - confidence) / n
against the share of rows passed. That curve's greatest height is the Kolmogorov-Smirnov calibration error, and its
slope at a confidence is what is missing there (eq. 9 and algorithm 1): no bins anywhere.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.optimize import isotonic_regression

from candid.calibrate.columns import TIE, Rows, check_classes, check_smoothing
from candid.calibrate.remainder import spread, temperature_of_the_rest
from candid.errors import InputError
from candid.metrics.rows import inverse_mass
from candid.types import Labels, Logits, Probs

__all__ = ["Spline"]

ROWS_A_PIECE = 20  # fewer rows between two knots say nothing about a slope
POINTS = 1024  # of the stored function


@dataclass(frozen=True, eq=False)
class Spline:
    """A fitted function of the confidence: calling it returns float64 probabilities whose rows sum to 1.

    It is linear between the points `confidence`, `corrected`, both rising, and constant outside; the classes not
    predicted share the rest as the softmax at `temperature` would. `knots` is how many the spline has, `classes` the
    columns that logits must have, `n` the rows with positive weight, `smoothing` the weight of the uniform distribution
    over the classes on offer.
    """

    returns: ClassVar[Literal["logits", "probs"]] = "probs"
    needs: ClassVar[Literal["labels", "text"]] = "labels"
    prefer: ClassVar[str] = (
        "When only the confidence in the predicted class matters and one temperature leaves it wrong; smooth, no bins."
    )

    confidence: Float[np.ndarray, " points"]
    corrected: Float[np.ndarray, " points"]
    temperature: float
    knots: int
    classes: int
    smoothing: float
    n: int

    @staticmethod
    def fit(
        logits: Logits,
        labels: Labels,
        weights: Float[np.ndarray, " n"] | None = None,
        *,
        knots: int = 6,
        smoothing: float | None = None,
    ) -> "Spline":
        """The natural cubic spline with the least (weighted) squared distance to the cumulated error of the top label.

        Deviations from the paper: both ends of the curve are kept exactly, so that the mean corrected confidence of
        these rows is their accuracy; the corrected confidence is made to rise by pooling and is bounded by 0 and 1;
        tied rows are passed at once; fewer than 20 rows a piece take fewer knots, down to 2, a constant shift. The
        result is a whole distribution: the predicted class stays the highest, the others share the rest as the softmax
        at the best temperature would (the paper fits other ranks by curves of their own; here they are not fitted).

        Absent classes do not matter: all classes share one function. Separable data give a confidence near 1, which
        `smoothing` keeps below it: None mixes in the uniform distribution by 1 / (rows + 1), 0 does not. Columns at
        -inf are classes that were not on offer.

        >>> logits = np.log(np.repeat([[0.9, 0.1], [0.6, 0.4]], 50, axis=0))
        >>> labels = np.repeat([0, 1, 0, 1], [40, 10, 25, 25])             # 0.9 should be 0.8, 0.6 should be 0.5
        >>> fitted = Spline.fit(logits, labels, smoothing=0.0)
        >>> fitted(logits[[0, 50]])[:, 0].round(3).tolist()
        [0.8, 0.5]
        """
        if not isinstance(knots, int | np.integer) or knots < 2:
            raise InputError(f"expected at least 2 knots, as a whole number, got {knots!r}")
        rows = Rows.of(logits, labels, weights)
        curve = _error_curve(rows)
        used = max(2, min(int(knots), 1 + rows.n // ROWS_A_PIECE, len(curve.passed)))
        corrected = curve.confidence + _slope(curve, used)
        rising = np.clip(isotonic_regression(corrected, weights=curve.mass).x, 0.0, 1.0)
        some = _thinned(curve)
        return Spline(
            curve.confidence[some],
            rising[some],
            temperature=temperature_of_the_rest(rows),
            knots=used,
            classes=logits.shape[1],
            smoothing=check_smoothing(smoothing, rows.n),
            n=rows.n,
        )

    def __call__(self, logits: Logits) -> Probs:
        """Calibrated probabilities, n x k, float64; columns at -inf get exactly 0."""
        best = check_classes(logits, self.classes)
        confidence = np.interp(inverse_mass(logits, best.value, 1.0), self.confidence, self.corrected)
        return spread(logits, best, confidence, temperature=self.temperature, smoothing=self.smoothing)


class _Curve(NamedTuple):
    """Distinct confidences in rising order, their weight, the share of weight `passed` with each, the error so far."""

    confidence: Float[np.ndarray, " m"]
    mass: Float[np.ndarray, " m"]
    passed: Float[np.ndarray, " m"]
    error: Float[np.ndarray, " m"]


def _error_curve(rows: Rows) -> _Curve:
    """Cumulated (correct - confidence), per unit of weight, at every distinct confidence."""
    counted = rows.mass > 0
    confidence, mass = rows.confidence()[counted], rows.mass[counted]
    missing = (rows.best.label == rows.labels)[counted] - confidence
    order = np.argsort(confidence, kind="stable")
    confidence, mass, missing = confidence[order], mass[order] / mass.sum(), missing[order]
    first = np.flatnonzero(np.diff(confidence, prepend=-1.0) > TIE * confidence)
    each = np.add.reduceat(mass, first)
    return _Curve(confidence[first], each, np.cumsum(each), np.cumsum(np.add.reduceat(mass * missing, first)))


def _slope(curve: _Curve, knots: int) -> Float[np.ndarray, " m"]:
    """Slope of the fitted spline half-way through each confidence's rows.

    A spline is linear in its heights at the knots: the inner ones solve a least-squares problem, both ends are known.
    """
    places = np.linspace(0.0, 1.0, knots)
    basis = CubicSpline(places, np.eye(knots), bc_type="natural")
    height = np.zeros(knots)
    height[-1] = curve.error[-1]
    root = np.sqrt(curve.mass)
    at = basis(curve.passed) * root[:, None]
    height[1:-1] = np.linalg.lstsq(at[:, 1:-1], curve.error * root - at @ height, rcond=None)[0]
    slope: Float[np.ndarray, " m"] = basis(curve.passed - curve.mass / 2, 1) @ height
    return slope


def _thinned(curve: _Curve) -> np.ndarray:
    """Places of at most `POINTS` confidences, evenly among the rows, with the first and the last."""
    last = len(curve.passed) - 1
    if last < POINTS:
        return np.arange(last + 1)
    even = np.searchsorted(curve.passed, np.linspace(0.0, 1.0, POINTS))
    return np.unique(np.concatenate([[0], np.minimum(even, last), [last]]))
