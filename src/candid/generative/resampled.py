"""Ours, not the papers': intervals of metrics, by halves of both sets drawn without replacement.

A bootstrap would put copies into the sets, and nearest neighbours at distance 0 with them. A share f of both sets drawn
without replacement varies around the whole like (1 - f) / f times the variance of the whole itself (the delete-a-group
jackknife; Shao and Wu 1989, https://doi.org/10.1214/aos/1176347263), so its spread, rescaled, is that of the value.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from candid.errors import InputError
from candid.generative.comparing import compare
from candid.generative.points import checked, gathered
from candid.generative.sets import NeighbourMetric
from candid.metrics.streaming import VectorRows
from candid.types import Estimate

__all__ = ["Numbers", "estimated", "numbers_of", "resampled"]

LARGEST = 2500  # rows of a drawn set; larger ones would cost more than they tell
FEWEST = 20  # rows of a drawn set below which nearest neighbours mean little
NORMAL = 1.959964
LEVEL = 0.95
NEGATIVE = {"alpha_precision", "beta_recall"}
UNBOUNDED = {"density", "real_radius", "fake_radius"}
Numbers = Mapping[str, float]


def resampled(
    real: VectorRows,
    fake: VectorRows,
    metrics: Sequence[NeighbourMetric[Any]],
    *,
    repeats: int = 20,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **engine: Any,
) -> list[dict[str, Estimate]]:
    """For each metric its numbers with 95 % intervals that hold for new samples of both sets, of these sizes.

    The value is that of the whole sets. `repeats` times the same share of both (a half, or less where that is more than
    2,500 rows) is drawn without replacement. Costs `repeats` times the share squared of one comparison. `engine`: see
    `compare`.
    """
    whole = [numbers_of(found) for found in compare(real, fake, metrics, **engine)]
    names = [f"{place} {name}" for place, numbers in enumerate(whole) for name in numbers]

    def measure(reals: VectorRows, fakes: VectorRows) -> Numbers:
        found = compare(reals, fakes, metrics, **engine)
        return dict(zip(names, (value for each in found for value in numbers_of(each).values()), strict=True))

    values = dict(zip(names, (value for numbers in whole for value in numbers.values()), strict=True))
    found = estimated(real, fake, measure, values, repeats=repeats, seed=seed, progress=progress)
    return [
        {name: _possible(name, found[f"{place} {name}"]) for name in numbers} for place, numbers in enumerate(whole)
    ]


def estimated(
    real: VectorRows,
    fake: VectorRows,
    measure: Callable[[VectorRows, VectorRows], Numbers],
    values: Numbers,
    *,
    repeats: int = 20,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Estimate]:
    """`values`, which `measure` gave for the whole sets, with intervals from what it gives for shares of them."""
    (n, _), (m, _) = checked(real, "real"), checked(fake, "fake")
    if repeats < 2:
        raise InputError(f"repeats must be 2 or more, got {repeats}")
    share = min(0.5, LARGEST / max(n, m))
    sizes = round(share * n), round(share * m)
    if min(sizes) < FEWEST:
        raise InputError(f"an interval needs {2 * FEWEST} rows or more of each set, got {n} and {m}")
    random, drawn = np.random.default_rng(seed), []
    for done in range(repeats):
        parts = (gathered(each, np.sort(random.choice(each.shape[0], size, replace=False)))
                 for each, size in zip((real, fake), sizes, strict=True))  # fmt: skip
        drawn.append(measure(*parts))
        if progress is not None:
            progress(done + 1, repeats)
    factor = float(np.sqrt(share / (1 - share)))
    found = {}
    for name, value in values.items():
        half = NORMAL * factor * float(np.std([each[name] for each in drawn], ddof=1))
        found[name] = Estimate(value, value - half, value + half, min(n, m), LEVEL)
    return found


def _possible(name: str, found: Estimate) -> Estimate:
    """The interval cut to what the number can be: none of them but those of alpha and beta is negative."""
    low = found.low if name in NEGATIVE else max(0.0, found.low)
    high = found.high if name in UNBOUNDED else min(1.0, found.high)
    return Estimate(found.value, min(low, found.value), max(high, found.value), found.n, found.level)


def numbers_of(result: Any) -> dict[str, float]:
    """The single numbers of a metric's result, by the names of their fields."""
    return {name: value for name, value in result._asdict().items() if isinstance(value, float)}
