"""Isotonic calibration: pooled by hand, against scikit-learn and a naive PAV, and every edge of its input."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from candid import metrics
from candid.arrays import softmax
from candid.calibrate import METHODS, Isotonic, Temperature, isotonic
from candid.errors import InputError

DATA = Path(__file__).parents[2] / "shared" / "data"
VARIANTS = ["one-vs-rest", "multiclass", "top-label"]


def sample(n=2000, k=5, temperature=2.0, seed=0):
    """Logits and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = 3.0 * rng.normal(size=(n, k))
    return logits, (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)


def by_scikit_learn(x, hit, fresh, weights=None):
    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    return model.fit(x, hit.astype(float), sample_weight=weights).predict(fresh)


def naive_pav(values):
    """Pool adjacent violators on a list, one block at a time."""
    blocks = []
    for value in values:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (b, m), (a, n) = blocks.pop(), blocks.pop()
            blocks.append([(a * n + b * m) / (n + m), n + m])
    return [value for value, size in blocks for _ in range(size)]


def test_pooled_by_hand():
    # confidence 0.55 .. 0.95, right: 0 1 0 1 1 -> 0, 1/2, 1/2, 1, 1
    top = np.array([0.55, 0.65, 0.75, 0.85, 0.95])
    logits = np.log(np.stack([top, 1 - top], axis=1))
    fitted = Isotonic.fit(logits, np.array([1, 0, 1, 0, 0]), variant="top-label", smoothing=0.0)
    assert fitted.knots == pytest.approx([0.55, 0.65, 0.75, 0.85, 0.95])
    assert fitted.values.tolist() == [0, 0.5, 0.5, 1, 1]
    half_way = np.log([[0.7, 0.3], [0.8, 0.2]])
    assert fitted(half_way)[:, 0] == pytest.approx([0.5 + 1e-9, 0.75], abs=2e-9)


@pytest.mark.parametrize("digits", [1, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_vs_rest_equals_scikit_learn(weighted, digits):
    logits, labels = sample()
    logits = logits.round(digits)  # one digit: tied rows
    weights = np.random.default_rng(1).random(1000) if weighted else None
    probs, fresh = softmax(logits[:1000]), softmax(logits[1000:])
    columns = [by_scikit_learn(probs[:, k], labels[:1000] == k, fresh[:, k], weights) for k in range(5)]
    raw = np.stack(columns, axis=1)
    expected = np.where(raw.sum(1, keepdims=True) > 0, raw / np.maximum(raw.sum(1, keepdims=True), 1e-300), 0.2)
    fitted = Isotonic.fit(logits[:1000], labels[:1000], weights, variant="one-vs-rest", smoothing=0.0)
    assert fitted(logits[1000:]) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("digits", [1, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_multiclass_equals_scikit_learn_on_all_pairs(weighted, digits):
    logits, labels = sample()
    logits = logits.round(digits)
    weights = np.random.default_rng(1).random(1000) if weighted else None
    probs, fresh = softmax(logits[:1000]), softmax(logits[1000:])
    hit = labels[:1000, None] == np.arange(5)
    repeated = None if weights is None else np.repeat(weights, 5)
    raw = by_scikit_learn(probs.ravel(), hit.ravel(), fresh.ravel(), repeated).reshape(fresh.shape) + 1e-9 * fresh
    fitted = Isotonic.fit(logits[:1000], labels[:1000], weights, variant="multiclass", smoothing=0.0)
    assert fitted(logits[1000:]) == pytest.approx(raw / raw.sum(axis=1, keepdims=True), abs=1e-11)


def test_top_label_equals_scikit_learn_on_confidence():
    logits, labels = sample(n=2000, temperature=3.0)
    probs, fresh = softmax(logits[:1000]), softmax(logits[1000:])
    expected = by_scikit_learn(probs.max(1), probs.argmax(1) == labels[:1000], fresh.max(1))
    fitted = Isotonic.fit(logits[:1000], labels[:1000], variant="top-label", smoothing=0.0)(logits[1000:])
    assert fitted.max(axis=1) == pytest.approx(np.maximum(expected, 0.2), abs=1e-9)
    assert (fitted.argmax(axis=1) == fresh.argmax(axis=1)).all()


def test_top_label_leaves_the_other_classes_the_proportions_of_the_best_temperature():
    logits, labels = sample(n=4000, temperature=1.5)
    calibrator = Isotonic.fit(logits, labels, variant="top-label", smoothing=0.0)
    assert calibrator.temperature == Temperature.fit(logits, labels).value
    probs, fitted = softmax(logits, temperature=calibrator.temperature), calibrator(logits)
    order = np.argsort(probs, axis=1)
    second, third = order[:, -2], order[:, -3]
    here = np.arange(len(probs))
    room = fitted[here, second] < fitted.max(axis=1) * (1 - 1e-6)  # a runner-up held down no longer has its proportion
    room &= fitted.max(axis=1) < 1
    assert room.mean() > 0.5
    here, second, third = here[room], second[room], third[room]
    expected = probs[here, second] / probs[here, third]
    assert fitted[here, second] / fitted[here, third] == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 40))
@settings(max_examples=30)
def test_the_fit_on_its_own_rows_is_the_naive_pav(seed, n):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 2))
    labels = rng.integers(2, size=n)
    fitted = Isotonic.fit(logits, labels, variant="one-vs-rest", smoothing=0.0)
    p = softmax(logits)[:, 1]
    order = np.argsort(p)
    here = slice(fitted.starts[1], fitted.starts[2])
    assert np.interp(p[order], fitted.knots[here], fitted.values[here]) == pytest.approx(naive_pav(labels[order] * 1.0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_of_whole_numbers_are_repeated_rows(variant):
    logits, labels = sample(n=300, k=3)
    times = np.random.default_rng(1).integers(0, 4, size=300)
    weighted = Isotonic.fit(logits, labels, times.astype(float), variant=variant, smoothing=0.0)
    twice = np.repeat(logits, times, axis=0), np.repeat(labels, times)
    assert weighted(logits) == pytest.approx(Isotonic.fit(*twice, variant=variant, smoothing=0.0)(logits))


@pytest.mark.parametrize("weighted", [False, True])
def test_levels_are_the_exact_fit_to_a_ten_thousandth(monkeypatch, weighted):
    logits, labels = sample(n=4000, k=10)
    weights = np.random.default_rng(3).random(4000) if weighted else None
    exact = Isotonic.fit(logits, labels, weights)(logits)
    monkeypatch.setattr(isotonic, "EXACT_CELLS", 0)
    pooled = Isotonic.fit(logits, labels, weights)(logits)
    assert np.abs(pooled - exact).mean() < 1e-4
    assert metrics.nll(pooled, labels) == pytest.approx(metrics.nll(exact, labels), abs=1e-4)


def test_levels_do_not_move_probabilities_that_repeat(monkeypatch):
    logits, labels = sample(n=500, k=3)
    logits = np.clip(logits.round(), -1, 1)  # a dozen probabilities, far apart
    exact = Isotonic.fit(logits, labels)(logits)
    monkeypatch.setattr(isotonic, "EXACT_CELLS", 0)
    assert Isotonic.fit(logits, labels)(logits) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), k=st.integers(2, 6), grid=st.sampled_from([0, 1, 8]))
@settings(max_examples=30)
def test_any_data_give_probabilities_above_zero_in_any_order_of_rows(variant, seed, n, k, grid):
    rng = np.random.default_rng(seed)
    logits = np.round(rng.standard_t(2, size=(n, k)), grid)
    labels = rng.integers(k, size=n)
    masked = rng.random((n, k)) < 0.2
    masked[np.arange(n), labels] = False
    logits[masked] = -np.inf
    fitted = Isotonic.fit(logits, labels, variant=variant)
    probs = fitted(logits)
    assert probs.sum(axis=1) == pytest.approx(1)
    assert ((probs > 0) == ~masked).all()
    order = rng.permutation(n)
    again = Isotonic.fit(logits[order], labels[order], variant=variant)
    assert again.knots == pytest.approx(fitted.knots)
    assert again.values == pytest.approx(fitted.values)


@pytest.mark.parametrize("variant", VARIANTS)
def test_adding_a_constant_to_rows_and_renaming_classes_change_nothing(variant):
    logits, labels = sample()
    probs = Isotonic.fit(logits, labels, variant=variant)(logits)
    shifted = logits + np.random.default_rng(2).normal(0, 10, (len(logits), 1))
    assert Isotonic.fit(shifted, labels, variant=variant)(shifted) == pytest.approx(probs)
    order = np.array([3, 0, 4, 1, 2])
    renamed = Isotonic.fit(logits[:, order], np.argsort(order)[labels], variant=variant)
    assert renamed(logits[:, order]) == pytest.approx(probs[:, order])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_column_at_minus_infinity_is_a_class_that_is_not_there(variant):
    logits, labels = sample(k=4)
    wide = np.insert(logits, 2, -np.inf, axis=1)
    probs = Isotonic.fit(wide, labels + (labels >= 2), variant=variant)(wide)
    assert not probs[:, 2].any()
    expected = Isotonic.fit(logits, labels, variant=variant)(logits)
    assert np.delete(probs, 2, axis=1) == pytest.approx(expected)


def test_a_class_never_on_offer_in_the_fit_keeps_its_probability():
    logits, labels = sample(k=4)
    wide = np.insert(logits, 4, -np.inf, axis=1)
    fitted = Isotonic.fit(wide, labels, variant="one-vs-rest")
    assert fitted.knots[fitted.starts[4] :].tolist() == fitted.values[fitted.starts[4] :].tolist() == [0, 1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_class_without_labels_stays_possible(variant):
    logits, labels = sample(n=500, k=3)
    labels[labels == 2] = 0
    probs = Isotonic.fit(logits, labels, variant=variant)(logits)
    assert probs.min() > 1e-4
    assert np.isfinite(metrics.nll(probs, np.full(500, 2)))


def test_one_vs_rest_zeros_are_what_smoothing_is_for():
    logits, labels = sample(n=2000, k=20)
    fit, test = slice(0, 1000), slice(1000, None)
    textbook = Isotonic.fit(logits[fit], labels[fit], variant="one-vs-rest", smoothing=0.0)(logits[test])
    assert (textbook[np.arange(1000), labels[test]] == 0).any()
    probs = Isotonic.fit(logits[fit], labels[fit], variant="one-vs-rest")(logits[test])
    assert np.isfinite(metrics.nll(probs, labels[test]))


@pytest.mark.parametrize("variant", ["multiclass", "top-label"])
def test_the_prediction_stays(variant):
    logits, labels = sample(temperature=20.0)
    probs = Isotonic.fit(logits, labels, variant=variant)(logits)
    assert (probs.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_multiclass_keeps_the_order_of_all_classes():
    logits, labels = sample(n=500)
    probs = Isotonic.fit(logits, labels, variant="multiclass")(logits)
    order = np.argsort(logits, axis=1)
    assert (np.diff(np.take_along_axis(probs, order, axis=1), axis=1) >= 0).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_precision_and_layout_gives_float64(variant, dtype):
    logits, labels = sample()
    logits = logits.astype(dtype)
    fitted = Isotonic.fit(logits, labels, variant=variant)
    wide = Isotonic.fit(logits.astype(np.float64), labels, variant=variant)
    assert fitted(logits).dtype == np.float64
    assert fitted(logits) == pytest.approx(wide(logits.astype(np.float64)))
    turned = np.asfortranarray(logits)
    assert Isotonic.fit(turned, labels, variant=variant)(turned) == pytest.approx(fitted(logits))


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_row_constant_and_separable_logits_have_answers(variant):
    one = Isotonic.fit(np.array([[1.0, 0.0]]), np.array([0]), variant=variant)
    assert one(np.array([[1.0, 0.0]])) == pytest.approx(np.array([[0.75, 0.25]]))
    flat = np.zeros((200, 4))
    quarter = Isotonic.fit(flat, np.arange(200) % 4, variant=variant)(flat)
    assert quarter == pytest.approx(0.25)
    sure = 50.0 * np.eye(3)[np.arange(300) % 3]
    fitted = Isotonic.fit(sure, np.arange(300) % 3, variant=variant)
    assert fitted(sure).max(axis=1) == pytest.approx(1 - 1 / 301 * 2 / 3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_calibrates_what_was_overconfident(variant):
    logits, labels = sample(n=20_000, temperature=3.0)
    fitted = Isotonic.fit(logits[:10_000], labels[:10_000], variant=variant)
    before = metrics.ece(softmax(logits[10_000:]), labels[10_000:])
    assert metrics.ece(fitted(logits[10_000:]), labels[10_000:]) < 0.03 < 0.15 < before


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["cifar10_lenet5", "cifar10_wrn16_4", "cifar100_wrn16_4"])
def test_real_networks_are_repaired(name, variant):
    path = DATA / "real_probs.npz"
    if not path.exists():
        pytest.skip("the shared data folder is not here")
    with np.load(path) as stored:
        if f"{name}_logp" not in stored:
            pytest.skip(f"{name} is not in the data")
        logits, labels = stored[f"{name}_logp"].astype(np.float64), stored[f"{name}_label"].astype(np.int64)
    fit, test = slice(0, None, 2), slice(1, None, 2)
    probs = Isotonic.fit(logits[fit], labels[fit], variant=variant)(logits[test])
    before = metrics.ece(softmax(logits[test]), labels[test])
    assert metrics.ece(probs, labels[test]) < max(0.8 * before, 0.02)


def test_the_fit_copies_no_logits(monkeypatch):
    monkeypatch.setattr(isotonic, "EXACT_CELLS", 0)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 200)).astype(np.float32)
    labels = rng.integers(200, size=20_000)
    for variant in VARIANTS:
        tracemalloc.start()
        Isotonic.fit(logits, labels, variant=variant)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.2 * logits.nbytes  # blocks of 8 MB, their sort and masks; float64 copies would start at 2


def test_wrong_input_is_refused():
    logits, labels = sample(n=50)
    fit = getattr(Isotonic.fit, "__wrapped__", Isotonic.fit)  # without the suite's type checks
    with pytest.raises(InputError, match="did you mean multiclass"):
        fit(logits, labels, variant="multi-class")
    with pytest.raises(InputError, match="smoothing must lie in"):
        Isotonic.fit(logits, labels, smoothing=1.0)
    with pytest.raises(InputError, match="must lie in"):
        Isotonic.fit(logits, labels + 1)
    with pytest.raises(InputError, match="weights must be 50"):
        Isotonic.fit(logits, labels, np.full(50, np.nan))
    hidden = logits.copy()
    hidden[7, labels[7]] = -np.inf
    with pytest.raises(InputError, match="of row 7 has logit -inf"):
        Isotonic.fit(hidden, labels)
    for variant in VARIANTS:
        with pytest.raises(InputError, match="fitted on 5 classes, got logits of 4"):
            Isotonic.fit(logits, labels, variant=variant)(logits[:, :4])


def test_methods_lists_it():
    assert METHODS["isotonic"] is Isotonic
