"""Networks with a supervised head that `classifier.py` reads, as data; importing this loads no framework."""

__all__ = ["FAMILIES", "ONE_SIZE"]

FAMILIES: dict[str, str] = {  # model_type: the image processor its checkpoints mean where they name none
    "beit": "Beit",
    "bit": "Bit",
    "convnext": "ConvNext",
    "convnextv2": "ConvNext",
    "cvt": "ConvNext",
    "data2vec-vision": "Beit",
    "deit": "DeiT",
    "dinov2": "Bit",
    "dinov2_with_registers": "Bit",
    "efficientnet": "EfficientNet",
    "focalnet": "Bit",
    "levit": "Levit",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "poolformer": "PoolFormer",
    "pvt_v2": "Pvt",
    "regnet": "ConvNext",
    "resnet": "ConvNext",
    "swin": "ViT",
    "swinv2": "ViT",
    "vit": "ViT",
    "vit_msn": "ViT",
}
ONE_SIZE = ("beit", "data2vec-vision", "deit", "swin", "swinv2", "vit", "vit_msn")  # the others take images of any size
