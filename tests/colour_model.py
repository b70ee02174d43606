"""A real, tiny vision-language model in numpy: it sees the mean colour of an image and reads colour names.

And image folders to try it on, drawn here: noisy squares of one colour, in ImageFolder form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 220), "yellow": (220, 210, 50)}


@dataclass(frozen=True)
class ColourModel:
    """An Encoder: unit rows of (mean colour - grey, a constant)."""

    id: str = "colour"
    revision: str = "1"
    preprocessing: str = "mean-8"
    size: int = 8
    dim: int = 4
    scale: float = 12.0
    bias: float = 0.0
    activation: Literal["softmax", "sigmoid"] = "softmax"

    def prepare(self, image: np.ndarray) -> np.ndarray:
        small = Image.fromarray(image).resize((self.size, self.size), Image.Resampling.BOX)
        return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))

    def encode_prepared(self, pixels: np.ndarray) -> np.ndarray:
        return _unit((pixels.mean(axis=(2, 3)) - 127.5) / 127.5)

    def encode_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return self.encode_prepared(np.stack([self.prepare(image) for image in images]))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return _unit(np.stack([_seen(text) for text in texts]))


def _unit(colours: np.ndarray) -> np.ndarray:
    rows = np.concatenate([colours, np.full((len(colours), 1), 0.3)], axis=1)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _seen(text: str) -> np.ndarray:
    """The colour a text names, a little off in a way that depends on its other words."""
    colour = next(np.array(rgb, dtype=float) for name, rgb in COLOURS.items() if name in text)
    accent = np.random.default_rng(crc32(text.encode())).normal(size=3)
    return (colour - 127.5) / 127.5 + 0.05 * accent


def colour_folder(folder: Path, *, each: int, noise: float = 60.0, seed: int = 0, names: Sequence[str] = ()) -> Path:
    """An ImageFolder with `each` noisy 12-pixel squares a colour."""
    rng = np.random.default_rng(seed)
    for name in names or COLOURS:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            centre = np.array(COLOURS[name]) + rng.normal(scale=noise, size=3)
            pixels = centre + rng.normal(scale=10, size=(12, 12, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def grey_folder(folder: Path, *, count: int, seed: int = 0) -> Path:
    """A flat folder of images that are no colour."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = rng.integers(60, 200) + rng.normal(scale=8, size=(12, 12, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    return folder
