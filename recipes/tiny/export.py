"""The trained towers as an ordinary Hub folder: config, fp16 safetensors, tokenizer, preprocessing."""

import json
from pathlib import Path

import torch
from transformers import CLIPModel, CLIPTokenizer

from recipes.tiny.towers import CONTEXT, SIDE
from recipes.tiny.training import MEAN, STD


def save(model: CLIPModel, tokens: CLIPTokenizer, folder: Path) -> None:
    model.to(torch.float16).save_pretrained(folder)
    tokens.save_pretrained(folder)
    vocabulary = json.loads(tokens.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(vocabulary["vocab"], ensure_ascii=False))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in vocabulary["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    preprocessing = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": SIDE},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes for the owner alone
    size = (folder / "model.safetensors").stat().st_size
    print(f"{folder}: {size / 1e6:.2f} MB of weights, context {CONTEXT}")
