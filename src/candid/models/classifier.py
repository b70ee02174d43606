"""Supervised image classifiers through transformers: the activations before the last layer, and that layer as a Head.

Whatever the network, its logits are one linear map of one vector an image; a network of which that is not true is
refused. So calibration and outlier detection see it as they see a vision-language model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8

from candid.errors import InputError, nearest
from candid.models.device import Placement, place
from candid.models.families import FAMILIES, ONE_SIZE
from candid.models.framework import read_model, to_device
from candid.models.preprocess import read_preprocess
from candid.models.source import Source
from candid.models.towers import IMAGES_AT_ONCE, Pixels
from candid.types import Activation, Batch, Head, Image, Vectors

if TYPE_CHECKING:
    from candid.models.backbone import Backbone

__all__ = ["HEADED", "Supervised", "activations", "in_batches", "load"]

HEADED = "ForImageClassification"  # how the names of the framework's classes with one head end


@dataclass(eq=False)
class Supervised:
    """A supervised network, ready to encode. Fill it and leave it: nothing here changes after it is made.

    `tower` takes 8-bit pixels on the device and returns the rows that enter the last layer, which `head` holds;
    `module` is the framework's own network without that layer.
    """

    id: str
    revision: str
    pixels: Pixels
    head: Head
    placement: Placement
    tower: Callable[[torch.Tensor], torch.Tensor] = field(repr=False)
    module: Any = field(repr=False)

    def __post_init__(self) -> None:
        self.preprocessing: str = self.pixels.digest
        self.size: int = self.pixels.size
        self.dim: int = self.head.weights.shape[1]

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda", "cuda:1", "mps"."""
        return str(self.placement.device)

    @property
    def precision(self) -> str:
        """Number format of the forward, by which the feature cache tells runs apart: "float32", "float16 autocast"."""
        return self.placement.precision

    def prepare(self, image: Image) -> UInt8[np.ndarray, "3 size size"]:
        """Resized and cropped pixels, still 8 bits. Thread-safe; touches no accelerator."""
        return self.pixels(image)

    def encode_prepared(self, pixels: Batch) -> Vectors:
        """float32 activations of prepared images as they enter the last layer, in one batch; not unit rows."""
        return activations(self, pixels)

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """float32 activations of RGB images of any size as they enter the last layer; not unit rows."""
        return in_batches(self, images)


@torch.inference_mode()
def activations(model: "Supervised | Backbone", pixels: Batch) -> Vectors:
    """What a network without text makes of one batch of prepared images."""
    if len(pixels) == 0:
        return np.empty((0, model.dim), np.float32)
    batch = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(model.placement.device)
    with model.placement.casting():
        rows: np.ndarray = model.tower(batch).float().cpu().numpy()
    if not np.isfinite(rows).all():
        raise InputError(
            f"{model.id} gave activations that are not finite; "
            "load it with dtype float32, or fetch its weights again if they may be damaged"
        )
    return rows


def in_batches(model: "Supervised | Backbone", images: Sequence[Image]) -> Vectors:
    """What it makes of images of any size."""
    rows = [np.empty((0, model.dim), np.float32)]
    for start in range(0, len(images), IMAGES_AT_ONCE):
        part = images[start : start + IMAGES_AT_ONCE]
        rows.append(model.encode_prepared(np.stack([model.prepare(image) for image in part])))
    return np.concatenate(rows)


def load(source: Source, *, device: str = "auto", dtype: str = "auto") -> Supervised:
    """The supervised classifier at `source`."""
    placement = place(device, dtype)
    family = str(source.config["model_type"])
    model = read_model(_architecture(source, family), source)
    expected = model.config.image_size if family in ONE_SIZE else None
    pixels = read_preprocess(source.folder, image_size=expected, family=FAMILIES[family])
    head = _head(model, source.name, _probe(pixels.size))  # before any cast: half precision would round its weights
    model = to_device(model, placement)

    def tower(batch: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = model(pixel_values=pixels.normalise(batch).to(placement.dtype)).logits
        return rows

    return Supervised(source.name, source.revision, pixels, head, placement, tower, model)


def _architecture(source: Source, family: str) -> str:
    """The framework's class that the config asks for."""
    named = source.config.get("architectures") or [None]
    if family not in FAMILIES:
        raise InputError(f"{source.name} is a model of type {family!r}; {nearest(family, FAMILIES)}")
    if not isinstance(named, list) or not str(named[0]).endswith(HEADED):
        raise InputError(
            f"{source.name} is a {family} of architecture {named[0] if isinstance(named, list) else named}, "
            f"expected one with a single trained head, ...{HEADED}; pass the checkpoint of a classifier"
        )
    return str(named[0])


@torch.inference_mode()
def _head(model: Any, name: str, probe: torch.Tensor) -> Head:
    """The last layer, taken out of the model: afterwards the model's logits are that layer's input.

    One random image shows that the two together still are the model.
    """
    place, last = _last_layer(model, name)
    whole = _forward(model, name, probe)
    parent, _, child = place.rpartition(".")
    setattr(model.get_submodule(parent), child, torch.nn.Identity())
    rows = _forward(model, name, probe)
    if rows.shape != (1, last.in_features) or not torch.allclose(last(rows), whole, rtol=1e-4, atol=1e-5):
        raise InputError(f"the logits of {name} are not one linear map of one vector; it has no adapter here")
    bias = 0.0 if last.bias is None else last.bias.numpy().copy()
    return Head(last.weight.numpy().copy(), _classes(model, name), 1.0, bias, _activation(model, name))


def _last_layer(model: Any, name: str) -> tuple[str, torch.nn.Linear]:
    """Where the linear layer outside the backbone lies that has one output a class, and the layer itself."""
    backbone = f"{model.base_model_prefix}."
    found = [
        (place, module)
        for place, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and not place.startswith(backbone)
        and module.out_features == model.config.num_labels
    ]
    if len(found) != 1:
        raise InputError(f"expected one linear layer with the classes of {name} for outputs, got {len(found)}")
    return found[0]


def _forward(model: Any, name: str, probe: torch.Tensor) -> torch.Tensor:
    try:
        logits: torch.Tensor = model(pixel_values=probe).logits
    except (RuntimeError, ValueError) as error:  # what networks raise for images of another size than theirs
        cause = " ".join(str(error).split())[:200]
        raise InputError(
            f"{name} cannot see images of {probe.shape[-1]} px as its processor prepares them: {cause}"
        ) from error
    return logits


def _probe(size: int) -> torch.Tensor:
    return torch.rand((1, 3, size, size), generator=torch.Generator().manual_seed(0)) * 2 - 1


def _classes(model: Any, name: str) -> tuple[str, ...]:
    names = {int(index): str(label) for index, label in model.config.id2label.items()}
    count = model.config.num_labels
    if sorted(names) != list(range(count)):
        raise InputError(f"the config of {name} must name each of its {count} classes in id2label, got {len(names)}")
    return tuple(names[index] for index in range(count))


def _activation(model: Any, name: str) -> Activation:
    problem = getattr(model.config, "problem_type", None)
    if problem == "regression" or model.config.num_labels < 2:
        raise InputError(f"{name} predicts a number, not one of several classes; it has nothing to calibrate here")
    return "sigmoid" if problem == "multi_label_classification" else "softmax"
