"""Accuracy, likelihood, Brier, selective risk and groups: known answers, scikit-learn, edge cases."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax as scipy_log_softmax
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from candid import metrics
from candid.arrays import softmax
from candid.errors import InputError


def sample(n=200, k=6, seed=0):
    rng = np.random.default_rng(seed)
    return 4 * rng.normal(size=(n, k)), rng.integers(k, size=n)


def test_likelihood_accuracy_and_brier_equal_scikit_learn():
    logits, labels = sample()
    probs = softmax(logits)
    assert metrics.accuracy(logits, labels) == accuracy_score(labels, probs.argmax(1))
    assert metrics.nll(probs, labels) == pytest.approx(log_loss(labels, probs), abs=1e-12)
    assert metrics.nll_of_logits(logits, labels) == pytest.approx(metrics.nll(probs, labels), abs=1e-12)
    theirs = brier_score_loss(labels, probs, labels=np.arange(6), scale_by_half=False)
    assert metrics.brier(probs, labels) == pytest.approx(theirs, abs=1e-12)


def test_nll_of_saturated_logits_is_exact_where_the_softmax_is_zero():
    logits = np.array([[0.0, -800.0], [900.0, 0.0]])
    assert metrics.nll_of_logits(logits, np.array([1, 0])) == 400.0
    assert metrics.nll(softmax(logits), np.array([1, 0])) == np.inf


def test_nll_of_a_masked_label_is_infinite_and_of_a_masked_rival_unchanged():
    logits = np.array([[1.0, 2.0, -np.inf]])
    assert metrics.nll_of_logits(logits, np.array([2])) == np.inf
    assert metrics.nll_of_logits(logits, np.array([0])) == metrics.nll_of_logits(logits[:, :2], np.array([0]))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 20.0])
def test_nll_at_a_temperature_equals_scipy(temperature):
    logits, labels = sample()
    expected = -scipy_log_softmax(logits / temperature, axis=1)[np.arange(200), labels].mean()
    assert metrics.nll_of_logits(logits, labels, temperature=temperature) == pytest.approx(expected, rel=1e-13)


def test_brier_runs_from_zero_to_two():
    right, wrong = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert metrics.brier(right, np.array([0])) == 0.0
    assert metrics.brier(wrong, np.array([0])) == 2.0


def test_a_perfect_nll_is_plain_zero():
    assert str(metrics.nll(np.array([[1.0, 0.0]]), np.array([0]))) == "0.0"


def test_aurc_by_hand():
    # kept 1, 2, 3, 4 of the rows, errors 0, 0, 1, 2
    conf, correct = np.array([0.1, 0.9, 0.7, 0.8]), np.array([False, True, False, True])
    assert metrics.aurc(conf, correct) == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)


def test_aurc_of_ties_is_the_mean_over_their_orders():
    correct = np.array([True, True, False, True, False, False])
    conf = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1])
    orders = [
        np.mean(np.cumsum(~correct[[0, *order, 5]]) / np.arange(1, 7)) for order in itertools.permutations([1, 2, 3, 4])
    ]
    assert metrics.aurc(conf, correct) == pytest.approx(np.mean(orders), abs=1e-14)


def test_risk_coverage_accepts_equal_confidences_together():
    curve = metrics.risk_coverage(np.array([0.5, 0.5, 0.9]), np.array([False, True, True]))
    assert curve.coverage.tolist() == pytest.approx([1 / 3, 1])
    assert curve.risk.tolist() == pytest.approx([0, 1 / 3])
    assert curve.confidence.tolist() == [0.9, 0.5]


@given(st.integers(1, 50), st.integers(0, 1000))
def test_the_last_risk_is_the_error_rate_and_order_is_free(n, seed):
    rng = np.random.default_rng(seed)
    conf, correct = rng.integers(0, 5, n) / 4, rng.random(n) < 0.6
    assert metrics.risk_coverage(conf, correct).risk[-1] == pytest.approx(1 - correct.mean())
    order = rng.permutation(n)
    assert metrics.aurc(conf[order], correct[order]) == pytest.approx(metrics.aurc(conf, correct), abs=1e-14)


def test_by_group_holds_only_groups_that_have_rows():
    logits, labels = sample()
    groups = np.where(np.arange(200) < 150, 0, 7)
    found = metrics.by_group(metrics.accuracy, logits, labels, groups)
    assert list(found) == [0, 7]
    assert found[7] == metrics.accuracy(logits[150:], labels[150:])
    shares = 0.75 * found[0] + 0.25 * found[7]
    assert shares == pytest.approx(metrics.accuracy(logits, labels))


def test_by_group_carries_whatever_the_metric_returns():
    logits, labels = sample()
    found = metrics.by_group(metrics.accuracy_interval, logits, labels, labels % 2)
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in found.values())
    assert sum(estimate.n for estimate in found.values()) == 200


def test_worst_group_follows_the_metrics_direction():
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    labels, groups = np.array([0, 0, 0]), np.array([5, 2, 9])
    assert metrics.worst_group(metrics.accuracy, probs, labels, groups) == (9, 0.0, 1)
    assert metrics.worst_group(metrics.nll, probs, labels, groups, higher_is_better=False).group == 9
    with pytest.raises(InputError, match="one group and one label"):
        metrics.by_group(metrics.accuracy, np.zeros((0, 2)), np.zeros(0, int), np.zeros(0, int))


def test_all_public_names_exist_in_order():
    assert metrics.__all__ == sorted(metrics.__all__, key=lambda name: (not name[0].isupper(), name))
    assert all(hasattr(metrics, name) for name in metrics.__all__)
