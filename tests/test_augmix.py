"""Views for test-time tuning: every operation against Pillow bit for bit, their law against a reference in Pillow."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import chisquare, ks_2samp, kstest

from candid import data
from candid.data import augmix, compiled, pillow_operations

REFERENCE = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "against" / "pillow_views.py"))
SIZES = (224, 64, 33)
LEVELS = {
    "autocontrast": [0.0],
    "equalize": [0.0],
    "posterize": [8, 4, 3, 1],
    "rotate": [0, 1, -1, 2, -2, 37, 180],
    "solarize": [256, 254, 231, 128, 0],
    "shear_x": [0.03, -0.03, 0.011, -0.0003, 0.0, 0.25, -0.41237],
    "shear_y": [0.03, -0.03, 0.011, -0.0003, 0.0, 0.25, -0.41237],
    "translate_x": [0, 1, -1, 7, -7, 300],
    "translate_y": [0, 1, -1, 7, -7, 300],
}


def photo(height, width, seed=0):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 12 + 2, width // 12 + 2, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + random.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


def planes(size, seed=0):
    return np.ascontiguousarray(photo(size, size, seed).transpose(2, 0, 1)) // 2 + 30


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", augmix.OPERATIONS)
def test_an_operation_is_pillows_bit_for_bit(name, size):
    levels = [*LEVELS[name], *(augmix.OPERATIONS[name](np.random.default_rng(i), size) for i in range(20))]
    for i, level in enumerate(levels):
        crop = planes(size, i)
        expected = pillow_operations.chained(crop, ((name, level),))
        assert np.array_equal(compiled.chained(crop, ((name, level),)), expected), (name, level)
    assert not np.array_equal(pillow_operations.chained(planes(size), ((name, LEVELS[name][-1]),)), planes(size))


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_crop_of_one_colour_survives_what_counts_colours(value):
    crop = np.full((3, 20, 20), value, np.uint8)
    for name in ("autocontrast", "equalize"):
        assert np.array_equal(compiled.chained(crop, ((name, 0.0),)), crop)
        assert np.array_equal(pillow_operations.chained(crop, ((name, 0.0),)), crop)


def test_operations_by_hand():
    crop = np.zeros((3, 4, 4), np.uint8)
    crop[:, 1, 2] = 200
    right = compiled.chained(crop, (("translate_x", 1),))  # what stood at x = 2 is seen at x = 1
    assert right[0, 1, 1] == 200
    assert right.sum() == 600
    assert compiled.chained(crop, (("solarize", 128),))[0, 1, 2] == 55
    assert compiled.chained(crop, (("posterize", 1),))[0, 1, 2] == 128
    crop[:, 1, 2] = 51
    assert compiled.chained(crop, (("autocontrast", 0.0),))[0, 1, 2] == 255


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_crop_is_pillows_width_first(size, flip):
    image, random = photo(120, 170), np.random.default_rng(size)
    for _ in range(40):
        high, wide = random.integers(1, 121), random.integers(1, 171)
        box = int(random.integers(0, 121 - high)), int(random.integers(0, 171 - wide)), int(high), int(wide)
        part = Image.fromarray(image[box[0] : box[0] + high, box[1] : box[1] + wide])
        narrow = part.resize((size, int(high)), Image.Resampling.BILINEAR)
        expected = np.asarray(narrow.resize((size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        found = augmix.crop_of(augmix.planes_of(image), box, size, flip)
        assert np.array_equal(found, expected[:, :, ::-1] if flip else expected)
        whole = np.asarray(part.resize((size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1).astype(int)
        assert np.abs(whole - expected).max() <= 1  # whichever pass comes first


@pytest.mark.parametrize("kind", ["tpt", "tpt-augmix"])
def test_without_the_extra_the_pixels_are_the_same(kind, monkeypatch):
    image = photo(90, 140)
    quick = [data.augment(image, 48, data.view_random(0, "ab", i), kind) for i in range(12)]
    monkeypatch.setattr(augmix, "fast", lambda: False)
    slow = [data.augment(image, 48, data.view_random(0, "ab", i), kind) for i in range(12)]
    for one, other in zip(quick, slow, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 if kind == "tpt-augmix" else 0)


def test_a_mixture_is_its_parts():
    crop = planes(40)
    chains = ((("solarize", 240),), (("posterize", 4), ("translate_x", 2)), (("equalize", 0.0),))
    mix = augmix.Mix(0.25, np.array([0.5, 0.3, 0.2]), chains)
    parts = [pillow_operations.chained(crop, chain).astype(float) for chain in chains]
    expected = 0.25 * crop + 0.75 * (0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2])
    np.testing.assert_allclose(augmix.mixed(crop, mix), expected, rtol=0, atol=1e-4)


# the law of the draws


def test_mixtures_follow_the_law():
    mixes = [augmix.draw(np.random.default_rng(i), 224) for i in range(3000)]
    assert kstest([m.share for m in mixes], "uniform").pvalue > 0.01
    assert kstest([m.weights[0] for m in mixes], "beta", args=(1, 2)).pvalue > 0.01  # a margin of Dirichlet(1, 1, 1)
    depths = np.bincount([len(chain) for m in mixes for chain in m.chains], minlength=4)
    assert depths[0] == 0
    assert chisquare(depths[1:]).pvalue > 0.01
    picked = [name for m in mixes for chain in m.chains for name, _ in chain]
    assert chisquare([picked.count(name) for name in augmix.OPERATIONS]).pvalue > 0.01


def test_levels_follow_the_law():
    """Levels are uniform between 0.1 and 1, in tenths of 4 bits, 30 degrees, 256 values, 0.3 and a third of a side."""

    def drawn(name):
        return np.array([augmix.OPERATIONS[name](np.random.default_rng(i), 224) for i in range(3000)])

    assert set(drawn("posterize")) == {4}
    for name, range_ in (("rotate", 3.0), ("translate_x", 224 / 30), ("translate_y", 224 / 30)):
        found = drawn(name)
        edges = np.clip(np.arange(int(range_) + 2), 0.1 * range_, range_)
        share = np.diff(edges)[: int(np.ceil(range_))] / (0.9 * range_)
        assert chisquare(np.bincount(np.abs(found).astype(int)), 3000 * share).pvalue > 0.01
        assert 0.45 < (found[found != 0] < 0).mean() < 0.55
    assert drawn("solarize").min() == 231
    assert drawn("solarize").max() == 254
    for name in ("shear_x", "shear_y"):
        found = drawn(name)
        assert kstest((np.abs(found) / 0.03 - 0.1) / 0.9, "uniform").pvalue > 0.01
        assert 0.45 < (found < 0).mean() < 0.55


def reference_view(image, size, random):
    """AugMix as its authors' code does it in Pillow, with draws of its own order; its range undone."""
    made = REFERENCE["view"](image, random, size)
    return ((made * REFERENCE["STD"] + REFERENCE["MEAN"]) * 255).numpy()


def statistics(view):
    """Numbers that each operation shifts: level, spread, edges, corners, one channel against another."""
    view = np.asarray(view, dtype=float)
    edge = np.concatenate([view[:, 0].ravel(), view[:, -1].ravel(), view[:, :, 0].ravel(), view[:, :, -1].ravel()])
    return [view.mean(), view.std(), np.abs(np.diff(view, axis=2)).mean(), np.abs(np.diff(view, axis=1)).mean(),
            edge.mean(), np.median(view), view[0].mean() - view[2].mean(), (view < 4).mean(),
            view[:, : len(view[0]) // 2].mean()]  # fmt: skip


def test_views_have_the_law_of_the_reference_in_pillow():
    image = photo(150, 200, 5)
    ours = [statistics(data.augment(image, 40, np.random.default_rng(i), "tpt-augmix")) for i in range(700)]
    pillow = Image.fromarray(image)
    theirs = [statistics(reference_view(pillow, 40, np.random.default_rng(10_000 + i))) for i in range(700)]
    for one, other in zip(np.transpose(ours), np.transpose(theirs), strict=True):
        assert ks_2samp(one, other).pvalue > 0.01 / 9
    plain = [statistics(data.augment(image, 40, np.random.default_rng(i), "tpt")) for i in range(700)]
    assert min(ks_2samp(*pair).pvalue for pair in zip(np.transpose(plain), np.transpose(theirs), strict=True)) < 1e-6
