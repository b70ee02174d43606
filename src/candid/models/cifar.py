"""The networks of the outlier literature for 32-pixel images: wide residual networks, and CIFAR's own ResNets.

Neither is in transformers. A checkpoint is a folder as any other: config.json with `model_type` "wide-resnet" or
"cifar-resnet", preprocessor_config.json and model.safetensors, whose names are those of the published state dicts.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import dropout, pad, relu

from candid.errors import InputError
from candid.files import atomic, fresh_folder
from candid.models.classifier import Supervised
from candid.models.device import place
from candid.models.framework import read_state
from candid.models.preprocess import Preprocess, read_preprocess
from candid.models.source import Source
from candid.types import Head

__all__ = ["CifarResNet", "Network", "WideResNet", "build", "load", "save"]

SIDE = 32
KEYS = ("depth", "widen_factor", "drop_rate")


class Network(nn.Module):
    """A classifier of which `features` are what enters its last layer, `last`."""

    config: dict[str, Any]
    last: nn.Linear

    def features(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.features(x))
        return logits


class CifarResNet(Network):
    """He et al. 2016, https://arxiv.org/abs/1512.03385, section 4.2: 6n + 2 layers, shortcuts without parameters."""

    def __init__(self, *, depth: int, classes: int) -> None:
        super().__init__()
        blocks = _blocks(depth, 2)
        self.config = {"model_type": "cifar-resnet", "depth": depth}
        self.conv1, self.bn1 = _conv(3, 16), nn.BatchNorm2d(16)
        self.layer1 = _stack(_Basic, 16, 16, blocks, stride=1)
        self.layer2 = _stack(_Basic, 16, 32, blocks, stride=2)
        self.layer3 = _stack(_Basic, 32, 64, blocks, stride=2)
        self.linear = nn.Linear(64, classes)
        _initialise(self)

    @property
    def last(self) -> nn.Linear:  # type: ignore[override]
        return self.linear

    def features(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer3(self.layer2(self.layer1(relu(self.bn1(self.conv1(x)))))).mean((2, 3))
        return found


class WideResNet(Network):
    """Zagoruyko and Komodakis 2016, https://arxiv.org/abs/1605.07146: 6n + 4 layers, `widen_factor` times as wide.

    WRN-40-2 with `drop_rate` 0.3 is the network of the outlier exposure and energy papers.
    """

    def __init__(self, *, depth: int, widen_factor: int = 1, drop_rate: float = 0.0, classes: int) -> None:
        super().__init__()
        blocks = _blocks(depth, 4)
        widths = [16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
        self.config = {
            "model_type": "wide-resnet",
            "depth": depth,
            "widen_factor": widen_factor,
            "drop_rate": drop_rate,
        }
        block = partial(_Wide, drop_rate=drop_rate)
        self.conv1 = _conv(3, 16)
        self.block1 = _Stage(_stack(block, 16, widths[0], blocks, stride=1))
        self.block2 = _Stage(_stack(block, widths[0], widths[1], blocks, stride=2))
        self.block3 = _Stage(_stack(block, widths[1], widths[2], blocks, stride=2))
        self.bn1 = nn.BatchNorm2d(widths[2])
        self.fc = nn.Linear(widths[2], classes)
        _initialise(self)

    @property
    def last(self) -> nn.Linear:  # type: ignore[override]
        return self.fc

    def features(self, x: Tensor) -> Tensor:
        return relu(self.bn1(self.block3(self.block2(self.block1(self.conv1(x)))))).mean((2, 3))


def build(config: dict[str, Any], classes: int) -> Network:
    """The untrained network that a config describes."""
    kinds: dict[Any, type[Network]] = {"cifar-resnet": CifarResNet, "wide-resnet": WideResNet}
    options = {name: config[name] for name in KEYS if name in config}
    try:
        return kinds[config.get("model_type")](classes=classes, **options)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"no network for a config with {options} and model_type {config.get('model_type')!r}"
        ) from error


def load(source: Source, *, device: str = "auto", dtype: str = "auto") -> Supervised:
    """The network in the folder of `source`, ready to encode."""
    placement = place(device, dtype)
    names = source.config.get("id2label", {})
    classes = tuple(str(names[key]) for key in sorted(names, key=int))
    network = build(source.config, len(classes))
    _fill(network, read_state(source), source.name)
    pixels = read_preprocess(source.folder, image_size=SIDE, family="Bit")
    network = network.eval().requires_grad_(False).to(placement.device)
    weights, bias = (each.detach().cpu().numpy().copy() for each in (network.last.weight, network.last.bias))
    head = Head(weights, classes, 1.0, bias)
    tower = partial(_tower, network, pixels)
    return Supervised(source.name, source.revision, pixels, head, placement, tower, network)


def save(
    folder: str | Path, network: Network, classes: Sequence[str], *, mean: Sequence[float], std: Sequence[float],
    stretch: bool = False, exist_ok: bool = False,
) -> Path:  # fmt: skip
    """The folder, now holding the network as `load` reads it; `mean` and `std` are of pixels from 0 to 1.

    Images are cropped to a square, or, where the network was trained so, stretched to one.
    """
    folder = fresh_folder(Path(folder), exist_ok=exist_ok)
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic(folder / "model.safetensors") as part:
        save_file(state, part)
    pixels = {
        "image_processor_type": "BitImageProcessor",
        "size": {"height": SIDE, "width": SIDE} if stretch else {"shortest_edge": SIDE},
        "crop_size": {"height": SIDE, "width": SIDE}, "do_center_crop": not stretch, "resample": 2,
        "image_mean": list(mean), "image_std": list(std),
    }  # fmt: skip
    config = network.config | {"id2label": {str(i): name for i, name in enumerate(classes)}}
    for name, content in {"preprocessor_config.json": pixels, "config.json": config}.items():
        with atomic(folder / name) as part:
            Path(part).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return folder


class _Basic(nn.Module):
    """Two 3 x 3 convolutions around a shortcut that drops every second pixel and adds empty channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.grows = outputs - inputs
        self.conv1, self.bn1 = _conv(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = _conv(outputs, outputs), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        side = self.grows // 2
        shortcut = pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side)) if self.grows else x
        return relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))) + shortcut)


class _Wide(nn.Module):
    """Normalisation and rectifier before each of two convolutions; dropout between them."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, drop_rate: float) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), _conv(inputs, outputs, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), _conv(outputs, outputs)
        self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        first = relu(self.bn1(x))
        inner = relu(self.bn2(self.conv1(first)))
        inner = self.conv2(dropout(inner, self.drop_rate, self.training) if self.drop_rate else inner)
        found: Tensor = inner + (x if self.convShortcut is None else self.convShortcut(first))
        return found


class _Stage(nn.Module):
    """Blocks of one width; the published state dicts call them `layer`."""

    def __init__(self, layer: nn.Sequential) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


def _tower(network: Network, pixels: Preprocess, batch: Tensor) -> Tensor:
    return network.features(pixels.normalise(batch))


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def _stack(block: Any, inputs: int, outputs: int, blocks: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(*(block(outputs if i else inputs, outputs, 1 if i else stride) for i in range(blocks)))


def _blocks(depth: int, outside: int) -> int:
    if depth <= outside or (depth - outside) % 6:
        raise InputError(f"such a network has 6n + {outside} layers, got depth {depth}")
    return (depth - outside) // 6


def _initialise(network: Network) -> None:
    """N(0, 2 / (k k outputs)) for convolutions, 1 and 0 for normalisations, no bias at the end."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    nn.init.zeros_(network.last.bias)


def _fill(network: Network, state: dict[str, Tensor], name: str) -> None:
    expected = network.state_dict()
    strange = set(state) ^ {key for key in expected if "num_batches" not in key or key in state}
    if strange:
        raise InputError(f"the weights of {name} do not fit its config: {sorted(strange)[0]} is on one side only")
    wrong = [key for key, value in state.items() if value.numel() != expected[key].numel()]
    if wrong:
        shapes = tuple(state[wrong[0]].shape), tuple(expected[wrong[0]].shape)
        raise InputError(
            f"the weights of {name} do not fit its config: {wrong[0]} is {shapes[0]}, expected {shapes[1]}"
        )
    network.load_state_dict({key: value.reshape(expected[key].shape) for key, value in state.items()}, strict=False)
