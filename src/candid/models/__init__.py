"""Models behind one noun, the `Encoder`: the only room that knows a framework. Importing it loads none."""

from candid.models.loading import MODELS, load
from candid.models.templates import PLAIN, TEMPLATES
from candid.models.zero_shot import ensemble, zero_shot, zero_shot_each

__all__ = ["MODELS", "PLAIN", "TEMPLATES", "ensemble", "load", "zero_shot", "zero_shot_each"]
