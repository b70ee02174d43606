"""Write the image sets of the small study as Parquet manifests: `python -m recipes.vlm_study.sets DATA OUT`.

DATA is the folder of source sets, with its `recipes.py` of corruptions. Rows of CIFAR-10 that are shifted are none of
those that fit or judge. OUT also gets `study.json`, which names them all for `candid study --config`.
"""

import argparse
import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from recipes.vlm_study.hierarchies import CIFAR10_KINDS, cifar100_levels, wordnet_levels

SEED = 0
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CORRUPTIONS = [(kind, s) for kind in ("gaussian_noise", "blur", "contrast", "jpeg", "fog", "rotate") for s in (2, 4)]
EMOJI = {  # pictures of CIFAR-10's concepts, by CLDR name
    "airplane": ("airplane", "small airplane"),
    "automobile": ("automobile", "sport utility vehicle", "taxi"),
    "bird": ("bird", "dove", "duck", "eagle"),
    "cat": ("cat", "black cat"),
    "deer": ("deer", "moose"),
    "dog": ("dog", "poodle", "service dog"),
    "frog": ("frog",),
    "horse": ("horse", "horse face"),
    "ship": ("ship", "passenger ship", "ferry"),
    "truck": ("delivery truck", "articulated lorry"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sets = [*cifar10(args.data, args.out), *others(args.data, args.out)]
    (args.out / "sets.json").write_text(json.dumps(sets, indent=1) + "\n")
    for each in sets:
        print(f"{each['role']:10} {each['name']:28} {each['of']}")


def cifar10(data: Path, out: Path) -> list[dict]:
    """5,000 lossless test images; beside them twelve corruptions, the JPEG copy and Tiny-ImageNet's views."""
    tools = _tools(data)
    rows = table(data, "cifar10_test_png")
    labels = np.array(rows["label"])
    order = balanced_order(labels)
    used, left = order[:5000], order[5000:]
    sets = [write(out, "cifar10", [rows["image"][i] for i in used], [CLASSES[labels[i]] for i in used])]
    sets[0]["levels"] = {name: [CIFAR10_KINDS[name]] for name in CLASSES}
    moved = left[:1000]
    pixels = np.stack([tools.decode(rows["image"][i]) for i in moved])
    names = [CLASSES[labels[i]] for i in moved]
    for kind, severity in CORRUPTIONS:
        images = [png(image) for image in tools.corrupt(pixels, kind, severity, SEED)]
        sets.append(write(out, f"cifar10 {kind} {severity}", images, names, role="shift", of="cifar10"))
    copies = table(data, "cifar10_test")
    chosen = left[1000:3000]
    sets.append(
        write(out, "cifar10 as jpeg", [copies["image"][i] for i in chosen], [CLASSES[labels[i]] for i in chosen],
              role="shift", of="cifar10")
    )  # fmt: skip
    pictures, found = natural_shift(data, tools)
    sets.append(write(out, "cifar10 from tiny-imagenet", pictures, found, role="shift", of="cifar10"))
    sets.append(write(out, "emoji on scenes", *composed(data, tools), role="generated", of="cifar10"))
    return sets


def others(data: Path, out: Path) -> list[dict]:
    """CIFAR-100, Tiny-ImageNet's validation images, Grocery Store's test photos, PACS by style."""
    rows = table(data, "cifar100_test4k")
    sets = [write(out, "cifar100", rows["image"], [spoken(name) for name in rows["name"]])]
    sets[-1]["levels"] = {spoken(name): above for name, above in cifar100_levels().items()}

    rows = table(data, "tiny_imagenet_200")
    keep = [i for i, split in enumerate(rows["split"]) if split == "val"]
    names = [spoken(rows["name"][i]) for i in keep]
    sets.append(write(out, "tiny-imagenet", [rows["image"][i] for i in keep], names))
    wnids = {spoken(rows["name"][i]): rows["wnid"][i] for i in keep}
    sets[-1]["levels"] = {name: wordnet_levels(wnid) for name, wnid in wnids.items()}

    rows = table(data, "grocery")
    keep = [i for i, split in enumerate(rows["split"]) if split == "test"]
    names = [spoken(rows["coarse_name"][i]) for i in keep]
    shelves = {spoken(rows["coarse_name"][i]): [shelf(rows["coarse"][i])] for i in keep}
    sets.append(write(out, "grocery", [rows["image"][i] for i in keep], names))
    sets[-1]["levels"] = shelves
    iconic, coarse = table(data, "grocery_iconic"), {rows["name"][i]: spoken(rows["coarse_name"][i]) for i in keep}
    places = [i for i, name in enumerate(iconic["name"]) if name in coarse]
    sets.append(
        write(out, "catalogue pictures", [iconic["image"][i] for i in places],
              [coarse[iconic["name"][i]] for i in places], role="generated", of="grocery")
    )  # fmt: skip

    rows = table(data, "pacs")
    for domain in ("photo", *sorted(set(rows["domain"]) - {"photo"})):
        keep = [i for i, found in enumerate(rows["domain"]) if found == domain]
        beside = {} if domain == "photo" else {"role": "shift", "of": "pacs photo"}
        images = [rows["image"][i] for i in keep]
        sets.append(write(out, f"pacs {domain}", images, [rows["name"][i] for i in keep], **beside))
    return sets


def balanced_order(labels: np.ndarray) -> np.ndarray:
    """A seeded permutation of which every prefix holds the classes alike."""
    order = np.random.default_rng(SEED).permutation(len(labels))
    place = np.empty(len(order), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels[order] == label)
        place[rows] = np.arange(len(rows))
    return order[np.argsort(place, kind="stable")]


def natural_shift(data: Path, tools) -> tuple[list[bytes], list[str]]:
    """Tiny-ImageNet validation images of CIFAR-10 concepts, with the concepts' names."""
    concept = {wnid: name for name, wnids in tools.TINY_TO_CIFAR.items() for wnid in wnids}
    rows = table(data, "tiny_imagenet_200")
    keep = [i for i, (w, s) in enumerate(zip(rows["wnid"], rows["split"], strict=True)) if w in concept and s == "val"]
    return [rows["image"][i] for i in keep], [concept[rows["wnid"][i]] for i in keep]


def composed(data: Path, tools, *, each: int = 60, side: int = 48) -> tuple[list[bytes], list[str]]:
    """Made images with labels by construction: emoji of a concept, any vendor, pasted at random onto scenes."""
    random = np.random.default_rng(SEED)
    scenes, emoji = table(data, "tiny_imagenet_200"), table(data, "emoji")
    places = [i for i, w in enumerate(scenes["wnid"]) if w in (*tools.WATER, *tools.LAND)]
    images, names = [], []
    for name, spelled in EMOJI.items():
        objects = [i for i, found in enumerate(emoji["name"]) if found in spelled]
        for _ in range(each):
            scene = Image.fromarray(tools.decode(scenes["image"][places[random.integers(len(places))]], side))
            thing = Image.open(io.BytesIO(emoji["image"][objects[random.integers(len(objects))]])).convert("RGBA")
            size = int(side * random.uniform(0.5, 0.9))
            thing = thing.resize((size, size), Image.Resampling.LANCZOS)
            corner = tuple(int(at) for at in random.integers(0, side - size + 1, 2))
            scene.paste(thing, corner, thing)
            images.append(png(np.asarray(scene)))
            names.append(name)
    return images, names


def write(out: Path, name: str, images: list[bytes], labels: list[str], *, role: str = "source", of: str = "") -> dict:
    """The set as one Parquet file, and its line for the study."""
    path = out / f"{name.replace(' ', '-')}.parquet"
    pq.write_table(pa.table({"image": pa.array(images, pa.binary()), "label": pa.array(labels)}), path)
    return {"name": name, "path": str(path.absolute()), "role": role, "of": of}


def table(data: Path, name: str) -> dict[str, list]:
    return pq.read_table(data / f"{name}.parquet").to_pydict()


def spoken(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").lower()


def shelf(coarse: int) -> str:
    return "fruit" if coarse < 19 else "package" if coarse < 28 else "vegetable"


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _tools(data: Path):
    spec = importlib.util.spec_from_file_location("pack_recipes", data / "recipes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
