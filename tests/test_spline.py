"""Spline calibration: shifts by hand, truth recovered, the paper's own recipe written out, every edge of its input."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from candid import metrics
from candid.arrays import softmax
from candid.calibrate import METHODS, Spline, Temperature
from candid.errors import InputError

DATA = Path(__file__).parents[2] / "shared" / "data"


def sample(n=2000, k=5, temperature=2.0, seed=0):
    """Logits and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = 3.0 * rng.normal(size=(n, k))
    return logits, (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)


def two_classes(confidence, correct):
    """Logits of two classes with these confidences in class 0, and labels that are right where `correct`."""
    p = np.asarray(confidence, dtype=float)
    return np.log(np.stack([p, 1 - p], axis=1)), np.where(correct, 0, 1)


def test_few_rows_are_shifted_to_their_accuracy():
    logits, labels = two_classes([0.6, 0.7, 0.8, 0.9], [False, True, True, False])  # accuracy 0.5, confidence 0.75
    fitted = Spline.fit(logits, labels, smoothing=0.0)
    assert fitted.knots == 2
    assert fitted.confidence == pytest.approx([0.6, 0.7, 0.8, 0.9])
    assert fitted.corrected == pytest.approx([0.35, 0.45, 0.55, 0.65])


def test_the_mean_corrected_confidence_is_the_accuracy():
    logits, labels = sample(n=900, temperature=3.0)
    fitted = Spline.fit(logits, labels)
    confidence = softmax(logits).max(axis=1)
    mean = np.interp(confidence, fitted.confidence, fitted.corrected).mean()
    assert mean == pytest.approx((logits.argmax(axis=1) == labels).mean(), abs=1e-9)


def test_recovers_the_accuracy_at_every_confidence():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 40_000)
    truth = 0.5 + 0.4 * (confidence - 0.5) + 0.4 * (confidence - 0.5) ** 2
    logits, labels = two_classes(confidence, rng.random(40_000) < truth)
    fitted = Spline.fit(logits, labels)
    inside = np.linspace(0.55, 0.95, 9)
    expected = 0.5 + 0.4 * (inside - 0.5) + 0.4 * (inside - 0.5) ** 2
    assert np.interp(inside, fitted.confidence, fitted.corrected) == pytest.approx(expected, abs=0.02)


def test_agrees_with_the_recipe_of_the_paper():
    logits, labels = sample(n=20_000, temperature=3.0)
    confidence = softmax(logits).max(axis=1)
    order = np.argsort(confidence)
    confidence, correct = confidence[order], (logits.argmax(axis=1) == labels)[order]
    places, passed = np.linspace(0, 1, 6), np.linspace(0, 1, 20_000)
    basis = CubicSpline(places, np.eye(6), bc_type="natural")
    height = np.linalg.lstsq(basis(passed), np.cumsum(correct - confidence) / 20_000, rcond=None)[0]
    theirs = confidence + basis(passed, 1) @ height
    fitted = Spline.fit(logits, labels)
    ours = np.interp(confidence, fitted.confidence, fitted.corrected)
    assert np.abs(ours - theirs).max() < 0.03  # both ends of the curve are held here, not there
    assert np.abs(ours - theirs).mean() < 0.01


def test_corrected_confidence_rises_and_stays_within_bounds():
    for seed in range(20):
        fitted = Spline.fit(*sample(n=200, temperature=0.3 + seed, seed=seed), knots=8)
        assert (np.diff(fitted.corrected) >= 0).all()
        assert 0 <= fitted.corrected.min() <= fitted.corrected.max() <= 1


def test_long_fits_store_a_thousand_points_and_lose_nothing():
    logits, labels = sample(n=30_000, k=3)
    fitted = Spline.fit(logits, labels)
    assert len(fitted.confidence) <= 1026
    confidence = softmax(logits).max(axis=1)
    mean = np.interp(confidence, fitted.confidence, fitted.corrected).mean()
    assert mean == pytest.approx((logits.argmax(axis=1) == labels).mean(), abs=1e-4)


def test_the_prediction_stays_and_the_others_have_the_proportions_of_the_best_temperature():
    logits, labels = sample(temperature=20.0)
    probs = Spline.fit(logits, labels)(logits)
    assert (probs.argmax(axis=1) == logits.argmax(axis=1)).all()
    logits, labels = sample(temperature=1.5)
    fitted = Spline.fit(logits, labels, smoothing=0.0)
    probs, plain = fitted(logits), softmax(logits, temperature=fitted.temperature)
    assert fitted.temperature == Temperature.fit(logits, labels).value
    order = np.argsort(plain, axis=1)
    here, second, third = np.arange(len(probs)), order[:, -2], order[:, -3]
    free = probs[here, second] < probs.max(axis=1) * (1 - 1e-6)
    free &= probs.max(axis=1) < 1
    here, second, third = here[free], second[free], third[free]
    expected = plain[here, second] / plain[here, third]
    assert len(here) > 1000
    assert probs[here, second] / probs[here, third] == pytest.approx(expected, rel=1e-9)


def test_weights_of_whole_numbers_are_repeated_rows():
    logits, labels = sample(n=300, k=3)
    times = np.random.default_rng(1).integers(0, 4, size=300)
    weighted = Spline.fit(logits, labels, times.astype(float), smoothing=0.0)
    repeated = Spline.fit(np.repeat(logits, times, axis=0), np.repeat(labels, times), smoothing=0.0)
    assert weighted(logits) == pytest.approx(repeated(logits), abs=1e-9)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 80), k=st.integers(2, 6), grid=st.sampled_from([0, 1, 8]))
@settings(max_examples=40)
def test_any_data_give_probabilities_above_zero_in_any_order_of_rows(seed, n, k, grid):
    rng = np.random.default_rng(seed)
    logits = np.round(rng.standard_t(2, size=(n, k)), grid)
    labels = rng.integers(k, size=n)
    masked = rng.random((n, k)) < 0.2
    masked[np.arange(n), labels] = False
    logits[masked] = -np.inf
    fitted = Spline.fit(logits, labels)
    probs = fitted(logits)
    assert probs.sum(axis=1) == pytest.approx(1)
    assert ((probs > 0) == ~masked).all()
    order = rng.permutation(n)
    again = Spline.fit(logits[order], labels[order])
    assert again.confidence == pytest.approx(fitted.confidence)
    assert again.corrected == pytest.approx(fitted.corrected, abs=1e-9)


def test_a_column_at_minus_infinity_is_a_class_that_is_not_there():
    logits, labels = sample(k=4)
    wide = np.insert(logits, 2, -np.inf, axis=1)
    probs = Spline.fit(wide, labels + (labels >= 2))(wide)
    assert not probs[:, 2].any()
    assert np.delete(probs, 2, axis=1) == pytest.approx(Spline.fit(logits, labels)(logits))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_precision_and_layout_gives_float64(dtype):
    logits, labels = sample()
    logits = logits.astype(dtype)
    fitted = Spline.fit(logits, labels)
    assert fitted(logits).dtype == np.float64
    wide = logits.astype(np.float64)
    assert fitted(logits) == pytest.approx(Spline.fit(wide, labels)(wide))
    turned = np.asfortranarray(logits)
    assert Spline.fit(turned, labels)(turned) == pytest.approx(fitted(logits))


def test_one_row_constant_and_separable_logits_have_answers():
    one = Spline.fit(np.array([[1.0, 0.0]]), np.array([0]))
    assert one(np.array([[1.0, 0.0]])) == pytest.approx(np.array([[0.75, 0.25]]))
    flat = np.zeros((200, 4))
    assert Spline.fit(flat, np.arange(200) % 4)(flat) == pytest.approx(0.25)
    sure = 50.0 * np.eye(3)[np.arange(300) % 3]
    fitted = Spline.fit(sure, np.arange(300) % 3)
    assert fitted(sure).max(axis=1) == pytest.approx(1 - 1 / 301 * 2 / 3)


def test_calibrates_what_was_overconfident():
    logits, labels = sample(n=20_000, temperature=3.0)
    fitted = Spline.fit(logits[:10_000], labels[:10_000])
    before = metrics.ece(softmax(logits[10_000:]), labels[10_000:])
    assert metrics.ece(fitted(logits[10_000:]), labels[10_000:]) < 0.02 < 0.15 < before


@pytest.mark.parametrize("name", ["cifar10_lenet5", "cifar10_wrn16_4", "cifar100_wrn16_4"])
def test_real_networks_are_repaired(name):
    path = DATA / "real_probs.npz"
    if not path.exists():
        pytest.skip("the shared data folder is not here")
    with np.load(path) as stored:
        logits, labels = stored[f"{name}_logp"].astype(np.float64), stored[f"{name}_label"].astype(np.int64)
    fit, test = slice(0, None, 2), slice(1, None, 2)
    probs = Spline.fit(logits[fit], labels[fit])(logits[test])
    assert metrics.ece(probs, labels[test]) < 0.4 * metrics.ece(softmax(logits[test]), labels[test])


def test_wrong_input_is_refused():
    logits, labels = sample(n=50)
    with pytest.raises(InputError, match="at least 2 knots"):
        Spline.fit(logits, labels, knots=1)
    with pytest.raises(InputError, match="smoothing must lie in"):
        Spline.fit(logits, labels, smoothing=1.0)
    with pytest.raises(InputError, match="must lie in"):
        Spline.fit(logits, labels + 1)
    with pytest.raises(InputError, match="fitted on 5 classes, got logits of 4"):
        Spline.fit(logits, labels)(logits[:, :4])
    logits[7, labels[7]] = -np.inf
    with pytest.raises(InputError, match="of row 7 has logit -inf"):
        Spline.fit(logits, labels)


def test_methods_lists_it():
    assert METHODS["spline"] is Spline
