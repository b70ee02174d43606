"""SigLIP 2 at native aspect ratio (NaFlex): an image is a sequence of patches, not a square. arxiv.org/abs/2502.14786.

The Encoder's contract wants a square, so the patches are laid out in one, row by row, and its last cell holds how many
rows and columns of patches the image has. Nothing is resampled for that; the tower sees what the Hub's processor makes.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from candid.errors import InputError
from candid.files import digest
from candid.models.device import place
from candid.models.framework import read_model, read_tokenizer, to_device
from candid.models.preprocess import VERSION, processor_settings
from candid.models.resize import resize
from candid.models.siglip import scale_and_bias, text_inputs
from candid.models.source import Source
from candid.models.towers import TwoTowers
from candid.types import Image

__all__ = ["PatchSquare", "load"]

DEFAULTS: dict[str, Any] = {
    "patch_size": 16,
    "max_num_patches": 256,
    "resample": 2,
    "rescale_factor": 1 / 255,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


@dataclass(frozen=True)
class PatchSquare:
    """Prepares images as at most `patches` patches of `patch` px, laid out in a square of `size` px."""

    patch: int
    patches: int
    resample: int
    factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def side(self) -> int:
        """Cells a side of the square: room for every patch and one more, for the grid's shape."""
        return math.isqrt(self.patches) + 1

    @property
    def size(self) -> int:
        """Pixels a side of the square."""
        return self.side * self.patch

    @property
    def digest(self) -> str:
        """Hex, 16 characters, of the settings."""
        return digest(json.dumps(["naflex", VERSION, asdict(self)], sort_keys=True).encode(), length=16)

    def __call__(self, image: Image) -> UInt8[np.ndarray, "3 size size"]:
        """The image's patches in reading order, then the shape of their grid in the last cell."""
        if image.size == 0:
            raise InputError(f"expected an image with pixels, got shape {image.shape}")
        p, side = self.patch, self.side
        rows, columns = grid(image.shape[0], image.shape[1], patch=p, patches=self.patches)
        image = resize(image, rows * p, columns * p, resample=self.resample)
        cells = np.zeros((side * side, p, p, 3), dtype=np.uint8)
        cells[: rows * columns] = image.reshape(rows, p, columns, p, 3).swapaxes(1, 2).reshape(-1, p, p, 3)
        cells[-1, 0, 0], cells[-1, 0, 1] = (rows >> 8, rows & 255, 0), (columns >> 8, columns & 255, 0)
        square = cells.reshape(side, side, p, p, 3).swapaxes(1, 2).reshape(self.size, self.size, 3)
        return np.ascontiguousarray(square.transpose(2, 0, 1))

    def unpack(
        self, squares: UInt8[torch.Tensor, "n 3 s s"]
    ) -> tuple[Float[torch.Tensor, "n m f"], Int[torch.Tensor, "n m"], Int[torch.Tensor, "n 2"]]:
        """Normalised patches, zero beyond each image's own, the mask of its own, and the shape of its grid."""
        p, side = self.patch, self.side
        cells = squares.reshape(-1, 3, side, p, side, p).permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, p, p, 3)
        shapes = cells[:, -1, 0, :2, 0].long() * 256 + cells[:, -1, 0, :2, 1].long()
        mask = (torch.arange(self.patches, device=squares.device) < shapes.prod(1, keepdim=True)).long()
        mean, std = (torch.tensor(v, device=squares.device) for v in (self.mean, self.std))
        values = ((cells[:, : self.patches].float() * self.factor - mean) / std).flatten(2)
        return values * mask[:, :, None], mask, shapes


def grid(height: int, width: int, *, patch: int, patches: int) -> tuple[int, int]:
    """Rows and columns of the finest grid of at most `patches` patches at the image's own aspect ratio.

    The bisection and its tolerance are the Hub's, so that the grid is the same one.

    >>> grid(480, 640, patch=16, patches=256)
    (14, 18)
    """
    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        middle = (low + high) / 2
        rows, columns = _cells(middle, height, patch), _cells(middle, width, patch)
        low, high = (middle, high) if rows * columns <= patches else (low, middle)
    return _cells(low, height, patch), _cells(low, width, patch)


def _cells(scale: float, side: int, patch: int) -> int:
    return max(1, math.ceil(side * scale / patch))


def load(source: Source, *, device: str = "auto", dtype: str = "auto") -> TwoTowers:
    """The NaFlex checkpoint at `source`."""
    placement = place(device, dtype)
    model = read_model("Siglip2Model", source)
    scale, bias = scale_and_bias(model)
    pixels = _pixels(source)
    tokenizer = read_tokenizer(source)
    model = to_device(model, placement)

    def image_tower(batch: torch.Tensor) -> torch.Tensor:
        values, mask, shapes = pixels.unpack(batch)
        inputs = {"pixel_attention_mask": mask, "spatial_shapes": shapes}
        rows: torch.Tensor = model.get_image_features(values.to(placement.dtype), **inputs).pooler_output
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


def _pixels(source: Source) -> PatchSquare:
    settings: dict[str, Any] = DEFAULTS | {k: v for k, v in processor_settings(source.folder).items() if v is not None}
    off = [key for key in ("do_resize", "do_rescale", "do_normalize") if settings.get(key) is False]
    if off:
        raise InputError(f"{source.name} turns off {', '.join(off)}, which no NaFlex checkpoint does; check its files")
    mean, std = (tuple(float(v) for v in settings[key]) for key in ("image_mean", "image_std"))
    patch, patches = int(settings["patch_size"]), int(settings["max_num_patches"])
    return PatchSquare(patch, patches, int(settings["resample"]), float(settings["rescale_factor"]), mean, std)
