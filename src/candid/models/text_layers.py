"""What is inside a causal CLIP text tower, read from transformers' and OpenCLIP's modules, for what goes inside.

Radford et al. 2021, arxiv.org/abs/2103.00020, section 2.4: pre-norm blocks, a causal mask, pooled at the end token.
Every tensor here is the module's own, not a copy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from candid.errors import InputError

__all__ = ["Affine", "Block", "TextLayers", "text_layers", "text_parameters", "token_ids", "token_table"]

Tensor = torch.Tensor
IMAGE_SIDE = ("vision_model", "vision", "visual", "image")  # the parts of a module that read no text


@dataclass(frozen=True, eq=False)
class Affine:
    """A linear map, or the gain of a layer norm: `weight`, `bias`, and the norm's `eps`."""

    weight: Tensor
    bias: Tensor | None
    eps: float = 0.0


@dataclass(frozen=True, eq=False)
class Block:
    """One residual block. `qkv` holds one fused map or three; `width` rows of each are queries, keys, values."""

    norm_attention: Affine
    qkv: tuple[Affine, ...]
    out: Affine
    norm_mlp: Affine
    up: Affine
    down: Affine
    activation: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class TextLayers:
    """A text tower as arrays: token and position tables, blocks, the last norm, the projection (d, w), heads."""

    tokens: Tensor
    positions: Tensor
    blocks: tuple[Block, ...]
    norm: Affine
    projection: Affine
    heads: int

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that the tower computes with."""
        yield from (self.tokens, self.positions)
        for block in self.blocks:
            for part in (block.norm_attention, *block.qkv, block.out, block.norm_mlp, block.up, block.down):
                yield from _of(part)
        yield from (*_of(self.norm), *_of(self.projection))


def text_layers(module: Any) -> TextLayers | str:
    """The layers of the module's causal text tower, or why it is none that is known."""
    text = type(getattr(module, "text_model", None)).__name__
    if type(module).__name__ == "CLIPModel" or text == "CLIPTextModel":  # alone, or one of two towers
        return _transformers(module)
    if hasattr(module, "text_projection") and hasattr(module, "transformer"):
        return _open_clip(module)
    if type(module).__name__ == "CustomTextCLIP" and hasattr(module.text, "transformer"):
        return _open_clip(module.text)
    return f"{type(module).__name__} is no CLIP with a causal text tower"


def text_parameters(module: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters of a vision-language module that its text tower may use, by name."""
    return {
        name: parameter
        for name, parameter in module.named_parameters()
        if name.split(".")[0] not in (*IMAGE_SIDE, "visual_projection", "logit_scale", "logit_bias")
    }


def token_table(module: Any) -> torch.nn.Embedding:
    """The part of the module that turns token ids into vectors."""
    text = getattr(module, "text_model", getattr(module, "text", module))
    embeddings = getattr(text, "embeddings", text)
    for name in ("token_embedding", "word_embeddings"):
        if isinstance(found := getattr(embeddings, name, None), torch.nn.Embedding):
            return found
    inner = text.transformer if hasattr(text, "transformer") else text
    found = inner.get_input_embeddings() if hasattr(inner, "get_input_embeddings") else None
    if not isinstance(found, torch.nn.Embedding):
        raise InputError(f"the text tower of {type(module).__name__} has no token table that prompts could enter by")
    return found


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, special tokens included, uncut and without padding."""
    if hasattr(tokenizer, "sot_token_id"):  # OpenCLIP's own
        return [[tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id] for text in texts]
    inner = getattr(tokenizer, "tokenizer", tokenizer)  # OpenCLIP wraps those of transformers
    found: list[list[int]] = inner(list(texts), truncation=False, padding=False)["input_ids"]
    return found


def _of(part: Affine) -> Iterator[Tensor]:
    yield part.weight
    if part.bias is not None:
        yield part.bias


def _affine(layer: Any) -> Affine:
    return Affine(layer.weight, layer.bias, float(getattr(layer, "eps", 0.0)))


def _transformers(module: Any) -> TextLayers | str:
    text, config = module.text_model, module.config.text_config
    if config.attention_dropout and text.training:
        return "its attention drops out at random"
    blocks = tuple(
        Block(
            _affine(layer.layer_norm1),
            tuple(map(_affine, (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj))),
            _affine(layer.self_attn.out_proj),
            _affine(layer.layer_norm2),
            _affine(layer.mlp.fc1),
            _affine(layer.mlp.fc2),
            layer.mlp.activation_fn,
        )
        for layer in text.encoder.layers
    )
    return TextLayers(
        text.embeddings.token_embedding.weight,
        text.embeddings.position_embedding.weight,
        blocks,
        _affine(text.final_layer_norm),
        _affine(module.text_projection),
        config.num_attention_heads,
    )


def _open_clip(text: Any) -> TextLayers | str:
    pool = getattr(text, "text_pool_type", getattr(text, "pool_type", "argmax"))
    if pool not in ("argmax", "eos"):
        return f"it pools at {pool!r}, not at the end token"
    if getattr(text, "cls_emb", None) is not None or getattr(text, "attn_mask", None) is None:
        return "its attention is not simply causal"
    blocks = []
    for layer in text.transformer.resblocks:
        extras = [name for name in ("ls_1", "ls_2") if type(getattr(layer, name, None)).__name__ not in
                  ("Identity", "NoneType")]  # fmt: skip
        if extras or type(layer.attn).__name__ != "MultiheadAttention" or layer.attn.in_proj_weight is None:
            return "its blocks are not those of CLIP"
        fused = Affine(layer.attn.in_proj_weight, layer.attn.in_proj_bias)
        blocks.append(
            Block(_affine(layer.ln_1), (fused,), _affine(layer.attn.out_proj), _affine(layer.ln_2),
                  _affine(layer.mlp.c_fc), _affine(layer.mlp.c_proj), layer.mlp.gelu)
        )  # fmt: skip
    projection = text.text_projection
    ends = _affine(projection) if isinstance(projection, torch.nn.Linear) else Affine(projection.t(), None)
    return TextLayers(
        text.token_embedding.weight,
        text.positional_embedding,
        tuple(blocks),
        _affine(text.ln_final),
        ends,
        text.transformer.resblocks[0].attn.num_heads,
    )
