"""Which views of an image are sure, and the entropy of what they say together, with its slope in closed form.

Shu et al. 2022 (TPT), arxiv.org/abs/2209.07511, eq. 3 and 4. n images, v views, k classes, s views kept.
"""

from math import log

import torch
from jaxtyping import Float, Int

from candid.errors import InputError

__all__ = ["chosen", "kept", "mean_entropy", "mean_entropy_slope"]

Tensor = torch.Tensor


def kept(views: int, share: float) -> int:
    """How many views are kept: the share of them, rounded down.

    >>> kept(64, 0.1)
    6
    """
    if not 0 < share <= 1:
        raise InputError(f"select is the share of views that is kept, above 0 and at most 1, got {share}")
    count = int(views * share)
    if count < 1:
        raise InputError(f"{share:g} of {views} views is less than one; make more views or select more of them")
    return count


def chosen(logits: Float[Tensor, "n v k"], count: int) -> Int[Tensor, "n s"]:
    """The `count` views of each image whose prediction has the least entropy; view 0 has no privilege."""
    log_probs = logits.log_softmax(dim=-1)
    entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
    return entropy.argsort(dim=-1, stable=True)[:, :count]


def mean_entropy(logits: Float[Tensor, "n s k"]) -> Float[Tensor, " n"]:
    """Entropy of the mean probability of the views, in nats.

    >>> logits = torch.tensor([[[9.0, 0.0], [0.0, 9.0]]])
    >>> round(float(mean_entropy(logits)), 6)  # each is sure, together they are not: ln 2
    0.693147
    """
    log_mean = _log_mean(logits)
    return -(log_mean * log_mean.exp()).sum(dim=-1)


def mean_entropy_slope(logits: Float[Tensor, "n s k"]) -> Float[Tensor, "n s k"]:
    """Derivative of `mean_entropy` by every logit."""
    probs = logits.softmax(dim=-1)
    by_prob = -_log_mean(logits)[:, None] / logits.shape[1]  # and a constant, which a softmax does not feel
    slope: Float[Tensor, "n s k"] = probs * (by_prob - (probs * by_prob).sum(dim=-1, keepdim=True))
    return slope


def _log_mean(logits: Tensor) -> Tensor:
    log_mean = logits.log_softmax(dim=-1).logsumexp(dim=1) - log(logits.shape[1])
    return log_mean.clamp(min=torch.finfo(logits.dtype).min)
