"""SigLIP, and SigLIP 2 at a fixed resolution, through transformers. Zhai et al. 2023, arxiv.org/abs/2303.15343.

Trained with an independent sigmoid a pair, so it has a bias as well as a scale, and "sigmoid" is its activation.
"""

from typing import Any

import numpy as np
import torch

from candid.models.device import place
from candid.models.framework import read_model, read_tokenizer, to_device
from candid.models.preprocess import read_preprocess
from candid.models.source import Source
from candid.models.towers import TwoTowers

__all__ = ["load", "scale_and_bias", "text_inputs"]


def load(source: Source, *, device: str = "auto", dtype: str = "auto") -> TwoTowers:
    """The SigLIP checkpoint at `source`."""
    placement = place(device, dtype)
    model = read_model("SiglipModel", source)
    scale, bias = scale_and_bias(model)
    pixels = read_preprocess(source.folder, image_size=model.config.vision_config.image_size, family="Siglip")
    tokenizer = read_tokenizer(source)
    model = to_device(model, placement)

    def image_tower(batch: torch.Tensor) -> torch.Tensor:
        found = model.get_image_features(pixel_values=pixels.normalise(batch).to(placement.dtype))
        rows: torch.Tensor = found.pooler_output
        return rows

    def text_tower(texts: list[str], module: Any = model) -> torch.Tensor:
        inputs = text_inputs(tokenizer, texts, context=model.config.text_config.max_position_embeddings)
        found = module.get_text_features(**{k: v.to(placement.device) for k, v in inputs.items()})
        rows: torch.Tensor = found.pooler_output
        return rows

    return TwoTowers(
        id=source.name,
        revision=source.revision,
        pixels=pixels,
        dim=model.config.vision_config.hidden_size,
        scale=scale,
        bias=bias,
        activation="sigmoid",
        placement=placement,
        image_tower=image_tower,
        text_tower=text_tower,
        module=model,
        tokenizer=tokenizer,
    )


def scale_and_bias(model: Any) -> tuple[float, float]:
    """exp(logit_scale) and logit_bias of a SigLIP, before any cast to half precision."""
    return float(np.exp(model.logit_scale.double().item())), model.logit_bias.double().item()


def text_inputs(tokenizer: Any, texts: list[str], *, context: int) -> dict[str, torch.Tensor]:
    """Token ids padded to the full context, as the text tower was trained: it pools the last position, padding or not.

    A mask goes along only where the checkpoint's tokenizer asks for one; the published ones do not, and the padding
    is attended to. SigLIP 2 was trained on lower case (Tschannen et al. 2025, arxiv.org/abs/2502.14786), which its
    fixed-resolution checkpoints leave to the caller: their tokenizer is Gemma's, and Gemma keeps case.
    """
    if type(tokenizer).__name__.startswith("Gemma"):
        texts = [text.lower() for text in texts]
    tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=context, return_tensors="pt")
    return {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}
