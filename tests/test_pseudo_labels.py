"""Pseudo-labels: which images are kept for which class, and how right they are where that is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candid.arrays import softmax
from candid.errors import InputError
from candid.metrics import proportion
from candid.tune.pseudo_labels import pseudo_label


def logits_of(n=200, k=5, seed=0, scale=3.0):
    return scale * np.random.default_rng(seed).normal(size=(n, k))


def upl_by_loops(probs, per_class):
    """The most confident of each predicted class, written the long way."""
    chosen = []
    for label in range(probs.shape[1]):
        mine = [(float(-row[label]), i) for i, row in enumerate(probs) if list(row).index(max(row)) == label]
        chosen += [(i, label) for _, i in sorted(mine)[:per_class]]
    return chosen


def test_the_most_confident_of_every_predicted_class_are_kept_as_a_loop_finds_them():
    logits = logits_of()
    found = pseudo_label(logits, per_class=7)
    assert list(zip(found.rows.tolist(), found.labels.tolist(), strict=True)) == upl_by_loops(softmax(logits), 7)
    assert np.array_equal(found.confidence, softmax(logits)[found.rows, found.labels])


def test_equally_confident_images_are_taken_in_the_order_of_their_rows():
    found = pseudo_label(np.tile([[1.0, 0.0]], (6, 1)), per_class=3)
    assert found.rows.tolist() == [0, 1, 2]


def test_a_class_that_is_never_predicted_gets_no_image_and_is_listed():
    found = pseudo_label(np.array([[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [5.0, 0.0, 0.0]]), per_class=2)
    assert found.missing == (2,)
    assert sorted(found.labels.tolist()) == [0, 0, 1]


@given(st.integers(1, 40), st.sampled_from(["top", "random", "confident-random"]), st.integers(0, 2**31))
def test_every_image_is_kept_at_most_once_under_its_own_prediction_and_as_many_as_there_are(per_class, select, seed):
    logits = logits_of(seed=seed)
    found = pseudo_label(logits, per_class=per_class, select=select, seed=seed)
    predicted = logits.argmax(axis=1)
    assert len(set(found.rows.tolist())) == len(found.rows)
    assert np.array_equal(predicted[found.rows], found.labels)
    expected = np.minimum(np.bincount(predicted, minlength=5), per_class)
    assert np.array_equal(np.bincount(found.labels, minlength=5), expected)


def test_random_draws_take_every_image_of_a_class_equally_often():
    logits = np.tile([[1.0, 0.0]], (10, 1)) + np.arange(10)[:, None] * np.array([[0.1, 0.0]])
    times = np.zeros(10)
    for seed in range(2000):
        times[pseudo_label(logits, per_class=3, select="random", seed=seed).rows] += 1
    assert times / 2000 == pytest.approx(np.full(10, 0.3), abs=0.045)  # 4.4 standard errors


def test_the_confident_random_draw_stays_among_the_surest_fraction():
    logits = np.column_stack([np.linspace(0.1, 5.0, 100), np.zeros(100)])
    found = pseudo_label(logits, per_class=10, select="confident-random", fraction=0.2, seed=3)
    assert found.rows.min() >= 80
    assert len(found.rows) == 10
    assert len(pseudo_label(logits, per_class=10, select="confident-random", fraction=0.01).rows) == 10


def test_what_is_drawn_for_a_class_does_not_depend_on_the_others():
    logits = logits_of()
    others = logits.copy()
    others[logits.argmax(axis=1) != 0] = [0.0, 0.0, 0.0, 0.0, 1.0]
    drawn = [pseudo_label(each, per_class=5, select="random", seed=4) for each in (logits, others)]
    assert drawn[0].rows[drawn[0].labels == 0].tolist() == drawn[1].rows[drawn[1].labels == 0].tolist()


def test_several_models_are_averaged_as_probabilities_each_on_its_own_scale():
    models = [logits_of(seed=1), 30 * logits_of(seed=2)]
    mean = (softmax(models[0]) + softmax(models[1])) / 2
    found = pseudo_label(models, per_class=7)
    assert list(zip(found.rows.tolist(), found.labels.tolist(), strict=True)) == upl_by_loops(mean, 7)
    assert np.array_equal(pseudo_label([models[0]]).rows, pseudo_label(models[0]).rows)


def test_the_report_counts_by_hand_and_says_nothing_where_there_is_nothing_to_count():
    logits = np.log(np.array([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]))
    report = pseudo_label(logits, per_class=2).report(np.array([0, 0, 1, 1]))
    assert report.accuracy == proportion(2, 3)  # rows 0, 2 kept for class 0, row 3 for class 1
    assert report.predictions == proportion(3, 4)
    first, second, third = report.classes
    assert (first.kept, first.predicted, first.accuracy, first.coverage) == (2, 3, proportion(1, 2), proportion(2, 2))
    assert (second.kept, second.accuracy, second.coverage) == (1, proportion(1, 1), proportion(1, 2))
    assert (third.kept, third.predicted, third.accuracy, third.coverage) == (0, 0, None, None)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"per_class": 0}, "per_class"),
        ({"select": "tpo"}, "did you mean top"),
        ({"fraction": 0.0}, "fraction"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, hint):
    with pytest.raises(InputError, match=hint):
        pseudo_label(logits_of(), **arguments)


def test_models_that_were_asked_about_other_images_are_refused():
    with pytest.raises(InputError, match="one shape"):
        pseudo_label([logits_of(), logits_of(n=199)])
