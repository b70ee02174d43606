"""One fine-tuning of the energy study: `python -m recipes.energy.finetune SETS/sets.json NETWORK OUT`.

NETWORK is a folder of recipes.energy.networks (or any supervised classifier). A stopped run goes on.
"""

import argparse
import json
import time
from pathlib import Path

from candid import data, models, tune
from candid.workflows.outlier_tuning import fine_tune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("sets", "network", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--objective", choices=("energy", "outlier-exposure", "ce"), default="energy")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    job = json.loads(args.sets.read_text())["sets"][0]
    model = models.load(str(args.network), device=args.device)
    known, outliers = data.read(job["train"], classes=model.head.classes), data.read(job["outliers"])
    recipe = tune.OutlierRecipe(args.objective, epochs=args.epochs, steps=args.steps, seed=args.seed)
    began = time.time()

    def told(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            print(f"step {done} of {total}, {time.time() - began:.0f} s", flush=True)

    _, found = fine_tune(model, known, None if args.objective == "ce" else outliers, recipe, args.out, progress=told)
    print(found.margins)
    for epoch, row in enumerate(found.history, start=1):
        print(epoch, {name: round(value, 4) for name, value in row.items()})


if __name__ == "__main__":
    main()
