"""What a checkpoint does to pixels before its image tower, read from its own preprocessor_config.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8

from candid.errors import InputError, nearest
from candid.files import digest
from candid.models.resize import resize
from candid.models.source import read_json
from candid.types import Image

__all__ = ["Preprocess", "read_preprocess"]

VERSION = 1  # of the pixels this file makes: raise it with any change to them, and every cached feature is made anew
LONGEST = 65536  # pixels; a strip that would grow past this is cut to its middle first, the crop never sees the rest

CLIP = {
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
SIGLIP = {"size": {"height": 224, "width": 224}, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
MOBILE = {**CLIP, "size": {"shortest_edge": 256}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
DEFAULTS: dict[str, dict[str, Any]] = {  # by image_processor_type without its suffix; what a config need not repeat
    "Beit": {**SIGLIP, "crop_size": 224},
    "Bit": CLIP,
    "CLIP": CLIP,
    "ConvNext": {**SIGLIP, "size": 384, "crop_pct": 224 / 256},
    "DeiT": {**SIGLIP, "size": {"height": 256, "width": 256}, "crop_size": 224, "do_center_crop": True},
    "EfficientNet": {**SIGLIP, "size": {"height": 346, "width": 346}, "crop_size": 289, "include_top": True},
    "Levit": {**CLIP, **IMAGENET},
    "MobileNetV1": MOBILE,
    "MobileNetV2": MOBILE,
    "PoolFormer": {**CLIP, **IMAGENET, "crop_pct": 0.9},
    "Pvt": {**SIGLIP, **IMAGENET},
    "Siglip": SIGLIP,
    "ViT": {**SIGLIP, "resample": 2},
}
SQUARE = ("Beit", "DeiT", "EfficientNet", "Pvt", "Siglip", "ViT")  # a plain number is both sides, not the shortest edge
WARPED = 384  # pixels from which a ConvNeXt's processor squeezes the whole image instead of cropping it
SUFFIXES = ("FeatureExtractor", "ImageProcessor", "ImageProcessorFast", "ImageProcessorPil")


@dataclass(frozen=True)
class Preprocess:
    """Resize, centre crop, and the affine map to the model's range, as numbers.

    `resize` is the shortest edge, or (height, width), or None; `resample` is Pillow's number of the filter. `centre`
    says how half a pixel of crop offset rounds: "floor" as transformers, "even" as torchvision and OpenCLIP.
    """

    size: int
    resize: int | tuple[int, int] | None
    resample: int
    crop: bool
    factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    centre: Literal["floor", "even"] = "floor"

    @property
    def digest(self) -> str:
        """Hex, 16 characters; the same settings at the same `VERSION` give the same digest."""
        return digest(json.dumps([VERSION, asdict(self)], sort_keys=True).encode(), length=16)

    def __call__(self, image: Image) -> UInt8[np.ndarray, "3 size size"]:
        """The pixels the model will see, still 8 bits."""
        if image.size == 0:
            raise InputError(f"expected an image with pixels, got shape {image.shape}")
        if self.resize is not None:
            image = _strip(image, self.resize)
            image = resize(image, *_target(image, self.resize), resample=self.resample)
        if self.crop:
            image = _centre_crop(image, self.size, self.centre)
        if image.shape[:2] != (self.size, self.size):
            raise InputError(f"expected an image of {self.size} x {self.size}, got {image.shape[:2]}; resize it first")
        return np.ascontiguousarray(image.transpose(2, 0, 1))

    def normalise(
        self, pixels: UInt8[torch.Tensor, "n 3 h w"] | Float[torch.Tensor, "n 3 h w"]
    ) -> Float[torch.Tensor, "n 3 h w"]:
        """float32 pixels in the range the image tower was trained on."""
        mean, std = (torch.tensor(v, device=pixels.device).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return (pixels.float() * self.factor - mean) / std


def read_preprocess(folder: Path, *, image_size: int | None, family: str) -> Preprocess:
    """The preprocessing a checkpoint names, in preprocessor_config.json or inside processor_config.json.

    `family` names the defaults where the file does not name its processor; `image_size` is what the tower takes (None:
    any size).
    """
    settings = processor_settings(folder)
    kind = str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or family)
    for suffix in SUFFIXES:
        kind = kind.removesuffix(suffix)
    if kind not in DEFAULTS:
        raise InputError(f"no preprocessing for image processor {kind!r} of {folder}; {nearest(kind, DEFAULTS)}")
    settings = {**DEFAULTS[kind], **{k: v for k, v in settings.items() if v is not None}}
    try:
        found = _preprocess(_plain(kind, settings), square=kind in SQUARE)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"cannot follow the image processor of {folder}: {error}") from error
    if image_size is not None and found.size != image_size:
        raise InputError(
            f"{folder} prepares images of {found.size} px for a model of {image_size} px; "
            "its files do not belong together"
        )
    return found


def processor_settings(folder: Path) -> dict[str, Any]:
    """The image processor's settings as the checkpoint's files state them."""
    if (folder / "preprocessor_config.json").is_file():
        return read_json(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        nested = read_json(folder / "processor_config.json").get("image_processor")
        if isinstance(nested, dict):
            return nested
    raise InputError(
        f"expected preprocessor_config.json in {folder}, found none; "
        "without it the pixels would be a guess, save the model's image processor there"
    )


def _plain(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The same pixels in the plain words of CLIP's processor; a few processors do other than their settings read."""
    if kind in ("ConvNext", "Levit", "PoolFormer") and settings.get("do_resize", True):
        return _enlarged(kind, settings)
    if kind == "EfficientNet":
        if not settings.get("do_normalize", True):
            raise ValueError("an EfficientNet without do_normalize is not supported")
        mean, std = (np.asarray(_channels(settings[key])) for key in ("image_mean", "image_std"))
        mean = mean + 1 if settings.get("rescale_offset", False) else mean
        std = std * std if settings["include_top"] else std  # its classifiers were trained on twice normalised pixels
        return {**settings, "image_mean": mean.tolist(), "image_std": std.tolist()}
    return settings


def _enlarged(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """These processors crop to `size`: the image is resized to somewhat more before, or squeezed where it is large."""
    side = _resize_rule(settings["size"], square=False)
    if isinstance(side, tuple):
        raise ValueError(f"expected a size with shortest_edge, got {settings['size']}")
    if kind == "Levit":
        return {**settings, "size": {"shortest_edge": int(256 / 224 * side)}}
    larger = {**settings, "size": {"shortest_edge": int(side / float(settings["crop_pct"]))}}
    if kind == "PoolFormer":
        return larger
    if settings.get("do_center_crop", False) and _resize_rule(settings["crop_size"], square=True) != (side, side):
        raise ValueError(f"expected a crop of {side} px after a resize to {side} px, got {settings['crop_size']}")
    if side >= WARPED:
        return {**settings, "size": {"height": side, "width": side}, "do_center_crop": False}
    return {**larger, "do_center_crop": True, "crop_size": side}


def _preprocess(settings: dict[str, Any], *, square: bool) -> Preprocess:
    crop = bool(settings.get("do_center_crop", False))
    to = _resize_rule(settings["size"], square=square or not crop) if settings.get("do_resize", True) else None
    final = _square(_resize_rule(settings["crop_size"], square=True) if crop else to)
    factor = float(settings.get("rescale_factor", 1 / 255)) if settings.get("do_rescale", True) else 1.0
    normal = settings.get("do_normalize", True)
    mean, std = (
        _channels(settings[key]) if normal else (neutral,) * 3
        for key, neutral in (("image_mean", 0.0), ("image_std", 1.0))
    )
    return Preprocess(final, to, int(settings["resample"]), crop, factor, mean, std)


def _resize_rule(size: Any, *, square: bool) -> int | tuple[int, int]:
    """`size` as the Hub writes it, in its old forms too: 224, [224, 224], {"shortest_edge": ...}, {"height": ...}."""
    if isinstance(size, int):
        return (size, size) if square else size
    if isinstance(size, list):
        return int(size[0]), int(size[-1])
    if set(size) == {"shortest_edge"}:
        return int(size["shortest_edge"])
    if set(size) == {"height", "width"}:
        return int(size["height"]), int(size["width"])
    raise ValueError(f"expected a size with shortest_edge, or height and width, got {size}")


def _square(size: int | tuple[int, int] | None) -> int:
    if not isinstance(size, tuple) or size[0] != size[1]:
        raise ValueError(f"expected square images at the end, got {size}")
    return size[0]


def _channels(values: Any) -> tuple[float, ...]:
    found = tuple(float(v) for v in values)
    if len(found) != 3:
        raise ValueError(f"expected three channels, got {found}")
    return found


def _target(image: Image, rule: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(rule, tuple):
        return rule
    height, width = image.shape[:2]
    long = int(rule * max(height, width) / min(height, width))
    return (long, rule) if width <= height else (rule, long)


def _strip(image: Image, rule: int | tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The middle of an image so long that its resized form would not fit in memory."""
    if isinstance(rule, tuple):
        return image
    height, width = image.shape[:2]
    keep = max(1, min(height, width) * LONGEST // rule)
    top, left = (max(0, (side - keep) // 2) for side in (height, width))
    return image[top : top + keep, left : left + keep]


def _centre_crop(image: Image, size: int, centre: str) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The middle `size` x `size` pixels, black where the image is smaller."""
    height, width = image.shape[:2]
    if height < size or width < size:
        top, left = (-(-max(0, size - side) // 2) for side in (height, width))
        canvas = np.zeros((max(height, size), max(width, size), 3), dtype=np.uint8)
        canvas[top : top + height, left : left + width] = image
        image, (height, width) = canvas, canvas.shape[:2]
    top, left = ((side - size) // 2 if centre == "floor" else round((side - size) / 2) for side in (height, width))
    return image[top : top + size, left : left + size]
