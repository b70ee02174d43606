"""Test-time prompt tuning as the public code does it, written from its description: one image after the other.

Shu et al. 2022 (TPT), arxiv.org/abs/2209.07511; Yoon et al. 2024 (C-TPT), arxiv.org/abs/2403.14119; Sharifdeen et al.
2025 (O-TPT), arxiv.org/abs/2503.12096; Ahamed et al. 2025 (A-TPT), arxiv.org/abs/2510.26441. For every image the prompt
and an optimiser object are made anew, every class goes through all positions of the dense text tower, autograd takes
the step, and the tower runs once more. Regularisers are as they are written down, Householder maps and all.
"""

import torch
from torch import Tensor

__all__ = ["REGULARISERS", "one_image"]


def spread(rows: Tensor) -> Tensor:
    return -torch.linalg.norm(rows - rows.mean(0), dim=-1).mean()


def orthogonal(rows: Tensor) -> Tensor:
    """The map of every class as a k x k matrix."""
    gram = rows @ rows.T
    one = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    u = gram - torch.diag(torch.linalg.norm(gram, dim=1))
    u = u / torch.linalg.norm(u, dim=1, keepdim=True)
    maps = one - 2 * u[:, :, None] * u[:, None, :]
    return torch.linalg.norm((maps @ gram[:, :, None])[..., 0] - one, dim=1).mean()


def angles(rows: Tensor) -> Tensor:
    """Minus the mean angle to the nearest class: it is minimised, so angles grow as the paper means."""
    cosines = (rows @ rows.T).clamp(-0.99999, 0.99999)
    other = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    return -torch.stack([torch.acos(row[keep].max()) for row, keep in zip(cosines, other, strict=True)]).mean()


REGULARISERS = {"c-tpt": spread, "o-tpt": orthogonal, "a-tpt": angles}


def entropy_of_mean(logits: Tensor) -> Tensor:
    logged = logits - logits.logsumexp(dim=-1, keepdim=True)
    mean = logged.logsumexp(dim=0) - torch.tensor(float(len(logits)), dtype=logits.dtype, device=logits.device).log()
    mean = mean.clamp(min=torch.finfo(mean.dtype).min)
    return -(mean * mean.exp()).sum()


def one_image(
    encode, start: Tensor, views: Tensor, scale: float, *, method: str, coefficient: float = 0.0, select: float = 0.1,
    rate: float = 0.005, steps: int = 1,
) -> Tensor:  # fmt: skip
    """Logits of all views (v, k) after tuning to one image. `encode` turns a context (M, w) into unit class rows."""
    context = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.AdamW([context], rate)
    places = None
    for _ in range(steps):
        rows = encode(context)
        logits = scale * views @ rows.T
        if places is None:
            entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
            places = entropy.argsort()[: int(len(views) * select)]
        loss = entropy_of_mean(logits[places]) if method != "constant" else 0.0
        if method in REGULARISERS or method == "constant":
            loss = loss + coefficient * REGULARISERS.get(method, spread)(rows)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return scale * views @ encode(context).T


def temperature(tuned: Tensor, before: Tensor, *, select: float = 0.1) -> float:
    """One image's temperature after CoTS: confidence on its surest augmented views meets what it was before tuning."""
    strong, target = tuned[1:], before[1:]
    entropy = -(strong.softmax(1) * strong.log_softmax(1)).sum(1)
    places = entropy.argsort()[: int(len(strong) * select)]
    logarithm = torch.zeros(1, dtype=tuned.dtype, requires_grad=True)
    optimiser = torch.optim.Adam([logarithm], lr=0.1)
    for _ in range(50):
        said = (strong[places] / logarithm.exp()).softmax(1).amax(1)
        loss = torch.nn.functional.mse_loss(said, target[places].softmax(1).amax(1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(logarithm.detach().exp())
