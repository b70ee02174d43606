"""Whether right and wrong labels pull a head the same way: norms, coherence and cosines of per-example gradients.

Wu et al. 2023, arxiv.org/abs/2307.11978, report that wrong labels cancel out under prompt tuning; the quantity behind
their figure is not published. Ours: h_i, the gradient of example i's loss in the class vectors, a space that all six
variants share (closed form, (dl_i / dlogits) s f_i^T), and g_i = J^T h_i, the gradient in what is trained.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from candid.errors import InputError
from candid.tune.losses import loss_named
from candid.tune.parametrised import Parameters, parametrised
from candid.tune.recipe import Recipe
from candid.tune.towers import Inside

__all__ = ["Agreement", "agreement_at", "class_gradients", "gradient_agreement"]

Tensor = torch.Tensor
AT_ONCE = 32  # examples whose gradients go back through the tower together


@dataclass(frozen=True)
class Agreement:
    """Gradients of rightly and wrongly labelled examples in one space.

    `norm_*`: mean norm of an example's gradient. `coherence_*`: norm of the group's sum over the sum of norms, 1 where
    all point one way, near 0 where they cancel. `cosine` of the two sums. `pull`: norm of the wrong labels' sum over
    that of the right ones', which is what moves the parameters.
    """

    norm_right: float
    norm_wrong: float
    coherence_right: float
    coherence_wrong: float
    cosine: float
    pull: float


def class_gradients(
    weights: Float[Tensor, "k d"], features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, scale: float,
    bias: float = 0.0, loss: str = "ce", options: Mapping[str, float] | None = None,
) -> Float[Tensor, "n k d"]:  # fmt: skip
    """h_i = dl_i / dT for unit class vectors T, one (k, d) an example."""
    row, full = loss_named(loss, options)
    if row.selects:
        raise InputError(f"the loss {loss} has no gradient of its own for an example; take ce or gce")
    logits = (scale * features @ weights.T + bias).detach().requires_grad_()
    (found,) = torch.autograd.grad(row.of(logits, labels, **full).sum(), logits)
    return scale * torch.einsum("nk,nd->nkd", found, features)


def gradient_agreement(
    rows: Callable[[Parameters], Tensor],
    parameters: Parameters,
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    wrong: Bool[Tensor, " n"],
    *,
    scale: float,
    bias: float = 0.0,
    loss: str = "ce",
    options: Mapping[str, float] | None = None,
) -> dict[str, Agreement]:
    """Agreement in the space of "classes" and of "parameters" (stacked by one run) at these parameters.

    `rows` turns parameters into unit class vectors (1, k, d), `wrong` marks the wrong labels; there must be some of
    each kind. No more than a few examples' gradients are in memory at a time.

    >>> rows = {"rows": torch.eye(2)[None]}
    >>> images, labels, wrong = torch.eye(2), torch.tensor([0, 0]), torch.tensor([False, True])
    >>> found = gradient_agreement(lambda p: p["rows"], rows, images, labels, wrong, scale=1.0)["classes"]
    >>> round(found.norm_right, 3), round(found.pull, 3)
    (0.38, 2.718)
    """
    if not wrong.any() or wrong.all():
        raise InputError("expected right and wrong labels, got only one kind; make some labels wrong")
    leaves = {name: p.detach().clone().requires_grad_() for name, p in parameters.items()}
    found = rows(leaves)
    unit, spaces = found[0].detach(), {"classes": _Sums(), "parameters": _Sums()}
    for part in torch.split(torch.arange(len(labels), device=labels.device), AT_ONCE):
        h = class_gradients(
            unit, features[part].to(found), labels[part], scale=scale, bias=bias, loss=loss, options=options
        )
        spaces["classes"].add(h.flatten(1), wrong[part])
        spaces["parameters"].add(_flat(found, leaves, h[:, None]), wrong[part])
    return {name: sums.agreement() for name, sums in spaces.items()}


def _flat(found: Tensor, leaves: Parameters, upstream: Tensor) -> Tensor:
    """Gradients of some examples in all parameters, a row each, in one backward pass."""
    parts = torch.autograd.grad(found, list(leaves.values()), upstream, retain_graph=True, is_grads_batched=True)
    return torch.cat([part.flatten(1) for part in parts], dim=1)


class _Sums:
    """Norms and sums of the gradients of right (first) and of wrong labels, as they come in."""

    def __init__(self) -> None:
        self.counts, self.norms = [0, 0], [0.0, 0.0]
        self.sums: list[Tensor | float] = [0.0, 0.0]

    def add(self, gradients: Float[Tensor, "n p"], wrong: Bool[Tensor, " n"]) -> None:
        """Count these examples in."""
        for i, part in enumerate((~wrong, wrong)):
            some = gradients[part].double()
            self.counts[i] += len(some)
            self.norms[i] += float(some.norm(dim=1).sum())
            self.sums[i] = some.sum(dim=0) + self.sums[i]

    def agreement(self) -> Agreement:
        """What the groups have in common; there must have been examples of both."""
        right, wrong = (torch.as_tensor(each) for each in self.sums)
        sizes = [float(right.norm()), float(wrong.norm())]
        floor = 1e-300
        return Agreement(
            self.norms[0] / self.counts[0],
            self.norms[1] / self.counts[1],
            sizes[0] / max(self.norms[0], floor),
            sizes[1] / max(self.norms[1], floor),
            float(right @ wrong) / max(sizes[0] * sizes[1], floor),
            sizes[1] / max(sizes[0], floor),
        )


def agreement_at(
    model: Inside,
    classes: Sequence[str],
    recipe: Recipe,
    parameters: Mapping[str, np.ndarray],
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    wrong: Bool[np.ndarray, " n"],
    *,
    loss: str = "ce",
    options: Mapping[str, float] | None = None,
) -> dict[str, Agreement]:
    """Agreement at the parameters that one run had (`Tuned.parameters`), in both spaces."""
    form = parametrised(model, classes, recipe)
    like = form.start([0])
    leaves = {name: torch.from_numpy(np.array(value))[None].to(like[name]) for name, value in parameters.items()}
    device = next(iter(like.values())).device
    return gradient_agreement(
        form.rows,
        leaves,
        torch.from_numpy(np.array(features)).to(device),
        torch.from_numpy(np.asarray(labels, np.int64)).to(device),
        torch.from_numpy(np.asarray(wrong)).to(device),
        scale=model.scale,
        bias=float(getattr(model, "bias", 0.0)),
        loss=loss,
        options=options,
    )
