"""The small study, run for real: `python -m recipes.vlm_study.small DATA SETS ZOO OUT`.

DATA holds the published CIFAR-10 ResNets, SETS is what recipes.vlm_study.sets wrote, ZOO the unpacked small models of
recipes.vlm_study.unpack; the embedded model joins them. OUT gets report.json, index.html and tables/; a stopped run
goes on with the next model.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

from candid import models, workflows
from candid.workflows import StudyModel
from candid.workflows.studying.job import plan_of
from candid.workflows.studying.plan import PROMPTS
from recipes.vlm_study import resnets

DEPTHS = (20, 56)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "sets", "zoo", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--cache", type=Path, help="folder of the feature cache")
    args = parser.parse_args()
    job = {
        "sets": json.loads((args.sets / "sets.json").read_text()),
        "prompts": {name: list(templates) for name, templates in PROMPTS.items()},
        "draws": 20,
        "coverage": 0.9,
        "seed": 0,
    }
    asked = [
        hub_format("tiny", "tiny"),
        *(hub_format(folder.name, str(folder)) for folder in sorted(args.zoo.iterdir()) if folder.is_dir()),
        *(published(args.data, depth) for depth in DEPTHS),
    ]
    report = workflows.study(
        asked, plan_of(job), args.out, cache=args.cache or True, progress=say, command="recipes.vlm_study.small",
        config=job,
    )  # fmt: skip
    print(report.save(args.out, exist_ok=True))


def hub_format(name: str, place: str) -> StudyModel:
    return StudyModel(name, partial(models.load, place), name, partial(models.revision, place))


def published(data: Path, depth: int) -> StudyModel:
    path = data / f"resnet{depth}_cifar10_weights.npz"
    return StudyModel(f"resnet{depth}-published", partial(resnets.load, path, depth), path.name)


def say(label: str, done: int, total: int) -> None:
    if done == total:
        print(f"{time.strftime('%H:%M:%S')}  {label}  {done}", flush=True)


if __name__ == "__main__":
    main()
