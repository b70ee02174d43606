"""CLIP through transformers: a softmax over scaled cosines. Radford et al. 2021, arxiv.org/abs/2103.00020."""

import math
from typing import Any

import torch

from candid.models.device import place
from candid.models.framework import read_model, read_tokenizer, to_device
from candid.models.preprocess import read_preprocess
from candid.models.source import Source
from candid.models.towers import TwoTowers

__all__ = ["load"]


def load(source: Source, *, device: str = "auto", dtype: str = "auto") -> TwoTowers:
    """The CLIP checkpoint at `source`."""
    placement = place(device, dtype)
    model = read_model("CLIPModel", source)
    scale = math.exp(float(model.logit_scale))  # before any cast: half precision would round it
    pixels = read_preprocess(source.folder, image_size=model.config.vision_config.image_size, family="CLIP")
    tokenizer = read_tokenizer(source)
    model = to_device(model, placement)
    context = model.config.text_config.max_position_embeddings

    def image_tower(batch: torch.Tensor) -> torch.Tensor:
        found = model.get_image_features(pixel_values=pixels.normalise(batch).to(placement.dtype))
        rows: torch.Tensor = found.pooler_output  # in transformers 5 this is the projected vector
        return rows

    def text_tower(texts: list[str], module: Any = model) -> torch.Tensor:
        # Truncation keeps the end token, which is the one the tower pools; padding lies after it and is never seen.
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=context, return_tensors="pt")
        found = module.get_text_features(
            input_ids=tokens["input_ids"].to(placement.device),
            attention_mask=tokens["attention_mask"].to(placement.device),
        )
        rows: torch.Tensor = found.pooler_output
        return rows

    return TwoTowers(
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
