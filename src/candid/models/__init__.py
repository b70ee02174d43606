"""Models behind the nouns `Encoder` and `Classifier`: the only room that knows a framework. Importing it loads none."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from candid.models.class_names import match_classes, restrict
from candid.models.loading import MODELS, load, load_encoder
from candid.models.revisions import revision
from candid.models.templates import HAND_TEMPLATES, PLAIN, TEMPLATES, template_for
from candid.models.zero_shot import ensemble, with_texts, zero_shot, zero_shot_each

if TYPE_CHECKING:
    from candid.models.input_gradients import perturbed_logits
    from candid.models.patches import encode_patches

_LATE = {"encode_patches": "patches", "perturbed_logits": "input_gradients"}  # these load the framework

__all__ = [
    "HAND_TEMPLATES",
    "MODELS",
    "PLAIN",
    "TEMPLATES",
    "encode_patches",
    "ensemble",
    "load",
    "load_encoder",
    "match_classes",
    "perturbed_logits",
    "restrict",
    "revision",
    "template_for",
    "with_texts",
    "zero_shot",
    "zero_shot_each",
]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f"candid.models.{_LATE[name]}"), name)
    raise AttributeError(f"module 'candid.models' has no attribute {name!r}; it has {', '.join(__all__)}")
