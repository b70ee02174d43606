"""Scenes with exact masks: emoji, stamps and shapes on photographs and textures, and real microscopy.

Everything here is free to publish (tier A of the data pack). Held out for good: emoji and stamps by a hash of their
name, nuclei by a hash of their id, grocery photographs of the test split.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from scipy import ndimage

from recipes.tiny.images import table

SIDE = 256
HELD_OUT_OF = 5  # one name in five is never trained on


def held_out(name: str) -> bool:
    """Whether objects of this name are for evaluation only."""
    return int(hashlib.blake2b(name.encode(), digest_size=4).hexdigest(), 16) % HELD_OUT_OF == 0


@dataclass(frozen=True)
class Material:
    """What scenes are made of: cut-outs RGBA, photographs RGB, nuclei as (image, instance map)."""

    cutouts: tuple[Image.Image, ...]
    photographs: tuple[Image.Image, ...]
    nuclei: tuple[tuple[np.ndarray, np.ndarray], ...]


def material(data: Path, *, test: bool = False) -> Material:
    """The training part of the pack, or its held-out part."""
    cutouts = []
    for file, key in (("emoji", "codepoint"), ("tux_stamps", "name")):
        rows = table(data, file)
        for encoded, name in zip(rows["image"], rows[key], strict=True):
            if held_out(name) == test:
                cutouts.append(Image.open(io.BytesIO(encoded)).convert("RGBA"))
    rows = table(data, "grocery")
    photographs = tuple(
        Image.open(io.BytesIO(encoded)).convert("RGB")
        for encoded, split in zip(rows["image"], rows["split"], strict=True)
        if (split == "test") == test
    )
    return Material(tuple(cutouts), photographs, tuple(nuclei(data, test=test)))


def nuclei(data: Path, *, test: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Microscopy images with their instance maps."""
    rows = table(data, "nuclei_dsb2018")
    return [
        (np.asarray(Image.open(io.BytesIO(image)).convert("RGB")), np.asarray(Image.open(io.BytesIO(mask))).astype(int))
        for image, mask, name in zip(rows["image"], rows["mask"], rows["id"], strict=True)
        if held_out(name) == test
    ]


def scene(stock: Material, random: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """An image SIDE SIDE 3 and masks on it: objects (in full view or what is left of them), their parts, groups."""
    if random.random() < 0.22:
        return microscopy(stock, random)
    canvas = background(stock, random)
    layers: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    plates = random.random() < 0.3
    repeated = cutout(stock, random) if random.random() < 0.25 else None
    count = int(random.choice([1, 2, 3, 5, 8, 12], p=[0.15, 0.2, 0.25, 0.2, 0.12, 0.08]))
    largest = {1: 0.95, 2: 0.8, 3: 0.7}.get(count, 0.5)
    parts: list[np.ndarray] = []
    for _ in range(count):
        thing = repeated if repeated is not None and random.random() < 0.7 else cutout(stock, random)
        size = SIDE * float(np.exp(random.uniform(np.log(0.09), np.log(largest))))
        thing = turned(thing, size, random)
        left, top = (int(random.uniform(-0.2 * side, SIDE - 0.8 * side)) for side in thing.size)
        under = None
        if plates and random.random() < 0.5:
            plate = turned(shape(stock, random), size * random.uniform(1.2, 1.8), random)
            at = (left + (thing.width - plate.width) // 2, top + (thing.height - plate.height) // 2)
            under = pasted(canvas, plate, at)
            layers = [mask & ~under for mask in layers]
            parts = [mask & ~under for mask in parts]
            groups = [mask & ~under for mask in groups]
            layers.append(under)
        if random.random() < 0.25:
            shadow(canvas, thing, (left, top), random)
        mask = pasted(canvas, thing, (left, top))
        layers = [other & ~mask for other in layers]
        parts = [other & ~mask for other in parts]
        if under is not None:
            groups.append(under | mask)
        elif groups:
            groups = [other & ~mask if (other & mask).sum() < 0.5 * mask.sum() else other | mask for other in groups]
        layers.append(mask)
        parts += regions(np.asarray(canvas), mask, random)
    masks = layers * 2 + parts[:count] + groups
    return camera(canvas, random), [mask for mask in masks if 30 <= mask.sum() <= 0.9 * SIDE * SIDE]


def microscopy(stock: Material, random: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """A random crop of a real microscopy image at a random size, with every nucleus in it."""
    image, labels = stock.nuclei[random.integers(len(stock.nuclei))]
    side = int(random.uniform(0.25, 1.0) * min(labels.shape))
    top, left = (int(random.integers(0, length - side + 1)) for length in labels.shape)
    image, labels = (array[top : top + side, left : left + side] for array in (image, labels))
    turns, flip = int(random.integers(4)), random.random() < 0.5
    image, labels = (np.rot90(array[:, ::-1] if flip else array, turns) for array in (image, labels))
    if random.random() < 0.2:
        image = 255 - image
    picture = Image.fromarray(np.ascontiguousarray(image)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    found = Image.fromarray(np.ascontiguousarray(labels).astype(np.int32)).resize(
        (SIDE, SIDE), Image.Resampling.NEAREST
    )
    instances = np.asarray(found)
    masks = [instances == label for label in np.unique(instances) if label]
    return camera(picture, random), [mask for mask in masks if 30 <= mask.sum() <= 0.9 * SIDE * SIDE]


def background(stock: Material, random: np.random.Generator) -> Image.Image:
    """A photograph, a texture of noise, a gradient, stripes, or one colour."""
    kind = random.random()
    if kind < 0.4:
        photograph = stock.photographs[random.integers(len(stock.photographs))]
        share = random.uniform(0.4, 1.0)
        width, height = (max(8, int(share * side)) for side in photograph.size)
        left, top = (
            int(random.integers(photograph.width - width + 1)),
            int(random.integers(photograph.height - height + 1)),
        )
        return photograph.crop((left, top, left + width, top + height)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return Image.fromarray(texture((SIDE, SIDE), random))


def texture(size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """h w 3 of noise in octaves, a gradient, stripes or one colour, between two or three random colours."""
    h, w = size
    colours = random.uniform(0, 255, (3, 3))
    colours[1:] = colours[0] + random.uniform(0.1, 1) * (colours[1:] - colours[0])
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / max(h, w)
    kind = random.integers(4)
    if kind == 0:
        field = np.full((h, w), random.random(), np.float32)
    elif kind == 1:
        angle = random.uniform(0, 2 * np.pi)
        field = np.cos(angle) * x + np.sin(angle) * y
    elif kind == 2:
        angle, often = random.uniform(0, 2 * np.pi), random.uniform(3, 40)
        field = np.sin(2 * np.pi * often * (np.cos(angle) * x + np.sin(angle) * y))
    else:
        field = np.zeros((h, w), np.float32)
        for octave in range(1, 6):
            cells = int(2**octave * random.uniform(0.8, 2))
            grid = random.random((cells, cells)).astype(np.float32)
            field += (
                np.asarray(Image.fromarray(grid).resize((w, h), Image.Resampling.BICUBIC))
                / random.uniform(1, 2) ** octave
            )
    spread = float(np.ptp(field))
    field = (field - field.min()) / spread if spread > 0 else field
    mixed = (
        colours[0] + field[..., None] * (colours[1] - colours[0]) + (field**2)[..., None] * (colours[2] - colours[1])
    )
    return (mixed + random.normal(0, random.uniform(0, 12), mixed.shape)).clip(0, 255).astype(np.uint8)


def cutout(stock: Material, random: np.random.Generator) -> Image.Image:
    """A stamp or an emoji, or one time in three a shape."""
    if random.random() < 0.35:
        return shape(stock, random)
    return stock.cutouts[random.integers(len(stock.cutouts))]


def shape(stock: Material, random: np.random.Generator) -> Image.Image:
    """An ellipse, polygon, blob or ring filled with a texture or a photograph."""
    side = 128
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    kind = random.integers(5)
    if kind == 0:
        low, high = random.uniform(0, 30, 2), random.uniform(95, 127, 2)
        draw.ellipse((*low, *high), fill=255)
    elif kind == 1:
        low, high = random.uniform(0, 40, 2), random.uniform(85, 127, 2)
        draw.rectangle((*low, *high), fill=255)
    elif kind == 4:
        draw.ellipse((2, 2, 125, 125), fill=255)
        inner = random.uniform(15, 45)
        draw.ellipse((inner, inner, 127 - inner, 127 - inner), fill=0)
    else:
        corners = int(random.integers(3, 9)) if kind == 2 else 40
        angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + random.uniform(0, 6)
        if kind == 2:
            radius = random.uniform(25, 63, corners)
        else:
            radius = 45 + sum(random.normal(0, 10 / k) * np.cos(k * angles + random.uniform(0, 6)) for k in range(1, 6))
        xs, ys = 64 + radius * np.cos(angles), 64 + radius * np.sin(angles)
        draw.polygon(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=255)
    if random.random() < 0.4:
        photograph = stock.photographs[random.integers(len(stock.photographs))]
        fill = photograph.resize((side, side), Image.Resampling.BICUBIC)
    else:
        fill = Image.fromarray(texture((side, side), random))
    fill.putalpha(mask)
    return fill


def turned(thing: Image.Image, size: float, random: np.random.Generator) -> Image.Image:
    """The cut-out at this longest side, turned, mirrored, its colours shifted, cropped to what is visible."""
    factor = size / max(thing.size)
    width, height = (max(4, round(side * factor * random.uniform(0.8, 1.2))) for side in thing.size)
    thing = thing.resize((width, height), Image.Resampling.BICUBIC)
    if random.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    angle = random.normal(0, 15) if random.random() < 0.7 else random.uniform(0, 360)
    thing = thing.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    alpha = thing.getchannel("A")
    rgb = ImageEnhance.Brightness(thing.convert("RGB")).enhance(random.uniform(0.6, 1.3))
    rgb = ImageEnhance.Color(rgb).enhance(random.uniform(0.2, 1.5))
    rgb.putalpha(alpha)
    return rgb.crop(alpha.getbbox()) if alpha.getbbox() else rgb


def pasted(canvas: Image.Image, thing: Image.Image, at: tuple[int, int]) -> np.ndarray:
    """Pastes in place and returns where it covers the canvas by more than half."""
    alpha = Image.new("L", canvas.size, 0)
    alpha.paste(thing.getchannel("A"), at)
    canvas.paste(thing.convert("RGB"), at, thing.getchannel("A"))
    return np.asarray(alpha) > 127


def shadow(canvas: Image.Image, thing: Image.Image, at: tuple[int, int], random: np.random.Generator) -> None:
    """A soft shadow beside the cut-out, which belongs to no mask."""
    dark = Image.new("L", canvas.size, 0)
    moved = (at[0] + int(random.normal(0, 6)), at[1] + int(abs(random.normal(0, 6))))
    dark.paste(thing.getchannel("A").point(lambda value: value // 2), moved)
    canvas.paste((0, 0, 0), (0, 0), dark.filter(ImageFilter.GaussianBlur(random.uniform(1, 5))))


def regions(pixels: np.ndarray, mask: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """Up to two parts of an object: connected areas of nearly one colour, 5 to 60 % of it."""
    area = int(mask.sum())
    if area < 400:
        return []
    seeds = np.argwhere(mask)
    found: list[np.ndarray] = []
    for _ in range(2):
        y, x = seeds[random.integers(len(seeds))]
        near = (np.abs(pixels.astype(int) - pixels[y, x].astype(int)).sum(-1) < 60) & mask
        labels, _ = ndimage.label(near)
        part = ndimage.binary_fill_holes(labels == labels[y, x]) & mask
        if 0.05 * area < part.sum() < 0.6 * area and not any((part & other).any() for other in found):
            found.append(part)
    return found


def camera(canvas: Image.Image, random: np.random.Generator) -> np.ndarray:
    """What a camera does: blur, noise, exposure, lost colour, JPEG."""
    if random.random() < 0.3:
        canvas = canvas.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.5)))
    pixels = np.asarray(canvas).astype(np.float32)
    if random.random() < 0.5:
        pixels = 255 * (pixels / 255) ** random.uniform(0.6, 1.6)
        pixels = pixels * random.uniform(0.7, 1.15, 3)
    if random.random() < 0.15:
        pixels = np.repeat(pixels.mean(-1, keepdims=True), 3, axis=-1)
    if random.random() < 0.4:
        pixels = pixels + random.normal(0, random.uniform(1, 12), pixels.shape)
    done = pixels.clip(0, 255).astype(np.uint8)
    if random.random() < 0.4:
        held = io.BytesIO()
        Image.fromarray(done).save(held, "JPEG", quality=int(random.integers(30, 95)))
        done = np.asarray(Image.open(held).convert("RGB"))
    return done
