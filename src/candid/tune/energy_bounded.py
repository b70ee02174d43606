"""Losses that show a classifier what it should not know: bounded energies, and outlier exposure beside them."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch.nn.functional import cross_entropy

from candid.errors import InputError

__all__ = ["Margins", "energy_bounded_loss", "margins_of", "outlier_exposure_loss"]

Tensor = torch.Tensor


class Margins(NamedTuple):
    """Bounds on energies E = -logsumexp(logits): known inputs should lie no higher, outliers at least as high."""

    known: float
    unknown: float


def energy_bounded_loss(
    logits_in: Float[Tensor, "n k"],
    labels: Int[Tensor, " n"],
    logits_out: Float[Tensor, "m k"],
    m_in: float = -23.0,
    m_out: float = -5.0,
    weight: float = 0.1,
) -> Float[Tensor, ""]:
    """Cross-entropy + weight (mean max(0, E - m_in)^2 over known inputs + mean max(0, m_out - E)^2 over outliers).

    E = -logsumexp(logits). Liu et al. 2020, https://arxiv.org/abs/2010.03759, eq. 7 to 9. The default margins are those
    behind the paper's CIFAR-10 table (CIFAR-100: -27 and -5); they suit a network whose energies lie around them, for
    any other take `margins_of`. Each mean is over its own rows.

    >>> known, outliers = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> round(float(energy_bounded_loss(known, torch.tensor([0]), outliers, m_in=-3.0, m_out=0.0)), 4)
    0.2512
    """
    _same_classes(logits_in, logits_out)
    if m_in >= m_out:
        raise InputError(f"known inputs have the lower energies: m_in must lie below m_out, got {m_in} and {m_out}")
    above = torch.relu(-torch.logsumexp(logits_in, 1) - m_in)
    below = torch.relu(m_out + torch.logsumexp(logits_out, 1))
    return cross_entropy(logits_in, labels) + weight * (above.square().mean() + below.square().mean())


def outlier_exposure_loss(
    logits_in: Float[Tensor, "n k"],
    labels: Int[Tensor, " n"],
    logits_out: Float[Tensor, "m k"],
    weight: float = 0.5,
) -> Float[Tensor, ""]:
    """Cross-entropy + weight mean(logsumexp(logits) - mean(logits)) over outliers, which asks for equal probabilities.

    Hendrycks et al. 2019, https://arxiv.org/abs/1812.04606: cross-entropy of the outliers to the uniform distribution.

    >>> known, outliers = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> round(float(outlier_exposure_loss(known, torch.tensor([0]), outliers)), 4)
    0.4735
    """
    _same_classes(logits_in, logits_out)
    uniform = (torch.logsumexp(logits_out, 1) - logits_out.mean(1)).mean()
    return cross_entropy(logits_in, labels) + weight * uniform


def margins_of(known: Float[Tensor, " n"], unknown: Float[Tensor, " m"]) -> Margins:
    """Margins from the energies a trained classifier gives now: one standard deviation beyond each side's mean.

    Known inputs are asked to lie lower than most of them do, outliers higher, and neither is asked for what the network
    has no scale for. Margins of another network are what ruins accuracy (-23 where energies are near -1).

    >>> margins_of(torch.tensor([-9.0, -11.0]), torch.tensor([-4.0, -6.0]))
    Margins(known=-11.0, unknown=-4.0)
    """
    if not len(known) or not len(unknown):
        raise InputError(f"margins need energies of both sides, got {len(known)} known and {len(unknown)} outliers")
    low = float(known.mean() - known.std(correction=0))
    high = float(unknown.mean() + unknown.std(correction=0))
    if low >= high:
        raise InputError(
            f"known inputs have energies around {float(known.mean()):.4g} and outliers around "
            f"{float(unknown.mean()):.4g}: the wrong way round for automatic margins; pass margins=(m_in, m_out)"
        )
    return Margins(low, high)


def _same_classes(logits_in: Tensor, logits_out: Tensor) -> None:
    if not len(logits_in) or not len(logits_out):
        raise InputError(f"the loss needs known inputs and outliers, got {len(logits_in)} and {len(logits_out)}")
    if logits_in.shape[1] != logits_out.shape[1]:
        raise InputError(f"logits must be of the same classes, got {logits_in.shape[1]} and {logits_out.shape[1]}")
