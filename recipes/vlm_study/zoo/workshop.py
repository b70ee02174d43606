"""One device, its images and its frozen text tower, on which one model after another is made."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPModel, CLIPTokenizer

from recipes.vlm_study.zoo import packs, training
from recipes.vlm_study.zoo.lessons import Bank, lesson
from recipes.vlm_study.zoo.plan import CLASSES, PLAN, Spec, shares_of
from recipes.vlm_study.zoo.pools import TEST, Pool
from recipes.vlm_study.zoo.towers import SIDES, build
from recipes.vlm_study.zoo.views import Album, Views

__all__ = ["Workshop"]


class Workshop:
    """Everything that the models share."""

    def __init__(
        self,
        pools: list[Pool],
        out: Path,
        *,
        tiny: Path,
        device: str,
        batch: int,
        seed: int,
        say: Callable[[str], None],
    ) -> None:
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False  # training runs in bfloat16; what runs in float32 is checked later
        self.device, self.batch, self.seed, self.say = torch.device(device), batch, seed, say
        self.layouts: dict[str, str] = {}  # the faster memory layout by tower, once known
        self.album = Album(pools, self.device)
        say(f"{sum(map(len, self.album.texts.values()))} images on {self.machine()['device']}")
        self.tiny = CLIPModel.from_pretrained(tiny, dtype=torch.float32, local_files_only=True)
        self.bank = Bank(self.tiny, CLIPTokenizer.from_pretrained(tiny), self.device)
        self.shelf = packs.Shelf(out, load_file(tiny / "model.safetensors"))
        self.labels = torch.tensor([CLASSES.index(name) for (name,) in self.album.texts[TEST]], device=self.device)

    def machine(self) -> dict[str, Any]:
        """What the numbers were made on."""
        cuda = self.device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name(self.device) if cuda else platform.processor() or "cpu",
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def make(self, spec: Spec, *, seconds: float) -> dict[str, Any]:
        """Train, check and shelve one model; its facts."""
        began = time.monotonic()
        seed = self.seed + PLAN.index(spec)
        side = SIDES[spec.tower]
        torch.manual_seed(seed)  # initial weights; what is drawn later has a generator of its own
        module = build(spec, self.tiny).to(self.device)
        views = Views(self.album, shares_of(spec.data), side=side, size=self.batch, seed=seed)
        taught_by = lesson(spec, module, views, self.bank)
        layout = training.warm_up(taught_by, views, self.layouts.get(spec.tower))
        self.layouts[spec.tower] = layout
        ready = time.monotonic() - began
        self.say(f"{spec.name}: {size(module)} parameters, {layout}, ready in {ready:.1f} s, {seconds:.1f} s to train")

        def log(step: int, progress: float, loss: float) -> None:
            if step % 200 == 0:
                self.say(f"  {spec.name} step {step:5d} {progress:4.0%} loss {loss:.3f}")

        taught = training.teach(taught_by, views, seconds=seconds, log=log)
        found = training.check(taught_by, self.album.whole[TEST], self.labels, side)
        with torch.no_grad():
            answer = taught_by.vectors(packs.probe(side).to(self.device))
        facts = {
            "tower": spec.tower, "loss": spec.loss, "data": spec.data, "shares": views.counts, "side": side,
            "seed": seed, "batch": views.size, "names": len(views.names), "captions": len(views.captions),
            "steps": taught.steps, "views": taught.views, "seconds": round(taught.seconds, 2),
            "final_loss": taught.loss, "machine": self.machine(),
            "parameters": parameters(module), "cifar10_test": found,
        }  # fmt: skip
        for name in packs.KEPT:
            if hasattr(module, name):
                facts[name] = getattr(module, name).item()
        facts["file"] = self.shelf.add(spec.name, module, dict(facts), answer)
        self.say(
            f"{spec.name}: {taught.steps} steps, {taught.views} views, {taught.seconds:.1f} s, loss {taught.loss:.3f}; "
            f"CIFAR-10 test {found['accuracy']:.1%} right, {found['confidence']:.1%} confident; in {facts['file']}"
        )
        return facts


def size(module: nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.2f} M"


def parameters(module: nn.Module) -> dict[str, int]:
    """Parameters in all, and of the part that reads images."""
    vision = getattr(module, "vision_model", module)
    return {"all": sum(p.numel() for p in module.parameters()), "vision": sum(p.numel() for p in vision.parameters())}
