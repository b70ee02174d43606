"""The computations of a SAM on tensors: prompt tokens, the folded mask decoder, and a start for training.

The weights are those of transformers' `SamModel`; its image encoder is called as it is. Prompts and decoder are our own
code, because the wrapper embeds no box corners given as points, adds one mask an image instead of one a prompt, and
projects all image tokens once a prompt. Kirillov et al., ICCV 2023, arxiv.org/abs/2304.02643, appendix A.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, linear

__all__ = ["NOTHING", "Network", "initialise"]

NOTHING = -1  # label of "not a point": it closes a list of points that comes without a box
REFERENCE_EPS = 1e-5  # of the decoder's norms; transformers' default is 1e-6, which moves logits by 1e-5
UPSCALED = 4  # a decoder's logits have 4 times the side of the embedding


class Network(nn.Module):
    """A `SamModel` asked prompt by prompt. b prompts, t tokens, c channels, s the side of the embedding."""

    def __init__(self, model: Any, text_dim: int | None = None) -> None:
        super().__init__()
        self.model = model
        self.text = None if text_dim is None else nn.Linear(text_dim, model.config.mask_decoder_config.hidden_size)
        for layer in model.mask_decoder.transformer.layers:
            for norm in (layer.layer_norm1, layer.layer_norm2, layer.layer_norm3, layer.layer_norm4):
                norm.eps = REFERENCE_EPS
        model.mask_decoder.transformer.layer_norm_final_attn.eps = REFERENCE_EPS

    @property
    def image_size(self) -> int:
        """Side in pixels of the square the encoder takes."""
        return int(self.model.config.vision_config.image_size)

    @property
    def side(self) -> int:
        """Side of the embedding, in cells."""
        return self.image_size // int(self.model.config.vision_config.patch_size)

    def encode(self, pixels: Tensor) -> Tensor:
        """Embeddings b c s s of normalised, padded pixels b 3 size size."""
        embedded: Tensor = self.model.vision_encoder(pixels).last_hidden_state
        return embedded

    def tokens(self, points: Tensor, labels: Tensor) -> Tensor:
        """Sparse tokens b t c of points b p 2 (x, y in the encoder's pixels) with labels b p.

        Labels: 1 inside, 0 outside, 2 and 3 the corners of a box, -1 not a point. Their order does not matter; an
        embedding of a text or a crop is one more token, `text` of it.
        """
        prompts = self.model.prompt_encoder
        found = self._position((points + 0.5) / self.image_size)
        nothing = prompts.not_a_point_embed.weight[0]
        found = torch.where((labels == NOTHING)[..., None], nothing, found)
        for label, learned in enumerate(prompts.point_embed):
            found = found + (labels == label)[..., None] * learned.weight[0]
        return found

    def dense(self, masks: Tensor | None) -> Tensor:
        """What is added to the embedding: b c s s for logits b 1 4s 4s, one c 1 1 vector for no mask."""
        prompts = self.model.prompt_encoder
        if masks is None:
            shared: Tensor = prompts.no_mask_embed.weight[0][None, :, None, None]
            return shared
        embedded: Tensor = prompts.mask_embed(masks)
        return embedded

    def places(self) -> Tensor:
        """Position encoding c s s of the embedding's cell centres."""
        steps = (torch.arange(self.side, device=self._gaussian().device, dtype=torch.float32) + 0.5) / self.side
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        return self._position(torch.stack([x, y], dim=-1)).permute(2, 0, 1)

    def decode(self, embedding: Tensor, tokens: Tensor, dense: Tensor, places: Tensor | None = None) -> "Decoded":
        """Every mask token's state and the image after the two-way transformer, for b prompts on b or on 1 embeddings.

        Exact, but cheaper than projecting every cell for every prompt: q (W x) is (q W) x, and a mean of W x is W
        times the mean of x; what all prompts share is computed once.
        """
        decoder = self.model.mask_decoder
        places = (self.places() if places is None else places).flatten(1).T
        heads = decoder.config.num_attention_heads
        image = (embedding + dense).flatten(2).transpose(1, 2)
        fixed = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(len(tokens), -1, -1)
        original = torch.cat([fixed, tokens], dim=1)
        states = original
        for index, layer in enumerate(decoder.transformer.layers):
            attended = _among(layer.self_attn, states, original if index else None, heads)
            states = layer.layer_norm1(states + attended if index else attended)
            found = _to_image(layer.cross_attn_token_to_image, states + original, image, places, heads)
            states = layer.layer_norm2(states + found)
            states = layer.layer_norm3(states + layer.mlp(states))
            found = _from_image(layer.cross_attn_image_to_token, image, places, states + original, states, heads)
            image = layer.layer_norm4(image + found)
        last = decoder.transformer.final_attn_token_to_image
        found = _to_image(last, states + original, image, places, heads)
        states = decoder.transformer.layer_norm_final_attn(states + found)
        return Decoded(decoder, states, image)

    def _gaussian(self) -> Tensor:
        matrix: Tensor = self.model.shared_image_embedding.positional_embedding
        return matrix

    def _position(self, unit: Tensor) -> Tensor:
        angles = 2 * math.pi * ((2 * unit - 1) @ self._gaussian())
        return torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)


class Decoded:
    """The decoder's state before its heads: the qualities are cheap, the masks are computed when asked for."""

    def __init__(self, decoder: Any, states: Tensor, image: Tensor) -> None:
        self.decoder, self.states, self.image = decoder, states, image

    def quality(self) -> Tensor:
        """Predicted IoU b 4; no sigmoid, so values slightly above 1 happen."""
        predicted: Tensor = self.decoder.iou_prediction_head(self.states[:, 0])
        return predicted

    def logits(self, masks: slice = slice(None)) -> Tensor:
        """Mask logits b m 4s 4s of these mask tokens."""
        states, image = self.states, self.image
        kinds = range(self.decoder.num_mask_tokens)[masks]
        weights = torch.stack([self.decoder.output_hypernetworks_mlps[k](states[:, 1 + k]) for k in kinds], dim=1)
        b, cells, _ = image.shape
        side = math.isqrt(cells)
        norm = self.decoder.upscale_layer_norm
        halves = _spread(self.decoder.upscale_conv1, image)  # b cells 4 c/4
        halves = gelu(layer_norm(halves, halves.shape[-1:], norm.weight, norm.bias, norm.eps))
        quarters = gelu(_spread(self.decoder.upscale_conv2, halves))  # b cells 4 4 c/8
        found = torch.einsum("bmc,bnuvc->bmnuv", weights, quarters)
        found = found.reshape(b, len(kinds), side, side, 2, 2, 2, 2)  # y x, then the halves' y x, the quarters' y x
        return found.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(b, len(kinds), UPSCALED * side, UPSCALED * side)


def initialise(model: Any, *, seed: int) -> None:
    """Weights to train from: std 0.02 in the encoder, position encodings of std 1, torch's own start in the decoder.

    transformers builds an encoder of std 1e-10 and position encodings of std hidden_size / 2, which do not train.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight)
        for module in model.vision_encoder.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        if model.vision_encoder.pos_embed is not None:
            nn.init.trunc_normal_(model.vision_encoder.pos_embed, std=0.02)
        nn.init.normal_(model.shared_image_embedding.positional_embedding)
    model.prompt_encoder.shared_embedding.positional_embedding = model.shared_image_embedding.positional_embedding
    model.shared_image_embedding.positional_embedding.requires_grad_(False)


def _split(x: Tensor, heads: int) -> Tensor:
    """b n (h d) -> b h n d."""
    return _apart(x, -1, (heads, -1)).transpose(1, 2)


def _apart(x: Tensor, axis: int, sizes: tuple[int, ...]) -> Tensor:
    """The axis as several of these sizes."""
    parted: Tensor = x.unflatten(axis, sizes)  # type: ignore[no-untyped-call]
    return parted


def _among(attention: Any, states: Tensor, positions: Tensor | None, heads: int) -> Tensor:
    """Tokens looking at tokens."""
    asked = states if positions is None else states + positions
    q, k, v = (
        _split(part(x), heads)
        for part, x in ((attention.q_proj, asked), (attention.k_proj, asked), (attention.v_proj, states))
    )
    weights = torch.softmax(q @ k.transpose(-1, -2) * attention.scaling, dim=-1)
    out: Tensor = attention.out_proj((weights @ v).transpose(1, 2).flatten(2))
    return out


def _to_image(attention: Any, asked: Tensor, image: Tensor, places: Tensor, heads: int) -> Tensor:
    """Tokens b t c looking at image cells (b or 1) n c."""
    q = _split(attention.q_proj(asked), heads) * attention.scaling
    if len(image) == 1:
        k, v = _split(attention.k_proj(image + places), heads), _split(attention.v_proj(image), heads)
        found = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
    else:
        key, value = (_apart(part.weight, 0, (heads, -1)) for part in (attention.k_proj, attention.v_proj))
        t = q.shape[2]
        folded = torch.einsum("bhtd,hdc->bhtc", q, key).flatten(1, 2)
        near = _split(attention.k_proj(places)[None], heads)
        logits = _apart(folded @ image.transpose(1, 2), 1, (heads, t)) + q @ near.transpose(-1, -2)
        means = _apart(torch.softmax(logits, dim=-1).flatten(1, 2) @ image, 1, (heads, t))
        found = torch.einsum("bhtc,hdc->bhtd", means, value) + _apart(attention.v_proj.bias, 0, (heads, 1, -1))
    out: Tensor = attention.out_proj(found.transpose(1, 2).flatten(2))
    return out


def _from_image(attention: Any, image: Tensor, places: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """Image cells (b or 1) n c looking at tokens b t c; what each cell gets, b n c."""
    k, v = _split(attention.k_proj(keys), heads) * attention.scaling, _split(attention.v_proj(values), heads)
    if len(image) == 1:
        q = _split(attention.q_proj(image + places), heads)
        logits = q @ k.transpose(-1, -2)  # b h n t
    else:
        query = _apart(attention.q_proj.weight, 0, (heads, -1))
        t = k.shape[2]
        folded = torch.einsum("bhtd,hdc->bhtc", k, query).flatten(1, 2)
        near = _split(attention.q_proj(places)[None], heads)
        logits = _apart(image @ folded.transpose(1, 2), -1, (heads, t)).transpose(1, 2) + near @ k.transpose(-1, -2)
    weights = torch.softmax(logits, dim=-1)
    out = _apart(attention.out_proj.weight, 1, (heads, -1))  # c h d
    carried = torch.einsum("bhtd,chd->bhtc", v, out).flatten(1, 2)
    found: Tensor = weights.transpose(1, 2).flatten(2) @ carried + attention.out_proj.bias
    return found


def _spread(convolution: nn.ConvTranspose2d, cells: Tensor) -> Tensor:
    """A 2 x 2 transposed convolution of stride 2 as a product: ... c -> ... 4 c', the four in y x order."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 2 c') c
    bias = convolution.bias
    found = _apart(linear(cells, weight), -1, (4, -1))
    return found if bias is None else found + bias
