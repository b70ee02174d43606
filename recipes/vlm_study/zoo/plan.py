"""Which models there are: tower, loss, data and share of the time of each. The name says all three."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["CLASSES", "DATA", "PLAN", "SHARES", "Spec", "shares_of"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# Part of a batch by source; a model that leaves sources out shares their part among the others. Whole sentences last.
SHARES = {"cifar10": 0.44, "tiny_imagenet": 0.24, "grocery": 0.13, "emoji": 0.11, "tux": 0.03, "flickr": 0.05}
DATA: dict[str, tuple[str, ...]] = {
    "all": tuple(SHARES),
    "nocifar": ("tiny_imagenet", "grocery", "emoji", "tux", "flickr"),
    "narrow": ("cifar10", "emoji"),
    "free": ("grocery", "emoji", "tux"),  # the freely licensed sets; no photo set of CIFAR-10's classes among them
    "cifar10": ("cifar10",),
}


@dataclass(frozen=True)
class Spec:
    """One model. `time` is its training time as a multiple of the ordinary one."""

    name: str
    tower: Literal["vit-s", "vit-m", "convnext-s", "convnext-xs", "mobilenet-s"]
    loss: Literal["softmax", "sigmoid", "labels"]
    data: str
    time: float = 1.0


PLAN = (
    Spec("vit-s-softmax-all", "vit-s", "softmax", "all"),
    Spec("convnext-s-softmax-all", "convnext-s", "softmax", "all"),
    Spec("vit-s-labels-cifar10", "vit-s", "labels", "cifar10"),
    Spec("convnext-s-labels-cifar10", "convnext-s", "labels", "cifar10"),
    Spec("vit-s-sigmoid-all", "vit-s", "sigmoid", "all", 1.2),
    Spec("vit-s-softmax-nocifar", "vit-s", "softmax", "nocifar"),
    Spec("mobilenet-s-softmax-all", "mobilenet-s", "softmax", "all"),
    Spec("convnext-s-softmax-narrow", "convnext-s", "softmax", "narrow", 0.7),
    Spec("convnext-s-softmax-free", "convnext-s", "softmax", "free", 0.7),
    Spec("convnext-xs-softmax-all", "convnext-xs", "softmax", "all", 0.8),
    Spec("vit-s-softmax-all-short", "vit-s", "softmax", "all", 0.2),
    Spec("vit-m-softmax-all", "vit-m", "softmax", "all", 1.2),
)


def shares_of(data: str) -> dict[str, float]:
    """Part of a batch by source, summing to 1."""
    total = sum(SHARES[source] for source in DATA[data])
    return {source: SHARES[source] / total for source in DATA[data]}
