"""Fine-tune a classifier with outliers at hand: energy-bounded, by outlier exposure, or on known inputs alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from candid.arrays import check_labels
from candid.errors import InputError
from candid.tune.energy_bounded import Margins
from candid.tune.outlier_steps import WEIGHTS, Augment, FineTuning, OutlierRecipe, Rows
from candid.types import Head, Labels

__all__ = ["Bounded", "energy_bounded"]

SAVED_EVERY = 100  # steps between two checkpoints


@dataclass(frozen=True)
class Bounded:
    """A fine-tuned classifier: the `model` (a module, or a `Head` where one was given), the margins it was held to,
    and by epoch (the rows of `history`) the mean loss, accuracy on the known batches, and energies of both sides."""

    model: Any
    margins: Margins | None
    history: tuple[Mapping[str, float], ...]
    recipe: OutlierRecipe


def energy_bounded(
    model: nn.Module | Head,
    known: Rows,
    labels: Labels,
    outliers: Rows | None,
    recipe: OutlierRecipe | None = None,
    *,
    augment: Augment | None = None,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Bounded:
    """The classifier after a fine-tuning that lowers the energy of known inputs and raises that of outliers.

    Liu et al. 2020, https://arxiv.org/abs/2010.03759, section 3.3. `model` maps a batch of inputs to logits; it is
    trained in place and returned in eval mode. Known and outlier rows pass through it in one batch, so that batch
    statistics see both. `augment(batch, generator)` makes float inputs of what the rows give, at training only where it
    draws. Outliers are drawn in shuffled passes. Every step is a function of the seed and its number: with a
    `checkpoint` file a killed run goes on and ends with the same weights. No global generator is touched.

    A `Head` over frozen vectors is fine-tuned as a linear layer, and another `Head` comes back. It can do less: -E is
    convex in the vectors, so what it takes for unknown is one convex region, and known inputs cannot lie around it.

    >>> rng = np.random.default_rng(0)
    >>> known, outliers = rng.normal(size=(64, 2)) + [[4.0, 0.0]], rng.normal(size=(64, 2))
    >>> head = Head(np.array([[1.0, 0.2], [0.9, -0.2]], np.float32), ("up", "down"))
    >>> labels = (known[:, 1] < 0).astype(int)
    >>> found = energy_bounded(head, known.astype(np.float32), labels, outliers.astype(np.float32))
    >>> first, last = found.history[0], found.history[-1]
    >>> last["energy_unknown"] - last["energy_known"] > first["energy_unknown"] - first["energy_known"]
    True
    """
    recipe = OutlierRecipe() if recipe is None else recipe
    module = _module(model).to(device)
    _check(known, labels, outliers, recipe)
    if recipe.objective == "ce":
        outliers = None  # not even batch statistics are to see them
    recipe = replace(recipe, weight=WEIGHTS[recipe.objective] if recipe.weight is None else recipe.weight)
    run = FineTuning(module, known, np.asarray(labels, np.int64), outliers, recipe, augment, device)
    run.restore(checkpoint)
    if run.margins is None and recipe.objective == "energy":
        run.margins = recipe.margins or run.own_margins()
    while run.step < run.steps:
        run.advance()
        if checkpoint is not None and (run.step % SAVED_EVERY == 0 or run.step == run.steps):
            run.save(checkpoint)
        if progress is not None:
            progress(run.step, run.steps)
    module.eval()
    return Bounded(_like(model, module), run.margins, run.history(), recipe)


def _module(model: nn.Module | Head) -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    weights = torch.from_numpy(np.asarray(model.scale * model.weights, np.float32))
    linear = nn.Linear(weights.shape[1], weights.shape[0])
    bias = np.broadcast_to(np.asarray(model.bias, np.float32), (len(weights),)).copy()
    linear.load_state_dict({"weight": weights, "bias": torch.from_numpy(bias)})
    return linear


def _like(model: nn.Module | Head, module: nn.Module) -> nn.Module | Head:
    if isinstance(model, nn.Module):
        return module
    arrays = {name: value.detach().cpu().numpy() for name, value in module.named_parameters()}
    return Head(arrays["weight"], model.classes, 1.0, arrays["bias"], model.activation)


def _check(known: Rows, labels: Labels, outliers: Rows | None, recipe: OutlierRecipe) -> None:
    if not len(known):
        raise InputError("expected at least one known input, got none")
    check_labels(labels, classes=int(np.max(labels, initial=0)) + 1, rows=len(known))
    if recipe.objective == "ce":
        return
    if outliers is None or not len(outliers):
        raise InputError(f"objective {recipe.objective!r} needs outliers, got none; objective 'ce' needs none")
