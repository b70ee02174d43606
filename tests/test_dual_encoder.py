"""Dual encoders of any two towers against the framework's own full forward pass."""

import json
import shutil

import numpy as np
import pytest
import torch
from checkpoints import CONTEXT, DIM, SCALE, SIZE
from dual_checkpoints import dual_checkpoint, image_processor

from candid import models
from candid.errors import InputError
from candid.models.framework import quiet, transformers
from candid.types import Encoder

PAIRS = [("convnext", "clip"), ("vit", "clip"), ("swin", "bert"), ("clip", "roberta")]
TEXTS = ["a photo of a cat.", "dog", "the big red boat in a small video game and a bird", "a cat"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {pair: dual_checkpoint(tmp_path_factory.mktemp("-".join(pair)), *pair) for pair in PAIRS}


@pytest.fixture(scope="module")
def loaded(folders):
    return {pair: models.load(str(folder), device="cpu") for pair, folder in folders.items()}


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request):
    return request.param


def pictures(n=3, height=SIZE, width=SIZE):
    return list(np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8))


def full_forward(folder, pixels, texts):
    """logits_per_image of the framework on pixels from its own image processor, and on its own tokenizer's ids."""
    hf = transformers()
    with quiet():
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        words = tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
        whole = hf.VisionTextDualEncoderModel.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            return whole(pixel_values=pixels, **words).logits_per_image.numpy()


def test_logits_equal_those_of_the_frameworks_full_forward_pass(pair, folders, loaded):
    model, images = loaded[pair], pictures()
    logits = model.scale * model.encode_images(images) @ model.encode_texts(TEXTS).T + model.bias
    prepared = [np.ascontiguousarray(model.prepare(image).transpose(1, 2, 0)) for image in images]
    steps = {"do_resize": False, "do_center_crop": False, "return_tensors": "pt"}
    expected = full_forward(folders[pair], image_processor(pair[0])(prepared, **steps)["pixel_values"], TEXTS)
    np.testing.assert_allclose(logits, expected, atol=2e-4)
    assert np.ptp(expected) > 1.0, "a checkpoint that says the same of everything would prove nothing"


def test_an_image_of_another_shape_is_seen_as_the_hubs_processor_prepares_it(folders, loaded):
    for pair in (("convnext", "clip"), ("vit", "clip")):
        model, image = loaded[pair], np.full((50, 90, 3), 60, np.uint8)
        image[:, 30:60] = 220  # flat areas: resizers agree there
        logits = model.scale * model.encode_images([image]) @ model.encode_texts(TEXTS).T
        pixels = image_processor(pair[0])([image], return_tensors="pt")["pixel_values"]
        np.testing.assert_allclose(logits, full_forward(folders[pair], pixels, TEXTS), atol=0.2)


def test_it_is_an_encoder_with_the_models_own_scale(pair, loaded):
    model = loaded[pair]
    assert isinstance(model, Encoder)
    assert model.scale == pytest.approx(np.exp(SCALE), rel=1e-6)
    assert (model.bias, model.activation, model.dim, model.size) == (0.0, "softmax", DIM, SIZE)
    for rows in (model.encode_images(pictures(2, 40, 61)), model.encode_texts(TEXTS)):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_a_text_is_read_alike_alone_in_company_and_cut_at_the_context(pair, loaded):
    model = loaded[pair]
    alone = np.concatenate([model.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(model.encode_texts(TEXTS), alone, atol=2e-5)
    longer, longest = "a cat " * CONTEXT, "a cat " * (CONTEXT + 7)
    np.testing.assert_array_equal(model.encode_texts([longer]), model.encode_texts([longest]))


def test_a_tower_that_does_not_pool_to_a_vector_is_refused(tmp_path):
    """The framework's own forward pass fails on it as well: a ResNet's pooled output is a 1 x 1 map."""
    folder = dual_checkpoint(tmp_path, "resnet", "bert")
    with pytest.raises(InputError, match=r"the image tower of .* does not end in one vector") as caught:
        models.load(str(folder), device="cpu")
    assert "\n" not in str(caught.value)


def test_images_of_another_size_are_refused(folders, tmp_path):
    folder = shutil.copytree(folders["vit", "clip"], tmp_path / "dual")
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["image_processor"]["size"] = {"height": 48, "width": 48}
    (folder / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="prepares images of 48 px for a model of 32 px"):
        models.load(str(folder), device="cpu")
