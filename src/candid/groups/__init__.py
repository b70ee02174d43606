"""Last layers retrained for the worst group, from features alone: with group labels, from a head's errors, exactly."""

from candid.groups.choosing import HeldOut, Retrained, Trial
from candid.groups.dfr import C_GRID, CLASS_WEIGHTS, retrain_last_layer
from candid.groups.from_errors import reweight_by_confidence, upweight_errors, use_hardest
from candid.groups.l1_logistic import Solution, l1_logistic_path
from candid.groups.methods import METHODS, Method

__all__ = [
    "CLASS_WEIGHTS",
    "C_GRID",
    "METHODS",
    "HeldOut",
    "Method",
    "Retrained",
    "Solution",
    "Trial",
    "l1_logistic_path",
    "retrain_last_layer",
    "reweight_by_confidence",
    "upweight_errors",
    "use_hardest",
]
