"""L1-penalised logistic regression over a grid of penalties, solved to a certificate.

min over w, b of |w|_1 (+ |b| if penalised) + C sum_i s_i log(1 + exp(-t_i (w x_i + b))), t = -1 or 1: the objective of
liblinear (Fan et al. 2008, https://jmlr.org/papers/v9/fan08a.html), which penalises the intercept; here it is free
unless asked otherwise.

Proximal Newton on a working set (Yuan, Ho and Lin 2012, https://jmlr.org/papers/v13/yuan12a.html): the grid is walked
from the strongest penalty, each solution starting the next; a Newton step is a lasso on the columns that are in use or
may soon be (`lasso.py`), on their Gram matrix, which is kept while it does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from candid.errors import InputError
from candid.groups.lasso import minimise

__all__ = ["Solution", "l1_logistic_path"]

TOLERANCE = 1e-6  # of the KKT conditions, in units of the penalty's slope, which is 1
STEPS = 200  # Newton steps for one C before it is called without optimum
HALVINGS = 20  # of a step
LEAST_DAMPING, MOST_FAILED = 1e-8, 24  # of the curvature's diagonal, once steps fail; and how often they may
INNER = 0.1  # of the violation, to which the model of a step is solved
FEW_ROUNDS, ROUNDS = 2, 60  # of the model's active set: at first, and at most
PATIENCE = 20  # Newton steps after which curvature is computed in double precision
FEWEST = 256  # columns that may join the working set at once, or a quarter of those in use
SMALLEST = 1e-12  # curvature of a row
SMALL = 2**20  # cells of x, up to which double precision costs nothing to speak of
SLOW = 0.3  # of the violation left by a step with older curvature: then it is computed anew


class Solution(NamedTuple):
    """Optimal `weights` (d) and `bias`, the `objective` there, and `kkt`: how far zero is from its subgradient.

    `kkt` is the largest distance over coordinates where the penalty's slope is 1; 0 is an exact optimum.
    """

    weights: Float[np.ndarray, " d"]
    bias: float
    objective: float
    kkt: float


def l1_logistic_path(
    x: Float[np.ndarray, "n d"],
    y: Int[np.ndarray, " m"],
    c_grid: Sequence[float],
    *,
    penalise_intercept: bool = False,
    sample_weight: Float[np.ndarray, " n"] | None = None,
    start: Solution | None = None,
    tolerance: float = TOLERANCE,
) -> list[Solution]:
    """The optimum for every C, in the order of `c_grid`; y is 0 or 1, or -1 or 1.

    `start` is a solution of a like problem to begin from. `sample_weight` are the s of the objective.
    Raises `InputError` where a class is missing, and where the KKT conditions cannot be met in double precision.

    >>> x, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    >>> strong, weak = l1_logistic_path(x, y, [0.3, 1.0])
    >>> strong.weights.tolist(), round(float(weak.weights[0]), 4), weak.kkt < 1e-6
    ([0.0], 1.012, True)
    """
    x, y, s = _checked(x, y, sample_weight)
    grid = np.asarray(c_grid, np.float64)
    if grid.ndim != 1 or not len(grid) or not (np.isfinite(grid) & (grid > 0)).all():
        raise InputError(f"expected a grid of positive C, got {list(c_grid)}")
    problem = _Problem(x, np.where(y == 1, 1.0, -1.0), s, penalise_intercept)
    at = problem.start() if start is None else problem.at(start.weights, start.bias)
    curvature = _Curvature(problem, at)
    found: dict[float, Solution] = {}
    for c in sorted(set(grid.tolist())):
        at = problem.solve(c, at, curvature, tolerance)
        at = problem.at(at.w, at.b)  # margins afresh: they were added up step by step
        found[c] = Solution(at.w.copy(), at.b, problem.objective(c, at), problem.kkt(at, problem.gradient(c, at)))
    return [found[c] for c in grid.tolist()]


@dataclass
class _Point:
    """Weights, intercept, and the margins t (w x + b) they give."""

    w: np.ndarray
    b: float
    margin: np.ndarray


@dataclass(frozen=True)
class _Problem:
    x: np.ndarray  # Fortran order: columns are picked
    t: np.ndarray
    s: np.ndarray
    penalised: bool

    def start(self) -> _Point:
        """No weights; the intercept that fits the base rate, or none where it is penalised."""
        ahead, behind = (float(self.s[self.t == side].sum()) for side in (1, -1))
        return self.at(np.zeros(self.x.shape[1]), 0.0 if self.penalised else float(np.log(ahead / behind)))

    def at(self, w: np.ndarray, b: float) -> _Point:
        used = np.flatnonzero(w)
        return _Point(w, b, self.t * (self.x[:, used] @ w[used] + b))

    def objective(self, c: float, at: _Point) -> float:
        penalty = float(np.abs(at.w).sum()) + (abs(at.b) if self.penalised else 0.0)
        return penalty + c * float(self.s @ np.logaddexp(0.0, -at.margin))

    def gradient(self, c: float, at: _Point) -> np.ndarray:
        """Of the loss, by weight and then by the intercept."""
        slope = -c * self.s * self.t * expit(-at.margin)
        return np.append(slope @ self.x, slope.sum())

    def kkt(self, at: _Point, gradient: np.ndarray) -> float:
        return float(self.violations(at, gradient).max())

    def violations(self, at: _Point, gradient: np.ndarray) -> np.ndarray:
        point = np.append(at.w, at.b)
        found: np.ndarray = np.where(point != 0, np.abs(gradient + np.sign(point)), np.maximum(np.abs(gradient) - 1, 0))
        if not self.penalised:
            found[-1] = abs(gradient[-1])
        return found

    def solve(self, c: float, at: _Point, curvature: "_Curvature", tolerance: float) -> _Point:
        rounds, damping, before, failed = FEW_ROUNDS, 0.0, np.inf, 0
        for steps in range(STEPS):
            if steps == PATIENCE:
                curvature.refine(at)
            gradient = self.gradient(c, at)
            off = self.violations(at, gradient)
            worst = float(off.max())
            if worst <= tolerance:
                return at
            if worst > SLOW * before and curvature.fresh:
                rounds = min(2 * rounds, ROUNDS)
            elif worst > SLOW * before:
                curvature.renew(at)
            before = worst
            step = _Step(curvature, c, at, gradient, self._columns(at, off), self.penalised, damping)
            moved = self._moved(c, at, worst, step.minimised(INNER * min(worst, 1.0), rounds))
            if moved is not None:
                at, curvature.fresh, failed = moved, False, 0
                damping = damping / 10 if damping > LEAST_DAMPING else 0.0
            elif not curvature.fresh:
                curvature.renew(at)
            elif failed < MOST_FAILED:
                failed, damping, rounds = failed + 1, max(10 * damping, LEAST_DAMPING), ROUNDS
            else:
                break
        if worst <= 100 * tolerance:  # as far as rounding lets it; the solution says how far
            return at
        raise InputError(
            f"no optimum found at C = {c:g}: the KKT conditions are off by {worst:.1e} and no step leads on; "
            "a smaller C has one, or standardise the columns of x first"
        )

    def _columns(self, at: _Point, off: np.ndarray) -> np.ndarray:
        """Columns in use, and of the others those that most want to be, a share of as many."""
        used = np.flatnonzero(at.w)
        wanting = np.flatnonzero((at.w == 0) & (off[:-1] > 0))
        most = max(FEWEST, len(used) // 4)
        if len(wanting) > most:
            wanting = wanting[np.argpartition(-off[wanting], most)[:most]]
        return np.sort(np.concatenate([used, wanting]))

    def _product(self, columns: np.ndarray, dw: np.ndarray) -> np.ndarray:
        """x[:, columns] @ dw; where that would copy most of x, by all of it."""
        if 3 * len(columns) < self.x.shape[1]:
            product: np.ndarray = self.x[:, columns] @ dw
            return product
        full = np.zeros(self.x.shape[1])
        full[columns] = dw
        return np.asarray(self.x @ full)

    def _moved(self, c: float, at: _Point, worst: float, change: tuple[np.ndarray, np.ndarray, float]) -> _Point | None:
        """The point after the longest of steps 1, 1/2, 1/4 ... that lowers the objective; None if none does.

        Where what is left to gain drowns in the objective's rounding, a step counts that brings the KKT conditions on.
        """
        columns, dw, db = change
        dm = self.t * (self._product(columns, dw) + db)
        before, size = self.objective(c, at), 1.0
        for _ in range(HALVINGS):
            w = at.w.copy()
            w[columns] += size * dw
            there = _Point(w, at.b + size * db, at.margin + size * dm)
            after = self.objective(c, there)
            if after < before:
                return there
            if after <= before * (1 + 1e-14) and self.kkt(there, self.gradient(c, there)) < 0.9 * worst:
                return there
            size /= 2
        return None


class _Curvature:
    """The loss's second derivatives at C = 1 at some point, on as many columns as were ever asked for.

    They only shape steps, so single precision is enough mostly, and those of a point not far away do until steps grow
    slow.
    """

    def __init__(self, problem: _Problem, at: _Point) -> None:
        self.problem = problem
        self.dtype = np.float64 if problem.x.size <= SMALL else np.float32
        self.renew(at)

    def refine(self, at: _Point) -> None:
        """In double precision from here on."""
        self.dtype = np.float64
        self.renew(at)

    def renew(self, at: _Point) -> None:
        p = expit(at.margin)
        self.curve = self.problem.s * np.maximum(p * (1 - p), SMALLEST)
        self.fresh = True
        self.total = float(self.curve.sum())
        self._root = np.sqrt(self.curve).astype(self.dtype)[:, None]
        self._places = np.full(self.problem.x.shape[1], -1)
        self._rows = np.empty((len(self.curve), 0), self.dtype, order="F")
        self._gram, self._mean = np.empty((0, 0)), np.empty(0)

    def on(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Products of these columns, and their means, both weighted by the curvature."""
        new = columns[self._places[columns] < 0]
        if len(new):
            self._add(new)
        places = self._places[columns]
        return self._gram[np.ix_(places, places)], self._mean[places]

    def _add(self, columns: np.ndarray) -> None:
        old = self._rows.shape[1]
        x = self.problem.x[:, columns]
        rows = np.empty((len(x), old + len(columns)), self.dtype, order="F")
        rows[:, :old] = self._rows
        np.multiply(x, self._root, out=rows[:, old:], casting="same_kind")
        gram = np.empty((rows.shape[1], rows.shape[1]))
        gram[:old, :old] = self._gram
        added = rows[:, old:]
        gram[old:, old:] = added.T @ added
        gram[:old, old:] = self._rows.T @ added
        gram[old:, :old] = gram[:old, old:].T
        self._places[columns] = np.arange(old, rows.shape[1])
        self._rows, self._gram = rows, gram
        self._mean = np.append(self._mean, self.curve @ x / self.total)


class _Step:
    """The quadratic model of the loss at a point, on some columns.

    A free intercept is replaced by what is best for any weights; a penalised one is one more column.
    """

    def __init__(
        self,
        curvature: _Curvature,
        c: float,
        at: _Point,
        gradient: np.ndarray,
        columns: np.ndarray,
        penalised: bool,
        damping: float,
    ) -> None:
        gram, self.mean = curvature.on(columns)
        self.columns, self.penalised = columns, penalised
        self.total, self.gb = c * curvature.total, float(gradient[-1])
        if penalised:
            sums = self.total * self.mean
            self.gram = np.block([[c * gram, sums[:, None]], [sums[None, :], np.array([[self.total]])]])
            self.g, self.point = np.append(gradient[columns], self.gb), np.append(at.w[columns], at.b)
        else:
            self.gram = c * gram - self.total * np.outer(self.mean, self.mean)
            self.g, self.point = gradient[columns] - self.mean * self.gb, at.w[columns]
        if damping:  # flat directions would be followed for ever
            self.gram = self.gram + np.diag(damping * np.diag(self.gram).clip(np.diag(self.gram).mean() / 1e3))
        s = curvature.problem.s
        some = s > 0
        self.rest = c * float(((s * expit(-at.margin))[some] ** 2 / curvature.curve[some]).sum())

    def _change(self, new: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        d = new - self.point
        if self.penalised:
            return self.columns, d[:-1], float(d[-1])
        return self.columns, d, -float(self.gb / self.total + self.mean @ d)

    def minimised(self, tolerance: float, rounds: int) -> tuple[np.ndarray, np.ndarray, float]:
        """The change that minimises the model, about; `tolerance` is of its own KKT conditions."""
        towards = self.gram @ self.point - self.g
        rounds = rounds if len(self.point) > FEWEST else ROUNDS
        return self._change(minimise(self.gram, towards, self.point, self.rest, tolerance, rounds))


def _checked(
    x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y = np.asarray(y)
    if x.ndim != 2 or len(x) != len(y):
        raise InputError(f"expected x of n d and one label a row, got {x.shape} and {y.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"x must be finite, row {int(np.flatnonzero(~np.isfinite(x).all(1))[0])} is not")
    found = set(np.unique(y).tolist())
    if found not in ({0, 1}, {-1, 1}):
        raise InputError(f"expected labels 0 and 1 (or -1 and 1), both present, got {sorted(found)[:5]}")
    y = (y == 1).astype(np.int64)
    s = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if s.shape != y.shape or not (np.isfinite(s) & (s >= 0)).all() or not all(s[y == side].any() for side in (0, 1)):
        raise InputError("sample_weight must be one finite number of 0 or more a row, with some in each class")
    return np.asfortranarray(x, np.float64), y, s
