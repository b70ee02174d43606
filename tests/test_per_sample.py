"""Per-sample temperature: the optimum a general solver finds, verdicts, and evidence on real networks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from candid import metrics
from candid.arrays import softmax
from candid.calibrate import METHODS, PerSampleTemperature, Temperature
from candid.errors import InputError, NoOptimum

DATA = Path(__file__).parents[2] / "shared" / "data"


def sample(n=2000, k=10, temperature=2.0, seed=0):
    """Logits and labels drawn from softmax(logits / temperature); a row's spread varies, and so its entropy."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * rng.uniform(0.5, 6.0, (n, 1))
    return logits, (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)


def entropy_share(logits, pivot):
    p = softmax(logits / pivot)
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0)
    return -terms.sum(axis=1) / np.log((logits > -np.inf).sum(axis=1))


def loss(ends, logits, labels, pivot, weights, spread):
    """The penalised mean negative log-likelihood, written out."""
    h = entropy_share(logits, pivot)
    z = logits / pivot * ((1 - h) * ends[0] + h * ends[1])[:, None]
    z = z - z.max(axis=1, keepdims=True)
    each = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]
    share = weights / weights.sum()
    return share @ each + (share @ share) / spread**2 * (ends[1] - ends[0]) ** 2 / 2


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("spread", [0.2, 5.0])
def test_the_optimum_is_the_one_a_general_solver_finds(spread, weighted):
    logits, labels = sample(n=500)
    weights = np.random.default_rng(1).random(500) if weighted else np.ones(500)
    fitted = PerSampleTemperature.fit(logits, labels, weights, spread=spread)
    ends = np.array([fitted.pivot / fitted.sure, fitted.pivot / fitted.unsure])
    best = minimize(
        loss, [1.0, 1.0], args=(logits, labels, fitted.pivot, weights, spread), method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-14},
    )  # fmt: skip
    assert ends == pytest.approx(best.x, rel=1e-6)


def test_the_pivot_is_the_one_temperature():
    logits, labels = sample(n=500)
    assert PerSampleTemperature.fit(logits, labels).pivot == Temperature.fit(logits, labels).value


def test_a_narrow_spread_is_the_one_temperature():
    logits, labels = sample(n=500)
    fitted = PerSampleTemperature.fit(logits, labels, spread=1e-6)
    assert (fitted.sure, fitted.unsure) == pytest.approx((fitted.pivot, fitted.pivot), rel=1e-6)


def test_recovers_two_temperatures():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40_000, 10)) * rng.uniform(0.5, 6.0, (40_000, 1))
    h = entropy_share(logits, 1.7)
    cooled = logits * ((1 - h) / 2.5 + h / 0.8)[:, None]
    labels = (cooled + rng.gumbel(size=logits.shape)).argmax(axis=1)
    fitted = PerSampleTemperature.fit(logits, labels)
    assert metrics.nll_of_logits(fitted(logits), labels) == pytest.approx(
        metrics.nll_of_logits(cooled, labels), abs=4e-3
    )
    assert fitted.sure > 1.3 * fitted.unsure
    assert metrics.nll_of_logits(fitted(logits), labels) < Temperature.fit(logits, labels).nll - 0.01


def test_calling_it_divides_each_row_by_the_mix_of_its_entropy():
    logits, labels = sample(n=300)
    fitted = PerSampleTemperature.fit(logits, labels)
    h = entropy_share(logits, fitted.pivot)
    expected = logits * ((1 - h) / fitted.sure + h / fitted.unsure)[:, None]
    assert fitted(logits) == pytest.approx(expected, rel=1e-9)
    assert (fitted(logits).argmax(axis=1) == logits.argmax(axis=1)).all()
    assert fitted.nll == pytest.approx(metrics.nll_of_logits(fitted(logits), labels), rel=1e-9)


def test_the_least_inverse_is_a_bound_where_sure_rows_are_always_wrong():
    rng = np.random.default_rng(0)
    sure = np.arange(4000) % 4 == 0
    logits = np.where(sure[:, None], 12.0, 1.0) * np.eye(3)[rng.integers(3, size=4000)]
    labels = np.where(sure, rng.integers(3, size=4000), logits.argmax(axis=1))
    labels[~sure & (rng.random(4000) < 0.2)] = 0
    fitted = PerSampleTemperature.fit(logits, labels, spread=50.0)
    assert fitted.pivot / fitted.sure >= 0.05
    assert np.isfinite([fitted.sure, fitted.unsure]).all()


@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), k=st.integers(2, 6), grid=st.sampled_from([0, 1, 8]))
@settings(max_examples=60)
def test_any_data_end_in_an_optimum_or_a_verdict(seed, n, k, grid):
    rng = np.random.default_rng(seed)
    logits = np.round(rng.standard_t(2, size=(n, k)), grid)
    labels = rng.integers(k, size=n)
    masked = rng.random((n, k)) < 0.2
    masked[np.arange(n), labels] = False
    logits[masked] = -np.inf
    try:
        plain = Temperature.fit(logits, labels)
    except NoOptimum as none:
        with pytest.raises(NoOptimum, match=str(none)[:40]):
            PerSampleTemperature.fit(logits, labels)
        return
    fitted = PerSampleTemperature.fit(logits, labels)
    assert fitted.nll <= plain.nll + 1e-9
    probs = softmax(fitted(logits))
    assert ((probs > 0) | masked | (probs.max(axis=1, keepdims=True) == 1)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_precision_layout_shift_and_order_of_classes_do_not_matter(dtype):
    logits, labels = sample(n=600)
    logits = logits.astype(dtype)
    fitted = PerSampleTemperature.fit(logits, labels)
    assert fitted(logits).dtype == np.promote_types(dtype, np.float32)
    wide = logits.astype(np.float64)
    reference = PerSampleTemperature.fit(wide + np.random.default_rng(2).normal(0, 10, (600, 1)), labels)
    order = np.random.default_rng(3).permutation(10)
    moved = PerSampleTemperature.fit(np.asfortranarray(wide[:, order]), np.argsort(order)[labels])
    for other in (reference, moved):
        assert (other.sure, other.unsure) == pytest.approx((fitted.sure, fitted.unsure), rel=1e-8)


def test_scales_with_the_logits():
    logits, labels = sample(n=600)
    plain, scaled = PerSampleTemperature.fit(logits, labels), PerSampleTemperature.fit(100 * logits, labels)
    assert (scaled.sure, scaled.unsure) == pytest.approx((100 * plain.sure, 100 * plain.unsure), rel=1e-8)


@pytest.mark.parametrize(("name", "gain"), [("cifar100_wrn16_4", 0.015), ("cifar10_lenet5", 0.0003)])
def test_helps_real_networks_on_held_out_rows(name, gain):
    path = DATA / "real_probs.npz"
    if not path.exists():
        pytest.skip("the shared data folder is not here")
    with np.load(path) as stored:
        logits, labels = stored[f"{name}_logp"].astype(np.float64), stored[f"{name}_label"].astype(np.int64)
    fit, test = slice(0, None, 2), slice(1, None, 2)
    fitted, plain = (method.fit(logits[fit], labels[fit]) for method in (PerSampleTemperature, Temperature))
    here, there = (metrics.nll_of_logits(f(logits[test]), labels[test]) for f in (fitted, plain))
    assert here < there - gain


@pytest.mark.parametrize("name", ["cifar10_wrn16_4", "cifar10_test_cv", "mnist_test_cv", "cifar100_lenet5"])
def test_two_hundred_rows_do_no_harm_on_real_networks(name):
    path = DATA / "real_probs.npz"
    if not path.exists():
        pytest.skip("the shared data folder is not here")
    with np.load(path) as stored:
        logits, labels = stored[f"{name}_logp"].astype(np.float64), stored[f"{name}_label"].astype(np.int64)
    worse = []
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(labels))
        fit, test = order[:200], order[5000:]
        fitted, plain = (method.fit(logits[fit], labels[fit]) for method in (PerSampleTemperature, Temperature))
        here, there = (metrics.nll_of_logits(f(logits[test]), labels[test]) for f in (fitted, plain))
        worse.append(here - there)
    assert np.mean(worse) < 0.001


def test_wrong_input_is_refused():
    logits, labels = sample(n=50)
    with pytest.raises(InputError, match="spread must be positive"):
        PerSampleTemperature.fit(logits, labels, spread=0.0)
    with pytest.raises(InputError, match="must lie in"):
        PerSampleTemperature.fit(logits, labels + 1)
    fitted = PerSampleTemperature.fit(logits, labels)
    with pytest.raises(InputError, match="fitted on 10 classes, got logits of 4"):
        fitted(logits[:, :4])
    with pytest.raises(InputError, match="temperatures must be positive"):
        dataclasses.replace(fitted, sure=-1.0)


def test_methods_lists_it():
    assert METHODS["per-sample-temperature"] is PerSampleTemperature
