"""How a head is trained, as data: the recipe of the paper, with what it leaves open named and chosen by us."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from candid.errors import InputError, nearest
from candid.tune.losses import loss_named
from candid.tune.wording import POSITIONS, Position

__all__ = ["PEAK_RATES", "VARIANTS", "ClsInit", "Logit", "Recipe", "Variant"]

Variant = Literal["classifier-random", "classifier-text", "text-encoder", "prompt", "full-prompt", "cls"]
ClsInit = Literal["name", "random"]
Logit = Literal["cosine", "raw"]

# What is trained, and what stays as it is; Wu et al. 2023 (PTNL), arxiv.org/abs/2307.11978.
VARIANTS: dict[str, str] = {
    "classifier-random": "class vectors, from random ones",
    "classifier-text": "class vectors, from the text vectors of a template",
    "text-encoder": "all weights of the text tower, the template stays",
    "prompt": "context vectors, the class names stay",
    "full-prompt": "context vectors and the token vectors of the class names",
    "cls": "token vectors of the class names, the words of a template stay",
}
# Ours, but for those of prompts: chosen on clean held-out shots, docs/prompts.md.
PEAK_RATES: dict[str, float] = {
    "classifier-random": 0.002,
    "classifier-text": 0.002,
    "text-encoder": 1e-4,
    "prompt": 0.002,
    "full-prompt": 0.002,
    "cls": 0.002,
}


@dataclass(frozen=True)
class Recipe:
    """Everything about a training but the data and the seed. Defaults: Wu et al. 2023 and its code, 50 epochs of CoOp.

    `rate` None is the variant's own. `clip` bounds the gradient's norm, None leaves it. `words` stand in for the class
    names in the prompts. `logit` "raw" is a plain linear layer with a bias, of the classifiers alone.
    """

    variant: Variant = "prompt"
    loss: str = "ce"
    loss_options: Mapping[str, float] = field(default_factory=dict)
    context: int = 16
    position: Position = "end"
    per_class: bool = False
    template: str = "a photo of a {}."
    context_words: str | None = None
    cls_init: ClsInit = "name"
    logit: Logit = "cosine"
    epochs: int = 50
    batch: int = 32
    rate: float | None = None
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: int = 1
    warm_up_rate: float = 1e-5
    clip: float | None = None
    words: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise InputError(f"no variant named {self.variant!r}; {nearest(str(self.variant), VARIANTS)}")
        for name, known in {"position": POSITIONS, "cls_init": get_args(ClsInit), "logit": get_args(Logit)}.items():
            if getattr(self, name) not in known:
                raise InputError(f"no {name} {getattr(self, name)!r}; {nearest(str(getattr(self, name)), known)}")
        loss_named(self.loss, self.loss_options)
        for name in ("epochs", "batch", "context"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("rate", "clip"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.momentum < 1 or self.weight_decay < 0 or self.warm_up < 0:
            raise InputError("expected momentum in [0, 1), weight decay and warm-up of 0 or more")
        if self.logit == "raw" and not self.variant.startswith("classifier"):
            raise InputError(f"logit='raw' is a choice of the classifiers, not of {self.variant}")

    @property
    def peak(self) -> float:
        """The highest learning rate."""
        return PEAK_RATES[self.variant] if self.rate is None else self.rate
