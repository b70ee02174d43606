"""The views of test-time tuning as the public code makes them, written from its description: Pillow, one at a time.

A random crop resized by the bilinear filter, half of them mirrored; AugMix on top (Hendrycks et al. 2020,
arxiv.org/abs/1912.02781): three chains of one to three operations at severity 1. Every image of a mixture becomes a
normalised tensor of its own before it is mixed.
"""

import math

import numpy as np
import torch
from PIL import Image, ImageOps

__all__ = ["centre", "view"]

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


def tensor(image: Image.Image) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
    return pixels.sub_(MEAN).div_(STD)


def centre(image: Image.Image, size: int = 224) -> torch.Tensor:
    short = min(image.size)
    larger = image.resize((size * image.width // short, size * image.height // short), Image.BICUBIC)
    left, top = (larger.width - size) // 2, (larger.height - size) // 2
    return tensor(larger.crop((left, top, left + size, top + size)))


def random_crop(image: Image.Image, random: np.random.Generator, size: int) -> Image.Image:
    area = image.width * image.height
    for _ in range(10):
        target, ratio = area * random.uniform(0.08, 1), math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, high = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < wide <= image.width and 0 < high <= image.height:
            left, top = random.integers(0, image.width - wide + 1), random.integers(0, image.height - high + 1)
            part = image.crop((left, top, left + wide, top + high)).resize((size, size), Image.BILINEAR)
            return ImageOps.mirror(part) if random.random() < 0.5 else part
    return image.resize((size, size), Image.BILINEAR)


def view(image: Image.Image, random: np.random.Generator, size: int = 224) -> torch.Tensor:
    def level(most: float) -> float:
        return random.uniform(0.1, 1) * most / 10

    def sign() -> int:
        return -1 if random.uniform() > 0.5 else 1

    def moved(each: Image.Image, *matrix: float) -> Image.Image:
        return each.transform((size, size), Image.AFFINE, matrix, resample=Image.BILINEAR)

    operations = [
        ImageOps.autocontrast,
        ImageOps.equalize,
        lambda each: ImageOps.posterize(each, 4 - int(level(4))),
        lambda each: each.rotate(sign() * int(level(30)), resample=Image.BILINEAR),
        lambda each: ImageOps.solarize(each, 256 - int(level(256))),
        lambda each: moved(each, 1, sign() * level(0.3), 0, 0, 1, 0),
        lambda each: moved(each, 1, 0, 0, sign() * level(0.3), 1, 0),
        lambda each: moved(each, 1, 0, sign() * int(level(size / 3)), 0, 1, 0),
        lambda each: moved(each, 1, 0, 0, 0, 1, sign() * int(level(size / 3))),
    ]
    crop = random_crop(image, random, size)
    plain = tensor(crop)
    weights, share = np.float32(random.dirichlet([1, 1, 1])), np.float32(random.beta(1, 1))
    mixture = torch.zeros_like(plain)
    for weight in weights:
        each = crop.copy()
        for _ in range(random.integers(1, 4)):
            each = operations[random.integers(len(operations))](each)
        mixture += weight * tensor(each)
    return share * plain + (1 - share) * mixture
