"""Real generators and sets made bad on purpose, as vectors of networks that were trained on such images.

MNIST through a published LeNet-5 (84 activations before the last layer), CIFAR-10 through a published ResNet-20 (64).
"""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

OUTLIERS = (0.0, 0.0005, 0.01, 0.05)
GARBAGE = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
KINDS = ("memorise", "drop", "mix", "blur", "noise", "grey")


def _module(path: Path):
    spec = spec_from_file_location("pack_readers", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Pack:
    """The data pack at `root`: images, the networks' weights, and the sets made from them."""

    def __init__(self, root: Path) -> None:
        self.made = _module(root / "recipes.py")  # the pack's own readers, which have this package's name
        self.mnist = np.load(root / "mnist.npz")
        self.fashion = np.load(root / "fashion_mnist.npz")
        self.generated = np.load(root / "generated_sets.npz")
        self.lenet = {
            name: torch.from_numpy(value) for name, value in np.load(root / "mnist_lenet_weights.npz").items()
        }

    def digits(self, images: np.ndarray) -> np.ndarray:
        """Activations of LeNet-5 before its last layer; images are padded to 32 pixels, as it was trained."""
        w = self.lenet
        with torch.inference_mode():
            x = F.pad(torch.from_numpy(images).float().div(255)[:, None], (2, 2, 2, 2))
            for name, stride in (("c1", 2), ("c3", 2)):
                x = F.relu(F.conv2d(x, w[f"convnet.{name}.weight"], w[f"convnet.{name}.bias"]))
                x = F.max_pool2d(x, 2, stride)
            x = F.relu(F.conv2d(x, w["convnet.c5.weight"], w["convnet.c5.bias"])).flatten(1)
            x = F.relu(F.linear(x, w["fc.f6.weight"], w["fc.f6.bias"]))
        return x.numpy()

    def colours(self, images: np.ndarray, network) -> np.ndarray:
        """Activations of a CIFAR-10 network before its last layer."""
        return network.encode_images(list(images))

    def cifar(self) -> np.ndarray:
        """The lossless CIFAR-10 test images."""
        table, _ = self.made.read("cifar10_test_png.parquet")
        return np.stack([self.made.decode(image) for image in table["image"]])


def digit_sets(pack: Pack, n: int, seed: int):
    """(experiment, setting, real vectors, fake vectors) on MNIST, n of each; reals are of its test half."""
    random = np.random.default_rng(seed)
    tests = pack.digits(pack.mnist["test_x"][random.permutation(len(pack.mnist["test_x"]))[:n]])
    order = random.permutation(len(pack.mnist["train_x"]))
    train, labels = pack.digits(pack.mnist["train_x"][order]), pack.mnist["train_y"][order]
    clothes = pack.digits(pack.fashion["train_x"])
    for name in ("mnist_vae", "mnist_gan_mlp"):
        yield "generators", name, tests, pack.digits(pack.generated[name][:n])
    yield "generators", "other real digits", tests, train[:n]
    yield "generators", "clothes", tests, clothes[:n]
    for share in OUTLIERS:
        reals = tests.copy()
        reals[: round(share * n)] = clothes[n : n + round(share * n)]
        yield "clothes among reals", share, reals, clothes[:n]
    for share in GARBAGE:
        fakes = train[:n].copy()
        fakes[: round(share * n)] = clothes[: round(share * n)]
        yield "clothes among fakes", share, tests, fakes
    few, many = train[labels < 4], train[labels >= 4]
    for share in SHARES:
        kept = round((1 - share) * 0.6 * n)
        yield "digits dropped", share, tests, np.concatenate([many[:kept], few[: n - kept]])


def colour_sets(pack: Pack, network, n: int, seed: int):
    """The same on CIFAR-10: bad generators, codecs, and the few samples of published generators."""
    order = np.random.default_rng(seed).permutation(10_000)
    images = pack.cifar()[order]
    reals, others = images[:n], images[n : 2 * n]
    real = pack.colours(reals, network)
    yield "bad generators", "other real images", real, pack.colours(others, network)
    for kind in KINDS:
        source = reals if kind == "memorise" else others
        yield "bad generators", kind, real, pack.colours(pack.made.bad_generator(source, kind, seed), network)
    jpeg = pack.colours(pack.made.like_cifar_jpeg(others), network)
    yield "codecs", "PNG against PNG", real, pack.colours(others, network)
    yield "codecs", "PNG against JPEG", real, jpeg
    yield "codecs", "JPEG against JPEG", pack.colours(pack.made.like_cifar_jpeg(reals), network), jpeg
    for name in ("cifar10_ddpm", "cifar10_dcgan"):
        few = len(pack.generated[name])
        yield "few samples", f"{name}, {few}", real[:few], pack.colours(pack.generated[name], network)
        yield "few samples", f"other real images, {few}", real[:few], pack.colours(others[:few], network)
