"""How the learning rates that the paper leaves open were chosen: `python -m recipes.noisy_prompts.rates SETS`.

SETS is the folder that recipes.noisy_prompts.sets wrote. Sixteen clean shots a class train, the other images of the
pool judge; no test image is used. Prints accuracy by variant, rate and set, mean of three seeds.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from candid import data, models, noise, tune, workflows

RATES = {
    "classifier-random": (0.002, 0.01, 0.02, 0.05, 0.1),
    "classifier-text": (0.001, 0.002, 0.01, 0.02, 0.05, 0.1),
    "text-encoder": (1e-6, 1e-5, 1e-4, 1e-3),
    "prompt": (2e-5, 1e-4, 5e-4, 2e-3),
    "full-prompt": (2e-5, 1e-4, 5e-4, 2e-3),
    "cls": (2e-5, 1e-4, 5e-4, 2e-3),
}
SEEDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("-m", "--model", default="tiny")
    parser.add_argument("--variants", nargs="+", default=list(RATES))
    args = parser.parse_args()
    model = models.load(args.model)
    sets = [each for each in json.loads((args.sets / "sets.json").read_text()) if not each["given"]]
    print(
        f"| variant | rate | {' | '.join(each['name'] for each in sets)} | mean |\n|---|---|{'---|' * (len(sets) + 1)}"
    )
    pools = [pool(model, each) for each in sets]
    for variant in args.variants:
        for rate in RATES[variant]:
            found = [accuracy(model, each, variant, rate) for each in pools]
            cells = " | ".join(f"{100 * value:.1f}" for value in (*found, np.mean(found)))
            print(f"| {variant} | {rate:g} | {cells} |", flush=True)


def pool(model, each: dict) -> tuple:
    features = workflows.encode(model, data.read(each["train"]))
    rows = noise.few_shot(features.labels, classes=len(features.classes))
    return features, rows, np.setdiff1d(np.arange(len(features)), rows), each["template"]


def accuracy(model, found: tuple, variant: str, rate: float) -> float:
    features, rows, rest, template = found
    tuned = tune.fit(
        model, features.vectors[rows], features.labels[rows], features.classes, variant=variant, rate=rate,
        seeds=SEEDS, template=template,
    )  # fmt: skip
    right = [head(features.vectors[rest]).argmax(axis=1) == features.labels[rest] for head in tuned.members]
    return float(np.mean(right))


if __name__ == "__main__":
    main()
