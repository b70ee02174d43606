"""What a network says of images that were changed so that it is surer of them: the half of ODIN that needs the network.

The score is `detect.odin`.
"""

import numpy as np
import torch
from torch import Tensor

from candid.errors import InputError
from candid.models.classifier import Supervised
from candid.models.towers import TwoTowers
from candid.types import Batch, Head, Logits

__all__ = ["perturbed_logits"]


def perturbed_logits(
    model: Supervised | TwoTowers, pixels: Batch, head: Head, *, temperature: float = 1000.0, noise: float = 0.0014,
    batch: int = 64,
) -> Logits:  # fmt: skip
    """Logits at x - noise * sign(gradient of -log max softmax(logits(x) / T) at x). Liang et al. 2018, eq. 2.

    https://arxiv.org/abs/1706.02690. `pixels` are prepared images (`model.prepare`), `noise` is of pixels from 0 to 1,
    before normalisation. Needs the network, once forward and back and once forward; published settings were tuned on
    unknown images, these are not.
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

    def logits(images: Tensor) -> Tensor:
        rows = tower(images).float()
        return (rows / rows.norm(dim=1, keepdim=True) if unit else rows) @ weights.T + bias

    found = np.empty((len(pixels), len(weights)), np.float32)
    for start in range(0, len(pixels), batch):
        images = torch.from_numpy(np.array(pixels[start : start + batch], dtype=np.float32)).to(device)
        images.requires_grad_(True)
        with torch.enable_grad():
            surest = torch.log_softmax(logits(images) / temperature, 1).max(1).values
            (slope,) = torch.autograd.grad(surest.sum(), images)
        with torch.inference_mode():
            found[start : start + batch] = logits(images.detach() + 255 * noise * slope.sign()).cpu().numpy()
    return found
