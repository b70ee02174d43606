"""Does a more accurate model err less in its confidence? Rank correlation and R^2 over models."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from candid.report.content import Table
from candid.report.wording import with_interval
from candid.workflows.studying.finding import Finding
from candid.workflows.studying.questions import OWN, SHIPPED

__all__ = ["r_squared", "spearman", "trend_table"]

FEWEST = 5  # models
RESAMPLES = 1000
LEAST = 0.9  # share of resamples with a correlation at all, for an interval to be stated


def trend_table(findings: Sequence[Finding], sets: Sequence[str], *, seed: int) -> Table | None:
    """Spearman's rho and R^2 between accuracy and ECE over the models of one kind, a line a set, kind and state."""
    found = {
        (each.used_on, each.kind, each.method, each.model, each.metric): each.value
        for each in findings
        if each.question == "T1" and each.used_on in sets and each.metric in ("accuracy", "ece")
    }
    body: list[tuple[str | float | int | None, ...]] = []
    for used_on in sets:
        for kind in ("vlm", "supervised"):
            for state in (SHIPPED, OWN):
                names = sorted({key[3] for key in found if key[:3] == (used_on, kind, state)})
                pairs = np.array(
                    [[found[used_on, kind, state, name, m] for m in ("accuracy", "ece")] for name in names]
                )
                if len(names) >= FEWEST and r_squared(pairs[:, 0], pairs[:, 1]) is not None:
                    rho = with_interval(*_interval(pairs[:, 0], pairs[:, 1], seed))
                    body.append((used_on, kind, state, len(names), rho, r_squared(pairs[:, 0], pairs[:, 1])))
    if not body:
        return None
    return Table(
        id="trend",
        title="Does a more accurate model err less in its confidence?",
        caption="Accuracy against ECE over models. Spearman's rho: -1, the more accurate the smaller the ECE; 0, no "
        "order. Intervals resample models.",
        columns=("set", "kind", "state", "models", "Spearman's rho", "R^2"),
        rows=tuple(body),
    )


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Rank correlation in [-1, 1], ties at their mean rank; NaN where all values of one are equal. Spearman 1904.

    >>> round(spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])), 3)
    0.8
    """
    return _pearson(_ranks(x), _ranks(y))


def r_squared(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float | None:
    """Share of the variance of y that a line in x explains, in [0, 1]; None where either is constant.

    >>> r_squared(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]))
    1.0
    """
    r = _pearson(x, y)
    return None if np.isnan(r) else round(r * r, 12)


def _interval(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], seed: int
) -> tuple[float, float | None, float | None]:
    rng = np.random.default_rng(seed)
    value = spearman(x, y)
    draws = np.array([spearman(x[rows], y[rows]) for rows in rng.integers(len(x), size=(RESAMPLES, len(x)))])
    draws = draws[~np.isnan(draws)]
    if len(draws) < LEAST * RESAMPLES:
        return value, None, None
    low, high = np.quantile(draws, [0.025, 0.975])
    return value, min(float(low), value), max(float(high), value)


def _pearson(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    a, b = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / scale, -1.0, 1.0)) if scale > 0 else float("nan")


def _ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Float[np.ndarray, " n"] = (last - (counts - 1) / 2)[index]
    return ranks
