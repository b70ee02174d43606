"""Which given labels an optimal-transport plan between samples and classes agrees with.

Pan et al. 2025 (NLPrompt), arxiv.org/abs/2412.01256, section 3.3: cost -log p, uniform marginals on both sides,
entropic regularisation; a sample is trusted where the class that its row of the plan favours is its given label.
"""

import torch
from jaxtyping import Bool, Float, Int

from candid.errors import InputError

__all__ = ["sinkhorn", "trusted"]

Tensor = torch.Tensor


def sinkhorn(
    cost: Float[Tensor, "*r n k"], *, reg: float, iterations: int = 1000, tolerance: float = 1e-6
) -> Float[Tensor, "*r n k"]:
    """The plan with uniform marginals 1/n and 1/k that minimises <plan, cost> - reg * entropy, in the log domain.

    Cuturi 2013, arxiv.org/abs/1306.0895. Stops when the marginals of rows are right to `tolerance` (relative).
    """
    if reg <= 0:
        raise InputError(f"entropic regularisation must be positive, got {reg}")
    kernel = -cost.double() / reg
    n, k = kernel.shape[-2:]
    rows, columns = -torch.tensor(float(n)).log().double(), -torch.tensor(float(k)).log().double()
    v = torch.zeros_like(kernel[..., 0, :])
    u = torch.zeros_like(kernel[..., 0])
    for _ in range(iterations):
        previous = u
        u = rows - torch.logsumexp(kernel + v.unsqueeze(-2), dim=-1)
        v = columns - torch.logsumexp(kernel + u.unsqueeze(-1), dim=-2)
        if (u - previous).abs().max() <= tolerance:
            break
    return (kernel + u.unsqueeze(-1) + v.unsqueeze(-2)).exp()


def trusted(
    logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"], *, reg: float = 0.01, released: bool = False
) -> Bool[Tensor, "*r n"]:
    """Where the plan's favourite class is the given label. `released` soft-maxes twice, as the authors' code does.

    >>> logits = torch.tensor([[4.0, 0.0], [3.0, 0.0], [0.0, 4.0], [0.0, 3.0]])
    >>> trusted(logits, torch.tensor([0, 1, 1, 1])).tolist()
    [True, False, True, True]
    """
    p = logits.detach().double().softmax(dim=-1)
    cost = -torch.log_softmax(p if released else logits.detach().double(), dim=-1)
    return sinkhorn(cost, reg=reg).argmax(dim=-1) == labels
