"""Squared, debiased and equal-mass calibration errors: by hand, by loop, against values of their authors' code."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metric_samples import calibrated_top, edge_cases, quasi_random_top, real_top, wave_probs
from sklearn.calibration import calibration_curve

from candid import metrics
from candid.errors import InputError
from candid.metrics.binning import cell_index

CELLS = ["(lo, hi]", "[lo, hi)", "torchmetrics", "equal mass"]
OF_TOP = [
    metrics.rms_ece_of_top,
    metrics.debiased_rms_ece_of_top,
    metrics.debiased_ece_of_top,
    metrics.quantile_ece_of_top,
    metrics.sweep_ece_of_top,
]


def groups(confidence, correct, bins, cells):
    index = cell_index(confidence, bins, cells)
    return [(confidence[index == b], correct[index == b]) for b in range(bins + 1) if (index == b).any()]


def test_squared_errors_by_hand():
    # four rows at 0.9, all right; four at 0.6, one right: gaps 0.1 and 0.35, noise 0 and 1/4 * 3/4 / 3
    confidence, correct = np.repeat([0.9, 0.6], 4), np.arange(8) < 5
    assert metrics.rms_ece_of_top(confidence, correct) == pytest.approx(((0.1**2 + 0.35**2) / 2) ** 0.5)
    debiased = metrics.debiased_rms_ece_of_top(confidence, correct)
    assert debiased == pytest.approx(((0.1**2 + 0.35**2 - 0.0625) / 2) ** 0.5)


@pytest.mark.parametrize(
    ("bins", "cells", "plain", "debiased", "classwise", "debiased_classwise"),
    [
        (15, "(lo, hi]", 0.18379621135183544, 0.168401625376369, 0.10497799608478643, 0.07381881497734441),
        (10, "equal mass", 0.17946644867260841, 0.16531787886055416, 0.07748794494460709, 0.058506165105296416),
    ],
)
def test_squared_errors_equal_the_authors_package(bins, cells, plain, debiased, classwise, debiased_classwise):
    # uncertainty-calibration 0.1.4, lower_bound_scaling_ce(p=2), get_equal_prob_bins / get_equal_bins
    probs, labels = wave_probs()
    assert metrics.rms_ece(probs, labels, bins=bins, edges=cells) == pytest.approx(plain, abs=1e-12)
    assert metrics.debiased_rms_ece(probs, labels, bins=bins, edges=cells) == pytest.approx(debiased, abs=1e-12)
    assert metrics.classwise_rms_ece(probs, labels, bins=bins, edges=cells) == pytest.approx(classwise, abs=1e-12)
    found = metrics.debiased_classwise_rms_ece(probs, labels, bins=bins, edges=cells)
    assert found == pytest.approx(debiased_classwise, abs=1e-12)


def test_the_debiased_absolute_error_is_the_authors_without_its_draws():
    # normal_debiased_ce(power=1) over 40,000 draws: 0.14429 (uncertainty-calibration 0.1.4)
    probs, labels = wave_probs()
    found = metrics.debiased_ece(probs, labels, bins=10, edges="equal mass")
    assert found == pytest.approx(0.14428609, abs=3e-4)
    confidence, correct = metrics.top_of_probs(probs, labels)
    rng, total = np.random.default_rng(0), 0.0
    for stated, right in groups(confidence, correct, 10, "equal mass"):
        gap, noise = right.mean() - stated.mean(), np.sqrt(right.mean() * (1 - right.mean()) / len(right))
        total += len(right) / 400 * (2 * abs(gap) - np.abs(gap + noise * rng.normal(size=400_000)).mean())
    assert found == pytest.approx(total, abs=2e-4)


@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_squared_errors_are_their_definition_on_edges_and_ties(bins, cells):
    confidence, correct = edge_cases()
    plain = debiased = 0.0
    for stated, right in groups(confidence, correct, bins, cells):
        square, share = (right.mean() - stated.mean()) ** 2, len(right) / len(correct)
        plain += share * square
        if len(right) > 1:
            debiased += share * (square - right.mean() * (1 - right.mean()) / (len(right) - 1))
    found = metrics.rms_ece_of_top(confidence, correct, bins=bins, edges=cells)
    assert found == pytest.approx(plain**0.5, abs=1e-12)
    found = metrics.debiased_rms_ece_of_top(confidence, correct, bins=bins, edges=cells)
    assert found == pytest.approx(max(debiased, 0) ** 0.5, abs=1e-12)


def test_the_debiased_square_is_right_on_average_where_the_plain_one_is_not():
    # a true gap of 0.1 in each of ten bins of 20 rows
    rng = np.random.default_rng(0)
    confidence = np.repeat(np.arange(10) / 10 + 0.05, 20)
    chance = np.clip(confidence - 0.1, 0, 1)
    truth = np.square(confidence - chance).mean()
    plain, debiased = [], []
    for _ in range(400):
        correct = rng.random(200) < chance
        plain.append(metrics.rms_ece_of_top(confidence, correct, bins=10) ** 2)
        debiased.append(metrics.debiased_rms_ece_of_top(confidence, correct, bins=10) ** 2)
    assert np.mean(debiased) == pytest.approx(truth, rel=0.1)
    assert np.mean(plain) > 1.7 * truth


def test_on_a_calibrated_model_the_debiased_errors_are_the_smaller():
    tops = [calibrated_top(600, seed) for seed in range(40)]
    squared, debiased_squared, absolute, debiased_absolute = (
        np.mean([metric(*top) for top in tops])
        for metric in (
            metrics.rms_ece_of_top,
            metrics.debiased_rms_ece_of_top,
            metrics.ece_of_top,
            metrics.debiased_ece_of_top,
        )
    )
    assert debiased_squared < 0.5 * squared
    assert debiased_absolute < 0.7 * absolute


@given(st.integers(1, 60), st.integers(1, 20), st.sampled_from(CELLS), st.integers(0, 10_000))
def test_errors_keep_their_order_and_their_range(n, bins, cells, seed):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.integers(0, 11, n) / 10, rng.random(n) < 0.5
    plain = metrics.rms_ece_of_top(confidence, correct, bins=bins, edges=cells)
    debiased = metrics.debiased_rms_ece_of_top(confidence, correct, bins=bins, edges=cells)
    assert 0 <= debiased <= plain + 1e-12 <= 1 + 2e-12
    assert -0.5 <= metrics.debiased_ece_of_top(confidence, correct, bins=bins, edges=cells) <= plain + 1e-12
    if cells != "equal mass":
        assert metrics.ece_of_top(confidence, correct, bins=bins, edges=cells) <= plain + 1e-12


def test_two_classes_have_one_error_between_them():
    rng = np.random.default_rng(0)
    p = rng.random(300)
    probs, labels = np.stack([p, 1 - p], axis=1), (rng.random(300) > p).astype(int)
    one = metrics.rms_ece_of_top(p, labels == 0, bins=9)
    assert metrics.classwise_rms_ece(probs, labels, bins=9) == pytest.approx(one, abs=1e-12)


def test_the_sum_over_classes_is_k_times_their_mean():
    probs, labels = wave_probs()
    assert metrics.classwise_ece_sum(probs, labels) == pytest.approx(5 * metrics.classwise_ece(probs, labels))
    wide = np.concatenate([probs, np.zeros((400, 995))], axis=1)  # 995 classes nobody believes in
    assert metrics.classwise_ece_sum(wide, labels) == pytest.approx(metrics.classwise_ece_sum(probs, labels))


def test_quantile_bins_are_those_of_scikit_learn():
    confidence, correct = quasi_random_top(2, 0.1, n=500)
    true, stated = calibration_curve(correct, confidence, n_bins=10, strategy="quantile")
    assert metrics.quantile_ece_of_top(confidence, correct, bins=10) == pytest.approx(np.abs(true - stated).mean())


def test_equal_confidences_share_a_quantile_bin_and_not_an_adaptive_one():
    confidence, correct = np.full(10, 0.5), np.arange(10) < 5
    assert metrics.quantile_ece_of_top(confidence, correct, bins=5) == 0.0
    assert metrics.adaptive_ece_of_top(confidence, correct, bins=5) == pytest.approx(0.4)  # all but one bin at 0.5


def sweep_by_loop(confidence, correct):
    order = np.argsort(confidence, kind="stable")
    value = None
    for bins in range(1, len(order) + 1):
        runs = np.array_split(order, bins)
        accuracy = [correct[run].mean() for run in runs]
        if any(later < earlier for earlier, later in pairwise(accuracy)):
            break
        value = sum(abs(correct[run].mean() - confidence[run].mean()) * len(run) for run in runs) / len(order)
    return value


@pytest.mark.parametrize("n", [1, 2, 7, 60, 500])
def test_the_sweep_stops_where_accuracy_first_falls(n):
    confidence, correct = quasi_random_top(2, 0.1, n=n)
    assert metrics.sweep_ece_of_top(confidence, correct) == pytest.approx(sweep_by_loop(confidence, correct), abs=1e-13)


def test_the_sweep_goes_on_to_single_rows_where_accuracy_never_falls():
    confidence = np.linspace(0, 1, 12)
    assert metrics.sweep_ece_of_top(confidence, confidence > 0.5) == pytest.approx(
        np.abs((confidence > 0.5) - confidence).mean()
    )


def test_on_a_real_network_the_estimators_agree_on_the_size_of_the_error():
    top = real_top()
    plain = metrics.ece_of_top(*top)
    for metric in (metrics.debiased_ece_of_top, metrics.quantile_ece_of_top, metrics.sweep_ece_of_top):
        assert metric(*top) == pytest.approx(plain, rel=0.1)
    assert 0 <= metrics.rms_ece_of_top(*top) - metrics.debiased_rms_ece_of_top(*top) < 0.01


def test_bad_input_is_named():
    with pytest.raises(InputError, match="at least one bin"):
        metrics.quantile_ece_of_top(np.array([0.5]), np.array([True]), bins=0)
    with pytest.raises(InputError, match="pass softmax"):
        metrics.classwise_rms_ece(np.array([[3.0, 1.0]]), np.array([0]))
    with pytest.raises(InputError, match="row 0 is 2"):
        metrics.debiased_classwise_rms_ece(np.array([[0.5, 0.5]]), np.array([2]))
    for metric in OF_TOP:
        with pytest.raises(InputError, match="are these logits"):
            metric(np.array([2.0]), np.array([True]))
        with pytest.raises(InputError, match="non-empty"):
            metric(np.zeros(0), np.zeros(0, dtype=bool))
