"""`TwoTowers`: the Encoder that every adapter fills in; two towers, and what turns their cosines to logits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8

from candid.errors import InputError
from candid.models.device import Placement
from candid.models.text_layers import TextLayers, text_layers, text_parameters, token_ids, token_table
from candid.types import Activation, Batch, Image, Vectors

__all__ = ["Pixels", "TwoTowers"]

IMAGES_AT_ONCE = 64
TEXTS_AT_ONCE = 256

Tensor = torch.Tensor


@runtime_checkable
class Pixels(Protocol):
    """How an adapter prepares one image: any Image in, a square of 8-bit pixels out."""

    @property
    def size(self) -> int: ...

    @property
    def digest(self) -> str: ...

    def __call__(self, image: Image) -> UInt8[np.ndarray, "3 size size"]: ...


@dataclass(eq=False)
class TwoTowers:
    """A vision-language model, ready to encode. Fill it and leave it: nothing here changes after it is made.

    `image_tower` takes 8-bit pixels on the device, `text_tower` takes strings and, where another is to answer, a copy
    of the module; both return raw rows with gradients where torch is asked for them. `module` and `tokenizer` are the
    framework's own, for methods that go inside.
    """

    id: str
    revision: str
    pixels: Pixels
    dim: int
    scale: float
    bias: float
    activation: Activation
    placement: Placement
    image_tower: Callable[[Tensor], Tensor]
    text_tower: Callable[..., Tensor]
    module: Any
    tokenizer: Any

    def __post_init__(self) -> None:
        self.preprocessing: str = self.pixels.digest
        self.size: int = self.pixels.size
        if not (np.isfinite([self.scale, self.bias]).all() and self.scale > 0):
            raise InputError(f"{self.id} has logit scale {self.scale} and bias {self.bias}; its weights are damaged")

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda", "cuda:1", "mps"."""
        return str(self.placement.device)

    @property
    def precision(self) -> str:
        """Number format of the forward, by which the feature cache tells runs apart: "float32", "float16 autocast"."""
        return self.placement.precision

    def prepare(self, image: Image) -> UInt8[np.ndarray, "3 size size"]:
        """Resized and cropped pixels, still 8 bits. Thread-safe; touches no accelerator."""
        return self.pixels(image)

    @torch.inference_mode()
    def encode_prepared(self, pixels: Batch) -> Vectors:
        """Unit float32 rows of prepared images, in one batch."""
        if len(pixels) == 0:
            return np.empty((0, self.dim), np.float32)
        batch = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(self.placement.device)
        with self.placement.casting():
            return self._unit(self.image_tower(batch), "images")

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """Unit float32 rows of RGB images of any size."""
        rows = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(images), IMAGES_AT_ONCE):
            rows.append(
                self.encode_prepared(np.stack([self.prepare(i) for i in images[start : start + IMAGES_AT_ONCE]]))
            )
        return np.concatenate(rows)

    def text_layers(self) -> TextLayers | str:
        """The layers of a causal CLIP text tower, or why this model's text tower is none."""
        return text_layers(self.module)

    def text_parameters(self, module: Any) -> dict[str, torch.nn.Parameter]:
        """The parameters of this module, or a copy of it, that read texts."""
        return text_parameters(module)

    def token_table(self, module: Any) -> torch.nn.Embedding:
        """The part of this module, or of a copy, that turns token ids into vectors."""
        return token_table(module)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, uncut and without padding."""
        return token_ids(self.tokenizer, texts)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit float32 rows of texts, each one cut at the model's context length with its end token kept."""
        if isinstance(texts, str):
            raise InputError(f"expected a sequence of texts, got one string {texts!r}; put it in a list")
        rows = [np.empty((0, self.dim), np.float32)]
        with self.placement.casting():
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                rows.append(self._unit(self.text_tower(list(texts[start : start + TEXTS_AT_ONCE])), "texts"))
        return np.concatenate(rows)

    def _unit(self, rows: Float[Tensor, "n d"], what: str) -> Vectors:
        rows = rows.float()  # the norm of a half-precision row would lose the digits the logit scale multiplies
        unit: np.ndarray = (rows / rows.norm(dim=-1, keepdim=True)).cpu().numpy()
        if not np.isfinite(unit).all():
            raise InputError(
                f"{self.id} gave vectors that are not finite for {what}; "
                "load it with dtype float32, or fetch its weights again if they may be damaged"
            )
        return unit
