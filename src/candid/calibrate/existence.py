"""Whether a fit without ridge has an optimum at all, and the solution where it has.

A penalised optimum moves by a fixed number of nats each time the ridge falls a thousandfold when there is nothing to
find at ridge 0, and stands still when there is. (Albert and Anderson 1984 call the first case separation.) Where the
likelihood has less left to gain than float64 can show, standing still is what it does.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from candid.calibrate.descent import Minimum
from candid.calibrate.examples import Anchor, Examples
from candid.errors import InputError, NoOptimum

__all__ = ["check_ridge", "refuse_absent", "refuse_separable", "without_ridge"]

FIRST, THEN = 1e-3, 1e-6  # ridges to compare, each over the number of rows
DRIFT = 1.0  # nats; a runaway drifts by log(1000) = 6.9


def check_ridge(ridge: float | str, auto: float, *, name: str = "ridge") -> float:
    """The ridge as a number: `auto` where it says "auto"."""
    if isinstance(ridge, str):
        if ridge != "auto":
            raise InputError(f'{name} must be a number >= 0 or "auto", got {ridge!r}')
        return auto
    if not 0 <= ridge < np.inf:
        raise InputError(f'{name} must be a finite number >= 0 or "auto", got {ridge}')
    return float(ridge)


def refuse_absent(rows: Examples) -> None:
    """`NoOptimum` where a class is on offer and never the label: its intercept runs to -infinity."""
    seen = np.bincount(rows.labels, minlength=rows.classes) > 0
    unseen = np.flatnonzero(~seen & rows.offered)
    if len(unseen):
        raise NoOptimum(
            f"without a ridge no finite intercept is best: {len(unseen)} classes on offer have no row, e.g. class "
            f'{unseen[0]}; pass ridge="auto", or mask them with -inf',
            verdict="absent",
        )


def refuse_separable(pulled: Anchor) -> None:
    """`NoOptimum` where every label is its row's highest logit: larger slopes are always better."""
    if pulled.verdict == "separable":
        raise _separable()


def without_ridge(
    fit: Callable[[float], Minimum],
    finish: Callable[[Minimum], Minimum],
    rows: float,
    reach: Float[np.ndarray, " p"],
) -> Minimum:
    """The optimum at ridge 0, which `finish` polishes; `NoOptimum` where the penalised ones run away.

    `reach` is the largest number each parameter is multiplied by: it turns a drift of the parameter into nats.
    """
    near, nearer = fit(FIRST / rows), fit(THEN / rows)
    if not nearer.converged or float((reach * np.abs(nearer.point - near.point)).max()) > DRIFT:
        raise _separable()
    last = finish(nearer)
    return last._replace(evaluations=near.evaluations + nearer.evaluations + last.evaluations)


def _separable() -> NoOptimum:
    return NoOptimum(
        "without a ridge no finite parameters are best: some labels can be told apart without an error, so the "
        'likelihood grows without end; pass ridge="auto" or use more rows',
        verdict="separable",
    )
