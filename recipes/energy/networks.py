"""Networks of the energy study as folders that `models.load` reads.

`python -m recipes.energy.networks published DATA OUT` converts the published CIFAR-10 ResNets (weights: Idelbayev,
BSD-2). `... checkpoint FILE.pt OUT --depth 40 --widen 2 --drop 0.3` converts a state dict of the energy and outlier
exposure repositories. `... train SETS/known-train.parquet OUT --depth 16 --widen 1 --epochs 15` trains a network by
the papers' recipe: SGD, 0.1 to 1e-6 along a cosine, Nesterov 0.9, weight decay 5e-4, batches of 128, crops and flips.
"""

import argparse
import time
from pathlib import Path

import torch

from candid import data, tune
from candid.models import cifar
from recipes.energy.arrays import pixels_of
from recipes.vlm_study import resnets
from recipes.vlm_study.sets import CLASSES

CIFAR = ((125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("published", "checkpoint", "train"))
    parser.add_argument("given", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--depth", type=int, default=40)
    parser.add_argument("--widen", type=int, default=2)
    parser.add_argument("--drop", type=float, default=0.3)
    parser.add_argument("--classes", nargs="*", default=CLASSES)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.what == "published":
        for depth in (20, 56):
            print(published(args.given / f"resnet{depth}_cifar10_weights.npz", depth, args.out / f"resnet{depth}"))
        return
    torch.manual_seed(args.seed)
    network = cifar.WideResNet(
        depth=args.depth, widen_factor=args.widen, drop_rate=args.drop, classes=len(args.classes)
    )
    if args.what == "checkpoint":
        state = torch.load(args.given, "cpu", weights_only=True)
        network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    else:
        train(network, args)
    print(cifar.save(args.out, network, args.classes, mean=CIFAR[0], std=CIFAR[1]))
    Path(f"{args.out}.part").unlink(missing_ok=True)


def published(weights: Path, depth: int, out: Path) -> Path:
    """A published ResNet from the arrays of its state dict."""
    return cifar.save(out, resnets.network(weights, depth), CLASSES, mean=resnets.MEAN, std=resnets.STD)


def train(network: cifar.Network, args: argparse.Namespace) -> None:
    images = data.read(args.given, classes=args.classes)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in CIFAR)

    def augment(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return (tune.crop_and_flip(batch, generator).float() / 255 - mean) / std

    recipe = tune.OutlierRecipe("ce", epochs=args.epochs, rate=0.1, seed=args.seed)
    began = time.time()

    def told(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            print(f"step {done} of {total}, {time.time() - began:.0f} s", flush=True)

    found = tune.energy_bounded(
        network.to(memory_format=torch.channels_last), pixels_of(images), images.labels, None, recipe,
        augment=augment, device=args.device, checkpoint=Path(f"{args.out}.part"), progress=told,
    )  # fmt: skip
    for epoch, row in enumerate(found.history, start=1):
        print(epoch, {name: round(value, 4) for name, value in row.items()})


if __name__ == "__main__":
    main()
