"""What a head is trained on: losses of logits and given labels, some of which trust wrong labels less.

Each takes logits (..., n, k) and labels (..., n) and gives one number an example. With p = softmax(logits) and y the
given label, all are computed from log p in float32 or better, p_y^q as exp(q log p_y), so that none needs an epsilon.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int

from candid.errors import InputError, nearest

__all__ = ["LOSSES", "Loss", "PerExample", "loss_named"]

Tensor = torch.Tensor
PerExample = Callable[..., Tensor]
FLOOR = (
    1e-4  # what reverse cross-entropy puts in place of a label's zeros: Wang et al. 2019, section 3.2, A = -log 1e-4
)


@dataclass(frozen=True)
class Loss:
    """A row of `LOSSES`: `of(logits, labels, **options)`, its options with their defaults, and when to prefer it.

    Where it `selects`, `of` also takes `clean` (..., n): which examples an optimal-transport split trusts this epoch.
    """

    of: PerExample
    prefer: str
    options: Mapping[str, float] = field(default_factory=dict)
    selects: bool = False


def ce(logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"]) -> Float[Tensor, "*r n"]:
    """Cross-entropy, -log p_y."""
    return -_log_p(logits, labels)


def gce(logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"], *, q: float = 0.7) -> Float[Tensor, "*r n"]:
    """Generalised cross-entropy, (1 - p_y^q) / q; its gradient is p_y^q times that of CE. Towards CE as q goes to 0.

    Zhang and Sabuncu 2018, arxiv.org/abs/1805.07836, eq. 6.
    """
    if not 0 < q <= 1:
        raise InputError(f"gce needs 0 < q <= 1, got {q}; q = 1 is unhinged, for q = 0 take ce")
    return -torch.expm1(q * _log_p(logits, labels)) / q


def unhinged(logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"]) -> Float[Tensor, "*r n"]:
    """1 - p_y: GCE with q = 1, and half of the mean absolute error."""
    return -torch.expm1(_log_p(logits, labels))


def mae(logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"]) -> Float[Tensor, "*r n"]:
    """Sum of |p - e_y| = 2 (1 - p_y). Ghosh et al. 2017, arxiv.org/abs/1712.09482."""
    return 2 * unhinged(logits, labels)


def phuber_ce(
    logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"], *, tau: float = 10.0
) -> Float[Tensor, "*r n"]:
    """CE above p_y = 1 / tau, its tangent below, so that no gradient in p_y exceeds tau.

    Menon et al. 2020, "Can gradient clipping mitigate label noise?", eq. 9.
    """
    if tau <= 1:
        raise InputError(f"phuber-ce needs tau > 1, got {tau}")
    log_p = _log_p(logits, labels)
    tangent = -tau * log_p.exp() + math.log(tau) + 1
    return torch.where(log_p > -math.log(tau), -log_p, tangent)


def phuber_gce(
    logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"], *, q: float = 0.7, tau: float = 10.0
) -> Float[Tensor, "*r n"]:
    """GCE above p_y = tau^(1 / (q - 1)), its tangent below. Menon et al. 2020, eq. 10."""
    if not 0 < q < 1 or tau <= 1:
        raise InputError(f"phuber-gce needs 0 < q < 1 and tau > 1, got {q} and {tau}")
    log_p = _log_p(logits, labels)
    border = math.log(tau) / (q - 1)
    tangent = tau * (math.exp(border) - log_p.exp()) - math.expm1(q * border) / q
    return torch.where(log_p > border, -torch.expm1(q * log_p) / q, tangent)


def sce(
    logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"], *, a: float = 0.1, b: float = 1.0
) -> Float[Tensor, "*r n"]:
    """Symmetric cross-entropy, a CE + b RCE with RCE = -sum_j p_j log max(e_y, 1e-4)_j.

    Wang et al. 2019, arxiv.org/abs/1908.06112, eq. 8; a and b are theirs for CIFAR-10.
    """
    log_p = _log_p(logits, labels)
    return -a * log_p + b * math.log(FLOOR) * torch.expm1(log_p)


def nce(logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"]) -> Float[Tensor, "*r n"]:
    """Normalised cross-entropy, log p_y / sum_j log p_j. Ma et al. 2020, arxiv.org/abs/2006.13554, eq. 4."""
    every = torch.log_softmax(_wide(logits), dim=-1)
    return _pick(every, labels) / every.sum(dim=-1)


def nce_rce(
    logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"], *, a: float = 1.0, b: float = 1.0
) -> Float[Tensor, "*r n"]:
    """a NCE + b RCE, an active and a passive loss. Ma et al. 2020, arxiv.org/abs/2006.13554, section 4."""
    return a * nce(logits, labels) + b * math.log(FLOOR) * torch.expm1(_log_p(logits, labels))


def label_smoothing(
    logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"], *, smoothing: float = 0.1
) -> Float[Tensor, "*r n"]:
    """CE against (1 - s) e_y + s / k. Szegedy et al. 2016, arxiv.org/abs/1512.00567, section 7."""
    if not 0 <= smoothing < 1:
        raise InputError(f"label-smoothing needs 0 <= smoothing < 1, got {smoothing}")
    every = torch.log_softmax(_wide(logits), dim=-1)
    return -(1 - smoothing) * _pick(every, labels) - smoothing * every.mean(dim=-1)


def nlprompt(
    logits: Float[Tensor, "*r n k"], labels: Int[Tensor, "*r n"], *, clean: Tensor, reg: float = 0.01,
    released: float = 0.0,
) -> Float[Tensor, "*r n"]:  # fmt: skip
    """CE on the examples that the optimal-transport split of this epoch trusts, MAE on the others.

    Pan et al. 2025, arxiv.org/abs/2412.01256, section 3. Their released code uses 1 - p_y and trains on the two groups
    one after the other; here both are in one batch.
    """
    return torch.where(clean, ce(logits, labels), unhinged(logits, labels))


LOSSES: dict[str, Loss] = {
    "ce": Loss(ce, "clean labels"),
    "gce": Loss(gce, "wrong labels of unknown share; the paper's choice", {"q": 0.7}),
    "label-smoothing": Loss(label_smoothing, "clean labels, when confidence runs away", {"smoothing": 0.1}),
    "mae": Loss(mae, "very many wrong labels; slow to learn many classes"),
    "nce": Loss(nce, "a comparison; underfits alone"),
    "nce-rce": Loss(nce_rce, "many wrong labels", {"a": 1.0, "b": 1.0}),
    "nlprompt": Loss(nlprompt, "wrong labels, when one more pass an epoch is affordable",
                     {"reg": 0.01, "released": 0.0}, selects=True),
    "phuber-ce": Loss(phuber_ce, "few wrong labels", {"tau": 10.0}),
    "phuber-gce": Loss(phuber_gce, "a comparison", {"q": 0.7, "tau": 10.0}),
    "sce": Loss(sce, "some wrong labels", {"a": 0.1, "b": 1.0}),
    "unhinged": Loss(unhinged, "MAE at half its rate"),
}  # fmt: skip


def loss_named(name: str, options: Mapping[str, float] | None = None) -> tuple[Loss, dict[str, float]]:
    """The row of this name and all of its options, the given ones over the defaults.

    >>> loss_named("gce", {"q": 0.5})[1]
    {'q': 0.5}
    """
    if name not in LOSSES:
        raise InputError(f"no loss named {name!r}; {nearest(name, LOSSES)}")
    row, given = LOSSES[name], dict(options or {})
    if unknown := sorted(set(given) - set(row.options)):
        known = ", ".join(row.options) or "none"
        raise InputError(f"the loss {name} has no option {unknown[0]!r}; its options: {known}")
    return row, {**row.options, **given}


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _pick(values: Tensor, labels: Tensor) -> Tensor:
    return values.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def _log_p(logits: Tensor, labels: Tensor) -> Tensor:
    """log p_y."""
    return _pick(torch.log_softmax(_wide(logits), dim=-1), labels)
