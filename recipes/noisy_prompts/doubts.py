"""How many planted label errors `candid adapt --doubt` finds: `python -m recipes.noisy_prompts.doubts`.

The embedded model on the embedded photos, whose own labels are taken as right; one draw of noise (seed 1) a line.
"""

from dataclasses import replace

import numpy as np

from candid import data, models, noise, workflows
from candid.arrays import softmax

ASKED = (  # protocol, rate, who doubts, loss
    ("flip-exact", 0.0, "classifier-text", "ce"),
    ("flip-exact", 0.1, "classifier-text", "ce"),
    ("flip-exact", 0.1, "zero-shot", "ce"),
    ("flip-exact", 0.4, "classifier-text", "ce"),
    ("flip-exact", 0.4, "classifier-text", "gce"),
    ("confusion", 0.2, "classifier-text", "ce"),
    ("confusion", 0.2, "zero-shot", "ce"),
)


def main() -> None:
    model, photos = models.load("tiny"), data.sample().known
    features = workflows.encode(model, photos)
    head = models.zero_shot(model, photos.classes, templates=("a photo of a {}.",))
    probs = softmax(head(features.vectors))
    print("| planted | by | loss | recall | precision | estimated wrong | planted |\n|---|---|---|---|---|---|---|")
    for protocol, rate, by, loss in ASKED:
        made = noise.inject(
            photos.labels, classes=len(photos.classes), protocol=protocol, rate=rate, seed=1, probs=probs
        )
        found = workflows.doubt_labels(model, replace(photos, labels=made.labels), by=by, loss=loss)
        flagged, hit = found.doubts.flagged, found.doubts.flagged & made.flipped
        wrong = [round(len(photos) * end) for end in (found.wrong.value, found.wrong.low, found.wrong.high)]
        recall = f"{hit.sum() / made.flipped.sum():.0%}" if made.flipped.any() else "-"
        print(f"| {protocol} {rate:.0%} | {by} | {loss} | {recall} | {hit.sum() / np.maximum(flagged.sum(), 1):.0%} "
              f"| {wrong[0]} ({wrong[1]} to {wrong[2]}) | {int(made.flipped.sum())} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
