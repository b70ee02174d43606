"""Models behind the nouns `Encoder` and `Classifier`: the only room that knows a framework. Importing it loads none."""

from candid.models.class_names import match_classes, restrict
from candid.models.loading import MODELS, load
from candid.models.revisions import revision
from candid.models.templates import HAND_TEMPLATES, PLAIN, TEMPLATES, template_for
from candid.models.zero_shot import ensemble, with_texts, zero_shot, zero_shot_each

__all__ = [
    "HAND_TEMPLATES",
    "MODELS",
    "PLAIN",
    "TEMPLATES",
    "ensemble",
    "load",
    "match_classes",
    "restrict",
    "revision",
    "template_for",
    "with_texts",
    "zero_shot",
    "zero_shot_each",
]
