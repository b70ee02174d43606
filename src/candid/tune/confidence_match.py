"""One temperature an image after test-time tuning: the tuned confidence is brought back to the zero-shot one.

CoTS (2026): among the augmented views that are surest after tuning, the temperature for which their confidence meets
what zero-shot says of the same views, in the mean square. It changes no prediction. Fifty steps of Adam on its
logarithm, rate 0.1, from 1, as in the public code (github.com/yuweiliang911/CoTS).
"""

import torch
from jaxtyping import Float

from candid.errors import InputError
from candid.tune.confident_views import chosen, kept

__all__ = ["matched_temperature"]

Tensor = torch.Tensor
STEPS, RATE = 50, 0.1


def matched_temperature(
    tuned: Float[Tensor, "n v k"], zero_shot: Float[Tensor, "n v k"], *, share: float = 0.1
) -> Float[Tensor, " n"]:
    """The temperature to divide each image's tuned logits by. View 0, the centre crop, takes no part.

    >>> zero_shot = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]])
    >>> round(float(matched_temperature(2 * zero_shot, zero_shot, share=1.0)), 1)  # fifty steps end near 2
    2.1
    """
    if tuned.shape[1] < 2:
        raise InputError("matching confidence needs augmented views beside the centre crop; make 64 views")
    places = chosen(tuned[:, 1:], kept(tuned.shape[1] - 1, share))[..., None].expand(-1, -1, tuned.shape[2])
    strong, target = tuned[:, 1:].gather(1, places), zero_shot[:, 1:].gather(1, places).softmax(-1).amax(-1)
    logarithm = torch.zeros(len(tuned), dtype=tuned.dtype, device=tuned.device, requires_grad=True)
    optimiser = torch.optim.Adam([logarithm], lr=RATE)
    with torch.enable_grad():
        for _ in range(STEPS):
            said = (strong / logarithm.exp()[:, None, None]).softmax(-1).amax(-1)
            loss = ((said - target) ** 2).mean(dim=1).sum()  # every image has its own term and its own temperature
            (logarithm.grad,) = torch.autograd.grad(loss, logarithm)
            optimiser.step()
    return logarithm.exp().detach()
