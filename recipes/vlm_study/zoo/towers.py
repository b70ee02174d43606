"""Untrained models in the Hub's own classes: CLIP, SigLIP, a dual encoder around a conv net, image classifiers.

A tower is trained as the very module that transformers runs later, so nothing has to be converted. transformers'
ResNet cannot stand in its dual encoder (it pools to n c 1 1, which the projection does not take): the conv net with
batch norms here is a MobileNetV2.
"""

from typing import Any

import torch
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    ConvNextConfig,
    ConvNextForImageClassification,
    MobileNetV2Config,
    SiglipConfig,
    SiglipModel,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    ViTConfig,
    ViTForImageClassification,
)

from recipes.vlm_study.zoo.plan import CLASSES, Spec

__all__ = ["CONTEXT", "SIDES", "build"]

SIDES = {"vit-s": 64, "vit-m": 64, "convnext-s": 32, "convnext-xs": 32, "mobilenet-s": 64}
CONTEXT = 32  # tokens of SigLIP's text tower, which reads them all, padding or not

VIT = {"image_size": 64, "patch_size": 8, "hidden_act": "gelu"}
VITS = {
    "vit-s": VIT | {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 3},
    "vit-m": VIT | {"hidden_size": 224, "intermediate_size": 896, "num_hidden_layers": 8, "num_attention_heads": 7},
}
CONVNEXTS = {"convnext-s": ((56, 112, 224), (3, 3, 3)), "convnext-xs": ((32, 64, 128), (2, 2, 2))}


def build(spec: Spec, tiny: CLIPModel) -> nn.Module:
    """The model of `spec`, its texts read by the tower of `tiny` (frozen later), or begun from it (SigLIP)."""
    if spec.loss == "labels":
        return _classifier(spec.tower)
    if spec.loss == "sigmoid":
        return _siglip(spec.tower, tiny)
    return _clip(spec.tower, tiny) if spec.tower in VITS else _dual(spec.tower, tiny)


def _clip(tower: str, tiny: CLIPModel) -> CLIPModel:
    config = tiny.config
    vision = VITS[tower] | {"projection_dim": config.projection_dim}
    text = _text_config(tiny) | {"projection_dim": config.projection_dim}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=config.projection_dim))
    return _with_text(model, tiny)


def _dual(tower: str, tiny: CLIPModel) -> VisionTextDualEncoderModel:
    vision = _mobilenet() if tower == "mobilenet-s" else _convnext(tower)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        vision, type(tiny.config.text_config)(**_text_config(tiny)), projection_dim=tiny.config.projection_dim
    )
    model = VisionTextDualEncoderModel(config)
    for module in model.vision_model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.02  # MobileNetV2's 0.997 keeps next to nothing but the last batch
    return _with_text(model, tiny)


def _with_text(model: Any, tiny: CLIPModel) -> Any:
    model.text_model.load_state_dict(tiny.text_model.state_dict())
    model.text_projection.load_state_dict(tiny.text_projection.state_dict())
    return model


def _text_config(tiny: CLIPModel) -> dict[str, Any]:
    config = tiny.config.text_config
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act")
    kept += ("vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
    return {name: getattr(config, name) for name in kept}


def _convnext(tower: str, **more: Any) -> ConvNextConfig:
    widths, depths = CONVNEXTS[tower]
    # `hidden_size` is what the dual encoder asks its vision config for, and ConvNext's has none of its own.
    sizes = {"hidden_sizes": list(widths), "depths": list(depths), "num_stages": len(depths), "hidden_size": widths[-1]}
    return ConvNextConfig(
        **sizes, image_size=SIDES[tower], patch_size=2, layer_scale_init_value=0.1, layer_norm_eps=1e-6, **more
    )


def _mobilenet() -> MobileNetV2Config:
    return MobileNetV2Config(
        image_size=64, depth_multiplier=0.75, output_stride=16, finegrained_output=False, tf_padding=False,
        hidden_size=960,
    )  # fmt: skip


def _classifier(tower: str) -> nn.Module:
    names = dict(enumerate(CLASSES))
    labels = {"id2label": names, "label2id": {name: i for i, name in names.items()}, "num_labels": len(names)}
    if tower in VITS:
        quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        return ViTForImageClassification(ViTConfig(**VITS[tower], **quiet, **labels))
    return ConvNextForImageClassification(_convnext(tower, **labels))


def _siglip(tower: str, tiny: CLIPModel) -> SiglipModel:
    vision = VITS[tower]
    text = _text_config(tiny) | {"max_position_embeddings": CONTEXT, "projection_size": vision["hidden_size"]}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    found = {name: value for name, value in tiny.text_model.state_dict().items() if "position_ids" not in name}
    mine = model.text_model.state_dict()
    same = {name: value[:CONTEXT] if "position_embedding" in name else value for name, value in found.items()}
    model.text_model.load_state_dict(mine | {name: same[name] for name in mine if name in same})
    with torch.no_grad():  # Zhai et al. 2023, section 3.2
        model.logit_scale.copy_(torch.tensor(10.0).log())
        model.logit_bias.fill_(-10.0)
    return model
