"""OpenCLIP checkpoints through the optional package: `open_clip:NAME/TAG`, TAG a published tag or a file."""

import hashlib
import math
from pathlib import Path
from typing import Any

import torch

from candid.errors import InputError, MissingExtra, nearest
from candid.extras import require
from candid.models.device import place
from candid.models.framework import quiet, to_device
from candid.models.preprocess import Preprocess
from candid.models.towers import TwoTowers

__all__ = ["load"]

RESAMPLE = {"bicubic": 3, "bilinear": 2}


def load(name: str, *, device: str = "auto", dtype: str = "auto") -> TwoTowers:
    """The OpenCLIP model `NAME/TAG`. Weights are read with the safe loader only."""
    placement = place(device, dtype)
    open_clip = _package()
    architecture, _, tag = name.partition("/")
    _check(open_clip, architecture, tag)
    model = _model(open_clip, architecture, tag)
    scale, bias = math.exp(float(model.logit_scale)), getattr(model, "logit_bias", None)
    pixels = _preprocess(open_clip, model, architecture)
    with quiet():
        tokenizer = open_clip.get_tokenizer(architecture)
    revision = _revision(model)
    model = to_device(model, placement)

    def image_tower(batch: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = model.encode_image(pixels.normalise(batch).to(placement.dtype))
        return rows

    def text_tower(texts: list[str], module: Any = model) -> torch.Tensor:
        rows: torch.Tensor = module.encode_text(tokenizer(texts).to(placement.device))
        return rows

    return TwoTowers(
        id=f"open_clip:{name}",
        revision=revision,
        pixels=pixels,
        dim=_dim(model, tokenizer, placement.device),
        scale=scale,
        bias=0.0 if bias is None else float(bias),
        activation="softmax" if bias is None else "sigmoid",
        placement=placement,
        image_tower=image_tower,
        text_tower=text_tower,
        module=model,
        tokenizer=tokenizer,
    )


def _package() -> Any:
    with quiet():
        try:
            return require("openclip")
        except MissingExtra:
            raise
        except Exception as error:  # a torchvision built for another torch raises whatever it likes
            raise MissingExtra(
                f"open_clip is installed but cannot be imported ({error}); its torchvision must match torch "
                f"{torch.__version__}: install both from the same index, pytorch.org names it"
            ) from error


def _check(open_clip: Any, architecture: str, tag: str) -> None:
    known = open_clip.list_models()
    if architecture not in known:
        raise InputError(f"OpenCLIP has no model {architecture!r}; {nearest(architecture, known)}")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not tag:
        raise InputError(
            f"expected open_clip:{architecture}/TAG, got no tag; {nearest('', tags)}, or a checkpoint's path"
        )
    if tag not in tags and not Path(tag).is_file():
        raise InputError(f"OpenCLIP's {architecture} has no tag and there is no file {tag!r}; {nearest(tag, tags)}")
    # Tags of QuickGELU weights are listed under the plain name too, where OpenCLIP runs them with another activation
    # than they were trained with and only warns: that costs up to three points of ImageNet accuracy.
    trained_quick = tag in tags and open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
    if trained_quick and not open_clip.get_model_config(architecture).get("quick_gelu", False):
        raise InputError(
            f"the weights open_clip:{architecture}/{tag} were trained with QuickGELU, which {architecture} has not; "
            f"load open_clip:{architecture}-quickgelu/{tag}"
        )


def _model(open_clip: Any, architecture: str, tag: str) -> Any:
    try:
        with quiet():
            model = open_clip.create_model(
                architecture, pretrained=tag, precision="fp32", device="cpu", weights_only=True
            )
    except Exception as error:  # network, missing keys, damaged files: all mean these weights cannot be had
        cause = " ".join(str(error).split())[:200]
        raise InputError(
            f"cannot read open_clip:{architecture}/{tag}: {cause}; check the file or the network"
        ) from error
    return model.eval().requires_grad_(False)


def _preprocess(open_clip: Any, model: Any, architecture: str) -> Preprocess:
    settings = open_clip.get_model_preprocess_cfg(model)
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mode = settings.get("resize_mode", "shortest")
    if height != width or mode not in ("shortest", "squash") or settings["interpolation"] not in RESAMPLE:
        raise InputError(f"{architecture} prepares images in a way not supported here: {settings}")
    squash = mode == "squash"
    return Preprocess(
        size=height,
        resize=(height, width) if squash else height,
        resample=RESAMPLE[settings["interpolation"]],
        crop=not squash,
        factor=1 / 255,
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        centre="even",
    )


def _revision(model: Any) -> str:
    """Hash of the weights themselves: a tag names a download, not its content."""
    total = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


@torch.inference_mode()
def _dim(model: Any, tokenizer: Any, device: torch.device) -> int:
    return int(model.encode_text(tokenizer(["a"]).to(device)).shape[-1])
