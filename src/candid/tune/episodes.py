"""Test-time prompt tuning from one start: every image begins at the same prompt, so most of its work is shared.

At the reset prompt the class rows and their slope are the same for all images. They are computed once a class list. An
image's gradient is then one product with that slope, a regulariser's gradient is a constant, and the first step of
AdamW from a fresh state needs no optimiser: both moments are the gradient's own, so it is nearly its sign.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from candid.errors import InputError, nearest
from candid.tune.confident_views import chosen, kept, mean_entropy_slope
from candid.tune.dispersion import DISPERSIONS, Dispersion
from candid.tune.prompts import Prompts
from candid.tune.towers import Inside, TextTower, text_tower
from candid.tune.wording import ended, written

__all__ = ["Episodes", "Seen", "Step", "random_context"]

Tensor = torch.Tensor
WIDEST = (
    1 << 24
)  # bytes of the widest activation of what goes through the tower together: allocators map larger ones anew
SPREAD = 0.02  # standard deviation of a random context, that of CLIP's own initialisation
BETAS, EPSILON = (0.9, 0.999), 1e-8  # AdamW's


class Seen(NamedTuple):
    """Views (n, v, d) of images, the surest (n, s, d) of them, and the slope (n, M, w) of their entropy."""

    views: Tensor
    selected: Tensor
    gradients: Tensor


class Step:
    """AdamW (Loshchilov and Hutter 2019, arxiv.org/abs/1711.05101, algorithm 2) for many contexts at once."""

    def __init__(self, rate: float, decay: float) -> None:
        self.rate, self.decay, self.taken = rate, decay, 0
        self.first: Tensor | float = 0.0
        self.second: Tensor | float = 0.0

    def __call__(self, context: Tensor, gradient: Tensor) -> Tensor:
        """The contexts one step on; the first step is `- rate * g / (|g| + 1e-8)` beside the decay."""
        one, two = BETAS
        self.taken += 1
        self.first = one * self.first + (1 - one) * gradient
        self.second = two * self.second + (1 - two) * gradient.square()
        size = self.second.sqrt() / (1 - two**self.taken) ** 0.5 + EPSILON
        moved: Tensor = context * (1 - self.rate * self.decay) - self.rate / (1 - one**self.taken) * self.first / size
        return moved


class Episodes:
    """A class list and the prompt that every image starts from. n images, v views, k classes, M context tokens.

    `start` is (M, w). Nothing an image does is left behind for the next.
    """

    def __init__(self, prompts: Prompts, start: Float[Tensor, "m w"]) -> None:
        if len(prompts.wording.classes) < 2:
            raise InputError("test-time tuning needs two classes or more; one class is always right")
        self.prompts, self.model = prompts, prompts.tower.model
        self.start = start.detach().to(torch.promote_types(prompts.tower.table.dtype, torch.float32))

    @classmethod
    def written(cls, model: Inside | TextTower, classes: Sequence[str], template: str) -> "Episodes":
        """A start at the words of a template around `{}`; a full stop at its end stays as it is."""
        tower = model if isinstance(model, TextTower) else text_tower(model)
        tokens = tower.model.token_ids
        wording = ended(written(tokens, classes, template=template, limit=tower.limit), tokens)
        if not wording.context:
            raise InputError(f"{template!r} has no words beside the class name that could be tuned; add some")
        return cls(Prompts(tower, wording), tower.look_up(wording.context))

    @classmethod
    def learnt(cls, model: Inside | TextTower, classes: Sequence[str], context: Float[Tensor, "m w"]) -> "Episodes":
        """A start at context vectors, the class name after them: random ones, or those of a tuned prompt."""
        tower = model if isinstance(model, TextTower) else text_tower(model)
        prompts = Prompts.learned(tower, classes, length=len(context))
        if context.shape[1] != prompts.width:
            raise InputError(f"expected context vectors of width {prompts.width}, got {context.shape[1]}")
        return cls(prompts, context.to(tower.table.device))

    @cached_property
    def _graph(self) -> tuple[Tensor, Tensor]:
        """The context at its start (1, 1, M, w) and the class rows (k, d) with their graph."""
        with torch.enable_grad():
            context = self.start[None, None].clone().requires_grad_()
            return context, self._rows(context)[0]

    @property
    def rows(self) -> Float[Tensor, "k d"]:
        """Class rows at the start."""
        return self._graph[1].detach()

    @property
    def images_at_once(self) -> int:
        """How many images go through the text tower together."""
        return max(1, self._most // sum(self._own))

    @property
    def _own(self) -> list[int]:
        """Tokens of every class that are its own."""
        wording = self.prompts.wording
        return [len(n) + wording.after + len(t) for n, t in zip(wording.names, wording.tails, strict=True)]

    @property
    def _most(self) -> int:
        return max(1, WIDEST // (4 * 4 * self.prompts.width))  # four bytes a number, four widths in a block

    @cached_property
    def _blocks(self) -> list[Prompts]:
        """The class list in turn, as many classes as go through the tower together."""
        edges, rows = [0], 0
        for place, own in enumerate(self._own):
            if rows and rows + own > self._most:
                edges, rows = [*edges, place], 0
            rows += own
        spans = pairwise([*edges, len(self._own)])
        return [Prompts(self.prompts.tower, self.prompts.wording.part(slice(*span))) for span in spans]

    def _rows(self, contexts: Float[Tensor, "r 1 m w"]) -> Float[Tensor, "r k d"]:
        return torch.cat([block(contexts) for block in self._blocks], dim=1)

    def own(self, views: Float[np.ndarray, "n v d"]) -> Float[Tensor, "n v d"]:
        """Views where the prompt is, in its precision."""
        return torch.from_numpy(np.ascontiguousarray(views)).to(self.start)

    def logits(self, views: Float[Tensor, "n v d"], rows: Tensor) -> Float[Tensor, "n v k"]:
        """Logits of views against rows (k, d), or rows (n, k, d) of each image's own."""
        return self.model.scale * (views @ rows.transpose(-1, -2)) + self.model.bias

    def see(self, views: Float[Tensor, "n v d"], share: float) -> Seen:
        """What every way of tuning needs of these images."""
        selected = self.select(views, share)
        return Seen(views, selected, self.entropy_gradients(selected))

    def select(self, views: Float[Tensor, "n v d"], share: float) -> Float[Tensor, "n s d"]:
        """The surest views of each image at the start."""
        places: Int[Tensor, "n s"] = chosen(self.logits(views, self.rows), kept(views.shape[1], share))
        return views.gather(1, places[..., None].expand(-1, -1, views.shape[2]))

    def entropy_gradients(self, selected: Float[Tensor, "n s d"]) -> Float[Tensor, "n m w"]:
        """Slope of each image's entropy by the context, at the start: one product with the shared slope an image."""
        context, rows = self._graph
        found = [self.start.new_zeros((0, *self.start.shape))]
        for part in self.parts(len(selected)):
            upstream = self._upstream(selected[part], rows.detach())
            if self.prompts.tower.shares:
                slopes = torch.autograd.grad(rows, context, upstream, retain_graph=True, is_grads_batched=True)[0]
                found.append(slopes[:, 0, 0])
            else:  # a framework's own operations need not take several gradients at once
                found += [torch.autograd.grad(rows, context, each, retain_graph=True)[0][0] for each in upstream]
        return torch.cat(found)

    def dispersion_gradient(self, method: str) -> Float[Tensor, "m w"]:
        """Slope of a regulariser by the context, at the start: the same for every image. Without its coefficient."""
        if method not in self._dispersions:
            context, rows = self._graph
            with torch.enable_grad():
                term = _dispersion(method).term(rows)
            self._dispersions[method] = torch.autograd.grad(term, context, retain_graph=True)[0][0, 0]
        return self._dispersions[method]

    @cached_property
    def _dispersions(self) -> dict[str, Tensor]:
        return {}

    def rows_of(self, contexts: Float[Tensor, "r m w"]) -> Float[Tensor, "r k d"]:
        """Class rows of moved prompts."""
        with torch.no_grad():
            return self._rows(contexts[:, None])

    def tuned(
        self, seen: Seen, *, method: str | None = None, coefficient: float = 0.0, rate: float = 0.005,
        decay: float = 0.01, steps: int = 1,
    ) -> Iterator[tuple[slice, Float[Tensor, "r k d"]]]:  # fmt: skip
        """Class rows after the steps, a few images at a time: which images, and their rows.

        `method` is a row of `DISPERSIONS`, None adds no regulariser. Steps after the first compute their own slopes.
        """
        for part in self.parts(len(seen.views)):
            step, own = Step(rate, decay), seen.gradients[part]
            pull = 0.0 if method is None else coefficient * self.dispersion_gradient(method)
            contexts = step(self.start.expand_as(own), own + pull)
            for _ in range(steps - 1):
                contexts = step(contexts, self._slope(contexts, seen.selected[part], method, coefficient))
            yield part, self.rows_of(contexts)

    def constant(
        self, method: str, *, coefficient: float | None = None, rate: float = 0.005, decay: float = 0.01
    ) -> Float[Tensor, "k d"]:
        """Class rows after one step along the regulariser alone: no image has a say."""
        weight = _dispersion(method).coefficient if coefficient is None else coefficient
        gradient = weight * self.dispersion_gradient(method)
        return self.rows_of(Step(rate, decay)(self.start, gradient)[None])[0]

    def parts(self, count: int) -> list[slice]:
        """Images in turn, as many as go through the tower together."""
        size = self.images_at_once
        edges = [min(at * size, count) for at in range(ceil(count / size) + 1)]
        return [slice(*pair) for pair in pairwise(edges)]

    def _slope(self, contexts: Tensor, selected: Tensor, method: str | None, coefficient: float) -> Tensor:
        """Slope of the whole loss at contexts that have moved apart."""
        with torch.enable_grad():
            own = contexts.detach()[:, None].requires_grad_()
            rows = self._rows(own)
            loss = (rows * self._upstream(selected, rows.detach())).sum()  # its slope by rows is that of the entropy
            if method is not None:
                loss = loss + coefficient * torch.stack([_dispersion(method).term(each) for each in rows]).sum()
            return torch.autograd.grad(loss, own)[0][:, 0]

    def _upstream(self, selected: Tensor, rows: Tensor) -> Float[Tensor, "n k d"]:
        """Slope of each image's entropy by the class rows."""
        by_logit = mean_entropy_slope(self.logits(selected, rows))
        return self.model.scale * by_logit.transpose(-1, -2) @ selected


def random_context(model: Inside, *, length: int = 4, seed: int = 0) -> Float[Tensor, "m w"]:
    """Gaussian context vectors as CoOp starts from: mean 0, standard deviation 0.02.

    >>> from candid import models
    >>> random_context(models.load("tiny"), length=4).shape
    torch.Size([4, 192])
    """
    if length < 1:
        raise InputError(f"expected 1 context token or more, got {length}")
    table = text_tower(model).table
    drawn = SPREAD * torch.randn((length, table.shape[1]), generator=torch.Generator().manual_seed(seed))
    return drawn.to(table.device, torch.promote_types(table.dtype, torch.float32))


def _dispersion(method: str) -> Dispersion:
    if method not in DISPERSIONS:
        raise InputError(f"no regulariser of {method!r}; {nearest(method, DISPERSIONS)}")
    return DISPERSIONS[method]
