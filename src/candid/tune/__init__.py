"""Learn a `Head` by gradients: prompts, classifiers and text towers from few, wrong or no labels."""

from candid.tune.encoding import encode_prompts
from candid.tune.fitting import Tuned, averaged, fit, fit_many, mean_head
from candid.tune.gradients import Agreement, agreement_at, gradient_agreement
from candid.tune.losses import LOSSES
from candid.tune.parametrised import random_names
from candid.tune.prompts import Prompts
from candid.tune.pseudo_labels import PseudoLabels, pseudo_label
from candid.tune.recipe import VARIANTS, Recipe
from candid.tune.stack import Run
from candid.tune.towers import TextTower, text_tower

__all__ = [
    "LOSSES",
    "VARIANTS",
    "Agreement",
    "Prompts",
    "PseudoLabels",
    "Recipe",
    "Run",
    "TextTower",
    "Tuned",
    "agreement_at",
    "averaged",
    "encode_prompts",
    "fit",
    "fit_many",
    "gradient_agreement",
    "mean_head",
    "pseudo_label",
    "random_names",
    "text_tower",
]
