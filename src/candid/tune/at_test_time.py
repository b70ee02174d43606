"""Test-time prompt tuning: each image tunes the prompt to its own views, predicts, and is forgotten."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float

from candid.errors import InputError, nearest
from candid.tune.confidence_match import matched_temperature
from candid.tune.dispersion import DISPERSIONS
from candid.tune.episodes import Episodes
from candid.tune.towers import Inside, text_tower
from candid.types import Head

__all__ = ["TEST_TIME", "constant_head", "test_time"]

TEST_TIME: dict[str, str] = {  # method -> what it does to the prompt of each image
    "zero-shot": "nothing",
    "tpt": "one step down the entropy of the mean probability of its surest views",
    "c-tpt": "the same, and up the average text feature dispersion",
    "o-tpt": "the same, and towards orthogonal text features",
    "a-tpt": "the same, and up the smallest angles between text features",
    "cots": "as tpt, then one temperature that gives the zero-shot confidence back",
    "constant": "one step up the dispersion alone, the same for all images",
}
TEMPLATE = "a photo of a {}."
IMAGES_AT_ONCE = 256

Tensor = torch.Tensor
Views = Float[np.ndarray, "n v d"]
Context = Float[Tensor, "m w"]


def test_time(
    model: Inside,
    views: Views,
    classes: Sequence[str],
    *,
    method: str = "c-tpt",
    template: str | Sequence[str] = TEMPLATE,
    context: Context | Sequence[Context] | None = None,
    select: float = 0.1,
    lr: float = 0.005,
    coefficient: float | None = None,
    steps: int = 1,
    weight_decay: float = 0.01,
) -> Float[np.ndarray, "n k"]:
    """Logits (n, k) of view 0 of every image, with the prompt tuned to the image and reset before the next.

    `views` are unit vectors (n, v, d), view 0 the centre crop; `workflows.test_views` makes them. `method` is a row of
    `TEST_TIME`. The tuned context is the words of `template` around `{}`, or `context`, vectors (M, w) before the class
    name: `random_context`, or a tuned prompt's. Several templates or contexts are tuned one by one and their logits
    averaged. `select` is the share of views that is kept, those of least entropy; `lr` and `weight_decay` are AdamW's;
    `coefficient` weighs the regulariser: by default 50 (c-tpt, constant), 18 (o-tpt), 80 (a-tpt), as published for
    fine-grained sets; on ImageNet and its variants 20, 2 and 10. `steps` beyond the first keep the views selected.

    Equal to tuning one image after the other by autograd. For an ImageNet variant pass its own class list, in the order
    of its labels. Shu et al. 2022 (TPT), arxiv.org/abs/2209.07511; Yoon et al. 2024 (C-TPT), arxiv.org/abs/2403.14119.
    Raises `InputError` for an unknown method, views that are no n x v x d array of this model, or too few of them.

    >>> from candid import models
    >>> tiny = models.load("tiny")
    >>> views = np.eye(8, tiny.dim, dtype=np.float32)[None].repeat(2, axis=0)  # two images, eight views
    >>> test_time(tiny, views, ["cat", "dog", "owl"], method="c-tpt", select=0.25).shape
    (2, 3)
    """
    _check(method, views, model, steps)
    starts = starting_points(model, classes, template=template, context=context)
    kind = "c-tpt" if method == "constant" else method
    weight = coefficient if coefficient is not None else DISPERSIONS[kind].coefficient if kind in DISPERSIONS else 0.0
    found = [_averaged(start, views, method, select, lr, weight, steps, weight_decay) for start in starts]
    return np.mean(found, axis=0) if len(found) > 1 else found[0]


def constant_head(
    model: Inside,
    classes: Sequence[str],
    *,
    method: str = "c-tpt",
    template: str = TEMPLATE,
    context: Context | None = None,
    lr: float = 0.005,
    coefficient: float | None = None,
    weight_decay: float = 0.01,
) -> Head:
    """The head whose prompt has taken the regulariser's one step and no other: `test_time`'s "constant", at no cost an
    image. `method` is a row of `DISPERSIONS`.

    >>> from candid import models
    >>> constant_head(models.load("tiny"), ["cat", "dog"]).weights.shape
    (2, 256)
    """
    (start,) = starting_points(model, classes, template=template, context=context)
    rows = start.constant(method, coefficient=coefficient, rate=lr, decay=weight_decay)
    return Head(rows.float().cpu().numpy(), tuple(classes), model.scale, bias=model.bias, activation=model.activation)


def starting_points(
    model: Inside,
    classes: Sequence[str],
    *,
    template: str | Sequence[str] = TEMPLATE,
    context: Context | Sequence[Context] | None = None,
) -> list[Episodes]:
    """One start a context where any is given, else one a template."""
    tower = text_tower(model)
    if context is not None:
        contexts = [context] if isinstance(context, Tensor) else list(context)
        return [Episodes.learnt(tower, classes, each) for each in contexts]
    templates = [template] if isinstance(template, str) else list(template)
    if not templates:
        raise InputError("expected at least one template, got none")
    return [Episodes.written(tower, classes, each) for each in templates]


def _averaged(
    start: Episodes, views: Views, method: str, select: float, rate: float, weight: float, steps: int, decay: float
) -> Float[np.ndarray, "n k"]:
    parts = [views[at : at + IMAGES_AT_ONCE] for at in range(0, len(views), IMAGES_AT_ONCE)]
    found = [
        logits
        for part in parts
        for logits in _logits(start, start.own(part), method, select, rate, weight, steps, decay)
    ]
    empty = np.zeros((0, len(start.rows)), np.float32)
    return np.concatenate([each.cpu().numpy() for each in found]) if found else empty


def _logits(
    start: Episodes, views: Tensor, method: str, select: float, rate: float, weight: float, steps: int, decay: float
) -> Iterator[Tensor]:
    """Logits (r, k) of the centre crops, a few images at a time."""
    centre, at_start = views[:, :1], start.rows
    if method == "zero-shot":
        yield start.logits(centre, at_start)[:, 0]
        return
    if method == "constant":
        rows = start.constant("c-tpt", coefficient=weight, rate=rate, decay=decay)
        yield start.logits(centre, rows)[:, 0]
        return
    selected = start.select(views, select)
    gradients = start.entropy_gradients(selected)
    how = {"rate": rate, "decay": decay, "coefficient": weight}
    regulariser = method if method in DISPERSIONS else None
    for part, rows in start.tuned(selected, gradients, method=regulariser, steps=steps, **how):
        if method == "cots":
            tuned = start.logits(views[part], rows)
            temperature = matched_temperature(tuned, start.logits(views[part], at_start), share=select)
            yield tuned[:, 0] / temperature[:, None]
        else:
            yield start.logits(centre[part], rows)[:, 0]


def _check(method: str, views: Views, model: Inside, steps: int) -> None:
    if method not in TEST_TIME:
        raise InputError(f"no test-time method {method!r}; {nearest(method, TEST_TIME)}")
    if steps < 1:
        raise InputError(f"steps must be 1 or more, got {steps}; ask for zero-shot to tune nothing")
    if views.ndim != 3 or views.shape[2] != model.dim:
        raise InputError(
            f"expected views of shape (images, views, {model.dim}), got {views.shape}; make them with the same model"
        )
