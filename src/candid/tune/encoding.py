"""The public door of the text tower: context vectors in, one unit row a class out."""

from collections.abc import Sequence

import torch
from jaxtyping import Float

from candid.errors import InputError
from candid.tune.prompts import Prompts
from candid.tune.towers import Inside
from candid.tune.wording import Position

__all__ = ["encode_prompts"]


def encode_prompts(
    model: Inside,
    classes: Sequence[str],
    context: Float[torch.Tensor, "m w"] | Float[torch.Tensor, "k m w"],
    *,
    position: Position = "end",
) -> Float[torch.Tensor, "k d"]:
    """Unit rows of the prompts [SOS] context and name [.] [EOT], with gradients to the context.

    `context` (M, w) is shared by all classes, (k, M, w) is one a class. The class name stands at the "end", at the
    "front", or in the "middle" after M // 2 of the context vectors. Equal to the framework's full forward and backward
    pass to rounding, in about a thirteenth of its work where the prefix is shared. Zhou et al. 2022,
    arxiv.org/abs/2109.01134, eq. 2 to 4.

    >>> from candid import models
    >>> context = torch.zeros(4, 192)
    >>> encode_prompts(models.load("tiny"), ["cat", "dog"], context).shape
    torch.Size([2, 256])
    """
    if context.ndim not in (2, 3):
        raise InputError(f"expected context of shape (M, w) or (k, M, w), got {tuple(context.shape)}")
    prompts = Prompts.learned(model, classes, length=context.shape[-2], position=position)
    stacked = context[None, None] if context.ndim == 2 else context[None]
    if context.ndim == 3 and len(context) != len(classes):
        raise InputError(f"expected one context for all or one for each of {len(classes)} classes, got {len(context)}")
    rows: Float[torch.Tensor, "k d"] = prompts(stacked)[0]
    return rows
