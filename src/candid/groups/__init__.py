"""Last layers retrained for the worst group, from features alone: with group labels, from a head's errors, exactly."""

from candid.groups.choosing import Retrained, Trial
from candid.groups.dfr import C_GRID, CLASS_WEIGHTS, HeldOut, retrain_last_layer
from candid.groups.l1_logistic import Solution, l1_logistic_path

__all__ = [
    "CLASS_WEIGHTS",
    "C_GRID",
    "HeldOut",
    "Retrained",
    "Solution",
    "Trial",
    "l1_logistic_path",
    "retrain_last_layer",
]
