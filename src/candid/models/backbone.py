"""Image encoders that come without a head, such as DINOv2: their pooled output is the vector."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from candid.errors import InputError
from candid.models.classifier import activations, in_batches
from candid.models.device import Placement, place
from candid.models.families import FAMILIES, ONE_SIZE
from candid.models.framework import read_model, to_device
from candid.models.preprocess import read_preprocess
from candid.models.source import Source
from candid.models.towers import Pixels
from candid.types import Batch, Image, Vectors

__all__ = ["Backbone", "load"]

POOLED = ("dinov2", "dinov2_with_registers")  # whose pooled output is trained: the class token after the last norm


@dataclass(eq=False)
class Backbone:
    """An image encoder without text and without classes. `tower` takes 8-bit pixels on the device."""

    id: str
    revision: str
    pixels: Pixels
    dim: int
    placement: Placement
    tower: Callable[[torch.Tensor], torch.Tensor] = field(repr=False)
    module: Any = field(repr=False)

    def __post_init__(self) -> None:
        self.preprocessing: str = self.pixels.digest
        self.size: int = self.pixels.size

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda", "cuda:1", "mps"."""
        return str(self.placement.device)

    @property
    def precision(self) -> str:
        """Number format of the forward, by which the feature cache tells runs apart."""
        return self.placement.precision

    def prepare(self, image: Image) -> UInt8[np.ndarray, "3 size size"]:
        """Resized and cropped pixels, still 8 bits. Thread-safe; touches no accelerator."""
        return self.pixels(image)

    def encode_prepared(self, pixels: Batch) -> Vectors:
        """float32 pooled outputs of prepared images, in one batch; not unit rows."""
        return activations(self, pixels)

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """float32 pooled outputs of RGB images of any size; not unit rows."""
        return in_batches(self, images)


def load(source: Source, *, device: str = "auto", dtype: str = "auto") -> Backbone:
    """The encoder at `source`."""
    family = str(source.config["model_type"])
    if family not in POOLED:
        raise InputError(f"{source.name} is a {family} without a head; encoders without one: {', '.join(POOLED)}")
    placement = place(device, dtype)
    model = read_model(str(source.config["architectures"][0]), source)
    pixels = read_preprocess(
        source.folder, image_size=model.config.image_size if family in ONE_SIZE else None, family=FAMILIES[family]
    )
    model = to_device(model, placement)

    def tower(batch: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = model(pixel_values=pixels.normalise(batch).to(placement.dtype)).pooler_output
        return rows

    return Backbone(source.name, source.revision, pixels, model.config.hidden_size, placement, tower, model)
