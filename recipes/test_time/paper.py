"""Write the plan of the paper's own study: `python -m recipes.test_time.paper DATA PLAN.json`.

DATA holds CoOp's folders (its DATASETS.md says how to fetch them). Then, on a machine that has the weights,
`candid reproduce c-tpt --config PLAN.json -o c-tpt`. Sets, backbones, templates and weights are those of the public
code of C-TPT, AugMix on ImageNet too as in its scripts. Beside our numbers the report prints those of an independent
run of the official codes, three seeds, by the authors of CoTS (2026, github.com/yuweiliang911/CoTS). The tables of
zero-shot and TPT that circulate with C-TPT's for ViT-B/16 hold copied entries and are not used.
"""

import argparse
import json
from pathlib import Path

from candid.models import template_for

BACKBONES = {"ViT-B/16": "openai/clip-vit-base-patch16", "RN50": "open_clip:RN50-quickgelu/openai"}
FINE = ("imagenet", "dtd", "oxford_flowers", "food-101", "sun397", "fgvc_aircraft", "oxford_pets", "caltech-101",
        "ucf101", "eurosat", "stanford_cars")  # fmt: skip
VARIANTS = ("imagenet-adversarial", "imagenetv2", "imagenet-rendition", "imagenet-sketch")
PUBLISHED = {  # accuracy, then ECE, in percent, in the order of the sets
    ("ViT-B/16", "zero-shot", FINE): (
        (66.72, 44.33, 67.32, 83.66, 62.58, 23.85, 88.20, 93.96, 65.19, 42.05, 65.56),
        (1.98, 8.24, 2.73, 2.08, 2.24, 5.53, 4.45, 5.91, 2.95, 7.10, 4.40),
    ),
    ("ViT-B/16", "tpt", FINE): (
        (68.91, 47.12, 68.64, 84.65, 65.50, 23.27, 87.25, 94.08, 68.20, 42.91, 66.58),
        (10.56, 20.96, 13.59, 4.31, 11.23, 16.96, 5.50, 4.36, 11.57, 20.15, 5.08),
    ),
    ("ViT-B/16", "c-tpt", FINE): (
        (68.45, 45.17, 69.58, 83.14, 64.53, 24.10, 88.20, 93.75, 65.05, 42.45, 65.80),
        (5.14, 12.94, 5.16, 3.39, 5.10, 4.16, 1.63, 4.41, 2.49, 11.66, 1.47),
    ),
    ("RN50", "c-tpt", FINE): (
        (60.47, 41.25, 65.03, 74.84, 60.93, 17.21, 83.66, 87.37, 60.25, 27.18, 56.38),
        (6.75, 21.65, 3.81, 1.76, 3.01, 10.69, 2.79, 2.61, 3.02, 13.37, 1.33),
    ),
    ("ViT-B/16", "zero-shot", VARIANTS): ((47.83, 60.94, 73.99, 46.10), (8.34, 3.18, 3.55, 4.87)),
    ("ViT-B/16", "tpt", VARIANTS): ((54.63, 63.45, 77.05, 47.82), (15.20, 11.88, 4.84, 15.69)),
    ("ViT-B/16", "c-tpt", VARIANTS): ((51.19, 62.58, 75.79, 47.43), (8.18, 6.55, 1.74, 10.20)),
    ("RN50", "zero-shot", VARIANTS): ((21.87, 51.45, 56.12, 33.36), (21.24, 3.03, 0.98, 3.11)),
    ("RN50", "tpt", VARIANTS): ((26.51, 54.63, 59.04, 35.13), (30.96, 13.94, 10.47, 14.84)),
    ("RN50", "c-tpt", VARIANTS): ((24.27, 54.21, 57.77, 34.75), (26.61, 9.35, 5.51, 11.08)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", default=(*FINE, *VARIANTS), help="folders of DATA; all fifteen by default")
    parser.add_argument("-m", "--model", action="append", metavar="NAME=PLACE", help="instead of ViT-B/16 and RN50")
    args = parser.parse_args()
    models = dict(each.split("=", 1) for each in args.model) if args.model else BACKBONES
    args.out.write_text(json.dumps(plan(args.data, tuple(args.sets), models), indent=1) + "\n")


def plan(data: Path, sets: tuple[str, ...] = (*FINE, *VARIANTS), models: dict[str, str] = BACKBONES) -> dict:
    """The plan as JSON."""
    found = {"format": "candid-c-tpt", "version": 1, "models": models, "sets": [set_of(data, name) for name in sets]}
    if (data / "imagenet" / "images" / "train").is_dir():  # what the paper's tuned context was learnt on
        found["source"] = {"name": "imagenet", "train": str((data / "imagenet").absolute()), "split": "train"}
    return found


def set_of(data: Path, name: str) -> dict:
    """One set, judged on all of its test split."""
    return {"name": name, "test": str((data / name).absolute()), "test_split": "test", "template": template_for(name),
            "imagenet": name.startswith("imagenet"), "published": published(name)}  # fmt: skip


def published(name: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Accuracy and ECE in percent by model and method."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for (model, method, sets), (right, errors) in PUBLISHED.items():
        if name in sets:
            place = sets.index(name)
            found.setdefault(model, {})[method] = (right[place], errors[place])
    return found


if __name__ == "__main__":
    main()
