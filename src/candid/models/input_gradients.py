"""ODIN: how far the softmax of an image can be raised by a small change of its pixels."""

import numpy as np
import torch
from torch import Tensor

from candid.errors import InputError
from candid.models.classifier import Supervised
from candid.models.towers import TwoTowers
from candid.types import Batch, Head, Scores

__all__ = ["odin"]


def odin(
    model: Supervised | TwoTowers, pixels: Batch, head: Head, *, temperature: float = 1000.0, noise: float = 0.0014,
    batch: int = 64,
) -> Scores:  # fmt: skip
    """-max softmax(logits(x') / T), x' = x - noise * sign(gradient of -log max softmax(logits(x) / T) at x).

    Liang et al. 2018, https://arxiv.org/abs/1706.02690, eq. 1 and 2; in [-1, -1/k], higher = further from known.
    `pixels` are prepared images (`model.prepare`), `noise` is of pixels from 0 to 1, before normalisation. Needs the
    network, once forward and back and once forward; published settings were tuned on unknown images, these are not.
    """
    if not temperature > 0:
        raise InputError(f"temperature must be positive, got {temperature}")
    if noise < 0:
        raise InputError(f"noise must not be negative, got {noise}")
    device = model.placement.device
    weights = torch.from_numpy(np.asarray(head.scale * head.weights, np.float32)).to(device)
    bias = torch.as_tensor(head.bias, dtype=torch.float32, device=device)
    unit = isinstance(model, TwoTowers)
    tower = model.image_tower if isinstance(model, TwoTowers) else model.tower

    def scaled(images: Tensor) -> Tensor:
        rows = tower(images).float()
        return ((rows / rows.norm(dim=1, keepdim=True) if unit else rows) @ weights.T + bias) / temperature

    scores = np.empty(len(pixels))
    for start in range(0, len(pixels), batch):
        images = torch.from_numpy(np.array(pixels[start : start + batch], dtype=np.float32)).to(device)
        images.requires_grad_(True)
        with torch.enable_grad():
            surest = torch.log_softmax(scaled(images), 1).max(1).values
            (slope,) = torch.autograd.grad(surest.sum(), images)
        with torch.inference_mode():
            moved = scaled(images.detach() + 255 * noise * slope.sign())
            scores[start : start + batch] = -torch.softmax(moved.double(), 1).max(1).values.cpu().numpy()
    return scores
