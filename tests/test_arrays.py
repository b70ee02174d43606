"""The doors of the public functions, and the nouns that pass through them."""

import numpy as np
import pytest

from candid.arrays import check_labels, check_logits, check_probs, check_scores, log_softmax, softmax
from candid.errors import InputError, nearest
from candid.extras import EXTRAS, installed, require
from candid.types import Features, Head, ImageSet


def test_softmax_of_masked_and_huge_logits_is_exact():
    logits = np.array([[1e4, 1e4, -np.inf], [0.0, np.log(3.0), -np.inf]])
    assert np.allclose(softmax(logits), [[0.5, 0.5, 0], [0.25, 0.75, 0]], atol=1e-15)
    assert softmax(logits.astype(np.float32)).dtype == np.float64


def test_log_softmax_keeps_what_the_softmax_underflows():
    assert log_softmax(np.array([[0.0, -2000.0]]))[0, 1] == -2000.0
    assert softmax(np.array([[0.0, -2000.0]]))[0, 1] == 0.0


def test_temperature_divides_and_must_be_positive():
    logits = np.array([[1.0, 3.0]])
    assert np.allclose(softmax(logits, temperature=2.0), softmax(logits / 2))
    with pytest.raises(InputError, match="positive"):
        softmax(logits, temperature=0.0)


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_logits_no_softmax_can_use_are_named_by_row(bad):
    with pytest.raises(InputError, match="row 1"):
        check_logits(np.array([[0.0, 1.0], bad]))


def test_logits_given_for_probabilities_are_recognised_not_guessed():
    with pytest.raises(InputError, match=r"are these logits\? pass softmax"):
        check_probs(np.array([[5.0, 7.4]]))
    with pytest.raises(InputError, match="negative"):
        check_probs(np.array([[-0.5, 1.5]]))


def test_half_precision_probabilities_over_many_classes_still_pass():
    probs = softmax(np.random.default_rng(0).normal(size=(4, 1000))).astype(np.float16)
    assert check_probs(probs) is probs


@pytest.mark.parametrize("classes", [2, 10, 1000, 5000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("off", "fine"), [(0.00098, True), (-0.00098, True), (0.00102, False), (-0.00102, False)])
def test_a_row_sum_is_judged_the_same_however_many_classes_and_rows_there_are(classes, dtype, off, fine):
    rows = 2 + 200_000 // classes
    probs = np.full((rows, classes), 1 / classes, dtype)
    probs[rows - 1, 0] += off if classes == 2 else 0
    probs[rows - 1] *= 1 if classes == 2 else 1 + off
    for given in (probs, np.asfortranarray(probs)):
        if fine:
            assert check_probs(given) is given
        else:
            with pytest.raises(InputError, match=f"row {rows - 1} sums to"):
                check_probs(given)


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (np.array([0, 2]), "row 1 is 2"),
        (np.array([0, -1]), "row 1 is -1"),
        (np.array([0]), "expected 2 labels"),
    ],
)
def test_labels_outside_the_classes_are_refused(labels, hint):
    with pytest.raises(InputError, match=hint):
        check_labels(labels, classes=2, rows=2)


def test_scores_must_not_be_nan_and_may_be_infinite():
    assert check_scores(np.array([np.inf, -np.inf])).dtype == np.float64
    with pytest.raises(InputError, match="row 1"):
        check_scores(np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="non-empty"):
        check_scores(np.array([]))


def test_a_head_multiplies_by_its_own_scale_and_bias_and_refuses_other_dimensions():
    head = Head(np.eye(2, dtype=np.float32), ("a", "b"), scale=3.0, bias=np.array([1.0, -1.0]))
    assert head(np.array([[1.0, 0.0]], np.float32)).tolist() == [[4.0, -1.0]]
    with pytest.raises(InputError, match="expected vectors of 2 dimensions, got 3"):
        head(np.zeros((1, 3), np.float32))
    with pytest.raises(InputError, match="one row of weights a class"):
        Head(np.eye(2, dtype=np.float32), ("a",))


def test_sets_whose_parts_differ_in_length_cannot_exist():
    with pytest.raises(InputError, match="one length"):
        ImageSet(("a", "b"), lambda i: None, lambda i: b"", ("x",), np.array([0]))
    with pytest.raises(InputError, match="one length"):
        Features(np.zeros((2, 3), np.float32), ("a",), "encoder")


def test_a_missing_extra_names_the_line_that_installs_it():
    absent = [name for name in EXTRAS if not installed(name)]
    if not absent:
        pytest.skip("every optional dependency is installed here")
    with pytest.raises(ImportError, match="pip install 'candid-vision"):
        require(absent[0])


def test_nearest_lists_what_is_known_when_nothing_is_close():
    assert nearest("zzz", ["alpha", "beta"]) == "known: alpha, beta"
