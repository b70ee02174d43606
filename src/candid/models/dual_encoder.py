"""Any image tower beside any text tower (`VisionTextDualEncoderModel` of transformers): a softmax over scaled cosines.

So are saved models that were trained contrastively from two pretrained halves, e.g. locked-image tuning, Zhai et al.
2022, arxiv.org/abs/2111.07991. Each tower's own pooled output is projected, without a bias.
"""

import math
from collections.abc import Callable
from typing import Any

import torch

from candid.errors import InputError
from candid.models.device import place
from candid.models.families import FAMILIES, ONE_SIZE
from candid.models.framework import read_model, read_tokenizer, to_device
from candid.models.preprocess import read_preprocess
from candid.models.source import Source
from candid.models.towers import TwoTowers

__all__ = ["load"]

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
PROCESSORS = {"clip_vision_model": "CLIP", "siglip_vision_model": "Siglip", **FAMILIES}
FIXED = ("clip_vision_model", "siglip_vision_model", *ONE_SIZE)
AFTER_PADDING = ("camembert", "roberta", "xlm-roberta")  # their positions count from the padding token's number on


def load(source: Source, *, device: str = "auto", dtype: str = "auto") -> TwoTowers:
    """The dual encoder at `source`."""
    placement = place(device, dtype)
    model = read_model("VisionTextDualEncoderModel", source)
    scale = math.exp(float(model.logit_scale))  # before any cast: half precision would round it
    seen = model.config.vision_config
    pixels = read_preprocess(
        source.folder,
        image_size=seen.image_size if seen.model_type in FIXED else None,
        family=PROCESSORS.get(seen.model_type, seen.model_type),
    )
    tokenizer = read_tokenizer(source)
    context = _context(model.config.text_config, tokenizer, source.name)
    model = to_device(model, placement)

    def image_tower(batch: torch.Tensor) -> torch.Tensor:
        found = model.get_image_features(pixel_values=pixels.normalise(batch).to(placement.dtype))
        rows: torch.Tensor = found.pooler_output  # in transformers 5 this is the projected vector
        return rows

    def text_tower(texts: list[str], module: Any = model) -> torch.Tensor:
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=context, return_tensors="pt")
        inputs = {name: tokens[name].to(placement.device) for name in INPUTS if name in tokens}
        rows: torch.Tensor = module.get_text_features(**inputs).pooler_output
        return rows

    encoder = TwoTowers(
        id=source.name,
        revision=source.revision,
        pixels=pixels,
        dim=model.config.projection_dim,
        scale=scale,
        bias=0.0,
        activation="softmax",
        placement=placement,
        image_tower=image_tower,
        text_tower=text_tower,
        module=model,
        tokenizer=tokenizer,
    )
    _check(encoder)
    return encoder


def _context(config: Any, tokenizer: Any, name: str) -> int:
    """The most tokens that the text tower has positions for."""
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int):
        raise InputError(
            f"the text tower of {name} is a {config.model_type} without a fixed context; it has no adapter"
        )
    if config.model_type in AFTER_PADDING:
        positions -= config.pad_token_id + 1
    return min(positions, int(tokenizer.model_max_length))


@torch.inference_mode()
def _check(encoder: TwoTowers) -> None:
    """Refuse towers that do not pool to one vector, at which the framework's own forward pass fails too."""
    blank = torch.zeros((1, 3, encoder.size, encoder.size), dtype=torch.uint8, device=encoder.placement.device)
    towers: dict[str, Callable[[], torch.Tensor]] = {
        "image": lambda: encoder.image_tower(blank),
        "text": lambda: encoder.text_tower(["a"]),
    }
    for what, pooled in towers.items():
        try:
            shape = tuple(pooled().shape)
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            cause = " ".join(str(error).split())[:200]
            raise InputError(
                f"the {what} tower of {encoder.id} does not end in one vector that can be projected: {cause}"
            ) from error
        if shape != (1, encoder.dim):
            raise InputError(f"the {what} tower of {encoder.id} gives {shape}, expected (1, {encoder.dim})")
