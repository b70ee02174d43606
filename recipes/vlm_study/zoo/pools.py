"""The training images as one compact file, and as arrays of pixels. Needs numpy, pyarrow and Pillow alone.

Held out as for `tiny`: 20 Tiny-ImageNet classes, 10 coarse grocery classes, one emoji vendor, every test split.
"""

import io
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from recipes.tiny.images import UNSEEN_VENDOR, decode, spoken, table, unseen_grocery, unseen_tiny
from recipes.vlm_study.zoo.plan import CLASSES

__all__ = ["CAPTIONED", "FILE", "SIDES", "TEST", "Pool", "decoding", "pack"]

FILE = "pools.parquet"
TEST = "cifar10_test"
TEST_IMAGES = 2000
SIDES = {"cifar10": 32, "tiny_imagenet": 64, "grocery": 72, "emoji": 64, "tux": 72, "flickr": 72, TEST: 32}
CAPTIONED = ("tux", "flickr")  # whole sentences; the texts of the others are names, put into wordings

Row = tuple[bytes, list[str]]


@dataclass(frozen=True)
class Pool:
    """Images of one source: `pixels` n side side 3 uint8; `texts[i]` the equally good texts of image i."""

    source: str
    pixels: np.ndarray
    texts: list[tuple[str, ...]]


def pack(data: Path, folder: Path) -> Path:
    """Write what is trained on, and 2,000 test images, from the data sets in `data`; the file written."""
    made = [(source, *row) for source, rows in _rows(data) for row in rows]
    columns = dict(zip(("source", "image", "texts"), zip(*made, strict=True), strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    types = {"source": pa.string(), "image": pa.binary(), "texts": pa.list_(pa.string())}
    arrays = {name: pa.array(columns[name], type=kind) for name, kind in types.items()}
    pq.write_table(pa.table(arrays), folder / FILE, compression="zstd")
    return folder / FILE


def _rows(data: Path) -> Iterator[tuple[str, list[Row]]]:
    rows = table(data, "cifar10_train")
    yield "cifar10", [(b, [CLASSES[i]]) for b, i in zip(rows["image"], rows["label"], strict=True)]

    rows, unseen = table(data, "tiny_imagenet_200"), unseen_tiny(data)
    found = zip(rows["image"], rows["name"], rows["split"], strict=True)
    yield "tiny_imagenet", [(b, [spoken(name)]) for b, name, s in found if s == "train" and name not in unseen]

    rows, unseen = table(data, "grocery"), unseen_grocery(data)
    found = zip(rows["image"], rows["coarse_name"], rows["name"], rows["split"], strict=True)
    kept = [(b, [spoken(c), spoken(name)]) for b, c, name, s in found if s != "test" and c not in unseen]
    yield "grocery", kept

    rows = table(data, "emoji")
    found = zip(rows["image"], rows["name"], rows["vendor"], strict=True)
    yield "emoji", [(b, [name]) for b, name, vendor in found if vendor != UNSEEN_VENDOR]

    rows = table(data, "tux_stamps")
    yield "tux", [(_small(b), [text.lower()]) for b, text in zip(rows["image"], rows["caption"], strict=True)]

    rows = table(data, "flickr8k_700")
    yield "flickr", [(_small(b), list(texts)) for b, texts in zip(rows["image"], rows["captions"], strict=True)]

    rows = table(data, TEST)
    found = list(zip(rows["image"], rows["label"], strict=True))[:TEST_IMAGES]
    yield TEST, [(b, [CLASSES[i]]) for b, i in found]


def _small(image: bytes) -> bytes:
    """The 72 px square that training sees, as a JPEG."""
    out = io.BytesIO()
    Image.fromarray(decode(image, SIDES["flickr"])).save(out, "JPEG", quality=92, subsampling=0)
    return out.getvalue()


def decoding(folder: Path, *, workers: int, limit: int | None = None) -> Iterator[Pool]:
    """Pools as they were packed, decoded by processes that start at the call; `limit` rows a source, evenly spaced.

    The processes are forked: call it before a framework with threads of its own is imported.
    """
    rows = pq.read_table(folder / FILE).to_pydict()
    by_source: dict[str, list[Row]] = {}
    for source, image, texts in zip(rows["source"], rows["image"], rows["texts"], strict=True):
        by_source.setdefault(source, []).append((image, texts))
    if limit is not None:
        by_source = {s: found[:: max(1, len(found) // limit)][:limit] for s, found in by_source.items()}
    executor = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"))
    waiting = {s: _submit(executor, [b for b, _ in found], SIDES[s]) for s, found in by_source.items()}

    def gather() -> Iterator[Pool]:
        with executor:
            for source, parts in waiting.items():
                pixels = np.concatenate([part.result() for part in parts])
                yield Pool(source, pixels, [tuple(texts) for _, texts in by_source[source]])

    return gather()


def _submit(executor: ProcessPoolExecutor, images: list[bytes], side: int) -> list[Future[np.ndarray]]:
    return [executor.submit(_decode, images[i : i + 512], side) for i in range(0, len(images), 512)]


def _decode(images: list[bytes], side: int) -> np.ndarray:
    return np.stack([decode(image, side) for image in images])
