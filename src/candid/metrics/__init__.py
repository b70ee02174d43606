"""Numbers that judge: calibration, likelihood, accuracy, ranking, selective prediction, groups, and their intervals."""

from candid.metrics.accuracy import accuracy, accuracy_interval
from candid.metrics.binning import Edges
from candid.metrics.calibration import (
    adaptive_ece,
    adaptive_ece_of_top,
    classwise_ece,
    ece,
    ece_of_logits,
    ece_of_top,
    mce,
    mce_of_top,
)
from candid.metrics.groups import WorstGroup, by_group, worst_group
from candid.metrics.intervals import bootstrap, ece_null, proportion
from candid.metrics.likelihood import brier, nll, nll_of_logits
from candid.metrics.ranking import aupr, auroc, fpr_at_tpr
from candid.metrics.reliability import Reliability, reliability, reliability_of_top
from candid.metrics.selective import RiskCoverage, aurc, risk_coverage
from candid.metrics.smooth import smooth_ece, smooth_ece_of_top
from candid.metrics.top import Top, TopScores, top_label, top_of_probs, top_scores

__all__ = [
    "Edges",
    "Reliability",
    "RiskCoverage",
    "Top",
    "TopScores",
    "WorstGroup",
    "accuracy",
    "accuracy_interval",
    "adaptive_ece",
    "adaptive_ece_of_top",
    "aupr",
    "aurc",
    "auroc",
    "bootstrap",
    "brier",
    "by_group",
    "classwise_ece",
    "ece",
    "ece_null",
    "ece_of_logits",
    "ece_of_top",
    "fpr_at_tpr",
    "mce",
    "mce_of_top",
    "nll",
    "nll_of_logits",
    "proportion",
    "reliability",
    "reliability_of_top",
    "risk_coverage",
    "smooth_ece",
    "smooth_ece_of_top",
    "top_label",
    "top_of_probs",
    "top_scores",
    "worst_group",
]
