"""The published CIFAR-10 ResNets (He et al. 2016, option A shortcuts; weights: Idelbayev, BSD-2) as classifiers."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from candid.files import digest
from candid.models.cifar import CifarResNet
from candid.models.classifier import Supervised
from candid.models.device import place
from candid.models.preprocess import Preprocess
from candid.types import Head
from recipes.vlm_study.sets import CLASSES

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what they were trained with


def network(weights: Path, depth: int) -> CifarResNet:
    """ResNet-20 or -56 from the arrays of its state dict."""
    arrays = np.load(weights)
    made = CifarResNet(depth=depth, classes=len(CLASSES))
    expected = made.state_dict()
    state = {name: torch.from_numpy(np.atleast_1d(arrays[name])).reshape(expected[name].shape) for name in arrays.files}
    missing, extra = made.load_state_dict(state, strict=False)
    if extra or any("num_batches" not in name for name in missing):
        raise ValueError(f"{weights} does not fit a ResNet-{depth}: {missing} {extra}")
    return made


def load(weights: Path, depth: int, *, device: str = "auto") -> Supervised:
    """The network ready to encode: 64 activations and the head that was trained on them."""
    placement = place(device, "auto")
    body = network(weights, depth).eval().requires_grad_(False).to(placement.device)
    head = Head(body.linear.weight.cpu().numpy(), CLASSES, 1.0, body.linear.bias.cpu().numpy())
    pixels = Preprocess(32, 32, 2, True, 1 / 255, MEAN, STD)
    tower = partial(_tower, body, pixels)
    return Supervised(f"resnet{depth}-cifar10", digest(weights.read_bytes()), pixels, head, placement, tower, body)


def _tower(body: CifarResNet, pixels: Preprocess, batch: Tensor) -> Tensor:
    return body.features(pixels.normalise(batch))
