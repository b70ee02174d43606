"""Adapters against the framework's own full forward pass, on random checkpoints in the Hub's format."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from checkpoints import (
    BIAS,
    CONTEXT,
    DIM,
    SCALE,
    SIZE,
    clip_checkpoint,
    naflex_checkpoint,
    siglip2_checkpoint,
    siglip_checkpoint,
)

from candid import models
from candid.errors import InputError
from candid.models.device import Placement
from candid.models.framework import quiet, transformers
from candid.types import Encoder

KINDS = {
    "clip": (clip_checkpoint, "CLIPModel", "CLIPImageProcessorPil", {"padding": True}),
    "siglip": (siglip_checkpoint, "SiglipModel", "SiglipImageProcessorPil", {"padding": "max_length"}),
    "siglip2": (siglip2_checkpoint, "SiglipModel", "SiglipImageProcessorPil", {"padding": "max_length"}),
    "naflex": (naflex_checkpoint, "Siglip2Model", "Siglip2ImageProcessorPil", {"padding": "max_length"}),
}
TEXTS = [
    "a photo of a cat.",
    "dog",
    "the big red boat in a small video game, a photo of a plane and of a bird",
    "a cat",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: row[0](tmp_path_factory.mktemp(kind)) for kind, row in KINDS.items()}


@pytest.fixture(scope="module")
def loaded(folders):
    return {kind: models.load(str(folder)) for kind, folder in folders.items()}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def pictures(n=3, height=SIZE, width=SIZE, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8))


def full_forward(folder, kind, images, texts):
    """logits_per_image of the framework, fed by its own image processor and tokenizer."""
    hf = transformers()
    _, model, processor, padding = KINDS[kind]
    with quiet():
        pixels = getattr(hf, processor).from_pretrained(folder)(images, return_tensors="pt")
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        words = tokenizer(texts, truncation=True, max_length=CONTEXT, return_tensors="pt", **padding)
        with torch.no_grad():
            whole = getattr(hf, model).from_pretrained(folder, dtype=torch.float32)(**pixels, **words)
    return whole.logits_per_image.numpy()


def test_logits_equal_those_of_the_frameworks_full_forward_pass(kind, folders, loaded):
    model, images = loaded[kind], pictures()
    logits = model.scale * model.encode_images(images) @ model.encode_texts(TEXTS).T + model.bias
    expected = full_forward(folders[kind], kind, images, TEXTS)
    np.testing.assert_allclose(logits, expected, atol=2e-4)
    assert np.ptp(expected) > 1.0, "a checkpoint that says the same of everything would prove nothing"


@pytest.mark.parametrize("eos", [2, None])
def test_clip_pools_the_end_token_under_old_and_new_configs(eos, tmp_path):
    folder = clip_checkpoint(tmp_path / "clip", eos=eos)
    model, images = models.load(str(folder)), pictures()
    texts = model.encode_texts(TEXTS)
    np.testing.assert_allclose(
        model.scale * model.encode_images(images) @ texts.T, full_forward(folder, "clip", images, TEXTS), atol=2e-4
    )
    assert abs(texts @ texts.T - np.eye(len(TEXTS))).max() < 0.99


def test_an_adapter_is_an_encoder_with_the_models_own_scale_and_bias(kind, loaded):
    model = loaded[kind]
    assert isinstance(model, Encoder)
    assert model.scale == pytest.approx(np.exp(SCALE), rel=1e-7)
    expected = (0.0, "softmax", DIM) if kind == "clip" else (BIAS, "sigmoid", 32)
    assert (model.bias, model.activation, model.dim) == expected


def test_vectors_are_unit_float32_rows(kind, loaded):
    model = loaded[kind]
    for rows in (model.encode_images(pictures(5, 40, 61)), model.encode_texts(TEXTS)):
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert model.encode_images([]).shape == model.encode_texts([]).shape == (0, model.dim)


def test_a_text_is_read_alike_alone_and_in_company(kind, loaded):
    model = loaded[kind]
    alone = np.concatenate([model.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(model.encode_texts(TEXTS), alone, atol=2e-6)


def test_a_text_past_the_context_is_cut_and_keeps_its_end(kind, loaded):
    model = loaded[kind]
    longer, longest = "a cat " * CONTEXT, "a cat " * (CONTEXT + 7)
    np.testing.assert_array_equal(model.encode_texts([longer]), model.encode_texts([longest]))
    assert np.abs(model.encode_texts([longer]) - model.encode_texts(["a cat"])).max() > 1e-3


def test_siglip_2_reads_capitals_as_small_letters(loaded):
    for kind in ("siglip2", "naflex"):
        small, capital = loaded[kind].encode_texts(["a cat", "A CAT"])
        np.testing.assert_array_equal(small, capital)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_changes_the_digits_not_the_type(dtype, kind, folders, loaded):
    half = models.load(str(folders[kind]), device="cpu", dtype=dtype)
    images = pictures()
    whole, halved = loaded[kind].encode_images(images), half.encode_images(images)
    assert halved.dtype == np.float32
    assert half.scale == loaded[kind].scale
    assert 0 < np.abs(whole - halved).max() < 0.05
    np.testing.assert_allclose(np.linalg.norm(halved, axis=1), 1, atol=1e-6)
    assert (whole * halved).sum(axis=1).min() > 0.995
    assert np.abs(half.encode_texts(TEXTS) - loaded[kind].encode_texts(TEXTS)).max() < 0.1


def test_autocast_rows_are_float32_and_unit_too(kind, loaded):
    """The path CUDA takes, on the CPU's own autocast."""
    placement = Placement(torch.device("cpu"), torch.float32, torch.bfloat16)
    model, images = replace(loaded[kind], placement=placement), pictures()
    for mixed, whole in (
        (model.encode_images(images), loaded[kind].encode_images(images)),
        (model.encode_texts(TEXTS), loaded[kind].encode_texts(TEXTS)),
    ):
        assert mixed.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(mixed, axis=1), 1, atol=1e-6)
        assert 0 < np.abs(mixed - whole).max() < 0.1


def test_pixels_prepared_in_threads_give_the_rows_of_encode_images(kind, loaded):
    model, images = loaded[kind], pictures(16, 70, 45)
    with ThreadPoolExecutor(4) as pool:
        prepared = np.stack(list(pool.map(model.prepare, images)))
    assert prepared.dtype == np.uint8
    assert prepared.shape == (16, 3, model.size, model.size)
    np.testing.assert_array_equal(model.encode_prepared(prepared), model.encode_images(images))


def test_naflex_sees_a_wide_image_as_the_hubs_processor_lays_it_out(folders, loaded):
    model, images = loaded["naflex"], pictures(2, 16, 64)  # 2 x 8 patches of 8 px: the limit of 16, no resize needed
    logits = model.scale * model.encode_images(images) @ model.encode_texts(TEXTS).T + model.bias
    np.testing.assert_allclose(logits, full_forward(folders["naflex"], "naflex", images, TEXTS), atol=2e-4)


def test_loading_says_nothing(folders, kind, capfd):
    models.load(str(folders[kind])).encode_texts(["a cat"])
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_model_knows_its_content_not_its_place(tmp_path):
    first, second, other = (tmp_path / name for name in ("a", "b", "c"))
    for folder, seed in ((first, 0), (second, 0), (other, 1)):
        clip_checkpoint(folder, seed=seed)
    here, there, elsewhere = (models.load(str(folder)) for folder in (first, second, other))
    assert here.revision == there.revision != elsewhere.revision
    assert models.load(str(first), revision=here.revision).revision == here.revision
    with pytest.raises(InputError, match=rf"has content {here.revision}, expected revision {elsewhere.revision}"):
        models.load(str(first), revision=elsewhere.revision)


def test_an_accelerator_that_is_not_there_is_named(folders):
    with pytest.raises(InputError, match="no device 'cuda:99' here"):
        models.load(str(folders["clip"]), device="cuda:99")
    with pytest.raises(InputError, match="no device 'gpu' here"):
        models.load(str(folders["clip"]), device="gpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_autocast_on_cuda_stays_close_to_the_cpu(kind, folders, loaded):
    model = models.load(str(folders[kind]))
    assert model.device == "cuda"
    assert (model.encode_images(pictures()) * loaded[kind].encode_images(pictures())).sum(axis=1).min() > 0.9999


def test_a_torchvision_that_cannot_be_imported_does_no_harm(folders, tmp_path):
    """A real one, as far as import goes: installed, with its metadata, and raising when it is loaded."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms not found')")
    (tmp_path / "torchvision-0.28.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n"
    (tmp_path / "torchvision-0.28.0.dist-info" / "METADATA").write_text(metadata)
    program = "import sys; from candid import models; print(models.load(sys.argv[1]).encode_texts(['a cat']).shape)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(folders["clip"])],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"(1, {DIM})\n", "")


@pytest.mark.parametrize("kind", ["siglip", "siglip2", "naflex"])
def test_a_tokenizer_that_asks_for_a_mask_gets_one(kind, folders, tmp_path):
    folder = shutil.copytree(folders[kind], tmp_path / kind)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    model, images = models.load(str(folder)), pictures()
    logits = model.scale * model.encode_images(images) @ model.encode_texts(TEXTS).T + model.bias
    np.testing.assert_allclose(logits, full_forward(folder, kind, images, TEXTS), atol=2e-4)
    assert np.abs(logits - full_forward(folders[kind], kind, images, TEXTS)).max() > 1e-3


def test_one_string_in_place_of_a_list_is_refused(loaded):
    with pytest.raises(InputError, match="put it in a list"):
        loaded["clip"].encode_texts("a cat")
