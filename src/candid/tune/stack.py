"""Many runs trained in one batch: same model, classes and variant; own images, labels, loss and seed each.

The runs share no number: gradients of a sum over runs are each run's own, every run shuffles by its own seed, and one
with fewer batches an epoch rests while the others go on. SGD is torch's (momentum, weight decay in the gradient).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int

from candid.tune.losses import Loss, loss_named
from candid.tune.parametrised import Parameters, Parametrised
from candid.tune.recipe import Recipe
from candid.tune.schedule import learning_rate
from candid.tune.transport import trusted

__all__ = ["Run", "Trained", "Views", "train"]

Tensor = torch.Tensor
Views = Callable[[int], Tensor]  # the float rows (n, d) that epoch e sees


@dataclass(frozen=True)
class Run:
    """Labels given to the images at `rows` of the features (all of them by default), a loss and a seed.

    A row may appear more than once.
    """

    labels: Int[np.ndarray, " m"]
    rows: Int[np.ndarray, " m"] | None = None
    loss: str = "ce"
    loss_options: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass
class Trained:
    """What came of one run: mean loss and accuracy on the given labels by epoch, `weights` (k, d) and bias at the end.

    `watched` holds weights, and `parameters` what was trained, after as many epochs as asked. `failed` is the epoch at
    which a loss or gradient was not finite any more, after which nothing is right.
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    weights: np.ndarray | None = None
    bias: np.ndarray | None = None
    watched: dict[int, np.ndarray] = field(default_factory=dict)
    parameters: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    failed: int | None = None


def train(
    form: Parametrised,
    recipe: Recipe,
    views: Views,
    runs: Sequence[Run],
    *,
    scale: float,
    bias: float = 0.0,
    watch: Sequence[int] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[Trained]:
    """Every run trained by the recipe, as if alone. `progress` is told of epochs done."""
    parameters = form.start([run.seed for run in runs])
    batches = _Batches(runs, recipe.batch)
    state = _Sgd(parameters, recipe, runs=len(runs) if form.stacks else 1)
    found = [Trained() for _ in runs]
    for epoch in range(recipe.epochs):
        if epoch in watch:
            _watched(form, parameters, found, epoch)
        rate = learning_rate(epoch, peak=recipe.peak, epochs=recipe.epochs, warm_up=recipe.warm_up,
                             warm_up_rate=recipe.warm_up_rate)  # fmt: skip
        _epoch(form, parameters, state, batches, views(epoch), found, epoch, rate, (scale, bias))
        if progress is not None:
            progress(epoch + 1, recipe.epochs)
    if recipe.epochs in watch:
        _watched(form, parameters, found, recipe.epochs)
    with torch.no_grad():
        weights, biases = form.rows(parameters).cpu().numpy(), parameters.get("bias")
    for i, each in enumerate(found):
        each.weights = weights[i].astype(np.float32)
        each.bias = None if biases is None or not form.raw else biases[i].detach().cpu().numpy().astype(np.float32)
    return found


def _epoch(
    form: Parametrised, parameters: Parameters, state: "_Sgd", batches: "_Batches", view: Tensor,
    found: list[Trained], epoch: int, rate: float, affine: tuple[float, float],
) -> None:  # fmt: skip
    images, labels, weights, active = batches.of(epoch, view)
    losses = _Losses(batches.runs)
    if losses.select:
        with torch.no_grad():
            losses.split(_logits(form, parameters, view[batches.images.to(view.device)], affine), batches)
    sums = torch.zeros((3, len(batches.runs)), dtype=torch.float64)  # loss, right, batches
    for step in range(images.shape[1]):
        for parameter in parameters.values():
            parameter.requires_grad_(True)
            parameter.grad = None
        logits = _logits(form, parameters, view[images[:, step]], affine)
        each = losses.of(logits, labels[:, step], batches.places[:, step])
        per_run = torch.where(weights[:, step] > 0, each * weights[:, step], 0).sum(dim=-1)
        torch.autograd.backward(per_run.sum())
        right = (logits.detach().argmax(-1) == labels[:, step]) * weights[:, step]
        state.step(parameters, rate, active[:, step])
        sums += torch.stack((per_run.detach(), right.sum(dim=-1), active[:, step])).double().cpu()
    bad = ~torch.isfinite(sums[0]) | state.broken(parameters)
    for i, each_run in enumerate(found):
        each_run.loss.append(float(sums[0, i] / sums[2, i]))
        each_run.accuracy.append(float(sums[1, i] / sums[2, i]))
        if bad[i] and each_run.failed is None:
            each_run.failed = epoch


def _logits(form: Parametrised, parameters: Parameters, features: Tensor, affine: tuple[float, float]) -> Tensor:
    """Logits (r, b, k) of features (r, b, d)."""
    rows = form.rows(parameters)
    products = features.to(rows.dtype) @ rows.transpose(-1, -2)
    if form.raw:
        return products + parameters["bias"].unsqueeze(1)
    return affine[0] * products + affine[1]


@torch.no_grad()
def _watched(form: Parametrised, parameters: Parameters, found: list[Trained], epoch: int) -> None:
    rows = form.rows(parameters).cpu().numpy()
    for i, each in enumerate(found):
        each.watched[epoch] = rows[i].astype(np.float32)
        if form.stacks:
            each.parameters[epoch] = {name: p[i].detach().cpu().numpy().copy() for name, p in parameters.items()}


class _Batches:
    """Which images each run sees in each step, from its own seed; the last incomplete batch is dropped."""

    def __init__(self, runs: Sequence[Run], size: int) -> None:
        self.runs, self.size = runs, size
        self.lengths = [len(run.labels) for run in runs]
        longest = max(self.lengths)
        self.images = torch.zeros((len(runs), longest), dtype=torch.long)
        self.labels = torch.zeros((len(runs), longest), dtype=torch.long)
        for i, run in enumerate(runs):
            rows = np.arange(len(run.labels)) if run.rows is None else run.rows
            self.images[i, : len(rows)] = torch.from_numpy(np.asarray(rows, dtype=np.int64))
            self.labels[i, : len(rows)] = torch.from_numpy(np.asarray(run.labels, dtype=np.int64))
        self.places = torch.zeros((len(runs), 0, 0), dtype=torch.long)
        self._random = [np.random.default_rng([run.seed, 1]) for run in runs]

    def of(self, epoch: int, view: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images and labels (r, steps, b), weights that average over a run's batch, and which runs step (r, steps)."""
        counts = [max(1, n // self.size) for n in self.lengths]
        widths = [min(n, self.size) for n in self.lengths]
        shape = (len(self.runs), max(counts), max(widths))
        places, weights = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.float64)
        for i, (random, n, count, width) in enumerate(zip(self._random, self.lengths, counts, widths, strict=True)):
            order = torch.from_numpy(random.permutation(n)[: count * width])
            places[i, :count, :width] = order.view(count, width)
            weights[i, :count, :width] = 1 / width
        self.places = places
        flat = places.flatten(1)
        images, labels = (table.gather(1, flat).view(shape).to(view.device) for table in (self.images, self.labels))
        active = (weights[..., 0] > 0).to(view)
        return images, labels, weights.to(view), active


class _Losses:
    """Per-example losses of a stack in which runs differ in theirs."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.groups: list[tuple[Loss, dict[str, float], list[int]]] = []
        for i, run in enumerate(runs):
            row, options = loss_named(run.loss, run.loss_options)
            for known, known_options, members in self.groups:
                if known is row and known_options == options:
                    members.append(i)
                    break
            else:
                self.groups.append((row, options, [i]))
        self.select = any(row.selects for row, _, _ in self.groups)
        self.clean: Tensor | None = None

    def split(self, logits: Tensor, batches: _Batches) -> None:
        """Which of their images the selecting runs trust in this epoch."""
        self.clean = torch.zeros(batches.images.shape, dtype=torch.bool)
        for row, options, members in self.groups:
            for i in members if row.selects else ():
                n = batches.lengths[i]
                labels = batches.labels[i, :n].to(logits.device)
                self.clean[i, :n] = trusted(
                    logits[i, :n], labels, reg=options["reg"], released=bool(options["released"])
                ).cpu()

    def of(self, logits: Tensor, labels: Tensor, places: Tensor) -> Tensor:
        """Losses (r, b)."""
        if len(self.groups) == 1 and not self.select:
            row, options, _ = self.groups[0]
            return row.of(logits, labels, **options)
        out: list[Tensor | None] = [None] * len(logits)
        for row, options, members in self.groups:
            more = {}
            if row.selects and self.clean is not None:
                more = {"clean": self.clean[members].gather(1, places[members]).to(logits.device)}
            for i, each in zip(members, row.of(logits[members], labels[members], **options, **more), strict=True):
                out[i] = each
        return torch.stack([each for each in out if each is not None])


class _Sgd:
    """Momentum buffers of a stack; a run whose `active` is 0 keeps parameters and buffers as they are."""

    def __init__(self, parameters: Parameters, recipe: Recipe, *, runs: int) -> None:
        self.recipe, self.runs = recipe, runs
        self.buffers = {name: torch.zeros_like(p, requires_grad=False) for name, p in parameters.items()}

    @torch.no_grad()
    def step(self, parameters: Parameters, rate: float, active: Tensor) -> None:
        """One step of torch.optim.SGD for every active run."""
        used = {name: p for name, p in parameters.items() if p.grad is not None}
        share = self._share(used)
        resting = not bool(active.all())
        for name, p in used.items():
            gradient = p.grad if share is None or p.grad is None else p.grad * self._wide(share, p)
            if gradient is None:
                continue
            if self.recipe.weight_decay:
                gradient = gradient.add(p, alpha=self.recipe.weight_decay)
            if resting:
                on = self._wide(active, p).bool()
                moved = self.buffers[name] * self.recipe.momentum + gradient
                self.buffers[name] = torch.where(on, moved, self.buffers[name])
                p.copy_(torch.where(on, p - rate * moved, p))
            else:
                self.buffers[name].mul_(self.recipe.momentum).add_(gradient)
                p.add_(self.buffers[name], alpha=-rate)

    def _share(self, used: Parameters) -> Tensor | None:
        """What is left of each run's gradient after clipping its norm."""
        if self.recipe.clip is None:
            return None
        squares = [p.grad.reshape(self.runs, -1).square().sum(1) for p in used.values() if p.grad is not None]
        norm = torch.stack(squares).sum(0).sqrt()
        return (self.recipe.clip / norm.clamp_min(1e-12)).clamp_max(1.0)

    def broken(self, parameters: Parameters) -> Tensor:
        """Which runs have a parameter that is not finite."""
        flags = [torch.isfinite(p.detach()).reshape(self.runs, -1).all(1).cpu() for p in parameters.values()]
        return ~torch.stack(flags).all(0)

    def _wide(self, per_run: Tensor, like: Tensor) -> Tensor:
        return per_run if self.runs == 1 and len(like) != 1 else per_run.view(-1, *[1] * (like.ndim - 1))
