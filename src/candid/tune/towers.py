"""A model's text tower, ready for prompts: the one that shares what can be shared where that is exact, else its own."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch

from candid.errors import InputError
from candid.tune.ordinary import Ordinary, Readable
from candid.tune.shared_prefix import KeysValues, Layers, SharedPrefix
from candid.tune.wording import learned
from candid.types import Activation

__all__ = ["Inside", "TextTower", "text_tower"]

Tensor = torch.Tensor
CLOSE = {torch.float64: 1e-10, torch.float32: 1e-5}  # of the gate, relative to unit rows; half precision: 2e-2
ASKED = ("a", "an owl", "the long name of a thing", "x 9")  # classes the gate tries


@runtime_checkable
class Inside(Readable, Protocol):
    """What a model needs for its prompts to be learnt."""

    scale: float
    bias: float
    activation: Activation
    dim: int

    def text_layers(self) -> Any: ...
    def text_parameters(self, module: Any) -> dict[str, torch.nn.Parameter]: ...
    def token_ids(self, texts: Sequence[str]) -> list[list[int]]: ...


@dataclass(eq=False)
class TextTower:
    """Prompts to rows. `shares` says which of the two ways is taken; `note` why it is the slow one, or is empty.

    Constants of a frozen tower (keys and values of what precedes the first trained token) are kept in `known`.
    """

    model: Inside
    module: Any
    limit: int | None
    note: str
    layers: Layers | None
    known: dict[tuple[object, ...], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ordinary = Ordinary(self.model, self.module)
        self.fast = None if self.layers is None else SharedPrefix(self.layers)
        self._state = _state(self.model, self.module)

    def refresh(self) -> None:
        """Drop what was kept of weights that have changed since; weights that train keep nothing."""
        if self.layers is None or self.trains or self._state == _state(self.model, self.module):
            return
        self.layers = _layers(self.model, self.module)
        self.known.clear()
        self.__post_init__()

    @property
    def shares(self) -> bool:
        """Whether shared prefixes are computed once; exact either way."""
        return self.fast is not None

    @property
    def table(self) -> Tensor:
        """Token vectors (vocabulary, w)."""
        weight: Tensor = self.ordinary.table.weight
        return weight

    @property
    def trains(self) -> bool:
        """Whether the tower's own weights take gradients, so that nothing of it is constant."""
        return self.table.requires_grad

    def look_up(self, ids: Sequence[int]) -> Tensor:
        """Token vectors of these ids."""
        return self.table[torch.tensor(tuple(ids), dtype=torch.long, device=self.table.device)]

    def trainable(self) -> "TextTower":
        """A copy whose text weights are float32 (or float64) and take gradients; the image side is not copied."""
        module = self.module
        image = {id(part): part for name, part in module.named_children() if name.startswith("vis")}
        twin = copy.deepcopy(module, image)
        for parameter in self.model.text_parameters(twin).values():
            parameter.data = parameter.data.to(torch.promote_types(parameter.dtype, torch.float32))
            parameter.requires_grad_(True)
        layers = _layers(self.model, twin) if self.shares else None
        return TextTower(self.model, twin, self.limit, self.note, layers)

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """The weights of the text side, by name."""
        return self.model.text_parameters(self.module)

    def constant(self, ids: tuple[int, ...]) -> list[KeysValues]:
        """Keys and values of a sequence's first tokens, which are the same for every class and every run."""
        if self.fast is None or self.layers is None or not ids or self.trains:
            return []
        key = ("prefix", ids)
        if key not in self.known:
            with torch.no_grad():
                rows = self.look_up(ids) + self.layers.positions[: len(ids)]
                self.known[key] = self.fast.keys_values([], rows[None])
        found: list[KeysValues] = self.known[key]
        return found


def text_tower(model: Inside) -> TextTower:
    """The model's text tower, tried once: the sharing way where it gives the framework's rows, else the framework's.

    >>> from candid import models
    >>> text_tower(models.load("tiny")).shares
    True
    """
    if not hasattr(model, "text_layers"):
        raise InputError(f"{getattr(model, 'id', model)} has no text tower to go into; load it with models.load")
    # Kept on the model itself, since the tower holds the model: a table beside it would keep both for ever.
    kept: dict[str, Any] = vars(model)
    state = _state(model, model.module)
    if "_tower" not in kept or kept["_tower"][0] != state:
        kept["_tower"] = (state, _tried(model))
    found: TextTower = kept["_tower"][1]
    return found


def _state(model: Inside, module: Any) -> tuple[object, ...]:
    """What changes when a text weight does."""
    return tuple((p.data_ptr(), p._version, p.dtype) for p in model.text_parameters(module).values())


def _tried(model: Inside) -> TextTower:
    limit, layers = _limit(model.module), model.text_layers()
    own = TextTower(model, model.module, limit, layers if isinstance(layers, str) else "", None)
    if isinstance(layers, str):
        return own
    fast = TextTower(model, model.module, limit, "", layers)
    return fast if _agree(fast, own) else TextTower(
        model, model.module, limit, "sharing a prefix does not give the rows of this tower", None
    )  # fmt: skip


@torch.no_grad()
def _agree(fast: TextTower, own: TextTower) -> bool:
    from candid.tune.prompts import Prompts

    wording = learned(fast.model.token_ids, ASKED, length=3, position="middle")
    if fast.limit is not None and max(wording.lengths()) > fast.limit:
        wording = learned(fast.model.token_ids, ASKED[:1], length=1)
    random = torch.Generator().manual_seed(0)
    context = torch.randn((2, 1, wording.length, fast.table.shape[1]), generator=random) * 0.02
    context = context.to(fast.table)
    try:
        found = [Prompts(tower, wording)(context) for tower in (fast, own)]
    except RuntimeError:
        return False
    return bool((found[0] - found[1]).abs().max() <= CLOSE.get(fast.table.dtype, 2e-2))


def _layers(model: Inside, module: Any) -> Layers | None:
    probe = copy.copy(model)
    probe.module = module
    found = probe.text_layers()
    return None if isinstance(found, str) else found


def _limit(module: Any) -> int | None:
    """The most tokens that the text tower takes, where it says so."""
    config = getattr(getattr(module, "config", None), "text_config", None)
    for holder, name in ((config, "max_position_embeddings"), (module, "context_length")):
        if isinstance(found := getattr(holder, name, None), int):
            return found
    found = getattr(getattr(module, "text", None), "context_length", None)
    return found if isinstance(found, int) else None
