"""Zero-shot accuracy of a saved CLIP on held-out images, through candid's own adapter, with Wilson intervals."""

import json
import math
from pathlib import Path

import numpy as np

from candid import models
from recipes.tiny.images import UNSEEN_VENDOR, decode, spoken, table, unseen_grocery, unseen_tiny

TEMPLATES = ["a photo of a {}."]


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    p = hits / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def zero_shot(model, images: list[np.ndarray], names: list[str]) -> dict:
    """Top-1 and top-5 accuracy of the prompts over the names present; `chance` is one over their number."""
    classes = sorted(set(names))
    head = models.zero_shot(model, classes, templates=TEMPLATES)
    vectors = np.concatenate([model.encode_images(images[i : i + 256]) for i in range(0, len(images), 256)])
    order = np.argsort(-head(vectors), axis=1, kind="stable")[:, :5]
    truth = np.array([classes.index(name) for name in names])[:, None]
    hits, n = int((order[:, :1] == truth).sum()), len(images)
    low, high = wilson(hits, n)
    return {
        "n": n, "classes": len(classes), "chance": 1 / len(classes), "top1": hits / n, "low": low, "high": high,
        "top5": float((order == truth).any(1).mean()),
    }  # fmt: skip


def held_out(data: Path) -> dict[str, tuple[list[np.ndarray], list[str]]]:
    """Image and name lists by test, none of the images trained on."""
    tests = {}
    rows = table(data, "cifar10_test_png")
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    tests["CIFAR-10 test (trained classes)"] = (
        [decode(b, 32) for b in rows["image"]],
        [classes[i] for i in rows["label"]],
    )

    rows, unseen = table(data, "tiny_imagenet_200"), unseen_tiny(data)
    seen = [
        i for i, (n, s) in enumerate(zip(rows["name"], rows["split"], strict=True)) if s == "val" and n not in unseen
    ]
    new = [i for i, n in enumerate(rows["name"]) if n in unseen]
    for title, keep in (
        ("Tiny-ImageNet val (180 trained classes)", seen),
        ("Tiny-ImageNet, 20 classes never trained", new),
    ):
        tests[title] = ([decode(rows["image"][i], 64) for i in keep], [spoken(rows["name"][i]) for i in keep])

    rows, unseen = table(data, "grocery"), unseen_grocery(data)
    seen = [
        i
        for i, (c, s) in enumerate(zip(rows["coarse_name"], rows["split"], strict=True))
        if s == "test" and c not in unseen
    ]
    new = [i for i, c in enumerate(rows["coarse_name"]) if c in unseen]
    for title, keep in (("Grocery test (33 trained classes)", seen), ("Grocery, 10 classes never trained", new)):
        tests[title] = ([decode(rows["image"][i], 72) for i in keep], [spoken(rows["coarse_name"][i]) for i in keep])

    rows = table(data, "emoji")
    keep = [i for i, vendor in enumerate(rows["vendor"]) if vendor == UNSEEN_VENDOR]
    tests["Emoji of a vendor never trained"] = (
        [decode(rows["image"][i], 64) for i in keep],
        [rows["name"][i] for i in keep],
    )
    for title, name, side in (
        ("CIFAR-100 (no image of the set trained on)", "cifar100_test4k", 32),
        ("PACS (no image of the set trained on)", "pacs", 96),
        ("DTD textures (no image of the set trained on)", "dtd10", 96),
    ):
        rows = table(data, name)
        tests[title] = ([decode(b, side) for b in rows["image"]], [spoken(n) for n in rows["name"]])
    return tests


def run(folder: Path, data: Path) -> dict:
    model = models.load(str(folder), device="cpu")
    results = {}
    for title, (images, names) in held_out(data).items():
        results[title] = zero_shot(model, images, names)
        print(title, json.dumps({k: round(v, 4) for k, v in results[title].items()}), flush=True)
    return results
