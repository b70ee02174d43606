"""An encoder in numpy whose rows depend on the whole batch, so that any other batch gives other bits.

Run as a script it encodes a folder: batch_encoder.py FOLDER CACHE OUT [PAUSE], which tests kill and race.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from candid import data, workflows


@dataclass
class BatchEncoder:
    """A fixed random projection of 8 x 8 pixels plus a trace of the batch mean. `seen` counts encoded images."""

    id: str = "org/batch-encoder"
    revision: str = "1"
    preprocessing: str = "box-8"
    precision: str = "float32"
    size: int = 8
    dim: int = 16
    scale: float = 10.0
    bias: float = 0.0
    activation: Literal["softmax", "sigmoid"] = "softmax"
    pause: float = 0.0
    seen: int = 0
    batches: list[int] = field(default_factory=list)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        small = Image.fromarray(image).resize((self.size, self.size), Image.Resampling.BOX)
        return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))

    def encode_prepared(self, pixels: np.ndarray) -> np.ndarray:
        self.seen += len(pixels)
        self.batches.append(len(pixels))
        time.sleep(self.pause)
        projection = np.random.default_rng(0).normal(size=(3 * self.size**2, self.dim))
        flat = pixels.reshape(len(pixels), -1) / 255.0
        rows = (flat + 0.01 * flat.mean(axis=0)) @ projection
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def encode_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return self.encode_prepared(np.stack([self.prepare(image) for image in images]))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        raise NotImplementedError("this encoder reads no text")


def noise_folder(folder: Path, count: int, *, seed: int = 0) -> Path:
    """A flat folder of `count` different 8 x 8 pictures."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def main(folder: str, cache: str, out: str, pause: str = "0") -> None:
    encoder = BatchEncoder(pause=float(pause))
    found = workflows.encode(encoder, data.read(folder), cache=Path(cache), batch_size=16)
    np.savez(out, vectors=found.vectors, seen=encoder.seen)


if __name__ == "__main__":
    main(*sys.argv[1:])
