"""Learn a `Head` by gradients: prompts, classifiers and text towers from few, wrong or no labels."""

from candid.tune.encoding import encode_prompts
from candid.tune.fitting import Tuned, averaged, fit, fit_many
from candid.tune.losses import LOSSES
from candid.tune.prompts import Prompts
from candid.tune.pseudo_labels import PseudoLabels, pseudo_label
from candid.tune.recipe import VARIANTS, Recipe
from candid.tune.stack import Run
from candid.tune.towers import TextTower, text_tower

__all__ = [
    "LOSSES",
    "VARIANTS",
    "Prompts",
    "PseudoLabels",
    "Recipe",
    "Run",
    "TextTower",
    "Tuned",
    "averaged",
    "encode_prompts",
    "fit",
    "fit_many",
    "pseudo_label",
    "text_tower",
]
