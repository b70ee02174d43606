"""A fine-tuning with outliers, step by step: what is drawn, what is lost, and what a checkpoint holds."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import ceil, cos, pi
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import nn
from torch.nn.functional import cross_entropy

from candid.errors import InputError, nearest
from candid.files import atomic
from candid.tune.energy_bounded import Margins, energy_bounded_loss, margins_of, outlier_exposure_loss

__all__ = [
    "WEIGHTS",
    "Augment",
    "FineTuning",
    "Objective",
    "OutlierRecipe",
    "Rows",
    "crop_and_flip",
    "energies",
    "passes",
]

Tensor = torch.Tensor
Objective = Literal["energy", "outlier-exposure", "ce"]
Augment = Callable[[Tensor, torch.Generator], Tensor]

WEIGHTS: dict[Objective, float] = {"energy": 0.1, "outlier-exposure": 0.5, "ce": 0.0}
LOWEST = 1e-6  # learning rate at the end of the cosine
LOOK = 2048  # rows of each side whose energies decide the margins


@runtime_checkable
class Rows(Protocol):
    """Inputs by row, read in batches: an array, a tensor, an array mapped from a file, or a class that decodes."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


@dataclass(frozen=True)
class OutlierRecipe:
    """How a fine-tuning is done; the defaults are those of the energy paper's tables (docs/energy.md).

    `weight` None is the objective's own, 0.1 for "energy" and 0.5 for "outlier-exposure"; `margins` None takes
    `margins_of` the network as it comes. `steps` None are `epochs` passes over the known rows.
    """

    objective: Objective = "energy"
    margins: Margins | None = None
    weight: float | None = None
    epochs: int = 10
    steps: int | None = None
    batch: int = 128
    outlier_batch: int = 256
    rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in WEIGHTS:
            raise InputError(f"no objective named {self.objective}; {nearest(self.objective, get_args(Objective))}")
        for name in ("epochs", "batch", "outlier_batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not self.rate > 0:
            raise InputError(f"rate must be positive, got {self.rate}")
        if self.margins is not None and self.margins[0] >= self.margins[1]:
            raise InputError(f"known inputs have the lower energies: expected margins (low, high), got {self.margins}")


class FineTuning:
    """What a training is between two steps."""

    def __init__(
        self, module: nn.Module, known: Rows, labels: np.ndarray, outliers: Rows | None, recipe: OutlierRecipe,
        augment: Augment | None, device: str,
    ) -> None:  # fmt: skip
        self.module, self.known, self.outliers = module, known, outliers
        self.labels = torch.from_numpy(labels)
        self.recipe, self.augment, self.device = recipe, augment, device
        self.an_epoch = ceil(len(known) / recipe.batch)
        self.steps = recipe.steps if recipe.steps is not None else recipe.epochs * self.an_epoch
        self.optimiser = torch.optim.SGD(
            module.parameters(), recipe.rate, recipe.momentum, weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )  # fmt: skip
        self.step = 0
        self.margins: Margins | None = None
        self.told: list[dict[str, float]] = []  # one row a step
        self.identity = self._identity()  # before the first step: it holds the weights that the run starts from

    def own_margins(self) -> Margins:
        """The margins of the network as it is, from energies of some rows of both sides."""
        if self.outliers is None:
            raise InputError("energies of outliers decide the margins; pass outliers")
        sides = []
        for place, rows in enumerate((self.known, self.outliers)):
            some = np.random.default_rng([self.recipe.seed, place]).permutation(len(rows))[:LOOK]
            sides.append(energies(self.module, _Picked(rows, some), prepare=self.augment, device=self.device))
        return margins_of(*sides)

    def advance(self) -> None:
        """One step of SGD; the rate has already moved, as in the reference."""
        recipe, step = self.recipe, self.step
        self.step += 1
        share = 0.5 * (1 + cos(pi * self.step / self.steps))
        for group in self.optimiser.param_groups:
            group["lr"] = LOWEST + (recipe.rate - LOWEST) * share
        rows = self._rows(len(self.known), recipe.batch, step)
        generator = _generator(recipe.seed, step)
        inputs = _batch(self.known, rows, self.augment, generator, self.device)
        if self.outliers is not None:
            other = passes(len(self.outliers), recipe.outlier_batch, step, recipe.seed)
            inputs = torch.cat([inputs, _batch(self.outliers, other, self.augment, generator, self.device)])
        self.module.train()
        with torch.random.fork_rng(devices=_devices(self.device)):
            torch.manual_seed(int(np.random.default_rng([recipe.seed, step, 2]).integers(2**31)))
            logits = self.module(inputs)
        truth = self.labels[rows].to(self.device)
        loss = self._loss(logits[: len(rows)], truth, logits[len(rows) :])
        if not torch.isfinite(loss):
            raise InputError(
                f"the loss stopped being finite at step {step + 1} of {self.steps}; lower the rate ({recipe.rate}) or "
                f"take margins nearer to the network's energies (margins={self.margins})"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._tell(float(loss.detach()), logits.detach().float(), truth)

    def _loss(self, logits_in: Tensor, truth: Tensor, logits_out: Tensor) -> Tensor:
        weight = self.recipe.weight or 0.0
        if self.margins is not None:
            return energy_bounded_loss(logits_in, truth, logits_out, *self.margins, weight)
        if self.recipe.objective == "outlier-exposure":
            return outlier_exposure_loss(logits_in, truth, logits_out, weight)
        return cross_entropy(logits_in, truth)

    def _rows(self, n: int, size: int, step: int) -> np.ndarray:
        """The known rows of a step: shuffled passes, the last batch of each is what is left."""
        epoch, place = divmod(step, ceil(n / size))
        return _order(self.recipe.seed, epoch, 0, n)[place * size : (place + 1) * size]

    def _tell(self, loss: float, logits: Tensor, truth: Tensor) -> None:
        n, energy = len(truth), -torch.logsumexp(logits, 1)
        row = {"loss": loss, "accuracy": float((logits[:n].argmax(1) == truth).float().mean()),
               "energy_known": float(energy[:n].mean())}  # fmt: skip
        self.told.append(row | ({} if self.outliers is None else {"energy_unknown": float(energy[n:].mean())}))

    def history(self) -> tuple[Mapping[str, float], ...]:
        """Means of the steps, by epoch."""
        parts = [self.told[start : start + self.an_epoch] for start in range(0, len(self.told), self.an_epoch)]
        return tuple({name: float(np.mean([row[name] for row in part])) for name in part[0]} for part in parts)

    def _identity(self) -> str:
        """What a checkpoint must share with this run to be its own."""
        facts = asdict(self.recipe) | {"outliers": -1 if self.outliers is None else len(self.outliers)}
        found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        found.update(self.labels.numpy().tobytes())
        for value in self.module.state_dict().values():
            found.update(value.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def save(self, path: str | Path) -> None:
        """The checkpoint, whole or not at all."""
        content = {
            "identity": self.identity,
            "step": self.step,
            "margins": self.margins and list(self.margins),
            "told": self.told,
            "module": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        with atomic(Path(path)) as part:
            torch.save(content, part)

    def restore(self, path: str | Path | None) -> None:
        """Go on where the checkpoint was; one of another run is refused."""
        if path is None or not Path(path).exists():
            return
        try:
            content = torch.load(path, map_location=self.device, weights_only=True)
            own = content["identity"] == self.identity
        except Exception as error:  # torch raises what the damaged byte happens to cause
            raise InputError(f"{path} is no checkpoint of a fine-tuning ({error}); delete it to start again") from error
        if not own:
            raise InputError(f"{path} belongs to another fine-tuning; delete it, or choose another checkpoint")
        self.module.load_state_dict(content["module"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.told = content["step"], content["told"]
        self.margins = None if content["margins"] is None else Margins(*content["margins"])


@torch.inference_mode()
def energies(
    model: nn.Module,
    rows: Rows,
    *,
    prepare: Augment | None = None,
    batch: int = 256,
    device: str = "cpu",
    seed: int = 0,
) -> Float[Tensor, " n"]:
    """Energies -logsumexp(model(rows)) in evaluation mode, batch by batch."""
    training = model.training
    model.eval()
    found = []
    for start in range(0, len(rows), batch):
        inputs = _batch(rows, np.arange(start, min(start + batch, len(rows))), prepare, _generator(seed, start), device)
        found.append(-torch.logsumexp(model(inputs).float(), 1).cpu())
    model.train(training)
    return torch.cat(found)


def crop_and_flip(
    batch: Shaped[Tensor, "n c h w"], generator: torch.Generator, *, pad: int = 4
) -> Shaped[Tensor, "n c h w"]:
    """Each image shifted by up to `pad` pixels over a black border, and half of them mirrored: CIFAR's augmentation.

    For pixels from 0, before they are normalised.
    """
    n, _, height, width = batch.shape
    padded = nn.functional.pad(batch, (pad, pad, pad, pad))
    down, right = torch.randint(0, 2 * pad + 1, (2, n), generator=generator)
    mirrored = torch.rand(n, generator=generator) < 0.5
    columns = torch.arange(width)
    across = right[:, None] + torch.where(mirrored[:, None], width - 1 - columns, columns)
    along = down[:, None] + torch.arange(height)
    picked = torch.arange(n)[:, None, None]
    return padded.permute(0, 2, 3, 1)[picked, along[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _Picked:
    """Some of the rows."""

    rows: Rows
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> Any:
        return self.rows[np.sort(self.places[rows])]


def passes(n: int, size: int, step: int, seed: int) -> np.ndarray:
    """The outlier rows of a step: whole shuffled passes one after another, cut into pieces of one size."""
    places = np.arange(step * size, (step + 1) * size)
    return np.concatenate(
        [_order(seed, int(turn), 1, n)[places[places // n == turn] % n] for turn in np.unique(places // n)]
    )


@lru_cache(maxsize=8)
def _order(seed: int, turn: int, stream: int, n: int) -> np.ndarray:
    """The shuffled rows of one pass."""
    return np.random.default_rng([seed, turn, stream]).permutation(n)


def _batch(rows: Rows, picked: np.ndarray, augment: Augment | None, generator: torch.Generator, device: str) -> Tensor:
    found = torch.as_tensor(rows[picked])
    if augment is not None:
        found = augment(found, generator)
    if not found.is_floating_point():
        raise InputError(f"inputs must be floating point, got {found.dtype}; pass augment to scale them")
    return found.to(device)


def _generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(np.random.default_rng([seed, step, 3]).integers(2**31)))


def _devices(device: str) -> list[torch.device]:
    return [torch.device(device)] if device.startswith("cuda") else []
