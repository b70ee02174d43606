"""DINOv2 without a head: loaded as an encoder, refused where classes are needed."""

import json

import numpy as np
import pytest
import torch
from classifier_checkpoints import NETWORKS, SIZE, liven

from candid import models
from candid.errors import InputError
from candid.models.framework import quiet, transformers
from candid.types import Classifier, Encoder, ImageEncoder


def backbone_checkpoint(folder, kind="dinov2"):
    name, config = NETWORKS[kind]
    hf = transformers()
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        model = getattr(hf, f"{name}Model")(getattr(hf, f"{name}Config")(**config)).eval()
        liven(model)
        model.save_pretrained(folder)
    content = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": SIZE}}
    content["crop_size"] = {"height": SIZE, "width": SIZE}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return model


@pytest.mark.parametrize("kind", ["dinov2", "dinov2_with_registers"])
def test_vectors_are_the_frameworks_pooled_output(tmp_path, kind):
    module = backbone_checkpoint(tmp_path, kind)
    encoder = models.load_encoder(str(tmp_path), device="cpu")
    images = [np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8) for seed in range(3)]
    processor = transformers().AutoImageProcessor.from_pretrained(tmp_path, use_fast=False)
    with torch.inference_mode():
        expected = module(**processor(images=images, return_tensors="pt")).pooler_output.numpy()
    np.testing.assert_allclose(encoder.encode_images(images), expected, rtol=1e-3, atol=2e-3)
    assert isinstance(encoder, ImageEncoder)
    assert not isinstance(encoder, Encoder | Classifier)
    assert encoder.dim == 32


def test_it_is_refused_where_classes_are_needed(tmp_path):
    backbone_checkpoint(tmp_path)
    with pytest.raises(InputError, match="pass the checkpoint of a classifier"):
        models.load(str(tmp_path))


def test_every_other_model_is_what_load_gives():
    assert isinstance(models.load_encoder("tiny"), Encoder)


def test_a_family_whose_pooled_output_is_untrained_is_refused(tmp_path):
    backbone_checkpoint(tmp_path, "vit")
    with pytest.raises(InputError, match="encoders without one: dinov2"):
        models.load_encoder(str(tmp_path))
