"""The photographs and drawings the model learns from, as pools of small uint8 arrays with the texts that name them.

Held out for good: 20 Tiny-ImageNet classes, 10 coarse grocery classes, one emoji vendor, every test split.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

HOLD_OUT_SEED = 0
UNSEEN_VENDOR = "twemoji"


@dataclass(frozen=True)
class Pool:
    """Images of one source: `pixels` n side side 3 uint8, and for each the index of its concept in `names`.

    `captions[i]`, where present, are whole sentences used instead of a name in a template.
    """

    source: str
    pixels: np.ndarray
    concept: np.ndarray
    names: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...] | None = None


def decode(data: bytes, side: int) -> np.ndarray:
    """Centre-cropped RGB square on white."""
    image = Image.open(io.BytesIO(data))
    if image.mode in ("RGBA", "P", "LA"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    image = image.convert("RGB")
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    image = image.crop((left, top, left + short, top + short))
    return np.asarray(image if image.width == side else image.resize((side, side), Image.Resampling.BILINEAR))


def table(data: Path, name: str) -> dict[str, list]:
    return pq.read_table(data / f"{name}.parquet").to_pydict()


def pool(source: str, images: list[bytes], names: list[str], side: int) -> Pool:
    unique = tuple(dict.fromkeys(names))
    index = {name: i for i, name in enumerate(unique)}
    pixels = np.stack([decode(image, side) for image in images])
    return Pool(source, pixels, np.array([index[name] for name in names]), unique)


def spoken(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").lower()


def unseen_tiny(data: Path) -> set[str]:
    """20 Tiny-ImageNet classes no image of which is trained on."""
    names = sorted(set(table(data, "tiny_imagenet_200")["name"]))
    return set(np.random.default_rng(HOLD_OUT_SEED).choice(names, 20, replace=False).tolist())


def unseen_grocery(data: Path) -> set[str]:
    """10 coarse grocery classes no image of which is trained on."""
    names = sorted(set(table(data, "grocery")["coarse_name"]))
    return set(np.random.default_rng(HOLD_OUT_SEED).choice(names, 10, replace=False).tolist())


def training_pools(data: Path) -> dict[str, Pool]:
    """Pools by source, held-out classes and test splits left out."""
    pools = {}
    cifar = pq.read_table(data / "cifar10_train.parquet")
    classes = json.loads(cifar.schema.metadata[b"classes"])
    rows = cifar.to_pydict()
    pools["cifar10"] = pool("cifar10", rows["image"], [classes[i] for i in rows["label"]], 32)

    rows, unseen = table(data, "tiny_imagenet_200"), unseen_tiny(data)
    keep = [
        i for i, (n, s) in enumerate(zip(rows["name"], rows["split"], strict=True)) if s == "train" and n not in unseen
    ]
    pools["tiny_imagenet"] = pool(
        "tiny_imagenet", [rows["image"][i] for i in keep], [spoken(rows["name"][i]) for i in keep], 64
    )

    rows, unseen = table(data, "grocery"), unseen_grocery(data)
    keep = [
        i
        for i, (c, s) in enumerate(zip(rows["coarse_name"], rows["split"], strict=True))
        if s != "test" and c not in unseen
    ]
    images = [rows["image"][i] for i in keep]
    pools["grocery"] = pool("grocery", images, [spoken(rows["coarse_name"][i]) for i in keep], 72)
    pools["grocery_fine"] = pool("grocery_fine", images, [spoken(rows["name"][i]) for i in keep], 72)

    rows = table(data, "emoji")
    keep = [i for i, vendor in enumerate(rows["vendor"]) if vendor != UNSEEN_VENDOR]
    pools["emoji"] = pool("emoji", [rows["image"][i] for i in keep], [rows["name"][i] for i in keep], 64)

    rows = table(data, "flickr8k_700")
    pixels = np.stack([decode(image, 72) for image in rows["image"]])
    n = len(pixels)
    pools["flickr"] = Pool(
        "flickr", pixels, np.arange(n), tuple(f"flickr {i}" for i in range(n)), tuple(map(tuple, rows["captions"]))
    )
    return pools
