"""Tiny random supervised classifiers of every family, saved in the Hub's own format by its own framework."""

import json
from pathlib import Path

import torch

from candid.models.framework import quiet, transformers

CLASSES = ("tench, Tinca tinca", "goldfish, Carassius auratus", "great white shark", "hen", "ostrich")
SIZE = 32  # pixels a side of the images

PATCHES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": SIZE, "patch_size": 8}
WINDOWS = {"image_size": SIZE, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
FOUR = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4}
NETWORKS = {  # the framework's class and the smallest config of it
    "beit": ("Beit", PATCHES | {"intermediate_size": 64}),
    "bit": ("Bit", {"embedding_size": 32, "hidden_sizes": [256, 512], "depths": [1, 1]}),
    "convnext": ("ConvNext", STAGES | {"num_stages": 2}),
    "convnextv2": ("ConvNextV2", STAGES | {"num_stages": 2}),
    "cvt": ("Cvt", {"embed_dim": [8] * 3, "depth": [1, 2, 3], "num_heads": [1] * 3, "cls_token": [False, False, True]}),
    "data2vec-vision": ("Data2VecVision", PATCHES | {"intermediate_size": 64}),
    "deit": ("DeiT", PATCHES | {"intermediate_size": 64}),
    "dinov2": ("Dinov2", PATCHES),
    "dinov2_with_registers": ("Dinov2WithRegisters", PATCHES),
    "efficientnet": ("EfficientNet", {"width_coefficient": 0.25, "depth_coefficient": 0.1, "hidden_dim": 320}),
    "focalnet": ("FocalNet", {"image_size": SIZE, "embed_dim": 8, "depths": [1, 1], "hidden_sizes": [8, 16]}
                 | {"focal_levels": [1, 1], "focal_windows": [3, 3]}),
    "levit": ("Levit", {"image_size": SIZE, "hidden_sizes": [16] * 3, "num_attention_heads": [2] * 3}
              | {"depths": [1] * 3, "key_dim": [4] * 3}),
    "mobilenet_v1": ("MobileNetV1", {"depth_multiplier": 0.25}),
    "mobilenet_v2": ("MobileNetV2", {"depth_multiplier": 0.25}),
    "poolformer": ("PoolFormer", {"hidden_sizes": [8] * 4, "depths": [1] * 4}),
    "pvt_v2": ("PvtV2", FOUR | {"image_size": SIZE}),
    "regnet": ("RegNet", STAGES | {"embedding_size": 8, "groups_width": 8}),
    "resnet": ("ResNet", STAGES | {"embedding_size": 8, "layer_type": "basic"}),
    "swin": ("Swin", WINDOWS),
    "swinv2": ("Swinv2", WINDOWS),
    "vit": ("ViT", PATCHES | {"intermediate_size": 64}),
    "vit_msn": ("ViTMSN", PATCHES | {"intermediate_size": 64}),
}  # fmt: skip


def classifier_checkpoint(folder: Path, kind: str, *, processor: str, seed: int = 0, **settings: object) -> Path:
    """A classifier of `CLASSES` for images of `SIZE` pixels; `processor` is the family of its image processor."""
    name, config = NETWORKS[kind]
    hf = transformers()
    names = {"id2label": dict(enumerate(CLASSES)), "label2id": {label: i for i, label in enumerate(CLASSES)}}
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        model = getattr(hf, f"{name}ForImageClassification")(getattr(hf, f"{name}Config")(**config, **names)).eval()
        liven(model, norm=1.5 if kind == "efficientnet" else 1.0)  # its products of activations shrink
        hf.utils.logging.disable_progress_bar()
        model.save_pretrained(folder)
    square = {"height": SIZE, "width": SIZE}
    size = {"shortest_edge": SIZE} if processor in ("Bit", "ConvNext", "Levit", "PoolFormer") else square
    if processor.startswith("MobileNet"):
        size = {"shortest_edge": SIZE + 8}
    content = {"image_processor_type": f"{processor}ImageProcessor", "size": size, "crop_size": square, **settings}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder


def liven(model: torch.nn.Module, *, norm: float = 1.0) -> None:
    """Weights at which activations neither vanish nor explode, so that no two images look alike to the network."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
            if isinstance(module, torch.nn.Linear) and module.bias is not None:
                module.bias.normal_(std=0.3)
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.fill_(norm)
        for name, weight in model.named_parameters():
            if name.endswith(("lambda1", "layer_scale_parameter", "lambda_1", "lambda_2", "layer_scale_1")):
                weight.fill_(0.5)
