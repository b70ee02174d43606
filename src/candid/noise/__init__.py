"""Label noise: make labels wrong by a named protocol, and doubt given labels. Doubt: higher = more doubtful."""

from candid.noise.confident import ConfidentLearning, confident_learning
from candid.noise.doubt import METHODS, margin, normalised_margin, self_confidence
from candid.noise.inject import Injected, inject
from candid.noise.manifest import Manifest
from candid.noise.protocols import PROTOCOLS, few_shot

__all__ = [
    "METHODS",
    "PROTOCOLS",
    "ConfidentLearning",
    "Injected",
    "Manifest",
    "confident_learning",
    "few_shot",
    "inject",
    "margin",
    "normalised_margin",
    "self_confidence",
]
