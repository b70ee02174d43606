"""How far an input is from what the model knows. Every score: higher = further from known."""

from collections.abc import Callable

from candid.detect.scores import energy, entropy, max_logit, mcm, msp
from candid.detect.threshold import conformal_threshold, threshold
from candid.types import Logits, Scores

__all__ = ["METHODS", "conformal_threshold", "energy", "entropy", "max_logit", "mcm", "msp", "threshold"]

METHODS: dict[str, Callable[[Logits], Scores]] = {
    "energy": energy,
    "entropy": entropy,
    "max_logit": max_logit,
    "msp": msp,
}
