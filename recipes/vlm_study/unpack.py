"""Unpack the study's models into Hub folders: `python -m recipes.vlm_study.unpack models-*.safetensors FOLDER`.

Each folder holds config, half-precision weights, preprocessing, the tokenizer and a card. transformers then runs each
of them on a probe whose answer was noted right after training. FOLDER/models.md is the table of all.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch.nn.functional import normalize

from recipes.vlm_study.train_zoo import TINY
from recipes.vlm_study.zoo import card, packs

APART = 3e-3  # of unit vectors, relative for class logits: what half precision may change


def difference(folder: Path, note: dict[str, Any]) -> float:
    """Largest change of the probe's answer, transformers' own forward pass of the folder against the training's."""
    kind = getattr(transformers, note["config"]["architectures"][0])
    model = kind.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    pixels, answer = packs.probe(note["facts"]["side"]), torch.tensor(note["probe"])
    with torch.inference_mode():
        if note["facts"]["loss"] == "labels":
            return ((model(pixel_values=pixels).logits - answer).abs().max() / answer.abs().max()).item()
        found = normalize(model.get_image_features(pixel_values=pixels).pooler_output, dim=1)
    return (found - answer).abs().max().item()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", type=Path, nargs="+")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tiny, models, wrong = load_file(TINY / "model.safetensors"), {}, 0
    for path in args.packs:
        for name, note, tensors in packs.read(path, tiny):
            packs.write_folder(args.folder / name, note, tensors, TINY)
            (args.folder / name / "README.md").write_text(card.page(name, note["facts"]))
            apart = difference(args.folder / name, note)
            wrong += apart > APART
            models[name] = note["facts"]
            size = (args.folder / name / "model.safetensors").stat().st_size / 1e6
            print(f"{name:28s} {size:5.1f} MB  answers within {apart:.1e}{'  TOO FAR' if apart > APART else ''}")
    (args.folder / "models.md").write_text(card.table(models))
    (args.folder / "models.json").write_text(json.dumps(models, indent=2) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
