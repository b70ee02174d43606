"""The temperature fit: recovered truths, certificates, verdicts, masks, weights, agreement with other solvers."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax
from sklearn.calibration import _TemperatureScaling

from candid import calibrate, metrics
from candid.calibrate import Temperature
from candid.errors import InputError, NoOptimum


def sample(n=2000, k=10, temperature=1.7, spread=3.0, seed=0):
    """Logits and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(n, k))
    return logits, (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)


def slope(logits, labels, beta, weights=None):
    """L'(beta) written out in float64 (extended where the platform has it)."""
    z = np.where(np.isneginf(logits), -1e9, logits).astype(np.longdouble)
    p = np.exp(beta * (z - z.max(1, keepdims=True)))
    p /= p.sum(1, keepdims=True)
    each = (p * z).sum(1) - z[np.arange(len(z)), labels]
    return np.average(each, weights=weights)


@pytest.mark.parametrize("truth", [0.4, 1.0, 1.7, 6.0])
def test_recovers_the_temperature_that_made_the_labels(truth):
    logits, labels = sample(n=20_000, temperature=truth)
    fitted = Temperature.fit(logits, labels)
    assert abs(fitted.value - truth) < 4 * fitted.standard_error
    assert fitted.standard_error < 0.1 * truth


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(4))
def test_the_slope_changes_sign_within_a_billionth(dtype, seed):
    logits, labels = sample(n=1500, temperature=0.5 + seed, seed=seed)
    logits = logits.astype(dtype)
    fitted = Temperature.fit(logits, labels)
    beta = 1 / fitted.value
    assert slope(logits, labels, beta * (1 - 1e-9)) < 0 < slope(logits, labels, beta * (1 + 1e-9))
    assert fitted.certified_low < fitted.value < fitted.certified_high
    assert slope(logits, labels, 1 / fitted.certified_high) < 0 < slope(logits, labels, 1 / fitted.certified_low)
    assert fitted.certified_high / fitted.certified_low - 1 < 2.1e-9


def test_the_value_is_the_root_a_bracketing_solver_finds():
    logits, labels = sample()
    beta = brentq(lambda b: float(slope(logits, labels, b)), 1e-3, 1e3, xtol=1e-15, rtol=1e-14)
    assert Temperature.fit(logits, labels).value == pytest.approx(1 / beta, rel=1e-12)


def test_equals_scikit_learn():
    logits, labels = sample()
    theirs = _TemperatureScaling().fit(logits, labels)
    assert Temperature.fit(logits, labels).value == pytest.approx(1 / theirs.beta_, rel=1e-6)


def test_equals_netcal():
    # netcal 1.4.0, TemperatureScaling(method="mle") on float64 probabilities: weight 0.62720161 = 1 / T
    a, b = np.arange(400)[:, None], np.arange(5)[None]
    logits = 3 * np.sin(1.7 * a + 2.3 * b * b + 0.1 * a * b)
    labels = np.where(np.arange(400) % 3 == 0, (np.arange(400) * 7 // 3) % 5, logits.argmax(1))
    assert 1 / Temperature.fit(logits, labels).value == pytest.approx(0.62720161, abs=1e-6)


def test_nll_is_that_of_the_calibrated_logits_and_lower_than_any_other():
    logits, labels = sample()
    fitted = Temperature.fit(logits, labels)
    assert fitted.nll == pytest.approx(metrics.nll_of_logits(fitted(logits), labels), rel=1e-12)
    for other in (0.9, 0.999, 1.001, 1.1):
        assert metrics.nll_of_logits(logits, labels, temperature=other * fitted.value) > fitted.nll


def test_large_sets_start_warm_and_take_few_passes():
    logits, labels = sample(n=30_000)
    fitted = Temperature.fit(logits, labels)
    assert fitted.evaluations <= 5
    assert fitted.value == pytest.approx(1 / brentq(lambda b: float(slope(logits, labels, b)), 0.1, 10), rel=1e-9)


def test_rows_sorted_by_class_fit_as_well():
    logits, labels = sample(n=12_000)
    order = np.argsort(labels, kind="stable")
    assert Temperature.fit(logits[order], labels[order]).value == pytest.approx(Temperature.fit(logits, labels).value)


@pytest.mark.parametrize("scale", [1e-6, 0.01, 100.0, 1e6])
def test_scales_with_the_logits(scale):
    logits, labels = sample()
    plain, scaled = Temperature.fit(logits, labels), Temperature.fit(scale * logits, labels)
    assert scaled.value == pytest.approx(scale * plain.value, rel=1e-11)
    assert scaled.standard_error == pytest.approx(scale * plain.standard_error, rel=1e-9)


def test_adding_a_constant_to_a_row_changes_nothing():
    logits, labels = sample()
    shifted = logits + np.random.default_rng(1).normal(0, 50, (len(logits), 1))
    assert Temperature.fit(shifted, labels).value == pytest.approx(Temperature.fit(logits, labels).value, rel=1e-11)


def test_masked_columns_equal_leaving_them_out():
    logits, labels = sample(k=10)
    keep = labels < 6
    masked = logits[keep].copy()
    masked[:, 6:] = -np.inf
    fitted = Temperature.fit(masked, labels[keep])
    assert fitted.value == pytest.approx(Temperature.fit(logits[keep, :6], labels[keep]).value, rel=1e-12)
    assert np.isneginf(fitted(masked)[:, 6:]).all()


@pytest.mark.parametrize("mask", [-1e4, -1e9, -1e12])
def test_masks_that_are_finite_equal_infinite_ones(mask):
    logits, labels = sample(k=10)
    keep = labels < 6
    masked = logits[keep].copy()
    masked[:, 6:] = mask
    fitted = Temperature.fit(masked, labels[keep])
    assert fitted.value == pytest.approx(Temperature.fit(logits[keep, :6], labels[keep]).value, rel=1e-12)
    assert fitted.evaluations <= 12


def test_masks_may_differ_from_row_to_row():
    logits, labels = sample(k=8)
    mask = np.random.default_rng(3).random(logits.shape) < 0.4
    mask[np.arange(len(labels)), labels] = False
    masked = np.where(mask, -np.inf, logits)
    beta = brentq(lambda b: float(slope(masked, labels, b)), 1e-3, 1e3, xtol=1e-15)
    assert Temperature.fit(masked, labels).value == pytest.approx(1 / beta, rel=1e-10)


def test_a_masked_label_is_named():
    logits = np.array([[0.0, 1.0, -np.inf], [0.0, 1.0, -np.inf]])
    with pytest.raises(InputError, match="label 2 of row 1 has logit -inf"):
        Temperature.fit(logits, np.array([0, 2]))
    weighted = Temperature.fit(
        np.array([[0.0, 1.0, -np.inf]] * 4), np.array([0, 1, 1, 2]), weights=np.array([1.0, 1.0, 1.0, 0.0])
    )
    assert weighted.value == pytest.approx(1 / np.log(2))  # of three rows, two are right: e^(1/T) = 2
    assert weighted.n == 3


def test_a_weight_of_two_is_the_row_twice_and_zero_is_without_it():
    logits, labels = sample(n=500)
    weights = np.random.default_rng(0).integers(0, 3, 500)
    repeated = Temperature.fit(np.repeat(logits, weights, axis=0), np.repeat(labels, weights))
    assert Temperature.fit(logits, labels, weights=weights.astype(float)).value == pytest.approx(
        repeated.value, rel=1e-12
    )


def test_the_unit_of_the_weights_does_not_matter():
    logits, labels = sample(n=500)
    plain = Temperature.fit(logits, labels)
    weighted = Temperature.fit(logits, labels, weights=np.full(500, 7.0))
    assert weighted.value == pytest.approx(plain.value, rel=1e-12)
    assert weighted.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    inside = 0
    for seed in range(300):
        low, high = Temperature.fit(*sample(n=100, seed=seed)).interval(0.9)
        inside += low < 1.7 < high
    assert 0.85 < inside / 300 < 0.95  # binomial sd 0.017


def test_one_row_is_not_certainty():
    fitted = Temperature.fit(np.array([[1.0, 0.0, -3.0]]), np.array([1]))
    assert fitted.standard_error > fitted.value / 2


def test_the_interval_of_few_rows_covers_the_truth():
    inside = fits = 0
    for seed in range(400):
        try:
            low, high = Temperature.fit(*sample(n=10, seed=seed)).interval()
        except NoOptimum:
            continue
        fits += 1
        inside += low < 1.7 < high
    assert inside / fits > 0.92  # nominal 0.95, binomial sd 0.011


def test_half_precision_logits_do_not_overflow_when_a_small_temperature_divides_them():
    fitted = Temperature(0.035, 0.01, 0.1, 10, 5, 0.034, 0.036)
    assert fitted(np.array([[30000.0, 0.0]], np.float16)).tolist() == [[pytest.approx(30000 / 0.035, rel=1e-6), 0.0]]


def test_the_standard_error_is_the_spread_over_draws():
    fits = [Temperature.fit(*sample(n=400, seed=seed)) for seed in range(200)]
    assert np.mean([f.standard_error for f in fits]) == pytest.approx(np.std([f.value for f in fits]), rel=0.15)


def test_labels_that_are_all_the_top_class_are_separable():
    logits, _ = sample()
    with pytest.raises(NoOptimum, match="highest logit") as caught:
        Temperature.fit(logits, logits.argmax(1))
    assert caught.value.verdict == "separable"


@pytest.mark.parametrize("n", [300, 20_000])
def test_labels_no_better_than_the_row_mean_are_adverse(n):
    logits, _ = sample(n=n)
    with pytest.raises(NoOptimum, match="order of the classes") as caught:
        Temperature.fit(logits, logits.argmin(1))
    assert caught.value.verdict == "adverse"


def test_labels_exactly_at_the_row_mean_are_adverse():
    logits = np.tile([0.0, 1.0, 5.0], (3, 1))
    with pytest.raises(NoOptimum) as caught:
        Temperature.fit(logits, np.array([0, 1, 2]))
    assert caught.value.verdict == "adverse"


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
def test_constant_logits_have_no_best_temperature(value):
    with pytest.raises(NoOptimum) as caught:
        Temperature.fit(np.full((5, 3), value), np.array([0, 1, 2, 0, 1]))
    assert caught.value.verdict == "constant"


def test_one_class_on_offer_has_no_best_temperature():
    with pytest.raises(NoOptimum) as caught:
        Temperature.fit(np.array([[1.0], [2.0]]), np.array([0, 0]))
    assert caught.value.verdict == "constant"


def test_one_error_among_many_sure_answers_is_a_finite_optimum():
    logits = np.tile([30.0, 0.0], (10_000, 1))
    labels = np.zeros(10_000, dtype=int)
    labels[0] = 1
    assert Temperature.fit(logits, labels).value == pytest.approx(30 / np.log(9999), rel=1e-10)


def test_one_error_by_a_hair_is_found_far_from_the_start():
    # gaps 20 and 1e-4: e^(-20 b) * 20 * 99 = 1e-4 / (1 + e^(-1e-4 b)) at the optimum
    logits = np.tile([20.0, 0.0], (100, 1))
    logits[0] = [1e-4, 0.0]
    labels = np.zeros(100, dtype=int)
    labels[0] = 1
    beta = brentq(lambda b: 1e-4 / (1 + np.exp(-1e-4 * b)) - 99 * 20 / (1 + np.exp(20 * b)), 0.01, 10, xtol=1e-14)
    assert Temperature.fit(logits, labels).value == pytest.approx(1 / beta, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_raw_cosines_with_labels_that_are_noise_give_a_far_optimum_or_a_verdict_never_a_negative(seed):
    rng = np.random.default_rng(seed)
    cosines = (0.2 + 0.05 * rng.normal(size=(500, 20))).astype(np.float32)
    labels = rng.integers(20, size=500)
    if slope(cosines, labels, 0.0) < 0:
        assert Temperature.fit(cosines, labels).value > 0.1
    else:
        with pytest.raises(NoOptimum, match="mean of their rows"):
            Temperature.fit(cosines, labels)


@given(st.integers(0, 100_000), st.integers(2, 30), st.integers(2, 6), st.floats(-8, 8))
@settings(max_examples=300, deadline=None)
def test_any_data_end_in_a_certified_optimum_or_a_verdict(seed, n, k, log_spread):
    rng = np.random.default_rng(seed)
    logits = np.exp(log_spread) * np.round(rng.standard_t(2, size=(n, k)), 1)
    labels = rng.integers(k, size=n)
    at_zero = slope(logits, labels, 0.0)
    at_infinity = (logits.max(1) - logits[np.arange(n), labels]).mean()
    try:
        fitted = Temperature.fit(logits, labels)
    except NoOptimum:
        assert at_infinity == 0 or at_zero > -1e-9 * (logits.max() - logits.min())
    else:
        assert at_zero < 0 < at_infinity
        assert slope(logits, labels, 1 / fitted.certified_high) < 0 < slope(logits, labels, 1 / fitted.certified_low)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_calling_it_divides_and_keeps_the_precision(dtype):
    logits, labels = sample(n=200)
    logits = logits.astype(dtype)
    fitted = Temperature.fit(logits, labels)
    cooled = fitted(logits)
    assert cooled.dtype == np.promote_types(dtype, np.float32)
    assert cooled == pytest.approx(logits.astype(np.float64) / fitted.value, rel=2 * float(np.finfo(cooled.dtype).eps))


def test_calibrates():
    logits, labels = sample(n=20_000, temperature=2.5)
    fitted = Temperature.fit(logits[:10_000], labels[:10_000])
    before = metrics.ece(softmax(logits[10_000:], axis=1), labels[10_000:])
    after = metrics.ece(softmax(fitted(logits[10_000:]), axis=1), labels[10_000:])
    assert after < 0.02 < 0.1 < before


def test_survives_json():
    fitted = Temperature.fit(*sample(n=100))
    assert Temperature(**json.loads(json.dumps(dataclasses.asdict(fitted)))) == fitted
    with pytest.raises(InputError, match="positive and finite"):
        dataclasses.replace(fitted, value=-1.0)


@pytest.mark.parametrize("weights", [[1.0, np.nan, 1.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
def test_weights_that_are_not_weights_are_refused(weights):
    with pytest.raises(InputError, match="weights must be 3"):
        Temperature.fit(np.array([[0.0, 1.0]] * 3), np.array([0, 1, 1]), weights=np.array(weights))


def test_the_fit_copies_no_logits():
    tracemalloc = pytest.importorskip("tracemalloc")
    logits, labels = sample(n=20_000, k=200)
    tracemalloc.start()
    Temperature.fit(logits, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.3 * logits.nbytes


def test_the_spread_of_a_fit_on_few_labels_is_stated():
    logits, labels = sample(n=20)
    low, high = Temperature.fit(logits, labels).interval()
    assert high / low > 1.5


def test_log_likelihood_is_the_definition():
    logits, labels = sample(n=50)
    fitted = Temperature.fit(logits, labels)
    z = logits / fitted.value
    assert fitted.nll == pytest.approx((logsumexp(z, axis=1) - z[np.arange(50), labels]).mean(), rel=1e-12)


def test_methods_lists_the_temperature():
    assert calibrate.METHODS["temperature"] is Temperature


def test_interval_of_a_temperature_the_rows_say_nothing_about_is_unbounded_not_an_overflow():
    fitted = Temperature(1e3, 1e6, 0.69, 10, 5, 999.0, 1001.0)
    assert fitted.interval() == (0.0, np.inf)
