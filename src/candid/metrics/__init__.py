"""Numbers that judge: calibration, likelihood, accuracy, ranking, selective prediction, groups, and their intervals."""

from candid.metrics.accuracy import accuracy, accuracy_interval
from candid.metrics.binning import Cells, Edges
from candid.metrics.calibration import (
    adaptive_ece,
    adaptive_ece_of_top,
    classwise_ece,
    classwise_ece_sum,
    ece,
    ece_of_logits,
    ece_of_top,
    mce,
    mce_of_top,
)
from candid.metrics.cumulative import (
    CumulativeTest,
    cumulative_test,
    cumulative_test_of_top,
    ks_error,
    ks_error_of_top,
    kuiper_error,
    kuiper_error_of_top,
)
from candid.metrics.debiased import (
    classwise_rms_ece,
    debiased_classwise_rms_ece,
    debiased_ece,
    debiased_ece_of_top,
    debiased_rms_ece,
    debiased_rms_ece_of_top,
    rms_ece,
    rms_ece_of_top,
)
from candid.metrics.decomposition import (
    BrierParts,
    ScoreParts,
    brier_parts,
    brier_parts_of_top,
    classwise_brier_parts,
    score_parts,
    score_parts_of_top,
)
from candid.metrics.equal_mass import quantile_ece, quantile_ece_of_top, sweep_ece, sweep_ece_of_top
from candid.metrics.groups import WorstGroup, by_group, worst_group
from candid.metrics.intervals import bootstrap, ece_null, proportion
from candid.metrics.kde import kde_ece, kde_ece_of_top
from candid.metrics.likelihood import brier, nll, nll_of_logits
from candid.metrics.null import calibration_null, calibration_p_value
from candid.metrics.ranking import aupr, auroc, fpr_at_tpr
from candid.metrics.reliability import Reliability, reliability, reliability_of_top
from candid.metrics.selective import RiskCoverage, augrc, aurc, eaurc, risk_coverage
from candid.metrics.smooth import smooth_ece, smooth_ece_of_top
from candid.metrics.top import Top, TopScores, top_label, top_of_probs, top_scores

__all__ = [
    "BrierParts",
    "Cells",
    "CumulativeTest",
    "Edges",
    "Reliability",
    "RiskCoverage",
    "ScoreParts",
    "Top",
    "TopScores",
    "WorstGroup",
    "accuracy",
    "accuracy_interval",
    "adaptive_ece",
    "adaptive_ece_of_top",
    "augrc",
    "aupr",
    "aurc",
    "auroc",
    "bootstrap",
    "brier",
    "brier_parts",
    "brier_parts_of_top",
    "by_group",
    "calibration_null",
    "calibration_p_value",
    "classwise_brier_parts",
    "classwise_ece",
    "classwise_ece_sum",
    "classwise_rms_ece",
    "cumulative_test",
    "cumulative_test_of_top",
    "debiased_classwise_rms_ece",
    "debiased_ece",
    "debiased_ece_of_top",
    "debiased_rms_ece",
    "debiased_rms_ece_of_top",
    "eaurc",
    "ece",
    "ece_null",
    "ece_of_logits",
    "ece_of_top",
    "fpr_at_tpr",
    "kde_ece",
    "kde_ece_of_top",
    "ks_error",
    "ks_error_of_top",
    "kuiper_error",
    "kuiper_error_of_top",
    "mce",
    "mce_of_top",
    "nll",
    "nll_of_logits",
    "proportion",
    "quantile_ece",
    "quantile_ece_of_top",
    "reliability",
    "reliability_of_top",
    "risk_coverage",
    "rms_ece",
    "rms_ece_of_top",
    "score_parts",
    "score_parts_of_top",
    "smooth_ece",
    "smooth_ece_of_top",
    "sweep_ece",
    "sweep_ece_of_top",
    "top_label",
    "top_of_probs",
    "top_scores",
    "worst_group",
]
