"""Random views: the rule of the crop against hand cases and its law, and a view as a function of seed and content."""

from math import exp, log

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest, kstest

from candid import data
from candid.data.views import Box, random_box
from candid.errors import InputError

N = 4000


class Draws(np.random.Generator):
    """A generator whose draws are written down."""

    def __init__(self, uniform: list[float], integers: list[int]) -> None:
        super().__init__(np.random.PCG64(0))
        self.waiting, self.places, self.asked = list(uniform), list(integers), []

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.waiting.pop(0)

    def integers(self, low: int, high: int) -> int:
        self.asked.append((low, high))
        return self.places.pop(0)


def photo(height: int = 90, width: int = 140, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


# the crop


def test_the_full_area_at_ratio_one_is_the_whole_square():
    draws = Draws([1.0, 0.5], [0, 0])
    assert random_box(100, 100, draws) == Box(0, 0, 100, 100)
    assert draws.asked == [(0, 1), (0, 1)]


def test_a_draw_by_hand():
    # area 0.54 of 10,000 = 5,400 at ratio 4/3: width sqrt(7200) = 84.9, height sqrt(4050) = 63.6
    draws = Draws([0.5, 1.0], [30, 7])
    assert random_box(100, 100, draws) == Box(30, 7, 64, 85)
    assert draws.asked == [(0, 37), (0, 16)]


def test_a_draw_that_does_not_fit_is_drawn_again():
    draws = Draws([1.0, 1.0, 1.0, 0.5], [0, 0])  # the first is 115 wide in a square of 100
    assert random_box(100, 100, draws) == Box(0, 0, 100, 100)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(10, 1000, Box(0, 493, 10, 13)), (1000, 10, Box(493, 0, 13, 10)), (1, 1000, Box(0, 499, 1, 1))],
)
def test_after_ten_misses_the_largest_central_part_of_an_allowed_ratio_is_taken(height, width, expected):
    draws = Draws([1.0, 1.0] * 10, [])
    assert random_box(height, width, draws) == expected
    assert draws.waiting == []


def test_areas_and_log_ratios_are_uniform_where_every_draw_fits():
    # In a large square nearly all draws of at most 3/4 of the area fit; those are uniform whatever becomes of the rest.
    side, random = 3000, np.random.default_rng(0)
    boxes = [random_box(side, side, random) for _ in range(N)]
    area = np.array([b.height * b.width for b in boxes]) / side**2
    ratio = np.array([b.width / b.height for b in boxes])
    small = area < 0.74
    assert kstest((area[small] - 0.08) / 0.66, "uniform").pvalue > 0.01
    assert kstest((np.log(ratio[small]) - log(3 / 4)) / (2 * log(4 / 3)), "uniform").pvalue > 0.01
    assert area.min() > 0.0799
    assert exp(abs(np.log(ratio)).max()) < 4 / 3 + 0.001


def test_the_share_of_large_areas_follows_the_law_of_repeated_draws():
    """P(fits | area a) is the share of log-ratios in which both sides stay below 1: log(1/a) / log(4/3), at most 1."""
    random = np.random.default_rng(1)
    area = np.array([np.prod(random_box(3000, 3000, random)[2:]) / 3000**2 for _ in range(N)])
    a = np.linspace(0.08, 1, 200_001)
    density = np.minimum(1, np.log(1 / a) / log(4 / 3))
    law = np.cumsum(density) / density.sum()
    assert kstest(area, lambda x: np.interp(x, a, law)).pvalue > 0.01


def test_places_are_uniform_and_stay_inside():
    random = np.random.default_rng(2)
    boxes = [random_box(400, 600, random) for _ in range(N)]
    assert all(0 <= b.top <= 400 - b.height and 0 <= b.left <= 600 - b.width for b in boxes)
    room = [(b.left + random.random()) / (600 - b.width + 1) for b in boxes]  # spread within the pixel
    assert kstest(room, "uniform").pvalue > 0.01


# the view


def shades(height: int = 30, width: int = 60) -> np.ndarray:
    """Brighter to the right, so that a flip shows."""
    return np.repeat(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))[..., None], 3, axis=2)


@pytest.mark.parametrize("kind", sorted(data.AUGMENTATIONS))
def test_half_of_the_views_are_flipped(kind):
    views = [data.augment(shades(), 16, np.random.default_rng(i), kind) for i in range(600)]
    flipped = sum(float(view[0, 8, 4]) > float(view[0, 8, -5]) for view in views)
    assert binomtest(flipped, 600).pvalue > 0.01


@pytest.mark.parametrize("kind", sorted(data.AUGMENTATIONS))
def test_a_view_has_channels_first_and_the_asked_size(kind):
    dtype = np.float32 if kind == "tpt-augmix" else np.uint8
    for height, width in [(1, 1), (1, 50), (50, 1), (90, 140), (16, 16)]:
        view = data.augment(photo(height, width), 24, np.random.default_rng(0), kind)
        assert (view.shape, view.dtype, view.flags.c_contiguous) == ((3, 24, 24), dtype, True)


def test_the_older_recipe_squeezes_then_flips_then_crops():
    image, random, again = photo(), np.random.default_rng(5), np.random.default_rng(5)
    square = Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)
    if again.random() < 0.5:
        square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    top, left, height, width = random_box(32, 32, again)
    part = square.crop((left, top, left + width, top + height)).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(data.augment(image, 32, random, "dassl2021"), np.asarray(part).transpose(2, 0, 1))


def test_the_newer_recipe_crops_the_image_itself_then_flips():
    image, random, again = photo(), np.random.default_rng(6), np.random.default_rng(6)
    top, left, height, width = random_box(90, 140, again)
    part = Image.fromarray(image).crop((left, top, left + width, top + height))
    part = part.resize((32, 32), Image.Resampling.BICUBIC)
    if again.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert np.array_equal(data.augment(image, 32, random, "dassl"), np.asarray(part).transpose(2, 0, 1))


def test_a_view_depends_on_seed_content_and_number_and_on_nothing_else():
    def view(seed: int, content: str, number: int) -> bytes:
        return data.augment(photo(), 16, data.view_random(seed, content, number)).tobytes()

    assert view(0, "ab12", 3) == view(0, "ab12", 3)
    assert len({view(0, "ab12", 3), view(1, "ab12", 3), view(0, "ab13", 3), view(0, "ab12", 4)}) == 4


def test_the_image_is_left_as_it_was():
    image = photo()
    before = image.copy()
    for kind in data.AUGMENTATIONS:
        data.augment(image, 16, np.random.default_rng(0), kind)
    assert np.array_equal(image, before)


def test_an_unknown_augmentation_names_the_nearest():
    with pytest.raises(InputError, match="no augmentation 'dasl'; did you mean dassl"):
        data.augment(photo(), 16, np.random.default_rng(0), "dasl")


@pytest.mark.parametrize(("image", "size"), [(np.zeros((0, 4, 3), np.uint8), 16), (np.zeros((4, 4, 3), np.uint8), 0)])
def test_an_image_without_pixels_or_a_size_of_none_is_refused(image, size):
    with pytest.raises(InputError, match="an image with pixels and a size of 1 or more"):
        data.augment(image, size, np.random.default_rng(0))


def test_a_negative_seed_or_view_is_refused():
    with pytest.raises(InputError, match="must be 0 or more"):
        data.view_random(-1, "ab", 0)
