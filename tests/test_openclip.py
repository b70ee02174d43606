"""The OpenCLIP adapter against OpenCLIP's own forward pass, on random checkpoints it saved itself."""

import contextlib
import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from candid import models, tune
from candid.errors import InputError, MissingExtra
from candid.extras import installed

SIZE, DIM = 32, 16
TOWERS = {
    "embed_dim": DIM,
    "vision_cfg": {"image_size": SIZE, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2},
}
CONFIGS = {
    "candid-softmax": TOWERS,
    "candid-sigmoid": {**TOWERS, "custom_text": True, "init_logit_bias": -6.0, "init_logit_scale": 2.5},
}
TEXTS = ["a photo of a cat.", "dog", "a long sentence that goes on and on past the end of the context of the tower"]


def mend_torchvision():
    """PyPI's torchvision is built for CUDA and cannot be imported beside a CPU torch: two operators lack a schema."""
    with contextlib.suppress(ImportError, RuntimeError):
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None


@pytest.fixture(scope="module")
def open_clip():
    if not installed("openclip"):
        pytest.skip("open_clip is not installed: pip install 'candid-vision[openclip]'")
    library = None if torch.cuda.is_available() else mend_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("open_clip")
    yield module
    del library


@pytest.fixture(scope="module")
def names(open_clip, tmp_path_factory):
    """`NAME/path` of a checkpoint of each config, its weights drawn at random and saved."""
    folder = tmp_path_factory.mktemp("open_clip")
    found = {}
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder / f"{name}.json")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = open_clip.create_model(name)
        torch.save(model.state_dict(), folder / f"{name}.pt")
        found[name] = f"{name}/{folder / name}.pt"
    return found


def pictures(height, width):
    return list(np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_equal_those_of_openclip(name, names, open_clip):
    model = models.load(f"open_clip:{names[name]}", device="cpu")
    path = names[name].partition("/")[2]
    own, _, transform = open_clip.create_model_and_transforms(name, pretrained=path)
    images = pictures(SIZE, SIZE)
    with torch.no_grad():
        pixels = torch.stack([transform(Pillow.fromarray(image)) for image in images])
        rows, words, scale, *bias = own.eval()(pixels, open_clip.get_tokenizer(name)(TEXTS))
        expected = scale * rows @ words.T + (bias[0] if bias else 0.0)
    logits = model.scale * model.encode_images(images) @ model.encode_texts(TEXTS).T + model.bias
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)
    assert np.ptp(logits) > 0.1
    sigmoid = name == "candid-sigmoid"
    assert model.activation == ("sigmoid" if sigmoid else "softmax")
    assert model.bias == (-6.0 if sigmoid else 0.0)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("per_class", [False, True])
def test_prompts_share_prefixes_exactly(name, position, per_class, names):
    model = models.load(f"open_clip:{names[name]}", device="cpu")
    model.module.double()
    tower = tune.text_tower(model)
    assert tower.shares, tower.note
    towers = (tower, tune.TextTower(model, model.module, tower.limit, "", None))
    classes = ["cat", "a big dog", "maine_coon"]
    random = torch.Generator().manual_seed(0)
    context = torch.randn((2, 3 if per_class else 1, 3, 32), generator=random, dtype=torch.float64)
    upstream = torch.randn((2, 3, DIM), generator=random, dtype=torch.float64)
    found = []
    for each in towers:
        leaf = context.clone().requires_grad_()
        rows = tune.Prompts.learned(each, classes, length=3, position=position)(leaf)
        (rows * upstream).sum().backward()
        found.append((rows.detach(), leaf.grad))
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).abs().max() <= 1e-12 * theirs.abs().max()


@pytest.mark.parametrize("name", CONFIGS)
def test_written_prompts_are_openclips_texts(name, names):
    model = models.load(f"open_clip:{names[name]}", device="cpu")
    rows = tune.Prompts.written(model, ["cat", "red_dog"], template="a photo of a {}.")()[0].detach().numpy()
    np.testing.assert_allclose(rows, model.encode_texts(["a photo of a cat.", "a photo of a red dog."]), atol=1e-6)


def test_text_weights_of_openclip_train(names):
    model = models.load(f"open_clip:{names['candid-softmax']}", device="cpu")
    twin = tune.text_tower(model).trainable()
    tune.Prompts.written(twin, ["cat", "dog"], template="a {}.")()[0, 0, 0].backward()
    assert all(p.grad is not None for p in twin.parameters().values())
    assert all(p.grad is None for p in model.module.parameters())


@pytest.mark.parametrize("shape", [(50, 91), (91, 50), (33, 32), (400, 300), (20, 31)])
def test_pixels_are_within_a_grey_level_of_openclips(shape, names, open_clip):
    name = "candid-softmax"
    model = models.load(f"open_clip:{names[name]}")
    _, _, transform = open_clip.create_model_and_transforms(name)
    image = pictures(*shape)[0]
    theirs = transform(Pillow.fromarray(image))
    ours = model.pixels.normalise(torch.from_numpy(model.prepare(image))[None])[0]
    assert (ours - theirs).abs().max() < 1.01 / 255 / min(model.pixels.std)


def test_the_revision_is_the_content_of_the_weights(names, open_clip, tmp_path):
    first = models.load(f"open_clip:{names['candid-softmax']}")
    state = torch.load(names["candid-softmax"].partition("/")[2], weights_only=True)
    torch.save(state, tmp_path / "copy.pt")
    state["logit_scale"] += 0.1
    torch.save(state, tmp_path / "other.pt")
    assert models.load(f"open_clip:candid-softmax/{tmp_path}/copy.pt").revision == first.revision
    assert models.load(f"open_clip:candid-softmax/{tmp_path}/other.pt").revision != first.revision


def test_weights_that_do_not_cover_the_model_are_refused(names, open_clip, tmp_path):
    state = torch.load(names["candid-softmax"].partition("/")[2], weights_only=True)
    del state["text_projection"]
    torch.save(state, tmp_path / "part.pt")
    with pytest.raises(InputError, match="text_projection"):
        models.load(f"open_clip:candid-softmax/{tmp_path}/part.pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:ViT-B-33/openai", "no model 'ViT-B-33'; did you mean ViT-B-32"),
        ("open_clip:ViT-B-32", "got no tag"),
        ("open_clip:ViT-B-32/openai", "trained with QuickGELU, .* load open_clip:ViT-B-32-quickgelu/openai"),
        ("open_clip:RN50/cc12m", "load open_clip:RN50-quickgelu/cc12m"),
        ("open_clip:ViT-B-32/laion2b", "no tag and there is no file 'laion2b'; did you mean laion2b_e16"),
    ],
)
def test_unknown_names_list_the_nearest(name, message, open_clip):
    with pytest.raises(InputError, match=message):
        models.load(name)


def test_a_tag_takes_no_revision(open_clip):
    with pytest.raises(InputError, match="tags name the weights themselves"):
        models.load("open_clip:ViT-B-32/openai", revision="main")


@pytest.mark.skipif(installed("openclip"), reason="open_clip is installed")
def test_without_the_extra_the_error_is_the_line_that_installs_it():
    with pytest.raises(MissingExtra, match=r"pip install 'candid-vision\[openclip\]'"):
        models.load("open_clip:ViT-B-32/openai")
