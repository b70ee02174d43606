"""The small study, run for real: `python -m recipes.energy.small SETS/sets.json NETWORKS OUT`.

NETWORKS holds folders of recipes.energy.networks and, named NETWORK-OBJECTIVE, those of recipes.energy.finetune; the
embedded model joins them, without fine-tuning. A stopped run goes on.
"""

import argparse
import time
from pathlib import Path

from candid import workflows
from candid.files import read_json
from candid.workflows.detectors import DETECTORS
from candid.workflows.outliers.plan import plan_of

OBJECTIVES = ("energy", "outlier-exposure", "ce")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("sets", "networks", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--cache", type=Path, help="folder of the feature cache")
    args = parser.parse_args()
    folders = {each.name: str(each.absolute()) for each in sorted(args.networks.iterdir())
               if (each / "config.json").is_file()}  # fmt: skip
    tuned = {f"{name}-{objective}" for name in folders for objective in OBJECTIVES} & folders.keys()
    plain = {name: place for name, place in folders.items() if name not in tuned}
    job = read_json(args.sets, kind="candid-energy", version=1)
    job |= {
        "models": plain | {"tiny": "tiny"},
        "tuned": {name: {objective: folders[f"{name}-{objective}"] for objective in OBJECTIVES
                         if f"{name}-{objective}" in folders} for name in plain},
        "detectors": [*DETECTORS, "odin", "gl-mcm"],
        "seed": 0,
    }  # fmt: skip
    report = workflows.energy_study(
        job["models"], plan_of(job), args.out, cache=args.cache or True, progress=say,
        command="recipes.energy.small", config=job,
    )  # fmt: skip
    print(report.save(args.out, exist_ok=True))


def say(label: str, done: int, total: int) -> None:
    if done == total:
        print(f"{time.strftime('%H:%M:%S')}  {label}  {done}", flush=True)


if __name__ == "__main__":
    main()
