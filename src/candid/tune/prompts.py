"""A class list as prompts that can be learnt: context vectors and name vectors in, unit rows out.

The sequence is CoOp's (Zhou et al. 2022, arxiv.org/abs/2109.01134, eq. 2 and 3): [SOS] context and name in the chosen
order "." [EOT].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float

from candid.errors import InputError
from candid.tune.shared_prefix import Group, KeysValues
from candid.tune.towers import Inside, TextTower, text_tower
from candid.tune.wording import Ids, Position, Wording, learned, written

__all__ = ["Prompts"]

Tensor = torch.Tensor


@dataclass(eq=False)
class Prompts:
    """Prompts of a class list for a tower; call it with what is learnt to get unit rows (r, k, d), differentiable.

    r runs are stacked, k classes, M context tokens, T name tokens of all classes, w the tower's width.
    """

    tower: TextTower
    wording: Wording

    @classmethod
    def learned(
        cls,
        model: Inside | TextTower,
        classes: Sequence[str],
        *,
        length: int = 16,
        position: Position = "end",
        distinct: bool = True,
    ) -> "Prompts":
        """Prompts with `length` context vectors, the class name at the "end", in the "middle" or at the "front"."""
        tower = model if isinstance(model, TextTower) else text_tower(model)
        wording = learned(
            tower.model.token_ids, classes, length=length, position=position, limit=tower.limit, distinct=distinct
        )
        return cls(tower, wording)

    @classmethod
    def written(
        cls, model: Inside | TextTower, classes: Sequence[str], *, template: str = "a photo of a {}."
    ) -> "Prompts":
        """Prompts whose context is the words of a template."""
        tower = model if isinstance(model, TextTower) else text_tower(model)
        return cls(tower, written(tower.model.token_ids, classes, template=template, limit=tower.limit))

    @property
    def width(self) -> int:
        """Dimensions of a token vector."""
        return int(self.tower.table.shape[1])

    @property
    def name_lengths(self) -> list[int]:
        """Tokens of each name."""
        return [len(name) for name in self.wording.names]

    @property
    def name_vectors(self) -> Float[Tensor, "t w"]:
        """The model's own token vectors of all names, one after the other."""
        return self.tower.look_up([token for name in self.wording.names for token in name])

    @property
    def context_vectors(self) -> Float[Tensor, "m w"] | None:
        """Token vectors of a written context; None where it is to be learnt."""
        return None if self.wording.context is None else self.tower.look_up(self.wording.context)

    def __call__(
        self, context: Float[Tensor, "r kc m w"] | None = None, names: Float[Tensor, "rn t w"] | None = None
    ) -> Float[Tensor, "runs k d"]:
        """Unit rows. `context` (r, 1 or k, M, w), written words if None; `names` (r, T, w), the true ones if None."""
        self._check(context, names)
        self.tower.refresh()
        rows = self._shared(context, names) if self.tower.shares else self.tower.ordinary.rows(
            self.wording, context, names
        )  # fmt: skip
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        unit: Float[Tensor, "runs k d"] = rows / rows.norm(dim=-1, keepdim=True)
        return unit

    def _check(self, context: Tensor | None, names: Tensor | None) -> None:
        k, m, w = len(self.wording.classes), self.wording.length, self.width
        if context is None and self.wording.context is None:
            raise InputError("these prompts have no words of their own; pass context vectors")
        if context is not None and (context.shape[1] not in (1, k) or context.shape[2:] != (m, w)):
            raise InputError(f"expected context of shape (r, 1 or {k}, {m}, {w}), got {tuple(context.shape)}")
        if names is not None and names.shape[1:] != (sum(self.name_lengths), w):
            raise InputError(f"expected names of shape (r, {sum(self.name_lengths)}, {w}), got {tuple(names.shape)}")
        if context is not None and names is not None and len(context) != len(names):
            raise InputError(f"expected context and names of as many runs, got {len(context)} and {len(names)}")

    @cached_property
    def _groups(self) -> list[tuple[list[int], int, int]]:
        """Classes with names and tails of one length: their places, tokens of the name, tokens of the tail."""
        found: dict[tuple[int, int], list[int]] = {}
        for place, (name, tail) in enumerate(zip(self.wording.names, self.wording.tails, strict=True)):
            found.setdefault((len(name), len(tail)), []).append(place)
        return [(places, *lengths) for lengths, places in sorted(found.items())]

    @cached_property
    def _order(self) -> Tensor:
        """Place of every class among the groups."""
        places = torch.tensor([place for group, _, _ in self._groups for place in group])
        return places.argsort().to(self.tower.table.device)

    def _shared(self, context: Tensor | None, names: Tensor | None) -> Tensor:
        wording, tower = self.wording, self.tower
        fast = tower.fast
        if fast is None:
            raise InputError("this tower does not share")
        runs = max(1 if part is None else len(part) for part in (context, names))
        if context is not None:
            context = context.to(tower.table.dtype)
        if names is not None:
            names = names.to(tower.table.dtype)
        fixed = wording.head + (wording.context or ())[: wording.before] if context is None else wording.head
        constant = tower.constant(fixed)
        prefix = self._prefix(fixed if not constant else (), context, runs, len(fixed) if constant else 0)
        at = len(fixed) + (wording.before if context is not None and context.shape[1] == 1 else 0)
        groups = [self._group(g, context, names, runs, at, constant) for g in range(len(self._groups))]
        return fast.project(fast.ends(constant, prefix, groups))[:, self._order]

    def _prefix(self, ids: Ids, context: Tensor | None, runs: int, start: int) -> Tensor:
        """Token vectors with positions of what all classes share and is not constant."""
        parts = [self.tower.look_up(ids).expand(runs, -1, -1)]
        if context is not None and context.shape[1] == 1:
            parts.append(context[:, 0, : self.wording.before])
        return self._placed(torch.cat(parts, dim=1), start)

    def _group(
        self, g: int, context: Tensor | None, names: Tensor | None, runs: int, at: int, constant: list[KeysValues]
    ) -> Group:
        """The rows of a group from position `at` on; frozen names that directly follow the constant are constants."""
        wording, (places, length, _) = self.wording, self._groups[g]
        own = context is not None and context.shape[1] > 1
        lead = bool(constant) and names is None and wording.before == 0 and length > 0
        parts = []
        if own and context is not None:
            parts.append(context[:, places, : wording.before])
        if not lead:
            parts.append(self._spoken(g, names).expand(runs, -1, -1, -1))
        if context is None:
            words = self.tower.look_up((wording.context or ())[wording.before :])
            parts.append(words.expand(runs, len(places), -1, -1))
        else:
            after = context[:, places, wording.before :] if own else context[:, :1, wording.before :]
            parts.append(after.expand(-1, len(places), -1, -1))
        tails = torch.stack([self.tower.look_up(wording.tails[place]) for place in places])
        parts.append(tails.expand(runs, -1, -1, -1))
        before = self._names_known(g, constant, at) if lead else ()
        return Group(self._placed(torch.cat(parts, dim=2), at + (length if lead else 0)), before)

    def _spoken(self, g: int, names: Tensor | None) -> Tensor:
        """Name vectors (r, c, n, w) of a group."""
        places, length, _ = self._groups[g]
        if names is None:
            return torch.stack([self.tower.look_up(self.wording.names[place]) for place in places])[None]
        starts = [sum(self.name_lengths[:place]) for place in places]
        index = torch.tensor([[start + i for i in range(length)] for start in starts], device=names.device)
        return torch.unflatten(names[:, index.reshape(-1)], 1, (len(places), length))

    def _names_known(self, g: int, constant: list[KeysValues], at: int) -> list[KeysValues]:
        tower, fast = self.tower, self.tower.fast
        key = ("names", self.wording.head, tuple(self.wording.names[place] for place in self._groups[g][0]))
        if key not in tower.known and fast is not None:
            with torch.no_grad():
                rows = self._placed(self._spoken(g, None), at)
                tower.known[key] = fast.own_keys_values(constant, Group(rows))
        found: list[KeysValues] = tower.known[key]
        return found

    def _placed(self, rows: Tensor, start: int) -> Tensor:
        layers = self.tower.layers
        if layers is None:
            return rows
        return rows + layers.positions[start : start + rows.shape[-2]]
