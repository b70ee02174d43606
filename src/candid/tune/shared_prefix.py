"""The exact text tower that computes what classes share once.

In a causal tower a token's state depends on the tokens before it alone. So what comes after the end token is never
needed, a prefix that all classes share is one set of keys and values, what precedes the first trained token is a
constant of the model, and the last block is needed at end tokens only. Classes are kept in groups of one length, side
by side without padding: every linear map is one product over all rows, runs are stacked in front.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F

__all__ = ["Affine", "Block", "Group", "KeysValues", "Layers", "SharedPrefix"]

Tensor = torch.Tensor
KeysValues = tuple[Tensor, Tensor]


@runtime_checkable
class Affine(Protocol):
    """A linear map or a layer norm."""

    @property
    def weight(self) -> Tensor: ...
    @property
    def bias(self) -> Tensor | None: ...
    @property
    def eps(self) -> float: ...


@runtime_checkable
class Block(Protocol):
    """A pre-norm block."""

    @property
    def norm_attention(self) -> Affine: ...
    @property
    def qkv(self) -> Sequence[Affine]: ...
    @property
    def out(self) -> Affine: ...
    @property
    def norm_mlp(self) -> Affine: ...
    @property
    def up(self) -> Affine: ...
    @property
    def down(self) -> Affine: ...
    @property
    def activation(self) -> Callable[[Tensor], Tensor]: ...


@runtime_checkable
class Layers(Protocol):
    """A causal text tower as tensors."""

    @property
    def tokens(self) -> Tensor: ...
    @property
    def positions(self) -> Tensor: ...
    @property
    def blocks(self) -> Sequence[Block]: ...
    @property
    def norm(self) -> Affine: ...
    @property
    def projection(self) -> Affine: ...
    @property
    def heads(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Group:
    """Classes of one length: `rows` (r, c, n, w) go through the tower after the prefix.

    `before` are keys and values of tokens that stand between the prefix and the rows, (c, m, w) a block.
    """

    rows: Tensor
    before: Sequence[KeysValues] = ()


class SharedPrefix:
    """States of a causal tower, prefix once, groups of classes after it. Weights are read, never copied, unless frozen
    maps of queries, keys and values have to be joined."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self.heads = layers.heads
        frozen = not any(part.weight.requires_grad for block in layers.blocks for part in block.qkv)
        self._joined = [_joined(block) for block in layers.blocks] if frozen else None

    def ends(self, constant: Sequence[KeysValues], prefix: Tensor, groups: Sequence[Group]) -> Tensor:
        """Unprojected end-token states (r, k, w), groups in order. `prefix` (r, p, w) may be empty."""
        x, spans = self._packed(prefix, groups)
        for i in range(len(self.layers.blocks) - 1):
            x, _ = self._block(i, x, prefix.shape[1], groups, spans, constant)
        return self._last(x, prefix.shape[1], groups, spans, constant)

    def keys_values(self, constant: Sequence[KeysValues], prefix: Tensor) -> list[KeysValues]:
        """Keys and values (p, w) of every block for one sequence (1, p, w) that follows the constant."""
        found, x = [], prefix
        for i in range(len(self.layers.blocks)):
            x, (keys, values) = self._block(i, x, x.shape[1], (), (), constant)
            found.append((keys[0], values[0]))
        return found

    def own_keys_values(self, constant: Sequence[KeysValues], group: Group) -> list[KeysValues]:
        """Keys and values (c, n, w) of every block for the rows (1, c, n, w) of one group that follow the constant."""
        prefix = group.rows.new_empty((1, 0, group.rows.shape[-1]))
        x, spans = self._packed(prefix, (group,))
        found = []
        for i in range(len(self.layers.blocks)):
            x, (keys, values) = self._block(i, x, 0, (group,), spans, constant)
            shape = group.rows.shape[1:]
            found.append((keys[0].reshape(shape), values[0].reshape(shape)))
        return found

    def project(self, ends: Tensor) -> Tensor:
        """Rows in the joint space, not yet of unit length."""
        norm, projection = self.layers.norm, self.layers.projection
        return F.linear(_norm(ends, norm), projection.weight, projection.bias)

    def _packed(self, prefix: Tensor, groups: Sequence[Group]) -> tuple[Tensor, list[tuple[int, int]]]:
        parts, spans, at = [prefix], [], prefix.shape[1]
        for group in groups:
            parts.append(group.rows.flatten(1, 2))
            spans.append((at, at + parts[-1].shape[1]))
            at = spans[-1][1]
        return torch.cat(parts, dim=1), spans

    def _weights(self, i: int) -> tuple[Tensor, Tensor | None]:
        return _joined(self.layers.blocks[i]) if self._joined is None else self._joined[i]

    def _block(
        self, i: int, x: Tensor, p: int, groups: Sequence[Group], spans: Sequence[tuple[int, int]],
        constant: Sequence[KeysValues],
    ) -> tuple[Tensor, KeysValues]:  # fmt: skip
        block, width = self.layers.blocks[i], x.shape[-1]
        q, k, v = torch.split(F.linear(_norm(x, block.norm_attention), *self._weights(i)), width, dim=-1)
        shared = self._shared(i, k[:, :p], v[:, :p], constant)
        seen = [self._prefix_sees(q[:, :p], shared, len(constant and constant[i][0]))] if p else []
        for group, (start, stop) in zip(groups, spans, strict=True):
            c, n = group.rows.shape[1:3]
            own = self._own(i, group, k[:, start:stop], v[:, start:stop])
            seen.append(self._group_sees(torch.unflatten(q[:, start:stop], 1, (c, n)), shared, own))
        x = x + F.linear(torch.cat(seen, dim=1), block.out.weight, block.out.bias)
        return x + self._mlp(block, x), (k, v)

    def _last(
        self, x: Tensor, p: int, groups: Sequence[Group], spans: Sequence[tuple[int, int]],
        constant: Sequence[KeysValues],
    ) -> Tensor:  # fmt: skip
        i, width = len(self.layers.blocks) - 1, x.shape[-1]
        block, (weight, bias) = self.layers.blocks[-1], self._weights(i)
        normed = _norm(x, block.norm_attention)
        k, v = torch.split(F.linear(normed, weight[width:], None if bias is None else bias[width:]), width, dim=-1)
        shared = self._shared(i, k[:, :p], v[:, :p], constant)
        seen, ends = [], []
        for group, (start, stop) in zip(groups, spans, strict=True):
            n = group.rows.shape[2]
            q = F.linear(normed[:, start + n - 1 : stop : n], weight[:width], None if bias is None else bias[:width])
            own = self._own(i, group, k[:, start:stop], v[:, start:stop])
            seen.append(self._group_sees(q.unsqueeze(2), shared, own))
            ends.append(x[:, start + n - 1 : stop : n])
        end = torch.cat(ends, dim=1)
        end = end + F.linear(torch.cat(seen, dim=1), block.out.weight, block.out.bias)
        return end + self._mlp(block, end)

    def _mlp(self, block: Block, x: Tensor) -> Tensor:
        up = F.linear(_norm(x, block.norm_mlp), block.up.weight, block.up.bias)
        return F.linear(block.activation(up), block.down.weight, block.down.bias)

    def _shared(self, i: int, k: Tensor, v: Tensor, constant: Sequence[KeysValues]) -> KeysValues:
        """Keys and values (r, h, p, e) of the constant and the prefix."""
        if constant:
            k, v = (torch.cat((known.expand(len(new), -1, -1), new), 1)
                    for known, new in zip(constant[i], (k, v), strict=True))  # fmt: skip
        return self._split(k), self._split(v)

    def _own(self, i: int, group: Group, k: Tensor, v: Tensor) -> KeysValues:
        """Keys and values (r, h, c, m + n, e) of a group's classes, each for itself."""
        c, n = group.rows.shape[1:3]
        k, v = torch.unflatten(k, 1, (c, n)), torch.unflatten(v, 1, (c, n))
        if group.before:
            k, v = (torch.cat((known.expand(len(new), -1, -1, -1), new), 2)
                    for known, new in zip(group.before[i], (k, v), strict=True))  # fmt: skip
        return self._split(k), self._split(v)

    def _split(self, x: Tensor) -> Tensor:
        """Heads in front: (r, ..., w) to (r, h, ..., e)."""
        return torch.unflatten(x, -1, (self.heads, -1)).movedim(-2, 1)

    def _prefix_sees(self, q: Tensor, shared: KeysValues, known: int) -> Tensor:
        keys, values = shared
        n = q.shape[1]
        mask = _causal(n, known + n, q)
        return F.scaled_dot_product_attention(self._split(q), keys, values, mask).movedim(1, -2).flatten(-2)

    def _group_sees(self, q: Tensor, shared: KeysValues, own: KeysValues) -> Tensor:
        """Attention of queries (r, c, n, w) to the shared keys and their own; one softmax over both."""
        (keys, values), (own_keys, own_values) = shared, own
        r, c, n, _ = q.shape
        p, m = keys.shape[2], own_keys.shape[3]
        q = self._split(q * (q.shape[-1] // self.heads) ** -0.5).contiguous()
        far = torch.unflatten(q.flatten(2, 3) @ keys.transpose(-1, -2), 2, (c, n))
        near = q @ own_keys.transpose(-1, -2)
        if n > 1:
            near = near + _causal(n, m, q)
        weights = torch.cat((far, near), -1).softmax(-1)
        seen = torch.unflatten(weights[..., :p].flatten(2, 3) @ values, 2, (c, n)) + weights[..., p:] @ own_values
        return seen.movedim(1, -2).reshape(r, c * n, -1)


def _joined(block: Block) -> tuple[Tensor, Tensor | None]:
    parts = block.qkv
    if len(parts) == 1:
        return parts[0].weight, parts[0].bias
    biases = [part.bias for part in parts if part.bias is not None]
    return torch.cat([part.weight for part in parts]), torch.cat(biases) if biases else None


def _norm(x: Tensor, norm: Affine) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)


def _causal(queries: int, keys: int, like: Tensor) -> Tensor:
    """0 where a query may look, -inf at keys after it; the last query sits at the last key."""
    mask = torch.full((queries, keys), float("-inf"), dtype=like.dtype, device=like.device)
    return mask.triu(keys - queries + 1)
