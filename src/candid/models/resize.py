"""Antialiased resizing of 8-bit images in torch, within one grey level of Pillow's and independent of its version.

Pillow filters the width, rounds to 8 bits, and filters the height (release 13 sometimes the other way round, which
moves noise by up to 20 levels and photos by 2; torch and torchvision always take the width first, and so do we).
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from PIL import Image as Pillow

from candid.types import Image

__all__ = ["resize"]

TORCH_MODES = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers, as preprocessor_config.json writes them


def resize(image: Image, height: int, width: int, *, resample: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The image at `height` x `width` pixels. `resample` is Pillow's number: 2 bilinear, 3 bicubic, ...

    >>> resize(np.full((4, 6, 3), 7, dtype=np.uint8), 2, 3, resample=3)[0, 0].tolist()
    [7, 7, 7]
    """
    if image.shape[:2] == (height, width):
        return image
    if resample not in TORCH_MODES:
        return np.asarray(Pillow.fromarray(image).resize((width, height), Pillow.Resampling(resample)))
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
    mode = TORCH_MODES[resample]
    # torch's 8-bit weights are coarse: near the original size their error reaches two levels, so there the passes run
    # in float; where the image at least halves they are within one, and six times as fast.
    if image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:
        resized = F.interpolate(pixels, size=(height, width), mode=mode, antialias=True)
    else:
        across = _float_pass(pixels, (image.shape[0], width), mode)
        resized = _float_pass(across, (height, width), mode)
    result: np.ndarray = resized[0].permute(1, 2, 0).numpy()
    return result


def _float_pass(pixels: UInt8[torch.Tensor, "1 3 h w"], size: tuple[int, int], mode: str) -> UInt8[torch.Tensor, "..."]:
    resized = F.interpolate(pixels.float(), size=size, mode=mode, antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)
