"""Several models in one safetensors file, and each of them back as an ordinary Hub folder.

The tensors of a model carry its name and a slash before their own; its config and its facts are JSON in the header.
What a model took unchanged from `tiny`, its text tower, is left out and named, and put back when it is unpacked.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recipes.tiny.training import MEAN, STD

__all__ = ["Shelf", "probe", "read", "write_folder"]

FULL = 15_500_000  # bytes of tensors in one file
KEPT = ("logit_scale", "logit_bias")  # stay float32: half precision would round the scale itself
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")


def probe(side: int) -> Tensor:
    """Four made-up inputs 4 3 side side; what the tower says of them is kept, to be asked again after unpacking."""
    return torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(side))


class Shelf:
    """Pack files in a folder. Each is written whole at every addition, so a stopped run keeps what was finished."""

    def __init__(self, folder: Path, tiny: dict[str, Tensor]) -> None:
        self.folder, self.tiny = folder, tiny
        self.packs: list[tuple[dict[str, Tensor], dict[str, str]]] = []

    def add(self, name: str, module: nn.Module, facts: dict[str, Any], answer: Tensor) -> str:
        """The file that now holds the model, half precision; `answer` is what its tower says of the probe."""
        config, tensors = _saved(module)
        borrowed = self._borrowed(tensors)
        kept = {f"{name}/{key}": value for key, value in tensors.items() if key not in borrowed}
        note = {"config": config, "borrowed": borrowed, "facts": facts, "probe": answer.cpu().tolist()}
        number = self._number_with_room(_bytes(kept))
        held, notes = self.packs[number]
        held |= kept
        notes[name] = json.dumps(note)
        path = self.folder / f"models-{number + 1}.safetensors"
        save_file(held, path.with_suffix(".part"), metadata=notes)
        path.with_suffix(".part").replace(path)
        path.chmod(0o644)
        return path.name

    def _borrowed(self, tensors: dict[str, Tensor]) -> dict[str, str]:
        """The name in `tiny` of each tensor that is the same there."""
        found = {}
        for key, value in tensors.items():
            for own, same in self.tiny.items():
                if key.endswith(own) and own.startswith("text_model.") and torch.equal(value, same):
                    found[key] = own
        return found

    def _number_with_room(self, size: int) -> int:
        for number, (held, _) in enumerate(self.packs):
            if _bytes(held) + size <= FULL:
                return number
        self.packs.append(({}, {}))
        return len(self.packs) - 1


def _bytes(tensors: dict[str, Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors.values())


def _saved(module: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors as the Hub's format has them, named as every release of the framework reads them."""
    scalars = {name: getattr(module, name).data.float().cpu() for name in KEPT if hasattr(module, name)}
    module.to(device="cpu", dtype=torch.float16, memory_format=torch.contiguous_format)
    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder)
        config = json.loads((Path(folder) / "config.json").read_text())
        tensors = load_file(Path(folder) / "model.safetensors")
    return config, tensors | {name: scalars[name] for name in tensors if name in scalars}


def read(path: Path, tiny: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, Any], dict[str, Tensor]]]:
    """(name, note, all tensors) of each model in a pack file."""
    with safe_open(path, "pt") as file:
        notes, keys = file.metadata(), list(file.keys())
        for name, text in notes.items():
            note, start = json.loads(text), f"{name}/"
            tensors = {key.removeprefix(start): file.get_tensor(key) for key in keys if key.startswith(start)}
            yield name, note, tensors | {key: tiny[own] for key, own in note["borrowed"].items()}


def write_folder(folder: Path, note: dict[str, Any], tensors: dict[str, Tensor], tiny: Path) -> None:
    """An ordinary Hub folder: config, weights, preprocessing, and the tokenizer of `tiny` where texts are read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(note["config"], indent=2) + "\n")
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "preprocessor_config.json").write_text(json.dumps(_preprocessing(note["facts"]["side"]), indent=2) + "\n")
    if note["facts"]["loss"] != "labels":
        for name in TOKENIZER:
            shutil.copyfile(tiny / name, folder / name)
    if note["facts"]["loss"] == "sigmoid":
        _all_tokens_read(folder, note["config"]["text_config"]["max_position_embeddings"])
    for file in folder.iterdir():
        file.chmod(0o644)


def _all_tokens_read(folder: Path, context: int) -> None:
    """SigLIP's text tower reads every position and is never told which are padding: its tokenizer gives no mask."""
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"model_max_length": context, "model_input_names": ["input_ids"]}
    path.write_text(json.dumps(settings, indent=2) + "\n")


def _preprocessing(side: int) -> dict[str, Any]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
