"""KDE-ECE against its definition summed row by row, its authors' values, and cases whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_samples import edge_cases, quasi_random_top, real_top, wave_probs

from candid import metrics
from candid.errors import InputError


def by_definition(confidence, correct, bandwidth, cells=40_000):
    """Midpoint sum of |mean (t - y) K(t, c)| with the mirrored triweight kernel, one row at a time."""
    t, total, reach = (np.arange(cells) + 0.5) / cells, np.zeros(cells), 3 * bandwidth
    for c, y in zip(confidence, correct, strict=True):
        for image in (c, -c, 2 - c):
            u = (t - image) / reach
            total += (t - y) * 35 / 32 * np.clip(1 - u * u, 0, None) ** 3 / reach
    return np.abs(total / len(correct)).mean()


def authors_bandwidth(confidence, correct):
    return np.std(confidence[correct]) * (2 * len(correct)) ** -0.2


@pytest.mark.parametrize(("power", "lowest"), [(1, 0.0), (2, 0.0), (3, 0.3), (0.3, 0.1), (50, 0.5)])
def test_kde_ece_is_its_definition(power, lowest):
    confidence, correct = quasi_random_top(power, lowest, n=200)
    expected = by_definition(confidence, correct, authors_bandwidth(confidence, correct))
    assert metrics.kde_ece_of_top(confidence, correct) == pytest.approx(expected, abs=2e-9)


@pytest.mark.parametrize("bandwidth", [1e-3, 0.02, 0.3])
def test_kde_ece_is_its_definition_on_edges_and_ties_at_any_bandwidth(bandwidth):
    confidence, correct = edge_cases()
    expected = by_definition(confidence, correct, bandwidth, cells=200_000)
    found = metrics.kde_ece_of_top(confidence, correct, bandwidth=bandwidth)
    assert found == pytest.approx(expected, abs=3e-8 if bandwidth < 0.01 else 1e-9)  # the sum's own error


@pytest.mark.parametrize(
    ("power", "lowest", "value"),
    [
        (1, 0.0, 0.006961457483774649),
        (2, 0.0, 0.16603032483598332),
        (3, 0.3, 0.2949119973101145),
        (0.3, 0.1, 0.26228296159443343),
        (50, 0.5, 0.7136260582711399),
    ],
)
def test_kde_ece_is_near_the_authors_grid(power, lowest, value):
    # Mix-n-Match's steps over KDEpy 1.1.12: 2^14 points on [-0.6, 1.6], the cells at 0 and 1 lost
    assert metrics.kde_ece_of_top(*quasi_random_top(power, lowest)) == pytest.approx(value, abs=2e-4)


def test_kde_ece_of_probs_is_that_of_their_top_label():
    probs, labels = wave_probs()
    assert metrics.kde_ece(probs, labels) == metrics.kde_ece_of_top(*metrics.top_of_probs(probs, labels))
    assert metrics.kde_ece(probs, labels) == pytest.approx(0.14924275614237248, abs=2e-4)  # as above


def test_a_single_confidence_gives_its_gap():
    for confidence in (0.25, 0.5, 0.875):
        correct = np.arange(40) < 30
        assert metrics.kde_ece_of_top(np.full(40, confidence), correct) == pytest.approx(
            abs(0.75 - confidence), abs=1e-9
        )


def test_at_one_the_mirror_costs_less_than_the_finest_bandwidth():
    assert metrics.kde_ece_of_top(np.ones(5), np.zeros(5, bool)) == pytest.approx(1.0, abs=1e-4)
    assert metrics.kde_ece_of_top(np.ones(5), np.ones(5, bool)) == pytest.approx(0.0, abs=1e-4)
    assert metrics.kde_ece_of_top(np.zeros(5), np.zeros(5, bool)) == pytest.approx(0.0, abs=1e-4)


def test_without_two_right_answers_all_confidences_set_the_bandwidth():
    confidence = np.linspace(0.3, 0.9, 50)
    for correct in (np.zeros(50, bool), np.arange(50) == 3):
        bandwidth = confidence.std() * 100**-0.2
        expected = metrics.kde_ece_of_top(confidence, correct, bandwidth=bandwidth)
        assert metrics.kde_ece_of_top(confidence, correct) == expected


def test_a_saturated_model_is_measured_at_the_finest_bandwidth():
    rng = np.random.default_rng(0)
    confidence = np.clip(1 - rng.exponential(1e-6, 3000), 0, 1)
    correct = rng.random(3000) < 0.9
    gap = abs(confidence.mean() - correct.mean())
    assert metrics.kde_ece_of_top(confidence, correct) == pytest.approx(gap, abs=1e-4)


def test_far_groups_are_told_apart_and_the_empty_space_between_adds_nothing():
    confidence = np.repeat([0.2, 0.8], 50)
    correct = np.concatenate([np.arange(50) < 25, np.arange(50) < 25])  # accuracy 1/2 in both: gaps -0.3 and 0.3
    assert metrics.kde_ece_of_top(confidence, correct, bandwidth=0.01) == pytest.approx(0.3, abs=1e-9)


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(0, 10_000))
def test_kde_ece_lies_between_zero_and_one(n, seed):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.integers(0, 9, n) / 8, rng.random(n) < 0.5
    for bandwidth in (None, 1e-3, 1 / 3):
        assert 0 <= metrics.kde_ece_of_top(confidence, correct, bandwidth=bandwidth) <= 1


def test_row_order_and_float32_change_nothing_that_matters():
    confidence, correct = quasi_random_top(2, 0.1)
    order = np.random.default_rng(0).permutation(len(correct))
    value = metrics.kde_ece_of_top(confidence, correct)
    assert metrics.kde_ece_of_top(confidence[order], correct[order]) == pytest.approx(value, abs=1e-10)
    assert metrics.kde_ece_of_top(confidence.astype(np.float32), correct) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("network", "value"),
    [("cifar100_lenet5", 0.017549016956434654), ("cifar10_lenet5", 0.10684616955614538), ("mnist_test_cv", 0.0060172)],
)
def test_on_real_networks_it_is_near_the_authors_grid(network, value):
    # as above, on the whole test sets
    assert metrics.kde_ece_of_top(*real_top(network)) == pytest.approx(value, abs=2e-4)


def test_bad_input_is_named():
    for bandwidth in (0.0, 1.0, np.nan):
        with pytest.raises(InputError, match="bandwidth must lie"):
            metrics.kde_ece_of_top(np.array([0.5]), np.array([True]), bandwidth=bandwidth)
    with pytest.raises(InputError, match="are these logits"):
        metrics.kde_ece_of_top(np.array([2.0]), np.array([True]))
    with pytest.raises(InputError, match="pass softmax"):
        metrics.kde_ece(np.array([[3.0, 1.0]]), np.array([0]))
