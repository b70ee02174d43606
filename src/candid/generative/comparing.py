"""One call for any subset of the metrics: two walks within the sets, one between them, whatever is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from candid.errors import InputError
from candid.generative.crossing import answered
from candid.generative.neighbours import Near, nearest_others
from candid.generative.passing import Budget, Progress
from candid.generative.points import Points, common_frame
from candid.generative.sets import Answers, NeighbourMetric, Sets
from candid.metrics.streaming import VectorRows

__all__ = ["Reference", "compare"]


@dataclass(frozen=True, eq=False)
class Reference:
    """Reals with the nearest others of each: made once, compared with any number of fakes.

    >>> import numpy as np
    >>> reals = np.array([[0.0], [1.0], [2.0], [4.0]])
    >>> Reference.of(reals, reach=2).near.distances.tolist()
    [[1.0, 2.0], [1.0, 1.0], [1.0, 2.0], [2.0, 3.0]]
    """

    vectors: VectorRows
    near: Near

    @classmethod
    def of(
        cls,
        vectors: VectorRows,
        *,
        reach: int = 9,
        memory: int = 512,
        threads: int | None = None,
        device: str | None = None,
        progress: Progress | None = None,
    ) -> "Reference":
        """`reach` is the largest k that will be asked for (k times factor for precision cover: 9 by default)."""
        points = Points(vectors, common_frame(vectors, vectors, device=device))
        return cls(vectors, nearest_others(points, reach, Budget(memory, threads), progress, name="real"))


def compare(
    real: VectorRows | Reference,
    fake: VectorRows,
    metrics: Sequence[NeighbourMetric[Any]],
    *,
    memory: int = 512,
    threads: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> list[Any]:
    """The result of each metric, in order, from shared distances.

    Vectors are n x d and m x d, of any floating type, and may be mapped from files. Every pair of rows is looked at
    once: half of real x real (not at all for a `Reference`), half of fake x fake, and real x fake; however many metrics
    and settings are asked for. No n x m matrix is kept: beyond the vectors and a few numbers a row, `memory` megabytes
    are used. Products are float32; what they cannot decide is decided in float64, so that counts are exact. `threads`
    is one a core by default; `device` ("cuda", "cuda:1", "mps") has torch do the work there. `progress` is called with
    tiles done and their total, from 0 again for each walk. Raises `InputError` for NaN, other widths, or k too large.

    >>> import numpy as np
    >>> from candid.generative import DensityCoverageAt, ProbabilisticPrecisionRecallAt
    >>> reals, fakes = np.array([[0.0], [1.0], [2.0], [4.0]]), np.array([[0.5], [3.5], [9.0]])
    >>> near, soft = compare(reals, fakes, [DensityCoverageAt(k=1), ProbabilisticPrecisionRecallAt(k=1, scale=2.0)])
    >>> near.coverage, round(soft.precision, 3), soft.fake_scores.round(3).tolist()
    (0.75, 0.619, [0.976, 0.88, 0.0])
    """
    metrics = list(metrics)
    for metric in metrics:
        if isinstance(metric, type) or not isinstance(metric, NeighbourMetric):
            raise InputError(f"expected metrics with settings, such as DensityCoverageAt(k=5), got {metric!r}")
    if not metrics:
        return []
    budget, vectors = Budget(memory, threads), real.vectors if isinstance(real, Reference) else real
    frame = common_frame(vectors, fake, device=device)
    keeps = budget.keeps(vectors.shape[0] + fake.shape[0], fake.shape[1], device)
    reals, fakes = (Points(each, frame, {} if keeps else None) for each in (vectors, fake))
    sets = _known(real, reals, fakes, metrics, budget, progress)
    asked = [question for metric in metrics for question in metric.ask(sets)]
    answers = Answers(answered(sets.real, sets.fake, asked, budget, progress))
    return [metric.result(sets, answers) for metric in metrics]


def _known(
    real: VectorRows | Reference, reals: Points, fakes: Points, metrics: Sequence[NeighbourMetric[Any]], budget: Budget,
    progress: Progress | None,
) -> Sets:  # fmt: skip
    """Both sets with their nearest others."""
    reach = max(metric.reach for metric in metrics)
    if isinstance(real, Reference):
        near = real.near
        if near.distances.shape[1] < reach:
            raise InputError(
                f"the reference knows {near.distances.shape[1]} neighbours, {reach} are asked for; "
                f"make it with reach={reach}"
            )
    else:
        near = nearest_others(reals, reach, budget, progress, name="real")
    return Sets(reals, fakes, near, nearest_others(fakes, reach, budget, progress, name="fake"))
