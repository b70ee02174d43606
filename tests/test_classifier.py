"""Supervised classifiers against the framework's own logits, on random checkpoints in the Hub's format."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from classifier_checkpoints import CLASSES, NETWORKS, SIZE, classifier_checkpoint
from PIL import Image as Pillow
from safetensors.torch import load_file, save_file

from candid import data, models, workflows
from candid.errors import InputError
from candid.models.device import Placement
from candid.models.families import FAMILIES
from candid.models.framework import quiet, transformers
from candid.types import Classifier, Encoder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(kind):
        if kind not in made:
            place = tmp_path_factory.mktemp(kind)
            made[kind] = classifier_checkpoint(place, kind, processor=FAMILIES[kind])
        return made[kind]

    return folder


def pictures(n=3, height=SIZE, width=SIZE, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8))


def own_logits(folder, model, images):
    """The framework's logits of the pixels we prepare, normalised by its own image processor."""
    hf = transformers()
    prepared = [np.ascontiguousarray(model.prepare(image).transpose(1, 2, 0)) for image in images]
    with quiet():
        kind = json.loads((folder / "preprocessor_config.json").read_text())["image_processor_type"]
        processor = getattr(hf, f"{kind}Pil").from_pretrained(folder)
        pixels = processor(prepared, return_tensors="pt", do_resize=False, do_center_crop=False)
        whole = hf.AutoModelForImageClassification.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            return whole(**pixels).logits.numpy()


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_head_on_the_vectors_gives_the_frameworks_logits(kind, folders):
    model, images = models.load(str(folders(kind)), device="cpu"), pictures()
    logits = model.head(model.encode_images(images))
    expected = own_logits(folders(kind), model, images)
    np.testing.assert_allclose(logits, expected, atol=1e-5 * max(1.0, np.abs(expected).max()))
    assert np.ptp(expected, axis=0).max() > 1e-2 * np.abs(expected).max(), "a network that says the same of everything"


def test_every_family_of_the_table_is_tested():
    assert NETWORKS.keys() == FAMILIES.keys()
    assert all(models.MODELS[kind] == "candid.models.classifier:load" for kind in FAMILIES)


def test_the_classifier_is_one_and_is_no_encoder(folders):
    model = models.load(str(folders("resnet")), device="cpu")
    assert isinstance(model, Classifier)
    assert not isinstance(model, Encoder)
    assert model.head.classes == CLASSES
    assert (model.head.scale, model.head.activation, model.dim, model.size) == (1.0, "softmax", 16, SIZE)
    assert models.load(str(folders("resnet")), revision=model.revision).revision == model.revision
    assert model.preprocessing != models.load(str(folders("vit"))).preprocessing


def test_activations_are_as_the_network_makes_them(folders):
    model = models.load(str(folders("convnext")), device="cpu")
    rows = model.encode_images(pictures(4, 50, 70))
    assert rows.dtype == np.float32
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() > 0.1
    assert model.encode_images([]).shape == (0, model.dim)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_half_precision_and_autocast_keep_the_head_exact(kind, folders):
    whole = models.load(str(folders(kind)), device="cpu")
    half = models.load(str(folders(kind)), device="cpu", dtype="bfloat16")
    np.testing.assert_array_equal(half.head.weights, whole.head.weights)
    images = pictures()
    expected = whole.encode_images(images)
    assert half.precision == "bfloat16"
    assert 0 < np.abs(half.encode_images(images) - expected).max() < 0.1 * np.abs(expected).max()
    whole.placement = Placement(torch.device("cpu"), torch.float32, torch.bfloat16)
    assert whole.precision == "bfloat16 autocast"
    assert 0 < np.abs(whole.encode_images(images) - expected).max() < 0.1 * np.abs(expected).max()


def test_encoding_an_image_set_keeps_activations_and_caches_them(folders, tmp_path):
    for i, picture in enumerate(pictures(5, 40, 48)):
        (tmp_path / "set" / "hen").mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(picture).save(tmp_path / "set" / "hen" / f"{i}.png")
    model, found = models.load(str(folders("swin")), device="cpu"), data.read(tmp_path / "set")
    first = workflows.encode(model, found, cache=tmp_path / "cache", batch_size=2)
    again = workflows.encode(model, found, cache=tmp_path / "cache", batch_size=2)
    np.testing.assert_array_equal(first.vectors, again.vectors)
    np.testing.assert_allclose(first.vectors, model.encode_images(pictures(5, 40, 48)), rtol=1e-4, atol=1e-5)


def test_it_cannot_be_asked_for_classes_in_words(folders):
    model = models.load(str(folders("resnet")), device="cpu")
    for ask in (models.zero_shot, lambda m, c: models.zero_shot_each(m, c, templates=["{}"])):
        with pytest.raises(InputError, match="is a supervised classifier with its own classes; it cannot be asked for"):
            ask(model, ["cat", "dog"])
    with pytest.raises(InputError, match="supervised classifier"):
        models.with_texts(model)


def test_the_head_answers_for_the_classes_of_a_data_set(folders):
    model = models.load(str(folders("resnet")), device="cpu")
    rows = model.encode_images(pictures())
    head = models.restrict(model.head, ["Great_White_Shark", "tench"])
    assert head.classes == ("Great_White_Shark", "tench")
    np.testing.assert_allclose(head(rows), model.head(rows)[:, [2, 0]], rtol=1e-6)


@pytest.fixture
def folder(folders, tmp_path):
    return lambda kind: shutil.copytree(folders(kind), tmp_path / kind)


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rename(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def without_class_2(folder):
    names = json.loads((folder / "config.json").read_text())["id2label"]
    names["9"] = names.pop("2")
    edit(folder / "config.json", id2label=names)


BROKEN = {
    "no head": (
        "vit",
        lambda f: edit(f / "config.json", architectures=["ViTModel"]),
        "is a vit of architecture ViTModel, expected one with a single trained head",
    ),
    "no architecture": ("vit", lambda f: edit(f / "config.json", architectures=None), "of architecture None"),
    "two heads": (
        "deit",
        lambda f: edit(f / "config.json", architectures=["DeiTForImageClassificationWithTeacher"]),
        "of architecture DeiTForImageClassificationWithTeacher, expected one with a single",
    ),
    "architecture unknown": (
        "vit",
        lambda f: edit(f / "config.json", architectures=["NoSuchForImageClassification"]),
        "cannot read the weights",
    ),
    "no weights for the head": (
        "convnext",
        lambda f: rename(f, lambda t: t.pop("classifier.weight")),
        "lack 1 tensors its config asks for, classifier.weight",
    ),
    "fewer layers than weights": ("vit", lambda f: edit(f / "config.json", num_hidden_layers=1), "do not fit"),
    "more blocks than weights": ("resnet", lambda f: edit(f / "config.json", depths=[1, 2]), "lack .* tensors"),
    "a class without a name": ("vit", without_class_2, "must name each of its 5 classes"),
    "a regression": ("vit", lambda f: edit(f / "config.json", problem_type="regression"), "predicts a number"),
    "images of another size": (
        "vit",
        lambda f: edit(f / "preprocessor_config.json", size={"height": 48, "width": 48}),
        "prepares images of 48 px for a model of 32 px",
    ),
    "damaged weights": (
        "resnet",
        lambda f: rename(f, lambda t: t.update({"classifier.1.weight": t["classifier.1.weight"] * float("nan")})),
        "not one linear map|not finite",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_checkpoint_that_is_no_such_classifier_is_one_clear_line(case, folder):
    kind, break_it, message = BROKEN[case]
    place = folder(kind)
    break_it(place)
    with pytest.raises(InputError, match=message) as caught:
        models.load(str(place), device="cpu")
    assert "\n" not in str(caught.value)


def test_activations_that_are_not_numbers_are_refused(folder):
    model = models.load(str(folder("resnet")), device="cpu")
    with torch.no_grad():
        next(model.module.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match="activations that are not finite"):
        model.encode_images(pictures())


def test_buffers_of_old_releases_do_no_harm(folder):
    place = folder("swin")
    name = "swin.encoder.layers.0.blocks.0.attention.self.relative_position_index"
    rename(place, lambda t: t.update({name: torch.zeros(16, 16, dtype=torch.int64)}))
    assert models.load(str(place), device="cpu").dim == 16


def test_labels_that_do_not_exclude_each_other_are_sigmoids(folder):
    place = folder("vit")
    edit(place / "config.json", problem_type="multi_label_classification")
    assert models.load(str(place), device="cpu").head.activation == "sigmoid"


def test_the_page_on_models_lists_every_family():
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text()
    for kind in (*FAMILIES, "vision-text-dual-encoder"):
        assert f"`{kind}`" in page
