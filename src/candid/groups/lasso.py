"""The minimum of |w|_1 + w'Gw/2 - q'w: the model of which a proximal Newton step is made.

Coordinate descent on the Gram matrix (scikit-learn's) finds most signs; where columns are so alike that it creeps, an
active set is solved exactly and walked to the optimum (feature-sign search, Lee et al. 2006,
https://papers.nips.cc/paper/2979-efficient-sparse-coding-algorithms).
"""

import warnings

import numpy as np
from jaxtyping import Float
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path

__all__ = ["minimise"]

SWEEPS = 100
NOTHING = 1e-12  # of the largest weight
JOINING = 0.1  # of the active set may join it at once

Vector = Float[np.ndarray, " m"]


def minimise(
    gram: Float[np.ndarray, "m m"], towards: Vector, start: Vector, rest: float, tolerance: float, rounds: int
) -> Vector:
    """The minimiser, from `start`; off its KKT conditions by at most `tolerance` if `rounds` of the active set do.

    `rest` is the size of what weights cannot reach, such that w'Gw - 2 q'w + rest is a sum of squares at the start.
    """
    if not len(start):
        return start
    w = _descended(gram, towards, start, rest, tolerance)
    return _walked(gram, towards, w, tolerance, rounds)


def _descended(gram: np.ndarray, towards: np.ndarray, start: np.ndarray, rest: float, tolerance: float) -> np.ndarray:
    size = max(float(start @ (2 * towards - gram @ start)) + rest, 1e-300)  # of the working response, squared
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, path, _ = lasso_path(  # with products given, of x and y it takes the shape and the size
            gram, np.array([np.sqrt(size)]), alphas=[1.0 / len(gram)], precompute=gram, Xy=towards,
            coef_init=start.copy(), check_input=False, max_iter=SWEEPS, tol=tolerance / size,
        )  # fmt: skip
    found: np.ndarray = path[:, 0]
    return found


def _walked(gram: np.ndarray, towards: np.ndarray, w: np.ndarray, tolerance: float, rounds: int) -> np.ndarray:
    most = len(w)
    for _ in range(rounds):
        w = np.where(np.abs(w) > NOTHING * np.abs(w).max(), w, 0.0)  # a weight of rounding alone would end every walk
        slope = gram @ w - towards
        sign = np.sign(w)
        off = np.where(w != 0, np.abs(slope + sign), 0.0)
        if off.max() <= tolerance:  # the active set is solved: who joins?
            over = np.where(w == 0, np.abs(slope) - 1, 0.0)
            joining = np.flatnonzero(over > tolerance)
            if not len(joining):
                return w
            some = min(most, max(1, int(JOINING * np.count_nonzero(w))))
            joining = joining[np.argsort(-over[joining])[:some]]
            sign[joining] = -np.sign(slope[joining])
        active = np.flatnonzero(sign)
        target = _solved(gram, towards, active, sign)
        if target is None:
            return w
        moved = _best_on_the_way(gram, towards, w, active, target)
        if moved is None:
            if most == 1:
                return w
            most = 1  # one alone always lowers the objective, several at once may not
            continue
        w = moved
    return w


def _solved(gram: np.ndarray, towards: np.ndarray, active: np.ndarray, sign: np.ndarray) -> np.ndarray | None:
    """The optimum on the active set with these signs; None where its columns are dependent."""
    try:
        factor = cho_factor(gram[np.ix_(active, active)], check_finite=False)
    except LinAlgError:
        return None
    found: np.ndarray = cho_solve(factor, towards[active] - sign[active], check_finite=False)
    return found if np.isfinite(found).all() else None


def _best_on_the_way(
    gram: np.ndarray, towards: np.ndarray, w: np.ndarray, active: np.ndarray, target: np.ndarray
) -> np.ndarray | None:
    """The lowest of the points where a weight becomes 0 on the line to the target, and the target; None if no lower."""
    here = w[active]
    d = target - here
    crossing = (here != 0) & (np.sign(target) != np.sign(here))
    times = np.unique(np.append(here[crossing] / (here[crossing] - target[crossing]), 1.0))
    bent = gram[np.ix_(active, active)] @ d
    slope = gram[active] @ w - towards[active]
    linear, square = float(slope @ d), float(d @ bent)
    gains = [t * linear + t * t * square / 2 + float(np.abs(here + t * d).sum()) for t in times]
    best = int(np.argmin(gains))
    if gains[best] >= float(np.abs(here).sum()):
        return None
    moved = w.copy()
    moved[active] = here + times[best] * d
    gone = active[crossing][np.isclose(here[crossing] / (here[crossing] - target[crossing]), times[best], rtol=1e-12)]
    moved[gone] = 0.0
    return moved
