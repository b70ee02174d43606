"""Networks trained by empirical risk minimisation on the problems: `python -m recipes.last_layer.networks SOURCES OUT`.

One CIFAR ResNet-20 for each problem and strength of the spurious correlation, by SGD with Nesterov momentum 0.9, rate
0.1 along a cosine, weight decay 5e-4, batches of 128, crops and flips; the last epoch is kept, so no group label is
spent. With --start FOLDER (a published ResNet-20 of CIFAR-10) scenes start from its features at rate 0.01, as the
paper's networks do from ImageNet's. A network that is there already is left alone.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from candid import models, tune
from candid.models import cifar
from candid.types import ImageSet
from recipes.last_layer.problems import PROBLEMS, made

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
AGREEMENTS = (1.0, 0.99, 0.95, 0.9, 0.5)
SIZES = {"dominoes-cars": (6000, 12), "dominoes-clothes": (1400, 30), "scenes": (4000, 12), "styles": (6000, 12)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--problems", nargs="*", default=PROBLEMS, choices=PROBLEMS)
    parser.add_argument("--agreements", nargs="*", type=float, default=AGREEMENTS)
    parser.add_argument("--seeds", nargs="*", type=int, default=(0,))
    parser.add_argument("--start", type=Path)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    for seed in args.seeds:
        for problem in args.problems:
            for agreement in args.agreements:
                out = args.out / name(problem, agreement, seed)
                if not (out / "config.json").is_file():
                    began = time.time()
                    start = args.start if problem == "scenes" else None
                    accuracy = train(args.sources, problem, agreement, seed, out, start, args.device)
                    print(f"{out.name}: {accuracy:.3f} on its last epoch, {time.time() - began:.0f} s", flush=True)


def name(problem: str, agreement: float, seed: int) -> str:
    return f"{problem}-{round(100 * agreement)}-{seed}"


def train(sources: Path, problem: str, agreement: float, seed: int, out: Path, start: Path | None, device: str):
    n, epochs = SIZES[problem]
    images = made(sources, problem, "train", n=n, agreement=agreement, seed=seed)
    torch.manual_seed(seed)
    network = cifar.CifarResNet(depth=20, classes=len(images.classes))
    if start is not None:
        begin_from(network, start)
    cifar.save(out.with_suffix(".part"), network, images.classes, mean=MEAN, std=STD, stretch=True, exist_ok=True)
    pixels = prepared(models.load(str(out.with_suffix(".part")), device="cpu"), images)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))

    def augment(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return (tune.crop_and_flip(batch, generator).float() / 255 - mean) / std

    recipe = tune.OutlierRecipe("ce", epochs=epochs, rate=0.1 if start is None else 0.01, seed=seed)
    found = tune.energy_bounded(
        network.to(memory_format=torch.channels_last), pixels, images.labels, None, recipe, augment=augment,
        device=device,
    )  # fmt: skip
    cifar.save(out, network, images.classes, mean=MEAN, std=STD, stretch=True)
    for left in out.with_suffix(".part").iterdir():
        left.unlink()
    out.with_suffix(".part").rmdir()
    return found.history[-1]["accuracy"]


def begin_from(network: cifar.Network, folder: Path) -> None:
    """The features of another network of this shape; its last layer is left behind."""
    published = models.load(str(folder), device="cpu").module
    state = {key: value for key, value in published.state_dict().items() if not key.startswith("linear.")}
    network.load_state_dict(state, strict=False)


def prepared(model, images: ImageSet) -> np.ndarray:
    return np.stack([model.prepare(images.read(i)) for i in range(len(images))])


if __name__ == "__main__":
    main()
