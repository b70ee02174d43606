"""Write the image sets of the energy study: `python -m recipes.energy.sets DATA OUT`.

DATA is the folder of source sets. OUT gets Parquet manifests: CIFAR-10 to train on (JPEG) and to judge by (lossless),
sets of none of its classes, the auxiliary outliers, and `sets.json`, which names them for `candid reproduce energy`.

The paper's outliers, 80 Million Tiny Images, are withdrawn. Here they are Tiny-ImageNet without the classes that are
CIFAR-10's or nearly so, none of which is among the sets that judge. Known training images are stored as JPEG, and a
network could tell outliers by the absence of its blocks; so the outliers are reduced to 32 px and stored just so.
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from recipes.vlm_study.sets import CLASSES, _tools, png, spoken, table, write

NEAR, FAR = "near", "far"
SIDE = 32
QUALITY = 75  # of the known training images as they are stored
NOT_CIFAR10 = ("elephant", "giraffe", "guitar", "house", "person")  # of the seven things PACS shows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data, out = args.data, args.out
    rows = table(data, "cifar10_train")
    train = write(out, "known-train", rows["image"], [CLASSES[label] for label in rows["label"]])
    rows = table(data, "cifar10_test_png")
    known = write(out, "known", rows["image"], [CLASSES[label] for label in rows["label"]])
    unknown = [{"name": name, "path": place(out, f"ood {name}", images), "kind": kind}
               for name, kind, images in others(data)]  # fmt: skip
    job = {
        "format": "candid-energy", "version": 1,
        "sets": [{"name": "cifar10", "train": train["path"], "test": known["path"], "ood": unknown,
                  "outliers": place(out, "outliers", outliers(data))}],
    }  # fmt: skip
    (out / "sets.json").write_text(json.dumps(job, indent=1) + "\n")
    for each in unknown:
        print(f"{each['kind']:5} {each['name']}")


def others(data: Path):
    """Name, how near to CIFAR-10, and images as files of the sets that judge."""
    rows = table(data, "cifar100_test4k")
    yield "cifar100", NEAR, rows["image"]
    rows = table(data, "pacs")
    keep = [i for i, (what, how) in enumerate(zip(rows["name"], rows["domain"], strict=True))
            if how == "photo" and what in NOT_CIFAR10]  # fmt: skip
    yield "pacs photos", NEAR, [rows["image"][i] for i in keep]
    yield "textures", FAR, table(data, "dtd10")["image"]
    rows = table(data, "grocery")
    yield "groceries", FAR, [rows["image"][i] for i, split in enumerate(rows["split"]) if split == "test"]
    yield "nuclei", FAR, table(data, "nuclei_dsb2018")["image"]
    for name in ("mnist", "fashion_mnist"):
        drawn = np.load(data / f"{name}.npz")["test_x"][:2000]
        yield spoken(name), FAR, [png(np.repeat(image[..., None], 3, axis=2)) for image in drawn]
    noise = np.random.default_rng(0).normal(127.5, 64, (1000, SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
    yield "gaussian noise", FAR, [png(image) for image in noise]


def outliers(data: Path) -> list[bytes]:
    """Tiny-ImageNet at 32 px as JPEG, without classes that are CIFAR-10's or cannot be told from them."""
    tools = _tools(data)
    left_out = {wnid for wnids in tools.TINY_TO_CIFAR.values() for wnid in wnids} | set(tools.TINY_AMBIGUOUS)
    rows = table(data, "tiny_imagenet_200")
    return [small(image) for image, wnid in zip(rows["image"], rows["wnid"], strict=True) if wnid not in left_out]


def small(encoded: bytes) -> bytes:
    out = io.BytesIO()
    image = Image.open(io.BytesIO(encoded)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def place(out: Path, name: str, images: list[bytes]) -> str:
    """The path of an unlabelled set."""
    path = out / f"{name.replace(' ', '-')}.parquet"
    pq.write_table(pa.table({"image": pa.array(images, pa.binary())}), path)
    return str(path.absolute())


if __name__ == "__main__":
    main()
