"""The problems of the study of last layers, made from real images: `python -m recipes.last_layer.problems DATA OUT`.

DATA is the folder of source sets. OUT gets Parquet manifests of what the problems are made of, in three parts that
share no image: `train` for the network, `validation` for its last layer, `test` for judging. `made` puts two together.

* dominoes-cars: a digit, zero or one, over an automobile or a truck (CIFAR-10). The digit is spurious.
* dominoes-clothes: a digit over a coat or a dress (Fashion-MNIST).
* scenes: an animal or a vehicle (emoji of four vendors) on land or by water (Tiny-ImageNet). The scene is spurious.
* styles: CIFAR-10's cat or dog, plain or as a sketch. The style is spurious.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from candid import data
from candid.types import ImageSet
from recipes.vlm_study.sets import CLASSES, _tools, png, table, write

PARTS = ("train", "validation", "test")
PROBLEMS = ("dominoes-cars", "dominoes-clothes", "scenes", "styles")
HELD = {"train": 0.7, "validation": 0.3}  # of the rows that do not judge
COAT, DRESS = 4, 3  # labels of Fashion-MNIST


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, part, images, labels in sources(args.data):
        place = write(args.out, f"{name}-{part}", images, labels)
        print(f"{name:10} {part:10} {len(images):6,} {place['path']}")


def sources(folder: Path):
    """What the problems are made of: name, part, encoded images, class names."""
    yield from _in_parts("cars", *_cifar(folder, ("automobile", "truck")))
    yield from _in_parts("pets", *_cifar(folder, ("cat", "dog")))
    digits, clothes = np.load(folder / "mnist.npz"), np.load(folder / "fashion_mnist.npz")
    yield from _in_parts("digits", *_greys(digits, {0: "zero", 1: "one"}))
    yield from _in_parts("clothes", *_greys(clothes, {COAT: "coat", DRESS: "dress"}))
    yield from _cutouts(folder)
    yield from _scenes(folder)


def made(folder: Path, problem: str, part: str, *, n: int, agreement: float | None, seed: int, hide=None) -> ImageSet:
    """A part of a problem; without an agreement all its groups are equally large."""

    def read(name: str) -> ImageSet:
        return data.read(folder / f"{name}-{part}.parquet")

    options = {"n": n, "agreement": agreement, "seed": seed}
    if problem.startswith("dominoes-"):
        return data.dominoes(read("digits"), read(problem.removeprefix("dominoes-")), **options, hide=hide)
    if problem == "scenes":
        return data.on_scenes(read("cutouts"), read("scenes"), **options, side=32)
    return data.in_styles(read("pets"), ("plain", "sketch"), **options)


def _in_parts(name: str, rest: tuple[list[bytes], list[str]], test: tuple[list[bytes], list[str]]):
    cut = round(HELD["train"] * len(rest[0]))
    order = np.random.default_rng(0).permutation(len(rest[0]))
    for part, rows in (("train", order[:cut]), ("validation", order[cut:])):
        yield name, part, [rest[0][i] for i in rows], [rest[1][i] for i in rows]
    yield name, "test", *test


def _cifar(folder: Path, wanted: Sequence[str]):
    for split in ("train", "test"):  # both stored as JPEG of one quality
        rows = table(folder, f"cifar10_{split}")
        keep = [i for i, label in enumerate(rows["label"]) if CLASSES[label] in wanted]
        yield [rows["image"][i] for i in keep], [CLASSES[rows["label"][i]] for i in keep]


def _greys(arrays, names: dict[int, str]):
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_x"], arrays[f"{split}_y"]
        keep = [i for i, label in enumerate(labels) if int(label) in names]
        encoded = [png(np.repeat(images[i][..., None], 3, axis=2)) for i in keep]
        yield encoded, [names[int(labels[i])] for i in keep]


def _cutouts(folder: Path):
    """An emoji is in one part with all its vendors' pictures of it."""
    rows = table(folder, "emoji")
    kinds = {"animal": "animal", "transport": "vehicle"}
    fields = zip(rows["image"], rows["subcategory"], rows["codepoint"], strict=True)
    found = [(image, kinds[kind.split("-")[0]], code) for image, kind, code in fields
             if kind.startswith(("animal", "transport-ground", "transport-air", "transport-water"))]  # fmt: skip
    for part, hashes in zip(PARTS, ((0, 1, 2), (3,), (4,)), strict=True):
        own = [(image, kind) for image, kind, code in found if sum(map(ord, code)) % 5 in hashes]
        yield "cutouts", part, [image for image, _ in own], [kind for _, kind in own]


def _scenes(folder: Path):
    tools, rows = _tools(folder), table(folder, "tiny_imagenet_200")
    names = dict.fromkeys(tools.LAND, "land") | dict.fromkeys(tools.WATER, "water")
    for part in PARTS:
        split = "val" if part == "test" else "train"
        keep = [i for i, (wnid, of) in enumerate(zip(rows["wnid"], rows["split"], strict=True))
                if wnid in names and of == split and (part == "test" or (i % 10 < 7) == (part == "train"))]  # fmt: skip
        yield "scenes", part, [rows["image"][i] for i in keep], [names[rows["wnid"][i]] for i in keep]


if __name__ == "__main__":
    main()
