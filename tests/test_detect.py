"""Outlier scores and their threshold: identities, known answers, direction, precision at extreme temperatures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import entropy as scipy_entropy
from scipy.stats import norm as NORMAL

from candid import detect
from candid.arrays import log_softmax, softmax
from candid.errors import InputError

OF_LOGITS = sorted(name for name, each in detect.METHODS.items() if each.takes == ("logits",) and not each.fits)


def sample(n=100, k=9, dtype=np.float32):
    return (4 * np.random.default_rng(0).normal(size=(n, k))).astype(dtype)


def test_each_score_is_its_formula():
    logits = sample()
    probs = softmax(logits)
    assert detect.msp(logits) == pytest.approx(-probs.max(1), rel=1e-13)
    assert detect.max_logit(logits).tolist() == (-logits.max(1)).astype(float).tolist()
    assert detect.energy(logits) == pytest.approx(-logsumexp(logits.astype(float), axis=1), rel=1e-13)
    assert detect.entropy(logits) == pytest.approx(scipy_entropy(probs, axis=1), abs=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 10.0])
def test_log_confidence_is_energy_plus_highest_logit_over_t(temperature):
    logits = sample()
    identity = (detect.energy(logits, temperature=temperature) + logits.max(1)) / temperature
    assert log_softmax(logits, temperature=temperature).max(1) == pytest.approx(identity, abs=1e-12)


def test_energy_at_a_thousand_keeps_every_rank():
    # -T log k - mean - var / 2T - skewness term: the second order expansion, which float32 cannot even represent
    logits = sample(n=2000, k=10)
    exact = logits.astype(np.float64)
    expected = -1000 * math.log(10) - exact.mean(1) - exact.var(1) / 2000
    found = detect.energy(logits, temperature=1000.0)
    assert found == pytest.approx(expected, abs=1e-3)
    assert len(np.unique(found)) == 2000


def test_energy_moves_with_a_shift_and_msp_does_not():
    logits = sample(dtype=np.float64)
    assert detect.energy(logits + 5) == pytest.approx(detect.energy(logits) - 5)
    assert detect.msp(logits + 5) == pytest.approx(detect.msp(logits))


@pytest.mark.parametrize("name", OF_LOGITS)
def test_masked_classes_count_for_nothing(name):
    logits = sample()
    wide = np.concatenate([logits, np.full((100, 4), -np.inf, dtype=np.float32)], axis=1)
    assert detect.METHODS[name](wide) == pytest.approx(detect.METHODS[name](logits), rel=1e-12)


@pytest.mark.parametrize("name", OF_LOGITS)
def test_higher_means_further_from_known(name):
    sure, unsure = np.array([[12.0, 0.0, 0.0]]), np.array([[1.0, 0.9, 0.8]])
    score = detect.METHODS[name]
    assert score(unsure)[0] > score(sure)[0]
    assert score(sure).dtype == np.float64


def test_mcm_is_msp_of_cosines_at_its_temperature():
    cosines = (0.25 + 0.05 * np.random.default_rng(1).normal(size=(50, 6))).astype(np.float64)
    assert detect.mcm(cosines, temperature=0.01) == pytest.approx(detect.msp(100 * cosines), rel=1e-12)
    with pytest.raises(InputError, match="divide logits by the model's scale"):
        detect.mcm(100 * cosines)


def test_entropy_runs_from_zero_to_log_k():
    assert detect.entropy(np.array([[0.0, -np.inf], [3.0, 3.0]])).tolist() == pytest.approx([0.0, math.log(2)])


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(InputError, match="temperature"):
        detect.energy(sample(), temperature=0.0)


@pytest.mark.parametrize(
    ("keep", "n", "rank"), [(0.95, 100, 95), (0.95, 20, 19), (0.95, 21, 20), (0.07, 100, 7), (1.0, 5, 5)]
)
def test_threshold_is_the_ceil_of_keep_times_n_th_smallest(keep, n, rank):
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert detect.threshold(scores, keep=keep) == rank


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_threshold_keeps_at_least_the_share_and_no_lower_score_does(values, keep):
    scores = np.array(values, dtype=np.float64)
    cut = detect.threshold(scores, keep=keep)
    assert (scores <= cut).mean() >= keep
    assert (scores < cut).mean() < keep


def test_the_conformal_threshold_keeps_new_known_inputs_at_the_promised_rate():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, 60))
    kept = [row[-1] <= detect.conformal_threshold(row[:-1], keep=0.9) for row in draws]
    assert np.mean(kept) == pytest.approx(54 / 60, abs=0.015)  # ceil(0.9 * 60) / 60; three standard errors


def test_the_conformal_threshold_needs_enough_rows():
    assert detect.conformal_threshold(np.arange(19.0)) == 18.0
    with pytest.raises(InputError, match="18 scores cannot promise"):
        detect.conformal_threshold(np.arange(18.0))


def test_bad_thresholds_are_refused():
    with pytest.raises(InputError, match="NaN"):
        detect.threshold(np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="keep"):
        detect.threshold(np.array([0.0]), keep=95.0)


@pytest.mark.parametrize(("guarantee", "low"), [("average", 0.0), ("sure", 0.9)])
def test_a_threshold_refuses_new_known_inputs_as_seldom_as_it_promises(guarantee, low):
    rng = np.random.default_rng(0)
    refused = np.empty(1000)
    for i in range(1000):
        found = detect.Threshold.fit(rng.normal(size=120), keep=0.9, guarantee=guarantee, confidence=0.95)
        refused[i] = 1 - NORMAL.cdf(found.values[0])
    if guarantee == "average":
        assert refused.mean() == pytest.approx(found.refusal().value, abs=3 * refused.std() / 1000**0.5)
        assert refused.mean() <= 0.1
    else:
        assert (refused <= 0.1).mean() == pytest.approx(0.95, abs=0.025)
    inside = (refused >= found.refusal().low) & (refused <= found.refusal().high)
    assert inside.mean() == pytest.approx(0.95, abs=0.025)


def test_thresholds_by_class_hold_for_each_class_and_say_where_rows_are_too_few():
    rng = np.random.default_rng(0)
    predicted = np.repeat([0, 1, 2], [200, 200, 5])
    scores = rng.normal(size=405) + 10 * predicted
    found = detect.Threshold.fit(scores, predicted, classes=4, keep=0.95)
    assert found.counts.tolist() == [200, 200, 5, 0]
    assert np.isinf(found.values[2:]).all()  # 5 rows promise nothing at 95 %
    assert found.values[1] == detect.conformal_threshold(scores[predicted == 1], keep=0.95)
    assert found(scores, predicted)[predicted == 0].mean() >= 0.95
    assert found.refusal(3).high == 0.0
    with pytest.raises(InputError, match="pass the predicted classes"):
        found(scores)


def test_where_nothing_changes_the_chance_is_uniform_and_a_shift_makes_it_tiny():
    rng = np.random.default_rng(0)
    chances = []
    for _ in range(400):
        found = detect.Threshold.fit(rng.normal(size=200), keep=0.9)
        chances.append(found.under_shift(rng.normal(size=300))[0].chance)
    assert np.mean(np.array(chances) < 0.05) == pytest.approx(0.05, abs=0.035)
    moved = found.under_shift(rng.normal(1.0, 1, size=300))[0]
    assert moved.chance < 1e-4
    assert moved.refused.low > moved.expected


def test_thresholds_refuse_what_they_cannot_promise():
    with pytest.raises(InputError, match="40 scores cannot promise"):
        detect.Threshold.fit(np.arange(40.0), keep=0.95, guarantee="sure", confidence=0.99)
    with pytest.raises(InputError, match="lie in"):
        detect.Threshold.fit(np.arange(40.0), keep=1.0, guarantee="sure")
