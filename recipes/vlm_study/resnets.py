"""The published CIFAR-10 ResNets (He et al. 2016, option A shortcuts; weights: Idelbayev, BSD-2) as classifiers."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from candid.files import digest
from candid.models.classifier import Supervised
from candid.models.device import place
from candid.models.preprocess import Preprocess
from candid.types import Head
from recipes.vlm_study.sets import CLASSES

WIDTHS = (16, 32, 64)


class Block(nn.Module):
    """Two 3 x 3 convolutions around a shortcut that drops every second pixel and adds empty channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.grows = outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2 if self.grows else 1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        side = self.grows // 2
        shortcut = pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side)) if self.grows else x
        return relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))) + shortcut)


class Body(nn.Module):
    """Everything before the last layer."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        inputs = 16
        for number, width in enumerate(WIDTHS, start=1):
            blocks = [Block(inputs if i == 0 else width, width) for i in range((depth - 2) // 6)]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            inputs = width

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))


def load(weights: Path, depth: int, *, device: str = "auto") -> Supervised:
    """ResNet-20 or -56 from the arrays of its state dict: 64 activations and the head that was trained on them."""
    arrays = np.load(weights)
    state = {name: torch.from_numpy(np.atleast_1d(arrays[name])) for name in arrays.files}
    head = Head(state.pop("linear.weight").numpy(), CLASSES, 1.0, state.pop("linear.bias").numpy())
    body = Body(depth)
    missing, extra = body.load_state_dict(
        {name: value.reshape(body.state_dict()[name].shape) for name, value in state.items()}, strict=False
    )
    if extra or any("num_batches" not in name for name in missing):
        raise ValueError(f"{weights} does not fit a ResNet-{depth}: {missing} {extra}")
    placement = place(device, "auto")
    body = body.eval().requires_grad_(False).to(placement.device)
    pixels = Preprocess(32, 32, 2, True, 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    tower = partial(_tower, body, pixels)
    revision = digest(weights.read_bytes())
    return Supervised(f"resnet{depth}-cifar10", revision, pixels, head, placement, tower, body)


def _tower(body: Body, pixels: Preprocess, batch: Tensor) -> Tensor:
    return body(pixels.normalise(batch))
