"""Test-time prompt tuning: each image tunes the prompt to its own views, predicts, and is forgotten."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from candid.errors import InputError, nearest
from candid.tune.confidence_match import matched_temperature
from candid.tune.confident_views import kept
from candid.tune.dispersion import DISPERSIONS
from candid.tune.episodes import Episodes, Seen
from candid.tune.towers import Inside, text_tower
from candid.types import Head

__all__ = [
    "TEST_TIME",
    "Outcome",
    "TestTimeTuner",
    "Way",
    "constant_head",
    "outcomes",
    "starting_points",
    "test_time",
]


@dataclass(frozen=True)
class Way:
    """What moves the prompt: the `entropy` of the image's views, a `regulariser` of `DISPERSIONS` with its coefficient.

    `matched`: afterwards one temperature gives the zero-shot confidence back.
    """

    words: str
    entropy: bool = True
    regulariser: str | None = None
    coefficient: float = 0.0
    matched: bool = False


def _regularised(name: str, words: str) -> Way:
    return Way(words, regulariser=name, coefficient=DISPERSIONS[name].coefficient)


TEST_TIME: dict[str, Way] = {
    "zero-shot": Way("nothing", entropy=False),
    "tpt": Way("one step down the entropy of the mean probability of the surest views"),
    "c-tpt": _regularised("c-tpt", "the same, and up the average text feature dispersion"),
    "o-tpt": _regularised("o-tpt", "the same, and towards orthogonal text features"),
    "a-tpt": _regularised("a-tpt", "the same, and up the smallest angles between text features"),
    "cots": Way("as tpt, then one temperature that gives the zero-shot confidence back", matched=True),
    "constant": replace(_regularised("c-tpt", "one step up the dispersion alone, one for all images"), entropy=False),
}
TEMPLATE = "a photo of a {}."
IMAGES_AT_ONCE = 256

Tensor = torch.Tensor
Context = Float[Tensor, "m w"] | Float[np.ndarray, "m w"]


def test_time(
    model: Inside,
    views: Float[np.ndarray, "n v d"],
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

    `views` are unit vectors (n, v, d), view 0 the centre crop; `workflows.tuning_views` makes them. `method` is a row
    of `TEST_TIME`. The tuned context is the words of `template` around `{}`, or `context`, vectors (M, w) before the
    class name: `random_context`, or a tuned prompt's. Several templates or contexts are tuned one by one and their
    logits averaged. `select` is the share of views that is kept, those of least entropy; `lr` and `weight_decay` are
    AdamW's; `coefficient` weighs the regulariser: by default 50 (c-tpt, constant), 18 (o-tpt), 80 (a-tpt), as published
    for fine-grained sets; on ImageNet and its variants 20, 2 and 10. `steps` beyond the first keep the views selected.

    Equal to tuning one image after the other by autograd. For an ImageNet variant pass its own class list, in the order
    of its labels. Shu et al. 2022 (TPT), arxiv.org/abs/2209.07511; Yoon et al. 2024 (C-TPT), arxiv.org/abs/2403.14119.
    Raises `InputError` for an unknown method, views that are no n x v x d array of this model, or too few of them.

    >>> from candid import models
    >>> tiny = models.load("tiny")
    >>> views = np.eye(8, tiny.dim, dtype=np.float32)[None].repeat(2, axis=0)  # two images, eight views
    >>> test_time(tiny, views, ["cat", "dog", "owl"], method="c-tpt", select=0.25).shape
    (2, 3)
    """
    tuner = TestTimeTuner(
        model, classes, method=method, template=template, context=context, select=select, lr=lr,
        coefficient=coefficient, steps=steps, weight_decay=weight_decay,
    )  # fmt: skip
    return tuner(views)


@dataclass(frozen=True, eq=False)
class TestTimeTuner:
    """`test_time` for images that come a few at a time: what they share is computed once. Settings are its own.

    >>> from candid import models
    >>> tiny = models.load("tiny")
    >>> tuner = TestTimeTuner(tiny, ["cat", "dog"], method="tpt", select=0.5)
    >>> tuner(np.eye(4, tiny.dim, dtype=np.float32)[None]).shape
    (1, 2)
    """

    model: Inside
    classes: Sequence[str]
    _: KW_ONLY
    method: str = "c-tpt"
    template: str | Sequence[str] = TEMPLATE
    context: Context | Sequence[Context] | None = None
    select: float = 0.1
    lr: float = 0.005
    coefficient: float | None = None
    steps: int = 1
    weight_decay: float = 0.01
    starts: tuple[Episodes, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.method not in TEST_TIME:
            raise InputError(f"no test-time method {self.method!r}; {nearest(self.method, TEST_TIME)}")
        if self.steps < 1:
            raise InputError(f"steps must be 1 or more, got {self.steps}; ask for zero-shot to tune nothing")
        starts = starting_points(self.model, self.classes, template=self.template, context=self.context)
        object.__setattr__(self, "starts", tuple(starts))

    @property
    def way(self) -> Way:
        """The method with its coefficient."""
        way = TEST_TIME[self.method]
        return way if self.coefficient is None else replace(way, coefficient=self.coefficient)

    def __call__(self, views: Float[np.ndarray, "n v d"]) -> Float[np.ndarray, "n k"]:
        """Logits of view 0 of every image."""
        if views.ndim != 3 or views.shape[2] != self.model.dim:
            raise InputError(
                f"expected views of shape (images, views, {self.model.dim}), got {views.shape}; "
                "make them with the same model"
            )
        if not np.isfinite(views).all():
            raise InputError("views hold values that are not finite; encode the images again, in float32")
        if self.way.entropy:
            kept(views.shape[1], self.select)
        found = [self._averaged(views[at : at + IMAGES_AT_ONCE]) for at in range(0, len(views), IMAGES_AT_ONCE)]
        return np.concatenate(found) if found else np.zeros((0, len(self.classes)), np.float32)

    def _averaged(self, views: Float[np.ndarray, "n v d"]) -> Float[np.ndarray, "n k"]:
        how = {"select": self.select, "lr": self.lr, "weight_decay": self.weight_decay}
        found = [outcomes(start, self._seen(start, views), self.way, steps=self.steps, **how) for start in self.starts]
        logits = [torch.cat([each.logits for each in every]) for every in found]
        mean: np.ndarray = torch.stack(logits).mean(dim=0).cpu().numpy()
        return mean

    def _seen(self, start: Episodes, views: Float[np.ndarray, "n v d"]) -> Seen:
        own = start.own(views)
        return start.see(own, self.select) if self.way.entropy else Seen(own, own[:, :0], start.start[None, :0])


class Outcome(NamedTuple):
    """Logits (r, k) of the centre crops of some images, and the class rows (r, k, d) or (k, d) that gave them."""

    logits: Tensor
    rows: Tensor


def outcomes(
    start: Episodes, seen: Seen, way: Way, *, select: float = 0.1, lr: float = 0.005, weight_decay: float = 0.01,
    steps: int = 1,
) -> Iterator[Outcome]:  # fmt: skip
    """What a way makes of images that have been seen, a few at a time."""
    centre, how = seen.views[:, :1], {"coefficient": way.coefficient, "rate": lr, "decay": weight_decay}
    if not way.entropy:
        rows = start.rows if way.regulariser is None else start.constant(way.regulariser, **how)
        yield Outcome(start.logits(centre, rows)[:, 0], rows)
        return
    for part, rows in start.tuned(seen, method=way.regulariser, steps=steps, **how):
        if way.matched:
            before, after = (start.logits(seen.views[part], each) for each in (start.rows, rows))
            divisor = matched_temperature(after, before, share=select)
            yield Outcome(after[:, 0] / divisor[:, None], rows)
        else:
            yield Outcome(start.logits(centre[part], rows)[:, 0], rows)


def constant_head(model: Inside, classes: Sequence[str], *, method: str = "c-tpt", **settings: Any) -> Head:
    """The head whose prompt has taken the one step of a regulariser and no other: "constant", at no cost an image.

    `method` is a row of `DISPERSIONS`; settings are those of `test_time`, with one template or context.

    >>> from candid import models
    >>> constant_head(models.load("tiny"), ["cat", "dog"]).weights.shape
    (2, 256)
    """
    tuner = TestTimeTuner(model, classes, method=method, **settings)
    if method not in DISPERSIONS or len(tuner.starts) != 1:
        raise InputError(f"a constant head needs one start and a method of {', '.join(DISPERSIONS)}, got {method!r}")
    rows = tuner.starts[0].constant(method, coefficient=tuner.way.coefficient, rate=tuner.lr, decay=tuner.weight_decay)
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
        contexts = [context] if isinstance(context, Tensor | np.ndarray) else list(context)
        return [Episodes.learnt(tower, classes, torch.as_tensor(each)) for each in contexts]
    templates = [template] if isinstance(template, str) else list(template)
    if not templates:
        raise InputError("expected at least one template, got none")
    return [Episodes.written(tower, classes, each) for each in templates]
