"""Prepared pixels against the Hub's own processors, and what the settings files may say."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from candid.errors import InputError
from candid.models.framework import quiet, transformers
from candid.models.naflex import PatchSquare, grid
from candid.models.preprocess import LONGEST, Preprocess, read_preprocess
from candid.models.resize import resize

SHAPES = {
    "landscape": (120, 200),
    "portrait": (201, 119),
    "square": (64, 64),
    "the size itself": (48, 48),
    "nearly the size": (47, 49),
    "a pixel": (1, 1),
    "tiny": (7, 5),
    "a strip": (10, 700),
    "a pole": (900, 11),
    "large": (1200, 1601),
}
CLIP = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 48}, "crop_size": 48}
SIGLIP = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 48, "width": 48}}
NAFLEX = {"patch_size": 8, "max_num_patches": 30}


def photo(height, width, seed=0):
    """Smooth shapes, edges and grain: what the differences between resizers depend on."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, height // 16), max(2, width // 16), 3), dtype=np.uint8)
    smooth = np.asarray(Pillow.fromarray(coarse).resize((width, height), Pillow.Resampling.BICUBIC)).astype(float)
    smooth[height // 3 : height // 2, width // 4 :] *= 0.3
    return (smooth + rng.normal(0, 5, smooth.shape)).clip(0, 255).astype(np.uint8)


def noise(height, width):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(folder, settings, *, image_size=48, family="CLIP"):
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return read_preprocess(folder, image_size=image_size, family=family)


def hub(kind, settings, image):
    """What the Hub's Pillow processor makes of the image."""
    with quiet():
        processor = getattr(transformers(), kind)(**{k: v for k, v in settings.items() if k != "image_processor_type"})
        return processor([Pillow.fromarray(image)], return_tensors="np")  # an array of 1 x 1 x 3 it would misread


def levels(pixels, normalised, settings):
    """How many grey levels apart our 8-bit pixels and normalised ones are, at most."""
    mean, std = (np.asarray(getattr(settings, key)).reshape(3, 1, 1) for key in ("mean", "std"))
    return np.abs(pixels - (normalised * std + mean) * 255).max()


@pytest.mark.parametrize("draw", [photo, noise], ids=["photo", "noise"])
@pytest.mark.parametrize("shape", SHAPES)
def test_clip_pixels_are_within_a_grey_level_of_the_hubs(shape, draw, tmp_path):
    prepare, image = read(tmp_path, CLIP), draw(*SHAPES[shape])
    theirs = hub("CLIPImageProcessorPil", CLIP, image)["pixel_values"][0]
    assert levels(prepare(image), theirs, prepare) < 1.01


@pytest.mark.parametrize("draw", [photo, noise], ids=["photo", "noise"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("resample", [2, 3])
def test_squeezed_pixels_are_within_a_grey_level_of_pillow_taking_the_width_first(shape, draw, resample):
    """SigLIP's resize. Pillow 13 sometimes takes the height first; every other release, and torchvision, never."""
    image = draw(*SHAPES[shape])
    across = Pillow.fromarray(image).resize((48, image.shape[0]), Pillow.Resampling(resample))
    theirs = np.asarray(across.resize((48, 48), Pillow.Resampling(resample)), dtype=int)
    assert np.abs(resize(image, 48, 48, resample=resample) - theirs).max() <= 1


@pytest.mark.parametrize(
    "shape", sorted(SHAPES.keys() - {"a pole"})
)  # there Pillow 13 takes the height first: 5 levels
def test_siglip_pixels_of_photos_are_within_two_grey_levels_of_the_hubs(shape, tmp_path):
    prepare, image = read(tmp_path, SIGLIP), photo(*SHAPES[shape])
    theirs = hub("SiglipImageProcessorPil", SIGLIP, image)["pixel_values"][0]
    assert levels(prepare(image), theirs, prepare) < 2.01


@pytest.mark.parametrize("shape", SHAPES)
def test_naflex_patches_are_the_hubs_within_two_grey_levels_on_the_same_grid(shape):
    square, image = PatchSquare(8, 30, 2, 1 / 255, (0.5,) * 3, (0.5,) * 3), photo(*SHAPES[shape])
    theirs = hub("Siglip2ImageProcessorPil", NAFLEX, image)
    values, mask, shapes = square.unpack(torch.from_numpy(square(image))[None])
    np.testing.assert_array_equal(shapes, theirs["spatial_shapes"])
    np.testing.assert_array_equal(mask, theirs["pixel_attention_mask"])
    assert np.abs(values.numpy() - theirs["pixel_values"]).max() < 2.01 * 2 / 255


def test_a_grid_of_patches_keeps_the_aspect_ratio_within_its_limit():
    assert grid(16, 16, patch=16, patches=256) == (16, 16)
    assert grid(1000, 500, patch=16, patches=128) == (16, 8)
    for height, width in ((1, 5000), (300, 400), (4000, 3)):
        rows, columns = grid(height, width, patch=16, patches=256)
        assert 1 <= rows * columns <= 256


def test_normalised_pixels_equal_the_hubs(tmp_path):
    prepare, image = read(tmp_path, CLIP), noise(48, 48)
    theirs = hub("CLIPImageProcessorPil", CLIP, image)["pixel_values"]
    ours = prepare.normalise(torch.from_numpy(prepare(image))[None])
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6)


def test_a_crop_takes_the_middle():
    image = np.zeros((2, 5, 3), np.uint8)
    image[:, :, 0] = np.arange(5)
    settings = {"resize": None, "resample": 3, "crop": True, "factor": 1.0, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    assert Preprocess(2, **settings)(image)[0].tolist() == [[1, 2], [1, 2]]
    assert Preprocess(2, **settings, centre="even")(image)[0].tolist() == [[2, 3], [2, 3]]  # 1.5 rounds to even
    assert Preprocess(3, **settings)(image)[0].tolist() == [[0, 0, 0], [1, 2, 3], [1, 2, 3]]  # black where it ends


def test_old_forms_of_the_settings_mean_the_same(tmp_path):
    new = read(tmp_path, CLIP | {"crop_size": {"height": 48, "width": 48}, "resample": 3})
    old = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 48, "crop_size": 48, "rescale_factor": None}
    assert read(tmp_path, old) == new
    assert read(tmp_path, {"image_processor_type": "CLIPImageProcessorFast", "size": 48, "crop_size": 48}) == new
    assert read(tmp_path, {"size": [48, 48], "do_center_crop": False}).resize == (48, 48)
    assert read(tmp_path, {"size": 48}, family="Siglip").resize == (48, 48)
    assert read(tmp_path, CLIP | {"do_normalize": False}).mean == (0.0,) * 3
    assert read(tmp_path, CLIP | {"do_rescale": False}).factor == 1.0


def test_the_digest_follows_every_setting(tmp_path):
    base = read(tmp_path, CLIP).digest
    assert len(base) == 16
    assert read(tmp_path, CLIP | {"do_convert_rgb": True}).digest == base
    changes = ({"resample": 2}, {"image_mean": [0.5] * 3}, {"size": 56}, {"do_resize": False}, {"rescale_factor": 0.01})
    digests = {read(tmp_path, CLIP | change).digest for change in changes}
    assert len(digests | {base}) == len(changes) + 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_processor_type": "MysteryProcessor"}, "no preprocessing for image processor 'MysteryProcessor'"),
        ({"size": {"longest_edge": 48}}, "expected a size with shortest_edge"),
        ({"size": 48, "do_center_crop": False, "crop_size": 48}, None),
        ({"size": {"shortest_edge": 48}, "do_center_crop": False}, "expected square images|cannot follow"),
        ({"crop_size": {"height": 48, "width": 40}}, "expected square images"),
        ({"size": 48, "crop_size": 48, "image_mean": [0.5]}, "expected three channels"),
        ({"size": 48, "crop_size": "48"}, "cannot follow"),
        ({"size": 48, "crop_size": 48, "resample": "cubic"}, "cannot follow"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(settings, message, tmp_path):
    if message is None:
        assert read(tmp_path, settings).size == 48
        return
    with pytest.raises(InputError, match=message):
        read(tmp_path, settings)


def test_a_strip_too_long_to_resize_is_cut_to_its_middle(tmp_path):
    prepare = read(tmp_path, CLIP)
    image = np.zeros((1, 2 * LONGEST, 3), np.uint8)
    image[:, LONGEST - 100 : LONGEST + 100] = 200
    assert (prepare(image) == 200).all()


def test_an_image_is_left_as_it_was(tmp_path):
    image = noise(70, 90)
    before = image.copy()
    image.flags.writeable = False
    for settings in (CLIP, SIGLIP):
        read(tmp_path, settings)(image)
    np.testing.assert_array_equal(image, before)


def test_an_image_without_pixels_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected an image with pixels"):
        read(tmp_path, CLIP)(np.zeros((0, 5, 3), np.uint8))


@pytest.mark.parametrize("resample", [0, 1, 4, 5])
def test_rarer_filters_are_pillows_own(resample):
    image = photo(90, 130)
    theirs = Pillow.fromarray(image).resize((30, 20), Pillow.Resampling(resample))
    np.testing.assert_array_equal(resize(image, 20, 30, resample=resample), np.asarray(theirs))


PLAIN = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": 3}
PROCESSORS = {
    "ConvNext": PLAIN | {"size": {"shortest_edge": 48}, "crop_pct": 0.875},
    "ConvNext squeezed": PLAIN | {"size": {"shortest_edge": 384}, "crop_pct": 1.0},
    "Levit": PLAIN | {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}},
    "PoolFormer": PLAIN | {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}, "crop_pct": 0.9},
    "Bit": PLAIN | {"size": {"shortest_edge": 54}, "crop_size": {"height": 48, "width": 48}},
    "MobileNetV1": PLAIN | {"size": {"shortest_edge": 55}, "crop_size": {"height": 48, "width": 48}, "resample": 2},
    "MobileNetV2": PLAIN | {"size": {"shortest_edge": 55}, "crop_size": {"height": 48, "width": 48}, "resample": 2},
    "DeiT": PLAIN | {"size": {"height": 55, "width": 55}, "crop_size": {"height": 48, "width": 48}},
    "Beit": PLAIN | {"size": {"height": 48, "width": 48}},
    "ViT": PLAIN | {"size": {"height": 48, "width": 48}, "resample": 2},
    "Pvt": PLAIN | {"size": {"height": 48, "width": 48}},
    "EfficientNet": PLAIN | {"size": {"height": 48, "width": 48}, "resample": 0},
    "EfficientNet offset": PLAIN | {"size": {"height": 48, "width": 48}, "rescale_factor": 1 / 127.5}
    | {"rescale_offset": True},
}  # fmt: skip


@pytest.mark.parametrize("shape", ["landscape", "portrait", "the size itself", "tiny"])
@pytest.mark.parametrize("case", PROCESSORS)
def test_pixels_of_supervised_checkpoints_are_within_a_grey_level_of_the_hubs(case, shape, tmp_path):
    kind, settings, image = case.split()[0], PROCESSORS[case], photo(*SHAPES[shape])
    prepare = read(tmp_path, settings | {"image_processor_type": f"{kind}ImageProcessor"}, image_size=None)
    theirs = hub(f"{kind}ImageProcessorPil", settings, image)["pixel_values"][0]
    ours = prepare.normalise(torch.from_numpy(prepare(image))[None])[0].numpy()
    apart = np.abs(ours - theirs) * np.asarray(prepare.std).reshape(3, 1, 1) / prepare.factor
    assert ours.shape == theirs.shape
    # Two levels where both sides are squeezed, for Pillow 13 filters the height first.
    assert apart.max() < (2.01 if prepare.resize == (48, 48) or case == "DeiT" else 1.01)


@pytest.mark.parametrize(
    ("kind", "settings", "size", "resize", "crop"),
    [
        ("ConvNext", {"size": 48, "crop_pct": 0.875}, 48, 54, True),
        ("ConvNext", {"size": 224}, 224, 256, True),
        ("ConvNext", {"size": 384}, 384, (384, 384), False),
        ("ConvNext", {"size": 48, "do_center_crop": True, "crop_size": 48}, 48, 54, True),
        ("Levit", {"size": 224, "crop_size": 224}, 224, 256, True),
        ("PoolFormer", {"size": 224, "crop_size": 224, "crop_pct": 0.9}, 224, 248, True),
        ("DeiT", {"size": 256, "crop_size": 224}, 224, (256, 256), True),
        ("Beit", {"size": 256, "crop_size": 224, "do_center_crop": True}, 224, (256, 256), True),
        ("MobileNetV2", {"size": 256, "crop_size": 224}, 224, 256, True),
    ],
)
def test_settings_of_supervised_checkpoints_mean_what_their_processors_do(kind, settings, size, resize, crop, tmp_path):
    found = read(tmp_path, settings | {"feature_extractor_type": f"{kind}FeatureExtractor"}, image_size=None)
    assert (found.size, found.resize, found.crop) == (size, resize, crop)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("ConvNext", {"size": {"height": 48, "width": 48}}, "expected a size with shortest_edge"),
        ("ConvNext", {"size": 48, "do_center_crop": True, "crop_size": 40}, "expected a crop of 48 px"),
        ("ConvNext", {"size": 48, "crop_pct": 0}, "cannot follow"),
        ("EfficientNet", {"size": 48, "do_normalize": False}, "without do_normalize is not supported"),
        ("MobileViT", {"size": 48}, "no preprocessing for image processor 'MobileViT'"),
    ],
)
def test_settings_of_supervised_checkpoints_that_cannot_be_followed_are_refused(kind, settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read(tmp_path, settings | {"image_processor_type": f"{kind}ImageProcessor"}, image_size=None)
