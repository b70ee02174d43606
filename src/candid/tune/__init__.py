"""Learn a `Head` by gradients: prompts, classifiers and text towers from few, wrong or no labels."""

from candid.tune.encoding import encode_prompts
from candid.tune.prompts import Prompts
from candid.tune.towers import TextTower, text_tower

__all__ = ["Prompts", "TextTower", "encode_prompts", "text_tower"]
