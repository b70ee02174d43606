"""The front door: features, labels and class names in, a `Head` out, with everything that made it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from candid.errors import InputError
from candid.tune.parametrised import Parametrised, parametrised
from candid.tune.recipe import ClsInit, Logit, Recipe, Variant
from candid.tune.stack import Run, Trained, Views, train
from candid.tune.towers import Inside, text_tower
from candid.tune.wording import Position
from candid.types import Features, Head, Labels

__all__ = ["Tuned", "averaged", "fit", "fit_many", "mean_head"]

Rows = Float[np.ndarray, "n d"] | Float[np.ndarray, "n v d"]
STACKED = 1 << 28  # numbers that one block's activations of a stack may take; more runs are trained in parts


@dataclass(frozen=True)
class Tuned:
    """A trained `head`, the heads of its single seeds, and what happened on the way.

    `loss` and `accuracy` (on the given labels) are (seeds, epochs). `watched` has, by number of epochs done, one head a
    seed, `parameters` what was trained (not of text encoders). `recipe` is all that made it, as JSON. `warning` is
    empty unless the training got nowhere.
    """

    head: Head
    members: tuple[Head, ...]
    loss: Float[np.ndarray, "s e"]
    accuracy: Float[np.ndarray, "s e"]
    recipe: Mapping[str, Any]
    watched: Mapping[int, tuple[Head, ...]]
    parameters: Mapping[int, tuple[Mapping[str, np.ndarray], ...]]
    warning: str = ""


def fit(
    model: Inside,
    features: Rows | Features,
    labels: Labels,
    classes: Sequence[str],
    *,
    variant: Variant = "prompt",
    loss: str = "ce",
    loss_options: Mapping[str, float] | None = None,
    context: int = 16,
    position: Position = "end",
    per_class: bool = False,
    template: str = "a photo of a {}.",
    context_words: str | None = None,
    cls_init: ClsInit = "name",
    logit: Logit = "cosine",
    epochs: int = 50,
    batch: int = 32,
    rate: float | None = None,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    clip: float | None = None,
    seed: int = 0,
    seeds: int = 4,
    watch: Sequence[int] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Tuned:
    """The head that this variant learns from labelled images: the mean logits of runs with `seed`, seed + 1, ...

    `features` are unit rows (n, d), or (n, v, d) where epoch e sees view e mod v. `labels` may be wrong: "gce" trusts
    them less than "ce" (`LOSSES`). The defaults are the recipe of Wu et al. 2023 (arxiv.org/abs/2307.11978); what each
    variant trains, and what the paper leaves open, is in docs/prompts.md. The logit scale is the model's and frozen.
    Raises `InputError` where a run's loss stops being finite.

    >>> from candid import data, models, workflows
    >>> tiny, photos = models.load("tiny"), data.sample().known
    >>> found = workflows.encode(tiny, photos)
    >>> tuned = fit(tiny, found.vectors, found.labels, photos.classes, epochs=2, seeds=1)
    >>> tuned.head.classes == photos.classes, tuned.loss.shape
    (True, (1, 2))
    """
    if seeds < 1:
        raise InputError(f"seeds must be 1 or more, got {seeds}")
    recipe = Recipe(
        variant, loss, dict(loss_options or {}), context, position, per_class, template, context_words, cls_init,
        logit, epochs, batch, rate, momentum, weight_decay, clip=clip,
    )  # fmt: skip
    given = np.asarray(labels)
    runs = [Run(given, None, loss, dict(loss_options or {}), seed + i) for i in range(seeds)]
    found = fit_many(model, features, runs, classes, recipe=recipe, watch=watch, progress=progress)
    return averaged([_whole(each) for each in found])


def fit_many(
    model: Inside,
    features: Rows | Features,
    runs: Sequence[Run],
    classes: Sequence[str],
    *,
    recipe: Recipe,
    names: Float[torch.Tensor, "t w"] | None = None,
    watch: Sequence[int] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[Tuned | InputError]:
    """Each run's head, in the runs' order, trained in one batch where the variant allows it; the same as alone.

    A run whose loss stops being finite has the error that says so in its place. The loss and its options are the runs'.
    `names` (T, w) stand in for the token vectors of all class names.
    """
    vectors = features.vectors if isinstance(features, Features) else np.asarray(features)
    _check(model, vectors, runs, classes)
    form = parametrised(model, classes, recipe, names=names)
    views, found = _views(vectors, model), list[Trained]()
    parts = _parts(model, runs, classes, form)
    for i, part in enumerate(parts):
        told = _within(progress, i, len(parts))
        found += train(
            form, recipe, views, part, scale=model.scale, bias=float(getattr(model, "bias", 0.0)), watch=watch,
            progress=told,
        )  # fmt: skip
    return [_tuned(model, each, run, tuple(classes), recipe, form) for each, run in zip(found, runs, strict=True)]


def averaged(members: Sequence[Tuned]) -> Tuned:
    """One classifier whose logits are the mean of these ones' logits, as prompts of several seeds are used."""
    if not members:
        raise InputError("expected at least one trained head to average, got none")
    first = members[0]
    seeds = [seed for each in members for seed in each.recipe["seeds"]]
    return Tuned(
        mean_head([each.head for each in members]),
        tuple(head for each in members for head in each.members),
        np.concatenate([each.loss for each in members]),
        np.concatenate([each.accuracy for each in members]),
        {**first.recipe, "seeds": seeds},
        {at: tuple(head for each in members for head in each.watched[at]) for at in first.watched},
        {at: tuple(kept for each in members for kept in each.parameters[at]) for at in first.parameters},
        "; ".join(dict.fromkeys(each.warning for each in members if each.warning)),
    )


def mean_head(heads: Sequence[Head]) -> Head:
    """The head whose logits are the mean of these heads' logits; they share classes and scale."""
    first = heads[0]
    if any((head.classes, head.scale) != (first.classes, first.scale) for head in heads):
        raise InputError("heads of different classes or scales have no common average")
    weights = np.stack([head.weights for head in heads]).astype(np.float64).mean(axis=0)
    bias = first.bias
    if isinstance(bias, np.ndarray):
        bias = np.stack([np.asarray(head.bias, np.float64) for head in heads]).mean(axis=0).astype(np.float32)
    return replace(first, weights=weights.astype(np.float32), bias=bias)


def _whole(found: Tuned | InputError) -> Tuned:
    if isinstance(found, InputError):
        raise found
    return found


def _check(model: Inside, vectors: np.ndarray, runs: Sequence[Run], classes: Sequence[str]) -> None:
    if vectors.ndim not in (2, 3) or vectors.shape[-1] != model.dim:
        raise InputError(
            f"expected features (n, {model.dim}) or (n, views, {model.dim}) of this model, got {vectors.shape}; "
            "encode the images with the model that is to be tuned"
        )
    if not runs:
        raise InputError("expected at least one run, got none")
    for run in runs:
        rows = np.arange(len(vectors)) if run.rows is None else run.rows
        if len(run.labels) != len(rows) or not len(rows):
            raise InputError(f"expected a label for each of {len(rows)} images, got {len(run.labels)}")
        if rows.min() < 0 or rows.max() >= len(vectors):
            raise InputError(f"rows must lie in 0 to {len(vectors) - 1}, got {rows.min()} to {rows.max()}")
        if run.labels.min() < 0 or run.labels.max() >= len(classes):
            raise InputError(
                f"labels must lie in 0 to {len(classes) - 1}, got {run.labels.min()} to {run.labels.max()}; "
                "leave unlabelled images out"
            )


def _views(vectors: np.ndarray, model: Inside) -> Views:
    table = text_tower(model).table
    dtype = torch.promote_types(table.dtype, torch.float32)
    fixed: dict[int, torch.Tensor] = {}

    def view(epoch: int) -> torch.Tensor:
        at = 0 if vectors.ndim == 2 else epoch % vectors.shape[1]
        if at not in fixed:
            if vectors.ndim == 3:
                fixed.clear()  # one view at a time: a bank may be larger than memory
            rows = vectors if vectors.ndim == 2 else vectors[:, at]
            fixed[at] = torch.from_numpy(np.array(rows)).to(table.device, dtype)
        return fixed[at]

    return view


def _parts(model: Inside, runs: Sequence[Run], classes: Sequence[str], form: Parametrised) -> list[Sequence[Run]]:
    """The runs in as many stacks as memory asks for."""
    if not form.stacks:
        return [[run] for run in runs]
    width = text_tower(model).table.shape[1]
    most = max(1, STACKED // (len(classes) * 8 * width * 12))
    return [runs[at : at + most] for at in range(0, len(runs), most)]


def _within(progress: Callable[[int, int], None] | None, i: int, parts: int) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(i * total + done, parts * total)


def _tuned(
    model: Inside, found: Trained, run: Run, classes: tuple[str, ...], recipe: Recipe, form: Parametrised
) -> Tuned | InputError:
    stated = {
        **asdict(recipe),
        "loss": run.loss,
        "loss_options": dict(run.loss_options),
        "rate": recipe.peak,
        "seeds": [run.seed],
        "n": len(run.labels),
        "labels": hashlib.blake2b(np.ascontiguousarray(run.labels, dtype="<i8").tobytes(), digest_size=16).hexdigest(),
        "shares_prefix": not form.note,
        "note": form.note,
        "torch": torch.__version__,
    }
    if found.failed is not None or found.weights is None:
        return InputError(
            f"training {recipe.variant} with {run.loss} diverged in epoch {found.failed} (seed {run.seed}, "
            f"rate {recipe.peak:g}): the loss is not finite; lower the rate, or bound the gradient with clip=1.0"
        )
    bias = found.bias if found.bias is not None else float(getattr(model, "bias", 0.0))
    scale = 1.0 if form.raw else model.scale
    head = Head(found.weights, classes, scale, bias, "softmax" if form.raw else getattr(model, "activation", "softmax"))
    watched = {at: (replace(head, weights=weights),) for at, weights in found.watched.items()}
    parameters = {at: (kept,) for at, kept in found.parameters.items()}
    return Tuned(
        head, (head,), np.array([found.loss]), np.array([found.accuracy]), stated, watched, parameters,
        _warning(found, len(classes), recipe),
    )  # fmt: skip


def _warning(found: Trained, k: int, recipe: Recipe) -> str:
    if len(found.loss) > 5 and found.loss[-1] > found.loss[0] and max(found.accuracy[-3:]) <= 1.5 / k:
        return (
            f"the training of {recipe.variant} at rate {recipe.peak:g} collapsed: its loss rose from "
            f"{found.loss[0]:.3g} to {found.loss[-1]:.3g} and it knows {found.accuracy[-1]:.0%} of its labels"
        )
    return ""
