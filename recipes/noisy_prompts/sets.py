"""Write the image sets of the noisy-prompt study: `python -m recipes.noisy_prompts.sets DATA OUT`.

DATA is the folder of source sets. For each set OUT gets `NAME/train.parquet` (a pool from which shots are drawn, at
least 20 images a class), `NAME/test.parquet` and `NAME/ood.parquet` (images of none of its classes), and `sets.json`
names them all. Columns beside image and label are labels that people gave.
"""

import argparse
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SEED = 0
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PEOPLE = {"aggregate": "aggre_label", "random": "random_label1", "worse": "worse_label"}  # CIFAR-10N, by share wrong
KINDS = {  # emoji subcategories with many designs, and what a person would call one of them
    "animal-mammal": "mammal",
    "animal-bird": "bird",
    "animal-bug": "insect",
    "animal-marine": "sea creature",
    "food-fruit": "fruit",
    "food-vegetable": "vegetable",
    "food-prepared": "meal",
    "drink": "drink",
    "clothing": "piece of clothing",
    "transport-ground": "vehicle",
    "place-building": "building",
    "tool": "tool",
}
LEARNT = ("noto", "openmoji", "fluent")
NEW_STYLE = "twemoji"
TRAIN_EACH, TEST_EACH, OOD = 48, 200, 600

Rows = Sequence[int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    made = [make(args.data, args.out) for make in (dtd, cifar10, cifar10_people, grocery, emoji)]
    (args.out / "sets.json").write_text(json.dumps(made, indent=1) + "\n")
    for each in made:
        print(f"{each['name']:18} {each['classes']} classes, {each['n_train']} to draw from, {each['n_test']} to judge")


def dtd(data: Path, out: Path) -> dict:
    """Ten textures; the embedded model has seen no image of them."""
    rows = table(data, "dtd10")
    train, test = parted(rows["name"], TRAIN_EACH, TEST_EACH)
    return written(out, "textures", rows["image"], rows["name"], train, test, unknown(data, "cifar10_test_png"),
                   template="{} texture.")  # fmt: skip


def cifar10(data: Path, out: Path) -> dict:
    """CIFAR-10's test images on both sides: the embedded model has seen all of its training images."""
    rows = table(data, "cifar10_test_png")
    names = [CIFAR10[label] for label in rows["label"]]
    train, test = parted(names, TRAIN_EACH, TEST_EACH)
    return written(out, "cifar10", rows["image"], names, train, test, unknown(data, "cifar100_test4k"))


def cifar10_people(data: Path, out: Path) -> dict:
    """CIFAR-10's training images with the labels that people gave them (CIFAR-10N); judged on the same test images."""
    rows, given = table(data, "cifar10_train"), np.load(data / "cifar10_human_labels.npz")
    train, _ = parted([CIFAR10[label] for label in given["clean_label"]], 60, 0)
    judged = table(data, "cifar10_test_png")
    names = [CIFAR10[label] for label in judged["label"]]
    _, test = parted(names, TRAIN_EACH, TEST_EACH)
    folder = out / "cifar10-people"
    said = {name: [CIFAR10[given[column][i]] for i in train] for name, column in PEOPLE.items()}
    true = [CIFAR10[given["clean_label"][i]] for i in train]
    write(folder / "train.parquet", [rows["image"][i] for i in train], true, said)
    write(folder / "test.parquet", [judged["image"][i] for i in test], [names[i] for i in test])
    write(folder / "ood.parquet", *unknown(data, "cifar100_test4k"))
    return facts(folder, train, test, 10, given=list(PEOPLE))


def grocery(data: Path, out: Path) -> dict:
    """Kinds of groceries with 20 photos to learn from; official test photos judge, other kinds are unknown."""
    rows = table(data, "grocery")
    names = [name.lower() for name in rows["coarse_name"]]
    official = np.array(rows["split"]) == "test"
    enough = {name for name, n in Counter(np.array(names)[~official].tolist()).items() if n >= 20}
    train = [i for i, name in enumerate(names) if name in enough and not official[i]]
    test = [i for i, name in enumerate(names) if name in enough and official[i]]
    other = [i for i, name in enumerate(names) if name not in enough and official[i]]
    beside = [rows["image"][i] for i in other], [names[i] for i in other]
    return written(out, "groceries", rows["image"], names, train, test, beside, template="a photo of {}, a grocery.")


def emoji(data: Path, out: Path) -> dict:
    """Kinds of emoji: half of the designs in three drawing styles to learn from, the others in a fourth to judge."""
    rows = table(data, "emoji")
    designs = {kind: dict.fromkeys(c for c, s in zip(rows["codepoint"], rows["subcategory"], strict=True) if s == kind)
               for kind in KINDS}  # fmt: skip
    random = np.random.default_rng(SEED)
    learnt = {c for found in designs.values() for c in random.permutation(list(found))[: (len(found) + 1) // 2]}
    train, test, other, kept = [], [], [], Counter[str]()
    for i in random.permutation(len(rows["image"])):
        kind, style, design = rows["subcategory"][i], rows["vendor"][i], rows["codepoint"][i]
        if kind in KINDS and style in LEARNT and design in learnt and kept[kind] < TRAIN_EACH:
            train.append(int(i))
            kept[kind] += 1
        elif kind in KINDS and style == NEW_STYLE and design not in learnt:
            test.append(int(i))
        elif kind not in KINDS and style == NEW_STYLE:
            other.append(int(i))
    pictures = {i: on_white(rows["image"][i]) for i in (*train, *test, *other[:OOD])}
    names = [KINDS.get(kind, kind) for kind in rows["subcategory"]]
    beside = [pictures[i] for i in other[:OOD]], [names[i] for i in other[:OOD]]
    return written(out, "emoji", pictures, names, train, test, beside, template="an emoji of a {}.")


def parted(names: Sequence[str], first: int, then: int) -> tuple[list[int], list[int]]:
    """Rows to learn from and rows to judge: in a seeded order, so many of each class for the one and the other."""
    random, taken = np.random.default_rng(SEED), Counter[str]()
    train, test = [], []
    for i in random.permutation(len(names)):
        (train if taken[names[i]] < first else test).append(int(i))
        taken[names[i]] += 1
    kept, chosen = Counter[str](), []
    for i in test:
        if kept[names[i]] < then:
            chosen.append(i)
            kept[names[i]] += 1
    return sorted(train), sorted(chosen)


def unknown(data: Path, name: str) -> tuple[list[bytes], list[str]]:
    """600 images of another set."""
    rows = table(data, name)
    chosen = np.random.default_rng(SEED).choice(len(rows["image"]), OOD, replace=False)
    return [rows["image"][i] for i in chosen], [str(rows["label"][i]) for i in chosen]


def written(
    out: Path, name: str, images: Sequence[bytes] | Mapping[int, bytes], names: Sequence[str], train: Rows, test: Rows,
    beside: tuple[list[bytes], list[str]], *, template: str = "a photo of a {}.",
) -> dict:  # fmt: skip
    """The three files of a set, and its line in sets.json."""
    folder = out / name
    write(folder / "train.parquet", [images[i] for i in train], [names[i] for i in train])
    write(folder / "test.parquet", [images[i] for i in test], [names[i] for i in test])
    write(folder / "ood.parquet", *beside)
    return facts(folder, train, test, len({names[i] for i in train}), template=template)


def facts(folder: Path, train: Rows, test: Rows, classes: int, *, template: str = "a photo of a {}.",
          given: Sequence[str] = ()) -> dict:  # fmt: skip
    return {
        "name": folder.name,
        "train": str((folder / "train.parquet").absolute()),
        "test": str((folder / "test.parquet").absolute()),
        "ood": [str((folder / "ood.parquet").absolute())],
        "template": template,
        "given": list(given),
        "classes": classes,
        "n_train": len(train),
        "n_test": len(test),
    }


def write(path: Path, images: list[bytes], labels: list[str], more: Mapping[str, list[str]] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"image": pa.array(images, pa.binary()), "label": pa.array(labels)}
    pq.write_table(pa.table(columns | {name: pa.array(found) for name, found in (more or {}).items()}), path)


def table(data: Path, name: str) -> dict[str, list]:
    return pq.read_table(data / f"{name}.parquet").to_pydict()


def on_white(encoded: bytes) -> bytes:
    """A picture with transparency, laid on white."""
    picture = Image.open(io.BytesIO(encoded)).convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    out = io.BytesIO()
    Image.alpha_composite(ground, picture).convert("RGB").save(out, "PNG")
    return out.getvalue()


if __name__ == "__main__":
    main()
