"""Write the plan of the paper's own study: `python -m recipes.noisy_prompts.paper DATA PLAN.json`.

DATA holds CoOp's folders (its DATASETS.md says how to fetch them). Then, on a machine that has the weights,
`candid reproduce ptnl --config PLAN.json -o ptnl`. Sets and backbones are those that the public code and its scripts
name; 16 shots; 0, 12.5, 25 and 50 % wrong labels; 50 views; four draws.
"""

import argparse
import json
from pathlib import Path

from candid.models import template_for

SETS = ("caltech-101", "dtd", "eurosat", "fgvc_aircraft", "food-101", "imagenet", "oxford_flowers", "oxford_pets",
        "stanford_cars", "sun397", "ucf101")  # fmt: skip
BACKBONES = {"CLIP RN50": "open_clip:RN50-quickgelu/openai", "CLIP ViT-B/32": "openai/clip-vit-base-patch32"}
RECIPE = {"rates": [0.0, 0.125, 0.25, 0.5], "shots": 16, "views": 50, "epochs": 50, "draws": 4, "prompts": 4,
          "protocols": ["ptnl", "flip-exact", "pair", "confusion"]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS, help="folders of DATA; all eleven by default")
    parser.add_argument("-m", "--model", action="append", metavar="NAME=PLACE", help="instead of RN50 and ViT-B/32")
    args = parser.parse_args()
    models = dict(each.split("=", 1) for each in args.model) if args.model else BACKBONES
    args.out.write_text(json.dumps(plan(args.data, tuple(args.sets), models), indent=1) + "\n")


def plan(data: Path, sets: tuple[str, ...] = SETS, models: dict[str, str] = BACKBONES) -> dict:
    """The plan as JSON."""
    found = [set_of(data, name, [other for other in sets if other != name][:1]) for name in sets]
    return {"format": "candid-ptnl", "version": 1, "models": models, "sets": found, **RECIPE}


def set_of(data: Path, name: str, beside: list[str]) -> dict:
    """One set, trained on its train split and judged on its test split; the next one's images are unknown to it."""
    place = str((data / name).absolute())
    unknown = [{"path": str((data / other).absolute()), "split": "test"} for other in beside]
    return {"name": name, "train": place, "train_split": "train", "test": place, "test_split": "test", "ood": unknown,
            "template": template_for(name)}  # fmt: skip


if __name__ == "__main__":
    main()
