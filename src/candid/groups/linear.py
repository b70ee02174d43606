"""Linear classifiers on standardised vectors, and the `Head` on vectors as they are that says the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from candid.groups.l1_logistic import Solution, l1_logistic_path
from candid.types import Head, Labels, Logits, Vectors

__all__ = ["Linear", "Scaler", "paths"]

ENOUGH = 1e-4  # of the KKT conditions; objectives are then within about 1e-9 of the best


@dataclass(frozen=True)
class Scaler:
    """Means and standard deviations of vectors; a column that never changes is divided by 1, as in scikit-learn."""

    mean: Float[np.ndarray, " d"]
    deviation: Float[np.ndarray, " d"]

    @classmethod
    def fit(cls, vectors: Vectors) -> "Scaler":
        wide = np.asarray(vectors, np.float64)
        deviation = wide.std(axis=0)
        return cls(wide.mean(axis=0), np.where(deviation > 1e-12 * np.abs(wide).max(axis=0), deviation, 1.0))

    def __call__(self, vectors: Vectors) -> Float[np.ndarray, "n d"]:
        scaled: np.ndarray = (np.asarray(vectors, np.float64) - self.mean) / self.deviation
        return scaled


@dataclass(frozen=True)
class Linear:
    """Logits `z @ weights.T + bias` of standardised rows z."""

    weights: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, " k"]

    def on(self, scaler: Scaler) -> Callable[[Vectors], Logits]:
        """Its logits of vectors as they are, in double precision."""
        return lambda vectors: scaler(vectors) @ self.weights.T + self.bias

    def head(self, scaler: Scaler, classes: Sequence[str]) -> Head:
        """The same classifier of vectors as they are: the scaler is folded in."""
        weights = self.weights / scaler.deviation
        bias = self.bias - weights @ scaler.mean
        return Head(weights.astype(np.float32), tuple(classes), 1.0, bias.astype(np.float32))

    @classmethod
    def mean(cls, found: Sequence["Linear"]) -> "Linear":
        return cls(np.mean([each.weights for each in found], axis=0), np.mean([each.bias for each in found], axis=0))


Starts = list[Solution] | None


def paths(
    z: Float[np.ndarray, "n d"], labels: Labels, k: int, c_grid: Sequence[float], *,
    row_weights: Float[np.ndarray, " n"] | None = None, penalise_intercept: bool, starts: Starts = None,
) -> list[tuple[Linear, list[Solution]]]:  # fmt: skip
    """A classifier for each C, with the solutions it is made of.

    Two classes are one problem, of which each class gets half with its sign; more are one against the rest each, as
    liblinear has it. `starts` are solutions of a like problem, one for each of these.
    """
    sides = [labels] if k == 2 else [(labels == label).astype(np.int64) for label in range(k)]
    legs = [
        l1_logistic_path(
            z, side, c_grid, penalise_intercept=penalise_intercept, sample_weight=row_weights,
            start=None if starts is None else starts[i], tolerance=ENOUGH,
        )
        for i, side in enumerate(sides)
    ]  # fmt: skip
    by_c = [[leg[i] for leg in legs] for i in range(len(c_grid))]
    return [(_joined(solutions), solutions) for solutions in by_c]


def _joined(solutions: list[Solution]) -> Linear:
    if len(solutions) == 1:
        w, b = solutions[0].weights, solutions[0].bias
        return Linear(np.stack([-w / 2, w / 2]), np.array([-b / 2, b / 2]))
    return Linear(np.stack([each.weights for each in solutions]), np.array([each.bias for each in solutions]))
