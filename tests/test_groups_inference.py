"""Groups where there are none: crossing, probes, attributes inferred from few labels or clusters, and their doubt."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from candid import groups
from candid.errors import InputError


def rows(n=600, seed=0, noise=0.3):
    random = np.random.default_rng(seed)
    y, a = np.arange(n) % 2, (np.arange(n) // 2) % 2
    x = np.stack([y + random.normal(0, noise, n), 2 * a + random.normal(0, noise, n), random.normal(size=n)], axis=1)
    return x, y, a


BIRDS, PLACES = ("landbird", "waterbird"), ("land", "water")


def test_cross_counts_what_occurs_and_names_what_does_not():
    found = groups.cross(np.array([0, 0, 1, 1]), np.array([0, 2, 2, 2]), BIRDS, ("land", "air", "water"))
    assert found.groups.tolist() == [0, 1, 2, 2]
    assert found.names == ("landbird, land", "landbird, water", "waterbird, water")
    assert found.absent == ("waterbird, land",)  # nothing is in the air, so nothing is missing from there


def test_attributes_of_one_class_each_are_groups_already():
    found = groups.cross(np.array([0, 1, 1]), np.array([2, 0, 1]), BIRDS, ("gull", "duck", "robin"))
    assert found.names == ("gull", "duck", "robin")
    assert found.groups.tolist() == [2, 0, 1]


@pytest.mark.parametrize(("labels", "attributes"), [([0, 2], [0, 1]), ([0, 1], [0, 2]), ([], [])])
def test_cross_refuses_numbers_without_names(labels, attributes):
    with pytest.raises(InputError, match="expected"):
        groups.cross(np.array(labels, int), np.array(attributes, int), BIRDS, PLACES)


def test_a_probe_reads_what_is_there_and_guesses_what_is_not():
    x, y, a = rows()
    by = 2 * y + a
    assert groups.probe(x, a, by).right.mean() > 0.95
    assert groups.probe(x, y, by).right.mean() > 0.9
    assert abs(groups.probe(x[:, 2:], y, by).right.mean() - 0.5) < 0.08


def test_a_probe_is_not_fooled_by_how_often_they_come_together():
    x, y, a = rows(4000)
    keep = (y == a) | (np.arange(4000) % 20 < 4)
    noise = x[keep][:, 1:]  # the attribute and nothing of the class
    told = groups.probe(noise, y[keep], (2 * y + a)[keep])
    balanced = np.mean(list(told.by((2 * y + a)[keep]).values()))
    assert abs(balanced - 0.5) < 0.05


def test_a_group_smaller_than_the_folds_is_refused():
    x, y, a = rows()
    with pytest.raises(InputError, match="group 7 has 3 rows, 5 are needed"):
        groups.probe(x, y, np.where(np.arange(600) < 3, 7, 2 * y + a))


def test_few_labelled_attributes_give_groups_with_their_doubt():
    x, y, a = rows(2000, noise=0.7)
    few = np.where(np.arange(2000) < 80, a, -1)
    found = groups.groups_from_few(x, y, few, classes=BIRDS, attribute_names=PLACES)
    wrong = found.groups != 2 * y + a
    assert 0 < wrong.mean() < 0.15
    assert found.doubt[:80].max() == 0
    assert abs(found.doubt[80:].mean() - wrong[80:].mean()) < 0.05  # its probabilities mean something
    assert found.doubt[wrong].mean() > 2 * found.doubt[~wrong].mean()
    np.testing.assert_allclose(found.probs.sum(axis=1), 1)


def test_draws_follow_the_probabilities():
    x, y, a = rows(2000, noise=0.7)
    found = groups.groups_from_few(x, y, np.where(np.arange(2000) < 80, a, -1), classes=BIRDS, attribute_names=PLACES)
    drawn = np.stack([found.draw(seed) for seed in range(300)])
    shares = np.stack([(drawn == group).mean(axis=0) for group in range(4)], axis=1)
    assert np.abs(shares - found.probs).max() < 0.12
    assert np.array_equal(found.draw(3), found.draw(3))


def test_soft_accuracy_is_by_hand():
    found = groups.Inferred(np.array([0, 1, 1]), np.array([[0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]), ("a", "b"))
    accuracy = found.accuracy(np.array([True, False, True]))
    assert accuracy == {"a": 0.75, "b": pytest.approx(1.25 / 2)}


def test_retraining_on_inferred_groups_mends_what_true_ones_would():
    random = np.random.default_rng(1)
    n = 3000
    y = random.integers(0, 2, n)
    a = np.where(random.random(n) < 0.95, y, 1 - y)
    x = np.stack([y + random.normal(0, 0.4, n), 3 * a + random.normal(0, 0.5, n)], axis=1)
    few = np.where(np.arange(n) < 300, a, -1)
    inferred = groups.groups_from_few(x, y, few, classes=BIRDS, attribute_names=PLACES)
    test, truth, place = rows(4000, seed=5, noise=0.4)
    test = np.stack([test[:, 0], 1.5 * test[:, 1]], axis=1)

    def worst(logits):
        right = logits.argmax(axis=1) == truth
        return min(right[(truth == i) & (place == j)].mean() for i in (0, 1) for j in (0, 1))

    plain = worst(LogisticRegression().fit(x, y).predict_proba(test))
    retrained = groups.retrain_last_layer(x.astype(np.float32), y, inferred.groups, tuning_splits=3)
    assert worst(retrained.head(test.astype(np.float32))) > plain + 0.05


def test_clusters_find_what_divides_a_class():
    x, y, a = rows(800, noise=0.2)
    found = groups.clustered_groups(x[:, :2], y, classes=BIRDS)
    for label in (0, 1):
        own = y == label
        agree = ((found.groups[own] % 2) == a[own]).mean()
        assert max(agree, 1 - agree) > 0.95
    assert found.names[0] == "landbird, cluster 1"


@pytest.mark.parametrize("few", [np.full(600, -1), np.zeros(600, int)])
def test_attributes_too_few_to_learn_from_are_refused(few):
    x, y, _ = rows()
    with pytest.raises(InputError, match="5 or more rows of each of 2 attributes"):
        groups.groups_from_few(x, y, few, classes=BIRDS, attribute_names=PLACES)
