"""A bank of views as one safetensors file, written image by image and read through a memory map.

The file is what the format says (github.com/huggingface/safetensors, "Format"), so any reader opens it. We write it
ourselves because the number of rows is known only at the end and the rows need not fit in memory.
"""

import hashlib
import json
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float16
from safetensors import SafetensorError, safe_open

from candid.types import Vectors

__all__ = ["BankWriter", "read_bank"]

HEADER = 512  # bytes kept free for the header in front of the rows, spaces where it is shorter
BLOCK = 1 << 24
Bank = Float16[np.ndarray, "n v d"]


class BankWriter:
    """Writes rows of `views` vectors of `dim` numbers; `close` puts the header in front of them."""

    def __init__(self, file: IO[bytes], views: int, dim: int) -> None:
        self.file, self.views, self.dim, self.bytes = file, views, dim, 0
        self.hash = hashlib.blake2b(digest_size=16)
        file.write(b" " * (8 + HEADER))

    def write(self, vectors: Vectors) -> None:
        """Add the vectors of some images: all views of the first, then of the next."""
        content = np.ascontiguousarray(vectors, dtype=np.float16).tobytes()
        self.hash.update(content)
        self.bytes += len(content)
        self.file.write(content)

    def close(self) -> None:
        """Write the header; the file is whole after this."""
        shape = [self.bytes // (2 * self.views * self.dim), self.views, self.dim]
        tensor = {"dtype": "F16", "shape": shape, "data_offsets": [0, self.bytes]}
        header = json.dumps({"__metadata__": {"checksum": self.hash.hexdigest()}, "vectors": tensor})
        self.file.seek(0)
        self.file.write(HEADER.to_bytes(8, "little") + header.encode().ljust(HEADER))


def read_bank(path: Path) -> Bank | None:
    """The vectors as a read-only memory map, or None where the file is absent, short or not as it was written."""
    try:
        with safe_open(path, framework="np") as file:
            shape, notes = file.get_slice("vectors").get_shape(), file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    if 0 in shape:
        return np.zeros(shape, np.float16)
    with path.open("rb") as opened:
        offset = 8 + int.from_bytes(opened.read(8), "little")
        opened.seek(offset)
        found = hashlib.blake2b(digest_size=16)
        while block := opened.read(BLOCK):
            found.update(block)
    if found.hexdigest() != notes.get("checksum"):
        return None
    return np.memmap(path, np.float16, "r", offset, tuple(shape))
