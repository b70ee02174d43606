"""What a CLIP sees at every patch, in the space of its texts."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from candid.errors import InputError
from candid.models.towers import TwoTowers
from candid.types import Batch

__all__ = ["encode_patches"]


@torch.inference_mode()
def encode_patches(model: TwoTowers, pixels: Batch) -> Float32[np.ndarray, "n p d"]:
    """Unit rows of every patch of prepared images, row by row of the grid, as GL-MCM takes them (`detect.gl_mcm`).

    Miyai et al. 2025, https://arxiv.org/abs/2304.04521, section 3: in the last layer each patch keeps its own value
    instead of what attention mixes from all; then the layer's rest, the last normalisation and the projection. Raises
    `InputError` for towers that are no CLIP vision transformer.
    """
    vision, projection = (getattr(model.module, name, None) for name in ("vision_model", "visual_projection"))
    layers = getattr(getattr(vision, "encoder", None), "layers", None)
    if vision is None or projection is None or layers is None or not hasattr(layers[-1], "self_attn"):
        raise InputError(f"{model.id} has no vision transformer with patches that are projected to its texts; take mcm")
    normalise: Any = getattr(model.pixels, "normalise")  # noqa: B009  # `Pixels` promises none; CLIP's has one
    batch = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(model.placement.device)
    with model.placement.casting():
        inputs = normalise(batch).to(model.placement.dtype)
        hidden = vision(pixel_values=inputs, output_hidden_states=True).hidden_states[-2][:, 1:]
        last = layers[-1]
        hidden = hidden + last.self_attn.out_proj(last.self_attn.v_proj(last.layer_norm1(hidden)))
        hidden = hidden + last.mlp(last.layer_norm2(hidden))
        rows = projection(vision.post_layernorm(hidden)).float()
    unit: np.ndarray = (rows / rows.norm(dim=-1, keepdim=True)).cpu().numpy()
    return unit
