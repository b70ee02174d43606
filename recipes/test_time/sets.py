"""Write the image sets of the test-time tuning study: `python -m recipes.test_time.sets DATA OUT`.

DATA is the folder of source sets. OUT gets one Parquet manifest a set, `source.parquet` with the images a prompt is
tuned on beforehand, and `sets.json`, which names them all.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from recipes.noisy_prompts.sets import CIFAR10, TRAIN_EACH, parted, table, write

STYLES = ("photo", "sketch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sets = [make(args.data, args.out) for make in (textures, cifar10, groceries, cifar100, tiny_imagenet)]
    sets += [pacs(args.data, args.out, style) for style in STYLES]
    source = {"name": "cifar10", "train": str((args.out / "source.parquet").absolute())}
    (args.out / "sets.json").write_text(json.dumps({"sets": sets, "source": source}, indent=1) + "\n")
    for each in sets:
        print(f"{each['name']:14} {each['template']}")


def textures(data: Path, out: Path) -> dict:
    """Ten textures; the embedded model has seen no image of them."""
    rows = table(data, "dtd10")
    return written(out, "textures", rows["image"], rows["name"], "{} texture.")


def cifar10(data: Path, out: Path) -> dict:
    """CIFAR-10's lossless test images; some of them tune a prompt, the others judge."""
    rows = table(data, "cifar10_test_png")
    names = [CIFAR10[label] for label in rows["label"]]
    learnt, judged = parted(names, TRAIN_EACH, 200)
    write(out / "source.parquet", [rows["image"][i] for i in learnt], [names[i] for i in learnt])
    return written(out, "cifar10", [rows["image"][i] for i in judged], [names[i] for i in judged])


def groceries(data: Path, out: Path) -> dict:
    """Official test photos of the Grocery Store set, by kind."""
    rows = table(data, "grocery")
    keep = [i for i, split in enumerate(rows["split"]) if split == "test"]
    names = [spoken(rows["coarse_name"][i]) for i in keep]
    return written(out, "groceries", [rows["image"][i] for i in keep], names, "a photo of {}, a grocery.")


def cifar100(data: Path, out: Path) -> dict:
    """A hundred classes."""
    rows = table(data, "cifar100_test4k")
    return written(out, "cifar100", rows["image"], list(map(spoken, rows["name"])))


def tiny_imagenet(data: Path, out: Path) -> dict:
    """Two hundred classes of ImageNet."""
    rows = table(data, "tiny_imagenet_200")
    keep = [i for i, split in enumerate(rows["split"]) if split == "val"]
    return written(out, "tiny-imagenet", [rows["image"][i] for i in keep], [spoken(rows["name"][i]) for i in keep])


def pacs(data: Path, out: Path, style: str) -> dict:
    """Seven classes, photographed or drawn."""
    rows = table(data, "pacs")
    keep = [i for i, found in enumerate(rows["domain"]) if found == style]
    return written(out, f"pacs-{style}", [rows["image"][i] for i in keep], [rows["name"][i] for i in keep])


def written(
    out: Path, name: str, images: Sequence[bytes], labels: Sequence[str], template: str = "a photo of a {}."
) -> dict:
    """The set as one Parquet file, and its line in sets.json."""
    path = out / f"{name}.parquet"
    write(path, list(images), list(labels))
    return {"name": name, "test": str(path.absolute()), "template": template}


def spoken(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").lower()


if __name__ == "__main__":
    main()
