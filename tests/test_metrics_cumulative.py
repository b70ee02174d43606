"""KS and Kuiper errors and their laws, and the null of any metric: by hand, MAPIE, simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metric_samples import calibrated_top, edge_cases, quasi_random_top, real_top, wave_probs

from candid import metrics
from candid.errors import InputError
from candid.metrics.cumulative import _brownian_maximum, _brownian_range

METRICS = [
    metrics.ece_of_top,
    metrics.adaptive_ece_of_top,
    metrics.quantile_ece_of_top,
    metrics.sweep_ece_of_top,
    metrics.rms_ece_of_top,
    metrics.debiased_rms_ece_of_top,
    metrics.debiased_ece_of_top,
    metrics.smooth_ece_of_top,
    metrics.kde_ece_of_top,
    metrics.ks_error_of_top,
    metrics.kuiper_error_of_top,
]


def test_ks_and_kuiper_by_hand():
    # sorted: 0.25 right, 0.5 wrong, 0.75 wrong, 1.0 right: sums -3/4, -1/4, 1/2, 1/2 over 4
    confidence, correct = np.array([1.0, 0.25, 0.5, 0.75]), np.array([True, True, False, False])
    assert metrics.ks_error_of_top(confidence, correct) == 0.75 / 4
    assert metrics.kuiper_error_of_top(confidence, correct) == (0.75 + 0.5) / 4


def test_the_running_sum_is_read_only_after_a_tie():
    confidence, correct = np.full(4, 0.5), np.array([True, True, False, False])
    assert metrics.ks_error_of_top(confidence, correct) == metrics.kuiper_error_of_top(confidence, correct) == 0.0


def test_ks_and_kuiper_are_their_definitions_on_edges_and_ties():
    confidence, correct = edge_cases()
    sums = [0.0] + [(confidence - correct)[confidence <= c].sum() / len(correct) for c in np.unique(confidence)]
    assert metrics.ks_error_of_top(confidence, correct) == pytest.approx(max(map(abs, sums)), abs=1e-14)
    assert metrics.kuiper_error_of_top(confidence, correct) == pytest.approx(max(sums) - min(sums), abs=1e-14)


@pytest.mark.parametrize(
    ("power", "lowest", "ks", "ks_p_value", "kuiper", "kuiper_p_value"),
    [
        (1, 0.0, 0.44148860605368045, 0.9977299541911033, 0.49332811969372486, 0.9999999473590456),
        (2, 0.0, 18.186784482434646, 0.0, 18.18676914515466, 0.0),
        (3, 0.3, 30.588769504033703, 0.0, 30.573233184226375, 0.0),
    ],
)
def test_the_cumulative_test_equals_mapie(power, lowest, ks, ks_p_value, kuiper, kuiper_p_value):
    # MAPIE 1.6.0, whose statistics are in standard deviations, after jittering the confidences to break ties
    confidence, correct = quasi_random_top(power, lowest)
    deviation = np.sqrt((confidence * (1 - confidence)).sum()) / len(correct)
    found = metrics.cumulative_test_of_top(confidence, correct)
    assert found.ks / deviation == pytest.approx(ks, rel=1e-3)
    assert found.kuiper / deviation == pytest.approx(kuiper, rel=1e-3)
    assert (found.ks_p_value, found.kuiper_p_value) == pytest.approx((ks_p_value, kuiper_p_value), abs=1e-8)


def test_the_laws_of_brownian_motion_equal_mapies():
    # mapie.metrics.calibration 1.6.0: kolmogorov_smirnov_cdf, kuiper_cdf
    table = {
        0.5: (0.009156990289760759, 8.777772248109397e-08),
        1.0: (0.3707774297995239, 0.06336458792045059),
        1.5: (0.732784785616939, 0.48705924576975174),
        2.0: (0.9089994761536339, 0.8185056606058126),
        3.0: (0.994600407873483, 0.9892008315323616),
    }
    for x, (maximum, span) in table.items():
        assert 1 - _brownian_maximum(x) == pytest.approx(maximum, abs=1e-13)
        assert 1 - _brownian_range(x) == pytest.approx(span, abs=1e-13)


@pytest.mark.parametrize("law", [_brownian_maximum, _brownian_range])
def test_the_laws_fall_from_one_to_zero_without_a_step(law):
    x = np.concatenate([[0.0, 1e-300, 1e-3], np.linspace(0.01, 40, 4000)])
    chance = np.array([law(v) for v in x])
    assert chance[0] == 1.0
    assert ((chance >= 0) & (chance <= 1)).all()
    assert (np.diff(chance) <= 1e-14).all()
    assert 0 < law(20.0) < 1e-80  # far tails are not lost in 1 - (something near 1)
    assert abs(np.diff(chance)).max() < 0.012


def test_p_values_of_a_calibrated_model_are_uniform():
    tests = [metrics.cumulative_test_of_top(*calibrated_top(800, seed)) for seed in range(400)]
    for name in ("ks_p_value", "kuiper_p_value"):
        values = np.array([getattr(test, name) for test in tests])
        for level in (0.05, 0.2, 0.5):
            assert (values <= level).mean() == pytest.approx(level, abs=3 * (level * (1 - level) / 400) ** 0.5 + 0.02)


def test_the_closed_form_and_the_resampled_p_value_agree():
    confidence, correct = quasi_random_top(1.12, 0.2, n=1500)
    exact = metrics.cumulative_test_of_top(confidence, correct)
    assert 0.01 < exact.ks_p_value < 0.5  # a telling case
    for metric, chance in (
        (metrics.ks_error_of_top, exact.ks_p_value),
        (metrics.kuiper_error_of_top, exact.kuiper_p_value),
    ):
        drawn = metrics.calibration_p_value(metric, confidence, correct, resamples=2000)
        assert drawn == pytest.approx(chance, abs=0.04)


def test_certain_answers_leave_no_chance():
    sure = np.ones(3)
    assert metrics.cumulative_test_of_top(sure, np.ones(3, bool)) == (0.0, 1.0, 0.0, 1.0)
    assert metrics.cumulative_test_of_top(sure, np.array([True, True, False])) == pytest.approx((1 / 3, 0, 1 / 3, 0))


@given(st.integers(1, 60), st.integers(0, 10_000))
def test_kuiper_lies_between_ks_and_twice_ks(n, seed):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.integers(0, 8, n) / 7, rng.random(n) < 0.6
    ks, ks_p_value, kuiper, kuiper_p_value = metrics.cumulative_test_of_top(confidence, correct)
    assert abs(confidence.mean() - correct.mean()) - 1e-12 <= ks <= kuiper + 1e-12 <= 2 * ks + 2e-12
    assert kuiper <= 1 + 1e-12
    assert 0 <= min(ks_p_value, kuiper_p_value) <= max(ks_p_value, kuiper_p_value) <= 1


def test_of_probs_is_of_their_top_label():
    probs, labels = wave_probs()
    top = metrics.top_of_probs(probs, labels)
    assert metrics.cumulative_test(probs, labels) == metrics.cumulative_test_of_top(*top)
    assert metrics.ks_error(probs, labels) == metrics.ks_error_of_top(*top)
    assert metrics.kuiper_error(probs, labels) == metrics.kuiper_error_of_top(*top)


def test_the_null_of_the_ece_is_ece_null():
    confidence, _ = calibrated_top(300)
    expected = metrics.ece_null(confidence, seed=4, resamples=50)
    assert metrics.calibration_null(metrics.ece_of_top, confidence, seed=4, resamples=50) == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
def test_the_null_separates_a_calibrated_model_from_an_overconfident_one(metric):
    confidence, correct = calibrated_top(400, seed=1)
    over = confidence**0.6
    assert metrics.calibration_p_value(metric, confidence, correct, resamples=60) > 0.05
    assert metrics.calibration_p_value(metric, over, correct, resamples=60) == pytest.approx(1 / 61)


def test_p_values_of_the_null_hold_their_level():
    metric = metrics.ks_error_of_top
    values = [metrics.calibration_p_value(metric, *calibrated_top(40, seed), resamples=39) for seed in range(200)]
    assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=0.06)


def test_a_model_that_is_always_right_and_says_so_has_a_p_value_of_one():
    for metric in METRICS:
        assert metrics.calibration_p_value(metric, np.ones(9), np.ones(9, bool), resamples=5) == 1.0


def test_the_null_takes_a_metric_with_its_options():
    confidence, _ = calibrated_top(200)
    few = metrics.calibration_null(lambda c, y: metrics.ece_of_top(c, y, bins=2), confidence, resamples=200)
    assert few.mean() < metrics.calibration_null(metrics.ece_of_top, confidence, resamples=200).mean()
    parts = metrics.calibration_null(lambda c, y: metrics.score_parts_of_top(c, y)[1], confidence, resamples=20)
    assert (parts > 0).all()


def test_a_real_network_is_not_calibrated():
    top = real_top()
    assert metrics.cumulative_test_of_top(*top).kuiper_p_value < 1e-6
    assert metrics.calibration_p_value(metrics.ece_of_top, *top, resamples=99) == 0.01


def test_bad_input_is_named():
    with pytest.raises(InputError, match="at least one resample"):
        metrics.calibration_null(metrics.ece_of_top, np.array([0.5]), resamples=0)
    with pytest.raises(InputError, match="are these logits"):
        metrics.calibration_null(metrics.ece_of_top, np.array([3.0]))
    with pytest.raises(InputError, match="non-empty"):
        metrics.calibration_p_value(metrics.ece_of_top, np.zeros(0), np.zeros(0, dtype=bool))
    with pytest.raises(InputError, match="are these logits"):
        metrics.ks_error_of_top(np.array([3.0]), np.array([True]))
    with pytest.raises(InputError, match="pass softmax"):
        metrics.kuiper_error(np.array([[3.0, 1.0]]), np.array([0]))
