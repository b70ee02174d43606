"""Outlier scores and their threshold: identities, known answers, direction, precision at extreme temperatures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import entropy as scipy_entropy

from candid import detect
from candid.arrays import log_softmax, softmax
from candid.errors import InputError


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


@pytest.mark.parametrize("name", sorted(detect.METHODS))
def test_masked_classes_count_for_nothing(name):
    logits = sample()
    wide = np.concatenate([logits, np.full((100, 4), -np.inf, dtype=np.float32)], axis=1)
    assert detect.METHODS[name](wide) == pytest.approx(detect.METHODS[name](logits), rel=1e-12)


@pytest.mark.parametrize("name", sorted(detect.METHODS))
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
