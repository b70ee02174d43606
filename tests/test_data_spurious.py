"""Generated sets: exact shares of groups, what is shown, determinism, refusals."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from candid import data
from candid.errors import InputError
from candid.types import ImageSet


def plain(colours, names, each=5, mode="RGB"):
    """A set of one-coloured pictures, `each` of every class; RGBA ones have a transparent border."""
    encoded, labels = [], []
    for label, colour in enumerate(colours):
        for i in range(each):
            image = Image.new(mode, (24, 24), (0, 0, 0, 0) if mode == "RGBA" else (0, 0, 0))
            image.paste((*colour, 255)[: len(mode)], (4, 4, 20, 20) if mode == "RGBA" else (0, 0, 24, 24))
            image.putpixel((10, 10), (i, i, i, 255)[: len(mode)])
            out = BytesIO()
            image.save(out, "PNG")
            encoded.append(out.getvalue())
            labels.append(label)
    ids = tuple(f"{names[label]}/{i}" for i, label in enumerate(labels))
    return ImageSet(ids, lambda i: data.decode(encoded[i], ids[i]), lambda i: encoded[i], names, np.array(labels))


RED, GREEN, BLUE, WHITE = (200, 0, 0), (0, 200, 0), (0, 0, 200), (255, 255, 255)
TOP = plain([RED, GREEN], ("red", "green"))
BOTTOM = plain([BLUE, WHITE], ("blue", "white"))


@pytest.mark.parametrize(("agreement", "counts"), [(1.0, [50, 0, 0, 50]), (0.9, [45, 5, 5, 45]), (None, [25] * 4)])
def test_dominoes_agree_exactly_as_often_as_asked(agreement, counts):
    made = data.dominoes(TOP, BOTTOM, n=100, agreement=agreement)
    assert np.bincount(made.groups, minlength=4).tolist() == counts
    assert made.group_names == ("blue, red", "blue, green", "white, red", "white, green")
    assert made.classes == ("blue", "white")
    for i in range(0, 100, 9):
        image = made.read(i)
        assert image.shape == (64, 32, 3)
        assert image[2, 2].tolist() == list((RED, GREEN)[made.groups[i] % 2])
        assert image[34, 2].tolist() == list((BLUE, WHITE)[made.labels[i]])


def test_a_hidden_half_is_black_and_the_other_stays():
    whole, hidden = (data.dominoes(TOP, BOTTOM, n=10, seed=3, hide=hide) for hide in (None, "top"))
    assert hidden.read(4)[:32].max() == 0
    assert np.array_equal(hidden.read(4)[32:], whole.read(4)[32:])
    assert hidden.raw(4) != whole.raw(4)


def test_images_repeat_only_where_a_set_has_too_few():
    made = data.dominoes(TOP, BOTTOM, n=10)
    assert len({name.split(" over ")[1] for name in made.ids}) == 10
    assert len(set(data.dominoes(TOP, BOTTOM, n=40).ids)) == 40


def test_the_seed_decides():
    one, two, other = (data.dominoes(TOP, BOTTOM, n=20, seed=seed) for seed in (0, 0, 1))
    assert one.ids == two.ids != other.ids


def test_cutouts_lie_whole_on_their_scenes():
    cutouts = plain([RED, WHITE], ("thing", "being"), mode="RGBA")
    made = data.on_scenes(cutouts, plain([GREEN, BLUE], ("land", "water")), n=40, agreement=0.75, side=64)
    assert np.bincount(made.groups).tolist() == [15, 5, 5, 15]
    for i in range(40):
        image = made.read(i)
        assert image.shape == (64, 64, 3)
        thing = (image[:, :, 0] > 150).mean()  # both cut-outs have red in them, no scene has
        assert 0.38**2 * 0.8 < thing < 0.62**2 * 1.1
    assert np.array_equal(made.read(5), made.read(5))


def test_a_picture_without_transparency_is_no_cutout():
    made = data.on_scenes(TOP, BOTTOM, n=4)
    with pytest.raises(InputError, match=r"images with transparency; .* has none"):
        made.read(0)


def test_styles_are_drawn_and_plain_is_untouched():
    made = data.in_styles(BOTTOM, ["plain", "grey"], agreement=1.0)
    for i in range(len(made)):
        image = made.read(i)
        grey = (image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all()
        assert grey or made.groups[i] == 0


@pytest.mark.parametrize("style", sorted(data.STYLES))
def test_every_style_keeps_the_shape(style):
    image = data.sample().known.read(0)
    assert data.STYLES[style](image).shape == image.shape
    assert data.STYLES[style](image).dtype == np.uint8


def test_correlate_takes_the_most_rows_that_correlate_so():
    images = plain([RED, GREEN], ("red", "green"), each=40)
    tagged = ImageSet(images.ids, images.read, images.raw, images.classes, images.labels,
                      np.arange(80) % 2, ("left", "right"))  # fmt: skip
    made = data.correlate(tagged, agreement=0.8)
    assert np.bincount(made.groups).tolist() == [20, 5, 5, 20]  # 20 of each cell are there
    assert made.group_names == ("red, left", "red, right", "green, left", "green, right")
    swapped = data.correlate(tagged, agreement=0.8, goes_with=[1, 0])
    assert np.bincount(swapped.groups).tolist() == [5, 20, 20, 5]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: data.dominoes(TOP, BOTTOM, n=10, agreement=1.2), "agreement from 0 to 1"),
        (lambda: data.dominoes(TOP, BOTTOM, n=1), "n = 1"),
        (lambda: data.in_styles(TOP, ["plain"]), "two or more styles"),
        (lambda: data.in_styles(TOP, ["plain", "oil"]), "two or more styles of grey"),
        (lambda: data.correlate(TOP, agreement=0.9), "have none"),
    ],
)
def test_bad_choices_are_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()
