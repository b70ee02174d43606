"""Two sets of vectors, real and generated, to numbers for fidelity and diversity; and to numbers for single samples."""

from candid.generative.alpha_beta import AlphaBeta, AlphaBetaAt
from candid.generative.authenticity import Authenticity, AuthenticityAt
from candid.generative.calibrated import Calibrated, calibrated_precision_recall
from candid.generative.clipped import ClippedDensityCoverage, ClippedDensityCoverageAt
from candid.generative.comparing import Reference, compare
from candid.generative.cover import PrecisionRecallCover, PrecisionRecallCoverAt
from candid.generative.density import DensityCoverage, DensityCoverageAt
from candid.generative.improved import PrecisionRecall, PrecisionRecallAt
from candid.generative.kernels import KernelSubsets, cmmd, kernel, kernel_subsets
from candid.generative.methods import (
    METHODS,
    Method,
    alpha_beta,
    authenticity,
    clipped_density_coverage,
    density_coverage,
    precision_recall,
    precision_recall_cover,
    probabilistic_precision_recall,
    realism,
    symmetric_precision_recall,
)
from candid.generative.modes import Mode, modes
from candid.generative.moments import Extrapolated, Gaussian, frechet, frechet_extrapolated
from candid.generative.probabilistic import ProbabilisticPrecisionRecall, ProbabilisticPrecisionRecallAt
from candid.generative.realism import Realism, RealismAt
from candid.generative.resampled import Numbers, estimated, numbers_of, resampled
from candid.generative.sets import NeighbourMetric
from candid.generative.symmetric import SymmetricPrecisionRecall, SymmetricPrecisionRecallAt
from candid.generative.vendi import vendi

__all__ = [
    "METHODS",
    "AlphaBeta",
    "AlphaBetaAt",
    "Authenticity",
    "AuthenticityAt",
    "Calibrated",
    "ClippedDensityCoverage",
    "ClippedDensityCoverageAt",
    "DensityCoverage",
    "DensityCoverageAt",
    "Extrapolated",
    "Gaussian",
    "KernelSubsets",
    "Method",
    "Mode",
    "NeighbourMetric",
    "Numbers",
    "PrecisionRecall",
    "PrecisionRecallAt",
    "PrecisionRecallCover",
    "PrecisionRecallCoverAt",
    "ProbabilisticPrecisionRecall",
    "ProbabilisticPrecisionRecallAt",
    "Realism",
    "RealismAt",
    "Reference",
    "SymmetricPrecisionRecall",
    "SymmetricPrecisionRecallAt",
    "alpha_beta",
    "authenticity",
    "calibrated_precision_recall",
    "clipped_density_coverage",
    "cmmd",
    "compare",
    "density_coverage",
    "estimated",
    "frechet",
    "frechet_extrapolated",
    "kernel",
    "kernel_subsets",
    "modes",
    "numbers_of",
    "precision_recall",
    "precision_recall_cover",
    "probabilistic_precision_recall",
    "realism",
    "resampled",
    "symmetric_precision_recall",
    "vendi",
]
