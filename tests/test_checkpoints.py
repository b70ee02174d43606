"""Broken, hostile and foreign checkpoints: one clear line each, and never a model that is half noise."""

import json
import os
import pickle
import shutil
import sys

import numpy as np
import pytest
import torch
from checkpoints import clip_checkpoint, siglip_checkpoint
from safetensors.torch import load_file, save_file

from candid import models
from candid.errors import InputError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return clip_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "clip")


def edit(path, **changes):
    content = json.loads(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        inner = content
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    path.write_text(json.dumps(content))


def weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def halve(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


BROKEN = {
    "no config": (lambda f: (f / "config.json").unlink(), "expected config.json"),
    "config not JSON": (lambda f: (f / "config.json").write_text("{"), "cannot read .*config.json"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "must hold a JSON object"),
    "config nonsense": (lambda f: edit(f / "config.json", projection_dim="many"), "cannot read the weights"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "found neither"),
    "weights cut short": (halve, "cannot read the weights"),
    "weights empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "cannot read the weights"),
    "a tensor missing": (
        lambda f: weights(f, lambda t: t.pop("visual_projection.weight")),
        "lack 1 tensors its config asks for, visual_projection.weight",
    ),
    "the scale missing": (lambda f: weights(f, lambda t: t.pop("logit_scale")), "lack 1 tensors .* logit_scale"),
    "more layers than weights": (
        lambda f: edit(f / "config.json", vision_config__num_hidden_layers=3),
        "lack 16 tensors",
    ),
    "fewer layers than weights": (lambda f: edit(f / "config.json", vision_config__num_hidden_layers=1), "do not fit"),
    "another width": (lambda f: edit(f / "config.json", projection_dim=25), "cannot read the weights|do not fit"),
    "scale not a number": (
        lambda f: weights(f, lambda t: t.update(logit_scale=torch.tensor(float("nan")))),
        "has logit scale nan",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "expected a tokenizer"),
    "tokenizer damaged": (lambda f: (f / "tokenizer.json").write_text("{}"), "cannot read the tokenizer"),
    "no image processor": (lambda f: (f / "preprocessor_config.json").unlink(), "expected preprocessor_config.json"),
    "images of another size": (
        lambda f: edit(f / "preprocessor_config.json", crop_size=48, size={"shortest_edge": 48}),
        "prepares images of 48 px for a model of 32 px",
    ),
    "another type": (
        lambda f: edit(f / "config.json", model_type="gpt2"),
        "'gpt2', which has no adapter .* siglip",
    ),
    "a network without a head": (
        lambda f: edit(f / "config.json", model_type="resnet"),
        "is a resnet of architecture CLIPModel, expected one with a single trained head",
    ),
    "no type": (lambda f: edit(f / "config.json", model_type=None), "type None, which has no adapter"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_one_clear_line(case, folder):
    break_it, message = BROKEN[case]
    break_it(folder)
    with pytest.raises(InputError, match=message) as caught:
        models.load(str(folder))
    assert "\n" not in str(caught.value)


def test_a_siglip_without_its_bias_is_refused(tmp_path):
    siglip_checkpoint(tmp_path)
    weights(tmp_path, lambda tensors: tensors.pop("logit_bias"))
    with pytest.raises(InputError, match=r"lack 1 tensors .* logit_bias"):
        models.load(str(tmp_path))


def test_vectors_that_are_not_numbers_are_refused(folder):
    weights(folder, lambda t: t.update({"visual_projection.weight": t["visual_projection.weight"] * float("nan")}))
    model = models.load(str(folder))
    with pytest.raises(InputError, match="not finite for images"):
        model.encode_images([np.zeros((32, 32, 3), np.uint8)])


def test_weights_of_old_pytorch_files_are_the_same_weights(folder):
    expected = models.load(str(folder)).encode_texts(["a cat"])
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    found = models.load(str(folder)).encode_texts(["a cat"])
    np.testing.assert_allclose(found, expected, atol=1e-6)  # not bitwise: the two formats align tensors differently


def test_weights_stored_in_half_precision_run_in_single(folder):
    expected = models.load(str(folder))
    weights(folder, lambda tensors: tensors.update({name: t.half() for name, t in tensors.items()}))
    found = models.load(str(folder), device="cpu")
    assert found.module.dtype == torch.float32
    assert found.scale == pytest.approx(expected.scale, rel=1e-3)
    np.testing.assert_allclose(found.encode_texts(["a cat"]), expected.encode_texts(["a cat"]), atol=5e-3)


class Payload:
    """What a hostile weights file holds: a call that unpickling would make."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_code_inside_a_weights_file_never_runs(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale": Payload(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot read the weights"):
        models.load(str(folder))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    with pytest.raises(InputError, match="cannot read the weights"):
        models.load(str(folder))
    assert not (tmp_path / "ran").exists()


def test_code_beside_the_weights_never_runs(folder, tmp_path):
    code = f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\nclass Own: pass\n"
    (folder / "own.py").write_text(code)
    edit(folder / "config.json", auto_map={"AutoModel": "own.Own", "AutoConfig": "own.Own"})
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Own", None]})
    models.load(str(folder))
    assert not (tmp_path / "ran").exists()


def test_settings_inside_a_processor_config_are_read(folder):
    before = models.load(str(folder)).preprocessing
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    assert models.load(str(folder)).preprocessing == before


def test_names_that_lead_nowhere_say_so(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"")
    cases = {
        "tinny": "no model named tinny; did you mean tiny",
        str(tmp_path / "absent"): "no folder .*absent",
        "./absent": "no folder ./absent",
        str(tmp_path / "model.bin"): "is a file, expected the folder",
        str(tmp_path): "expected config.json",
        "": "no model named",
    }
    for name, message in cases.items():
        with pytest.raises(InputError, match=message):
            models.load(name)


def test_a_package_can_bring_an_adapter(folder, tmp_path, monkeypatch):
    """A real distribution on the path, found through its entry point."""
    site = tmp_path / "site"
    (site / "other-1.0.dist-info").mkdir(parents=True)
    (site / "other-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (site / "other-1.0.dist-info" / "entry_points.txt").write_text("[candid.models]\nothertype = other_adapter:load\n")
    (site / "other_adapter.py").write_text("from candid.models.clip import load\n")
    monkeypatch.syspath_prepend(site)
    edit(folder / "config.json", model_type="othertype")
    model = models.load(str(folder))
    assert model.encode_texts(["a cat"]).shape == (1, model.dim)
    sys.modules.pop("other_adapter", None)
