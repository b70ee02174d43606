"""The embedded model and photos are what their card says: small, real, better than chance, over-confident, mendable."""

import json

import numpy as np
import pytest

from candid import calibrate, data, metrics, models, workflows
from candid.arrays import softmax
from candid.data.embedded import sample_folder
from candid.models.source import EMBEDDED

FOLDER = EMBEDDED["tiny"]


@pytest.fixture(scope="module")
def tiny():
    return models.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def known(tiny):
    """Logits and labels of the known photos under one plain prompt."""
    photos = data.sample().known
    features = workflows.encode(tiny, photos, cache=False)
    head = models.zero_shot(tiny, photos.classes, templates=["a photo of a {}."])
    return head(features.vectors), features.labels


def test_the_embedded_model_is_small_half_precision_and_in_the_hubs_format():
    from safetensors import safe_open

    assert (FOLDER / "model.safetensors").stat().st_size <= 16e6
    with safe_open(FOLDER / "model.safetensors", "np") as weights:
        slices = [weights.get_slice(name) for name in weights.keys()]  # noqa: SIM118 not a mapping
    assert 3e6 <= sum(int(np.prod(s.get_shape())) for s in slices) <= 8e6
    assert {s.get_dtype() for s in slices} == {"F16"}
    assert json.loads((FOLDER / "config.json").read_text())["model_type"] == "clip"


def test_the_sample_sets_are_small_and_whole(tiny):
    assert sum(path.stat().st_size for path in sample_folder().iterdir()) <= 4e6
    sample = data.sample()
    for images in (sample.known, *sample.shift.values(), *sample.ood.values()):
        assert not images.skipped
        assert images.read(0).shape[2] == 3
    assert sample.shift["bad camera"].classes == sample.known.classes
    assert np.array_equal(sample.shift["bad camera"].labels, sample.known.labels)
    assert not set(sample.ood["new products"].classes) & set(sample.known.classes)


def test_prompts_alone_reach_five_times_chance_on_held_out_photos(known):
    logits, labels = known
    assert metrics.accuracy(logits, labels) >= 5 / logits.shape[1]


def test_it_is_miscalibrated_and_one_temperature_mends_it(known):
    """Each half is judged with the temperature of the other: all 640 photos are judged, none by its own fit."""
    logits, labels = known
    order = np.random.default_rng(0).permutation(len(labels))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    mended = np.zeros_like(logits)
    for fit, judge in (halves, halves[::-1]):
        mended[judge] = calibrate.Temperature.fit(logits[fit], labels[fit])(logits[judge])
    raw, calibrated = softmax(logits), softmax(mended)
    chance = np.quantile(metrics.ece_null(raw.max(axis=1), seed=0, resamples=500), 0.99)
    assert metrics.ece(raw, labels) > chance
    assert metrics.ece(calibrated, labels) < 0.6 * metrics.ece(raw, labels)
    assert metrics.nll_of_logits(mended, labels) < metrics.nll_of_logits(logits, labels)


def test_the_frameworks_own_model_gives_the_same_logits(tiny, known):
    torch = pytest.importorskip("torch")
    from transformers import CLIPModel, CLIPTokenizer

    photos = data.sample().known
    reference = CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokens = CLIPTokenizer.from_pretrained(FOLDER)
    texts = tokens([f"a photo of a {name}." for name in photos.classes], padding=True, return_tensors="pt")
    pixels = np.stack([tiny.prepare(photos.read(i)) for i in range(8)]).astype(np.float32) / 255
    config = json.loads((FOLDER / "preprocessor_config.json").read_text())
    mean, std = (np.array(config[key], np.float32)[:, None, None] for key in ("image_mean", "image_std"))
    with torch.no_grad():
        theirs = reference(pixel_values=torch.from_numpy((pixels - mean) / std), **texts).logits_per_image.numpy()
    assert np.abs(theirs - known[0][:8]).max() < 1e-3


def test_the_text_tower_is_causal(tiny):
    """Words after the end token change nothing, so every method that learns prompts may cut the sequence there."""
    torch = pytest.importorskip("torch")
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    end = model.config.text_config.eos_token_id
    short = torch.tensor([[end - 1, 10, 20, end, 30, 40]])
    other = torch.tensor([[end - 1, 10, 20, end, 50, 60]])
    with torch.no_grad():
        a, b = (model.text_model(input_ids=ids).pooler_output for ids in (short, other))
    assert torch.equal(a, b)
