"""A data set's class names find a classifier's outputs, or say why not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candid import models
from candid.errors import InputError
from candid.types import Head

OUTPUTS = [
    "tench, Tinca tinca",
    "goldfish, Carassius auratus",
    "great white shark, white shark, man-eater",
    "tiger shark, Galeocerdo cuvieri",
    "crane",
    "maillot",
    "maillot, tank suit",
    "crane",
    "T-shirt",
]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("tench, Tinca tinca", 0),
        ("TENCH", 0),
        ("Great_White_Shark", 2),
        ("great-white-shark", 2),
        ("  great  white shark ", 2),
        ("t shirt", 8),
        ("Carassius auratus", 1),
        ("man eater", 2),
        ("maillot", 5),
        ("maillot, tank suit", 6),
        ("Maillot, Tank Suit", 6),
        ("tench, a fish", 0),
    ],
)
def test_a_name_finds_its_output(name, index):
    assert models.match_classes(OUTPUTS, [name]).tolist() == [index]


def test_order_is_that_of_the_data_set():
    found = models.match_classes(OUTPUTS, ["tiger shark", "goldfish", "tench"])
    assert found.dtype == np.int64
    assert found.tolist() == [3, 1, 0]


def test_the_outputs_themselves_are_all_of_them_doubles_included():
    assert models.match_classes(OUTPUTS, OUTPUTS).tolist() == list(range(9))


def test_the_two_cranes_of_imagenet_are_told_apart():
    assert models.match_classes(OUTPUTS, ["construction_crane", "Crane bird"]).tolist() == [7, 4]
    with pytest.raises(InputError, match="no output"):
        models.match_classes(["crane", "hen"], ["crane bird"])


def test_aliases_settle_what_names_cannot():
    aliases = {"crane_bird": 4, "lifting crane": 7, "fish": "tench"}
    found = models.match_classes(OUTPUTS, ["lifting crane", "crane_bird", "fish"], aliases=aliases)
    assert found.tolist() == [7, 4, 0]


@pytest.mark.parametrize(
    ("wanted", "aliases", "message"),
    [
        (["tench", "gold fish", "zebra"], None, "2 of 3 class names are no output .*: 'gold fish', 'zebra'"),
        (["goldfich"], None, "did you mean"),
        (["crane"], None, "1 class names mean several outputs, 'crane' is number 4 and 7; say which with aliases"),
        (["tench", "Tinca_tinca"], None, "'tench' and 'Tinca_tinca' mean one output, 'tench, Tinca tinca'"),
        (["x"], {"x": 99}, "1 of 1 class names are no output"),
        (["x"], {"x": -1}, "1 of 1 class names are no output"),
        (["x"], {"x": "lion"}, "1 of 1 class names are no output"),
        ([], None, "at least one class name"),
        ("tench", None, "put it in a list"),
        ([""], None, "are no output"),
    ],
)  # fmt: skip
def test_names_that_settle_nothing_are_refused(wanted, aliases, message):
    with pytest.raises(InputError, match=message) as caught:
        models.match_classes(OUTPUTS, wanted, aliases=aliases)
    assert "\n" not in str(caught.value)


@given(st.permutations(range(6)), st.integers(1, 6))
def test_a_restricted_head_gives_the_columns_it_kept(order, count):
    rng = np.random.default_rng(0)
    names = tuple(f"class {i}, species {i}" for i in range(6))
    head = Head(rng.normal(size=(6, 4)).astype(np.float32), names, 2.0, rng.normal(size=6).astype(np.float32))
    rows, kept = rng.normal(size=(3, 4)).astype(np.float32), list(order[:count])
    found = models.restrict(head, [f"Class_{i}" for i in kept])
    np.testing.assert_allclose(found(rows), head(rows)[:, kept], rtol=1e-5, atol=1e-6)


def test_a_head_with_one_bias_keeps_it():
    head = Head(np.eye(3, dtype=np.float32), ("a", "b", "c"), 1.0, -2.5, "sigmoid")
    found = models.restrict(head, ["c"])
    assert (found.bias, found.activation, found.classes) == (-2.5, "sigmoid", ("c",))
