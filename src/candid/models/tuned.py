"""A supervised network as one module that can be trained, and what came of it as a folder that can be loaded."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from candid.errors import InputError
from candid.files import atomic, fresh_folder
from candid.models import loading
from candid.models.classifier import Supervised
from candid.models.framework import read_state
from candid.models.source import Source
from candid.types import Head

__all__ = ["Trainable", "load", "save"]


class Trainable(nn.Module):
    """Prepared pixels (0 to 255, 8 bits or float32) to logits: the network of a `Supervised` and its last layer.

    It shares the network's parameters, so training it changes that model, whose head then is out of date: `save` the
    module and load it.
    """

    def __init__(self, model: Supervised) -> None:
        super().__init__()
        if not isinstance(model, Supervised):
            raise InputError(
                f"expected a supervised classifier to train, got {type(model).__name__}; tune a Head instead"
            )
        self.body = model.module.to(memory_format=torch.channels_last)  # a fifth faster on CPUs
        self.tower = model.tower
        weights = torch.from_numpy(model.head.scale * model.head.weights)
        self.last = nn.Linear(weights.shape[1], weights.shape[0]).to(model.placement.device)
        bias = torch.as_tensor(model.head.bias, dtype=torch.float32).expand(len(weights))
        self.last.load_state_dict({"weight": weights, "bias": bias})
        self.requires_grad_(True)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.last(self.tower(pixels))
        return logits


def save(folder: str | Path, model: Supervised, module: Trainable, *, exist_ok: bool = False) -> Path:
    """The folder, now holding the trained weights and the name and revision of the model that they belong in."""
    folder = fresh_folder(Path(folder), exist_ok=exist_ok)
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    with atomic(folder / "model.safetensors") as part:
        save_file(state, part)
    config = {"model_type": "candid-tuned", "base": model.id, "base_revision": model.revision}
    with atomic(folder / "config.json") as part:
        Path(part).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return folder


def load(source: Source, *, device: str = "auto", dtype: loading.Dtype = "auto") -> Supervised:
    """The model that `save` wrote: its base, loaded at the revision it was trained from, with the trained weights."""
    base = loading.load(
        str(source.config.get("base")), revision=source.config.get("base_revision"), device=device, dtype=dtype
    )
    if not isinstance(base, Supervised):
        raise InputError(f"{source.name} names {source.config.get('base')} as its base, which is no classifier")
    module = Trainable(base)
    try:
        module.load_state_dict(read_state(source))
    except RuntimeError as error:
        raise InputError(f"the weights of {source.name} do not fit {base.id}: {str(error).splitlines()[-1]}") from error
    module.eval().requires_grad_(False)
    weights, bias = (value.detach().cpu().numpy().copy() for value in (module.last.weight, module.last.bias))
    head = Head(weights, base.head.classes, 1.0, bias, base.head.activation)
    return replace(base, id=source.name, revision=source.revision, head=head)
