"""Prompt tuning as the public code does it, written from its description: every class, all 77 positions, every step.

Zhou et al. 2022 (CoOp), arxiv.org/abs/2109.01134, on a text model in transformers' format: token vectors with the
context put in, positions, every block under a dense causal mask, the end token's state, projection, unit rows.
"""

import torch
from torch import Tensor

__all__ = ["Dense"]


class Dense:
    """Class rows of CoOp prompts, with gradients to the context.

    `ids` (k, n) hold a placeholder where it goes: the `length` tokens after the first, or at `places` (k, length).
    """

    def __init__(self, model, ids: Tensor, *, length: int = 0, places: Tensor | None = None) -> None:
        self.text, self.projection = model.text_model, model.text_projection
        self.places = torch.arange(1, 1 + length, device=ids.device).expand(len(ids), -1) if places is None else places
        self.vectors = self.text.embeddings.token_embedding.weight[ids].detach()
        self.ends = (ids == model.config.text_config.eos_token_id).int().argmax(dim=1)
        n = ids.shape[1]
        self.mask = torch.full((n, n), float("-inf"), device=ids.device).triu(1)

    def __call__(self, context: Tensor) -> Tensor:
        k, n, _ = self.vectors.shape
        classes = torch.arange(k, device=context.device)[:, None]
        x = self.vectors.index_put((classes, self.places), context.expand(k, -1, -1))
        x = x + self.text.embeddings.position_embedding.weight[:n]
        for layer in self.text.encoder.layers:
            x = x + self._attention(layer.self_attn, layer.layer_norm1(x))
            x = x + layer.mlp(layer.layer_norm2(x))
        rows = self.projection(self.text.final_layer_norm(x)[torch.arange(k), self.ends])
        return rows / rows.norm(dim=-1, keepdim=True)

    def _attention(self, block, x: Tensor) -> Tensor:
        k, n, w = x.shape
        heads = block.num_heads
        q, key, value = (
            part(x).view(k, n, heads, w // heads).transpose(1, 2) for part in (block.q_proj, block.k_proj, block.v_proj)
        )
        weights = (q @ key.transpose(-1, -2) * (w // heads) ** -0.5 + self.mask).softmax(dim=-1)
        return block.out_proj((weights @ value).transpose(1, 2).reshape(k, n, w))
