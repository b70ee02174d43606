"""Accuracy by group and all that is called worst or mean of it."""

import numpy as np
import pytest

from candid import metrics
from candid.errors import InputError


def case(counts):
    """Logits, labels, groups where group g has counts[g] = (right, of)."""
    right = np.concatenate([np.arange(of) < hit for hit, of in counts])
    groups = np.repeat(np.arange(len(counts)), [of for _, of in counts])
    labels = np.zeros(len(right), int)
    return np.where(right[:, None], [1.0, 0.0], [0.0, 1.0]), labels, groups


COUNTS = [(90, 100), (40, 50), (12, 20)]


def test_the_three_means_by_hand():
    found = metrics.group_accuracy(*case(COUNTS), train_groups=np.repeat([0, 1, 2], [80, 15, 5]))
    assert found.mean.value == pytest.approx(142 / 170)
    assert found.group_mean.value == pytest.approx((0.9 + 0.8 + 0.6) / 3)
    assert found.train_weighted.value == pytest.approx(0.8 * 0.9 + 0.15 * 0.8 + 0.05 * 0.6)
    assert (found.worst_group, found.worst.value, found.worst.n) == (2, 0.6, 20)
    assert [each.n for each in found.by_group.values()] == [100, 50, 20]


def test_the_worst_groups_interval_is_wider_than_its_own_and_below_every_groups():
    found = metrics.group_accuracy(*case(COUNTS))
    own = found.by_group[2]
    assert found.worst.low < own.low
    assert found.worst.high >= min(each.high for each in found.by_group.values())
    assert found.train_weighted is None


def test_the_interval_covers_the_lowest_true_accuracy_and_apart_is_nearly_unbiased():
    random = np.random.default_rng(0)
    truth, n = np.array([0.8, 0.8, 0.8, 0.8, 0.85]), 60
    inside, value, apart = 0, [], []
    for _ in range(200):
        found = metrics.group_accuracy(*case([(random.binomial(n, p), n) for p in truth]))
        inside += found.worst.low <= truth.min() <= found.worst.high
        value.append(found.worst.value)
        apart.append(found.worst_apart)
    assert inside / 200 >= 0.95
    assert np.mean(value) < 0.77  # the minimum of five is too low
    assert abs(np.mean(apart) - 0.805) < 0.015


def test_a_group_of_one_row_has_no_halves():
    assert metrics.group_accuracy(*case([(9, 10), (1, 1)])).worst_apart is None


def test_a_training_group_that_is_not_here_has_no_accuracy():
    with pytest.raises(InputError, match="training group 5 has no rows here"):
        metrics.group_accuracy(*case(COUNTS), train_groups=np.array([0, 5]))


def test_calibration_goes_group_by_group_too():
    logits, labels, groups = case(COUNTS)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    by = metrics.by_group(metrics.ece, probs, labels, groups)
    assert by[0] == pytest.approx(metrics.ece(probs[groups == 0], labels[groups == 0]))
