"""Learn a `Head` by gradients: prompts, classifiers and text towers from few, wrong or no labels."""

from candid.tune.at_test_time import (
    TEST_TIME,
    Outcome,
    TestTimeTuner,
    Way,
    constant_head,
    outcomes,
    starting_points,
    test_time,
)
from candid.tune.dispersion import DISPERSIONS, Dispersion, atfd, overlap, smallest_angle
from candid.tune.encoding import encode_prompts
from candid.tune.energy_bounded import Margins, energy_bounded_loss, margins_of, outlier_exposure_loss
from candid.tune.episodes import Episodes, Seen, random_context
from candid.tune.fitting import Tuned, averaged, fit, fit_many, mean_head
from candid.tune.gradients import Agreement, agreement_at, gradient_agreement
from candid.tune.losses import LOSSES
from candid.tune.outlier_steps import OutlierRecipe, crop_and_flip, energies
from candid.tune.outlier_training import Bounded, energy_bounded
from candid.tune.parametrised import random_names
from candid.tune.prompts import Prompts
from candid.tune.pseudo_labels import PseudoLabels, pseudo_label
from candid.tune.recipe import VARIANTS, Recipe
from candid.tune.stack import Run
from candid.tune.towers import TextTower, text_tower
from candid.tune.ways import Compared, compare_ways, step_shares

__all__ = [
    "DISPERSIONS",
    "LOSSES",
    "TEST_TIME",
    "VARIANTS",
    "Agreement",
    "Bounded",
    "Compared",
    "Dispersion",
    "Episodes",
    "Margins",
    "Outcome",
    "OutlierRecipe",
    "Prompts",
    "PseudoLabels",
    "Recipe",
    "Run",
    "Seen",
    "TestTimeTuner",
    "TextTower",
    "Tuned",
    "Way",
    "agreement_at",
    "atfd",
    "averaged",
    "compare_ways",
    "constant_head",
    "crop_and_flip",
    "encode_prompts",
    "energies",
    "energy_bounded",
    "energy_bounded_loss",
    "fit",
    "fit_many",
    "gradient_agreement",
    "margins_of",
    "mean_head",
    "outcomes",
    "outlier_exposure_loss",
    "overlap",
    "pseudo_label",
    "random_context",
    "random_names",
    "smallest_angle",
    "starting_points",
    "step_shares",
    "test_time",
    "text_tower",
]
