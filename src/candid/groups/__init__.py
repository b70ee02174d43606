"""Last layers retrained for the worst group, from features alone: with group labels, from a head's errors, exactly."""

from candid.groups.balance import balanced, halves
from candid.groups.choosing import HeldOut, Retrained, Trial
from candid.groups.dfr import C_GRID, CLASS_WEIGHTS, retrain_last_layer
from candid.groups.from_errors import reweight_by_confidence, upweight_errors, use_hardest
from candid.groups.inferred import Inferred, clustered_groups, groups_from_few
from candid.groups.l1_logistic import Solution, l1_logistic_path
from candid.groups.methods import METHODS, Method
from candid.groups.naming import Crossed, cross
from candid.groups.probing import Probed, probe, read_out

__all__ = [
    "CLASS_WEIGHTS",
    "C_GRID",
    "METHODS",
    "Crossed",
    "HeldOut",
    "Inferred",
    "Method",
    "Probed",
    "Retrained",
    "Solution",
    "Trial",
    "balanced",
    "clustered_groups",
    "cross",
    "groups_from_few",
    "halves",
    "l1_logistic_path",
    "probe",
    "read_out",
    "retrain_last_layer",
    "reweight_by_confidence",
    "upweight_errors",
    "use_hardest",
]
