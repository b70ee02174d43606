"""How far a class list's text features lie apart, without labels: what calibrated test-time tuning adds to its loss.

Each is a term to minimise, so more spread is less. The released code of O-TPT forms a k x k x k tensor of Householder
maps; a map sends its row to a multiple of its own unit vector, so the term is the rows' lengths alone (`overlap`).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float

__all__ = ["DISPERSIONS", "Dispersion", "atfd", "overlap", "smallest_angle"]

Tensor = torch.Tensor
HIGHEST = 0.99999  # cosine of the smallest angle told apart; at 1 the slope of acos is infinite


def atfd(rows: Float[Tensor, "k d"]) -> Float[Tensor, ""]:
    """Average text feature dispersion: mean distance of unit rows from their mean, 0 to 1; higher is more spread.

    Yoon et al. 2024 (C-TPT), arxiv.org/abs/2403.14119, eq. 3 and 4. The mean is not made unit.

    >>> round(float(atfd(torch.eye(4))), 6)  # k orthogonal rows: sqrt(1 - 1 / k)
    0.866025
    """
    mean: Tensor = (rows - rows.mean(dim=0)).norm(dim=1).mean()
    return mean


def overlap(rows: Float[Tensor, "k d"]) -> Float[Tensor, ""]:
    """Mean length of the rows of the cosine matrix, less 1: 0 for orthogonal rows; lower is more spread.

    Sharifdeen et al. 2025 (O-TPT), arxiv.org/abs/2503.12096: mean_i |H_i G_i - e_i| for G = T T' and the reflection H_i
    built from G_i - |G_i| e_i. H_i G_i is |G_i| e_i, so the distance is | |G_i| - 1 |, and G_ii = 1 makes |G_i| >= 1.

    >>> float(overlap(torch.eye(4)))
    0.0
    """
    lengths: Tensor = (rows @ rows.T).norm(dim=1)
    return lengths.mean() - 1


def smallest_angle(rows: Float[Tensor, "k d"]) -> Float[Tensor, ""]:
    """Mean angle of a row to the row nearest to it, in radians, 0 to pi; higher is more spread.

    Ahamed et al. 2025 (A-TPT), arxiv.org/abs/2510.26441.

    >>> round(float(smallest_angle(torch.eye(4))), 6)
    1.570796
    """
    cosines = rows @ rows.T
    own = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    nearest = cosines.masked_fill(own, -2.0).amax(dim=1)
    return nearest.clamp(-HIGHEST, HIGHEST).acos().mean()


class Dispersion(NamedTuple):
    """A term to add to the loss, and its published weights for fine-grained sets and for ImageNet with its variants."""

    term: Callable[[Tensor], Tensor]
    coefficient: float
    imagenet: float


DISPERSIONS: dict[str, Dispersion] = {
    "c-tpt": Dispersion(lambda rows: -atfd(rows), 50.0, 20.0),
    "o-tpt": Dispersion(overlap, 18.0, 2.0),
    # The paper's words: the angle grows. The released code adds +mean(angle) to what it minimises, so there it shrinks;
    # a coefficient below 0 gives that.
    "a-tpt": Dispersion(lambda rows: -smallest_angle(rows), 80.0, 10.0),
}
