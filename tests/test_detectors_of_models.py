"""Detectors that go inside a network: ODIN by its input gradient, GL-MCM by patches; networks for 32-pixel images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import clip_checkpoint, siglip_checkpoint
from safetensors.torch import load_file, save_file

from candid import data, detect, models, tune, workflows
from candid.errors import InputError
from candid.models import cifar, tuned
from candid.types import Head, ImageSet
from recipes.vlm_study import resnets

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
PACK = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return models.load(str(clip_checkpoint(tmp_path_factory.mktemp("clip"))))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(0)
    made = cifar.WideResNet(depth=10, widen_factor=1, classes=3).eval()
    return made, cifar.save(tmp_path_factory.mktemp("wrn") / "net", made, ("a", "b", "c"), mean=MEAN, std=STD)


def pictures(n=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)


def test_patches_are_the_values_of_the_last_layer(clip):
    pixels = pictures()
    found = models.encode_patches(clip, pixels)
    assert found.shape == (5, 16, clip.dim)
    assert np.linalg.norm(found, axis=2) == pytest.approx(1.0, abs=1e-5)
    module, inputs = clip.module, clip.pixels.normalise(torch.from_numpy(pixels))
    vision = module.vision_model
    with torch.inference_mode():
        hidden = vision(pixel_values=inputs, output_hidden_states=True).hidden_states[-2]
        last = vision.encoder.layers[-1]
        normal = last.layer_norm1(hidden)
        own = normal @ last.self_attn.v_proj.weight.T + last.self_attn.v_proj.bias
        hidden = hidden + own @ last.self_attn.out_proj.weight.T + last.self_attn.out_proj.bias
        hidden = hidden + last.mlp(last.layer_norm2(hidden))
        rows = torch.nn.functional.normalize(module.visual_projection(vision.post_layernorm(hidden)), dim=-1)
    assert found == pytest.approx(rows[:, 1:].numpy(), abs=1e-5)
    texts = clip.encode_texts(["a cat", "a dog"])
    scores = detect.gl_mcm(clip.encode_prepared(pixels) @ texts.T, found @ texts.T)
    assert scores.shape == (5,)


def test_models_without_patches_say_so(tmp_path, network):
    siglip = models.load(str(siglip_checkpoint(tmp_path / "siglip")))
    with pytest.raises(InputError, match="no vision transformer with patches"):
        models.encode_patches(siglip, pictures())


@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_odin_steps_along_the_sign_of_the_input_gradient(network, noise):
    made, folder = network
    model, pixels = models.load(str(folder)), pictures()
    logits = models.perturbed_logits(model, pixels, model.head, temperature=10.0, noise=noise, batch=2)
    found = detect.odin(logits, temperature=10.0)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
    # the reference works on normalised pixels and divides the sign by each channel's deviation
    inputs = ((torch.from_numpy(pixels) / 255 - mean) / std).requires_grad_(True)
    scaled = made(inputs) / 10.0
    torch.nn.functional.cross_entropy(scaled, scaled.argmax(1), reduction="sum").backward()
    with torch.inference_mode():
        expected = -torch.softmax(made(inputs - noise * inputs.grad.sign() / std) / 10.0, 1).max(1).values
    assert found == pytest.approx(expected.numpy(), abs=1e-5)


def test_odin_of_a_vision_language_model_raises_its_softmax(clip):
    head = models.zero_shot(clip, ("cat", "dog"))
    plain, moved = (
        detect.odin(models.perturbed_logits(clip, pictures(), head, temperature=1.0, noise=noise), temperature=1.0)
        for noise in (0.0, 0.001)
    )
    assert plain == pytest.approx(detect.msp(head(clip.encode_prepared(pictures()))), abs=1e-5)
    assert moved.mean() < plain.mean()
    with pytest.raises(InputError, match="temperature"):
        models.perturbed_logits(clip, pictures(), head, temperature=0.0)
    with pytest.raises(InputError, match="temperature"):
        detect.odin(head(clip.encode_prepared(pictures())), temperature=0.0)


@pytest.mark.parametrize(
    ("made", "names", "parameters"),
    [
        (cifar.CifarResNet(depth=20, classes=10), ("layer1.0.conv1.weight", "linear.bias"), 269_722),
        (cifar.WideResNet(depth=40, widen_factor=2, drop_rate=0.3, classes=10),
         ("block2.layer.0.convShortcut.weight", "block3.layer.5.bn2.weight", "fc.weight"), 2_243_546),
    ],
)  # fmt: skip
def test_the_published_networks_have_their_published_names_and_sizes(made, names, parameters):
    assert {*names} <= {*made.state_dict()}
    assert sum(each.numel() for each in made.parameters()) == parameters


def test_a_saved_network_loads_as_a_classifier_and_gives_its_own_logits(network):
    made, folder = network
    model = models.load(str(folder))
    pixels = pictures()
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
    with torch.inference_mode():
        expected = made((torch.from_numpy(pixels) / 255 - mean) / std).numpy()
    assert model.head(model.encode_prepared(pixels)) == pytest.approx(expected, abs=1e-4)
    assert model.head.classes == ("a", "b", "c")
    wide = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    assert model.encode_images([wide]).shape == (1, 64)


@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "torn"])
def test_weights_that_do_not_fit_are_refused(network, tmp_path, damage):
    folder = network[1]
    state = load_file(folder / "model.safetensors")
    if damage == "missing":
        del state["fc.bias"]
    elif damage == "extra":
        state["fc2.bias"] = state["fc.bias"].clone()
    elif damage == "shape":
        state["fc.bias"] = torch.zeros(4)
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text((folder / name).read_text())
    save_file(state, tmp_path / "model.safetensors")
    if damage == "torn":
        (tmp_path / "model.safetensors").write_bytes(b"1234567890")
    with pytest.raises(InputError, match="cannot read the weights" if damage == "torn" else "do not fit"):
        models.load(str(tmp_path))


def test_state_dicts_of_parallel_training_load_and_pickles_do_not(network, tmp_path):
    made, folder = network
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text((folder / name).read_text())
    torch.save({f"module.{name}": value for name, value in made.state_dict().items()}, tmp_path / "pytorch_model.bin")
    model = models.load(str(tmp_path))
    assert model.encode_prepared(pictures()) == pytest.approx(
        models.load(str(folder)).encode_prepared(pictures()), abs=1e-5
    )
    torch.save(made, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot read the weights"):
        models.load(str(tmp_path))


@pytest.mark.parametrize("depth", [4, 11, 21])
def test_depths_that_no_such_network_has_are_refused(depth):
    with pytest.raises(InputError, match=r"6n \+"):
        cifar.WideResNet(depth=depth, classes=2)


def labelled(n, seed, shade):
    """Images whose class is the brighter half, on a background of one shade."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    shown = np.clip(rng.normal(shade, 30, (n, 32, 32, 3)), 0, 255).astype(np.uint8)
    for i, label in enumerate(labels):
        shown[i, 10 * label : 10 * label + 10] = 240
    return ImageSet(
        tuple(map(str, range(n))), lambda i: shown[i], lambda i: shown[i].tobytes(), ("a", "b", "c"), labels
    )


def test_a_classifier_is_fine_tuned_on_images_saved_and_loaded_again(network, tmp_path):
    folder = network[1]
    model, known = models.load(str(folder)), labelled(40, 0, 80)
    outliers = labelled(40, 1, 160)
    recipe = tune.OutlierRecipe(margins=tune.Margins(-4.0, -1.0), epochs=2, batch=20, outlier_batch=20, rate=0.01)
    before = model.head(model.encode_prepared(pictures()))
    better, found = workflows.fine_tune(model, known, outliers, recipe, tmp_path / "better")
    assert len(found.history) == 2
    assert not (tmp_path / "better.part").exists()
    again = models.load(str(tmp_path / "better"))
    rows = again.encode_prepared(pictures())
    assert rows == pytest.approx(better.encode_prepared(pictures()), abs=1e-6)
    assert again.revision == models.revision(str(tmp_path / "better")) != model.revision
    assert np.abs(again.head(rows) - before).max() > 1e-3
    module = tuned.Trainable(again)
    with torch.inference_mode():
        assert again.head(rows) == pytest.approx(module.eval()(torch.from_numpy(pictures())).numpy(), abs=1e-4)
    config = json.loads((tmp_path / "better" / "config.json").read_text())
    assert config["base"] == str(folder)
    with pytest.raises(InputError, match="need labels"):
        workflows.fine_tune(model, ImageSet(known.ids, known.read, known.raw), outliers, recipe, tmp_path / "c")


def test_a_vision_language_model_is_no_classifier_to_train(clip):
    with pytest.raises(Exception, match=r"expected a supervised classifier|parameter 'model'"):
        tuned.Trainable(clip)


def test_made_images_are_unlike_and_the_same_every_time():
    photos = data.sample().known
    made = data.unlike(photos, most=4, seed=3)
    assert list(made) == list(data.UNLIKE)
    again = data.unlike(photos, most=4, seed=3)
    for kind, images in made.items():
        assert len(images) == 4
        for i in range(4):
            image = images.read(i)
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert (image == again[kind].read(i)).all()
            assert images.raw(i) == again[kind].raw(i)
        assert len({images.raw(i) for i in range(4)}) == 4
    source = photos.read(photos.ids.index(made["inverted"].ids[0].removesuffix(" (inverted)")))
    assert (made["inverted"].read(0) == 255 - source).all()
    tiles = made["jigsaw"].read(0)
    assert sorted(tiles.ravel().tolist()) == sorted(source[: tiles.shape[0], : tiles.shape[1]].ravel().tolist())
    assert not (tiles == source[: tiles.shape[0], : tiles.shape[1]]).all()


def test_tiny_images_can_be_made_unlike_too():
    one = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    images = ImageSet(("x",), lambda i: one, lambda i: one.tobytes())
    for kind, made in data.unlike(images).items():
        assert made.read(0).shape == (2, 2, 3), kind


def test_the_word_list_has_words_and_no_repeats():
    words = data.words()
    assert len(words) == len({*words}) > 15_000
    assert {"dog", "kettle", "airplane"} <= {*data.words("noun")}
    assert "furry" in data.words("adjective")
    assert all(word.replace(" ", "").isalpha() and word.islower() for word in words)


def test_neg_label_on_a_real_text_tower_calls_nonsense_further():
    tiny = models.load("tiny")
    head = models.zero_shot(tiny, ("apple", "banana", "milk"))
    words = tiny.encode_texts([f"a photo of a {word}." for word in data.words("noun")[::40]])
    found = detect.NegLabel.fit(head, words, groups=5)
    scores = found(np.concatenate([head.weights, words[:50]]))
    assert scores[:3].max() < np.median(scores[3:])
    with pytest.raises(InputError, match="with one model"):
        detect.NegLabel.fit(Head(np.eye(3, dtype=np.float32), ("a", "b", "c")), words)


@pytest.mark.skipif(not PACK.is_dir(), reason="needs the published weights and images, which are not in the repository")
def test_the_published_resnet_gives_its_published_logits():
    model = resnets.load(PACK / "resnet20_cifar10_weights.npz", 20)
    stored = np.load(PACK / "resnet20_cifar10_outputs.npz")
    images = data.read(PACK / "cifar10_test_png.parquet")
    rows = model.encode_images([images.read(i) for i in range(100)])
    assert rows == pytest.approx(stored["test_feat"][:100].astype(np.float32), abs=0.01)
    assert model.head(rows) == pytest.approx(stored["test_logit"][:100].astype(np.float32), abs=0.02)
