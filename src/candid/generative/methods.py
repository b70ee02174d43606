"""The metrics that look at nearest neighbours, as rows, and each as one function for those who want only it."""

from dataclasses import dataclass
from typing import Any, Literal

from candid.generative.alpha_beta import AlphaBeta, AlphaBetaAt
from candid.generative.authenticity import Authenticity, AuthenticityAt
from candid.generative.clipped import ClippedDensityCoverage, ClippedDensityCoverageAt
from candid.generative.comparing import Reference, compare
from candid.generative.cover import PrecisionRecallCover, PrecisionRecallCoverAt
from candid.generative.density import DensityCoverage, DensityCoverageAt
from candid.generative.improved import PrecisionRecall, PrecisionRecallAt
from candid.generative.probabilistic import ProbabilisticPrecisionRecall, ProbabilisticPrecisionRecallAt
from candid.generative.realism import Realism, RealismAt
from candid.generative.sets import NeighbourMetric, Result
from candid.generative.symmetric import SymmetricPrecisionRecall, SymmetricPrecisionRecallAt
from candid.metrics.streaming import VectorRows

__all__ = [
    "METHODS",
    "Method",
    "alpha_beta",
    "authenticity",
    "clipped_density_coverage",
    "density_coverage",
    "precision_recall",
    "precision_recall_cover",
    "probabilistic_precision_recall",
    "realism",
    "symmetric_precision_recall",
]


@dataclass(frozen=True)
class Method:
    """`at` is the class of its settings; `fidelity` and `diversity` name the fields of its result that judge either.

    `prefer` says when it is the one to look at.
    """

    at: type
    fidelity: str | None
    diversity: str | None
    prefer: str


METHODS: dict[str, Method] = {
    "alpha_beta": Method(
        AlphaBetaAt, "alpha_precision", "beta_recall", "typical and rare samples matter, not only the boundary"
    ),
    "authenticity": Method(AuthenticityAt, "share", None, "the generator may have copied its training set"),
    "clipped": Method(
        ClippedDensityCoverageAt, "density", "coverage", "a number that reads as a share of good samples"
    ),
    "cover": Method(PrecisionRecallCoverAt, "precision", "recall", "one stray sample in a ball should not count"),
    "density_coverage": Method(
        DensityCoverageAt, "density", "coverage", "published density and coverage are to be met"
    ),
    "precision_recall": Method(
        PrecisionRecallAt, "precision", "recall", "published precision and recall are to be met"
    ),
    "probabilistic": Method(
        ProbabilisticPrecisionRecallAt,
        "precision",
        "recall",
        "single outliers must not decide, and single samples are to be ranked",
    ),
    "realism": Method(RealismAt, "share", None, "fakes are to be sorted as the StyleGAN papers do"),
    "symmetric": Method(SymmetricPrecisionRecallAt, "precision", "recall", "vectors have many true dimensions"),
}


def precision_recall(
    real: VectorRows | Reference, fake: VectorRows, k: int = 5, *, closed: bool = False, **engine: Any
) -> PrecisionRecall:
    """Improved precision and recall: shares of fakes in a real ball and of reals in a fake ball. Kynkaanniemi 2019.

    `engine` are the options of `compare`: memory, threads, device, progress.

    >>> import numpy as np
    >>> found = precision_recall(np.array([[0.0], [1.0], [2.0]]), np.array([[0.5], [9.0], [9.5]]), k=1)
    >>> found.precision, found.recall
    (0.3333333333333333, 1.0)
    """
    return _only(real, fake, PrecisionRecallAt(k, closed), engine)


def density_coverage(
    real: VectorRows | Reference, fake: VectorRows, k: int = 5, *, closed: bool = False, **engine: Any
) -> DensityCoverage:
    """Density and coverage of fakes by the reals' balls. Naeem et al. 2020. `engine`: see `compare`.

    >>> import numpy as np
    >>> found = density_coverage(np.array([[0.0], [1.0], [2.0]]), np.array([[0.5], [9.0], [9.5]]), k=1)
    >>> round(found.density, 3), round(found.coverage, 3)
    (0.667, 0.667)
    """
    return _only(real, fake, DensityCoverageAt(k, closed), engine)


def probabilistic_precision_recall(
    real: VectorRows | Reference,
    fake: VectorRows,
    k: int = 4,
    scale: float = 1.2,
    *,
    radius: Literal["mean", "median"] = "mean",
    **engine: Any,
) -> ProbabilisticPrecisionRecall:
    """P-precision and P-recall with the scores of all samples. Park and Kim 2023. `engine`: see `compare`.

    >>> import numpy as np
    >>> reals, fakes = np.array([[0.0], [1.0], [2.0]]), np.array([[0.5], [9.0], [9.5]])
    >>> found = probabilistic_precision_recall(reals, fakes, k=1, scale=1.0)
    >>> round(found.precision, 6), found.fake_scores.round(6).tolist()
    (0.25, [0.75, 0.0, 0.0])
    """
    return _only(real, fake, ProbabilisticPrecisionRecallAt(k, scale, radius), engine)


def clipped_density_coverage(
    real: VectorRows | Reference, fake: VectorRows, k: int = 5, **engine: Any
) -> ClippedDensityCoverage:
    """Clipped density and clipped coverage, which read as shares of good samples. Salvy et al. 2025."""
    return _only(real, fake, ClippedDensityCoverageAt(k), engine)


def symmetric_precision_recall(
    real: VectorRows | Reference, fake: VectorRows, k: int = 5, **engine: Any
) -> SymmetricPrecisionRecall:
    """Precision and recall, each the lower of itself and its complement. Khayatkhoei and AbdAlmageed 2023."""
    return _only(real, fake, SymmetricPrecisionRecallAt(k), engine)


def precision_recall_cover(
    real: VectorRows | Reference, fake: VectorRows, k: int = 3, factor: int = 3, **engine: Any
) -> PrecisionRecallCover:
    """Shares of samples whose ball holds k of the other set. Cheema and Urner 2023."""
    return _only(real, fake, PrecisionRecallCoverAt(k, factor), engine)


def realism(real: VectorRows | Reference, fake: VectorRows, k: int = 3, **engine: Any) -> Realism:
    """By how much each fake lies inside a real ball. Kynkaanniemi et al. 2019."""
    return _only(real, fake, RealismAt(k), engine)


def alpha_beta(real: VectorRows | Reference, fake: VectorRows, steps: int = 30, **engine: Any) -> AlphaBeta:
    """Integrated alpha-precision and beta-recall with their curves. Alaa et al. 2022."""
    return _only(real, fake, AlphaBetaAt(steps), engine)


def authenticity(real: VectorRows | Reference, fake: VectorRows, **engine: Any) -> Authenticity:
    """Which fakes are no copies of reals. Alaa et al. 2022.

    >>> import numpy as np
    >>> authenticity(np.array([[0.0], [1.0], [2.0]]), np.array([[0.1], [4.0]])).authentic.tolist()
    [False, True]
    """
    return _only(real, fake, AuthenticityAt(), engine)


def _only(
    real: VectorRows | Reference, fake: VectorRows, metric: NeighbourMetric[Result], engine: dict[str, Any]
) -> Result:
    found: Result = compare(real, fake, [metric], **engine)[0]
    return found
