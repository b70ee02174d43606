"""What every calibrator that fits on labels promises. A row in `calibrate.METHODS` enrols a method here by its name."""

import dataclasses
import inspect
import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from candid import calibrate
from candid.arrays import softmax
from candid.errors import InputError, NoOptimum

NAMES = sorted(name for name, method in calibrate.METHODS.items() if method.needs == "labels")
ANY_K = {"temperature", "ensemble-temperature"}  # what they learn does not depend on the number of classes
every = pytest.mark.parametrize("name", NAMES)


def sample(n=400, k=5, *, temperature=1.7, spread=3.0, seed=0):
    """Over-confident logits and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(n, k))
    return logits, (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)


@cache
def fitted(name):
    """The method fitted on the common sample."""
    return calibrate.METHODS[name].fit(*sample())


def probs_of(calibrator, logits):
    """Its probabilities, whichever it returns."""
    out = calibrator(logits)
    return softmax(out) if calibrator.returns == "logits" else out


def check(probs, logits):
    """Rows are distributions over the classes on offer, and none of these has probability 0."""
    assert probs.dtype == np.float64
    assert probs.shape == logits.shape
    assert np.isfinite(probs).all()
    assert probs.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    offered = ~np.isneginf(logits)
    assert (probs[offered] > 0).all()
    assert (probs[~offered] == 0).all()


def fit_or_verdict(name, logits, labels):
    """A valid fit, or None where the method says that there is no optimum and which way it runs off."""
    try:
        calibrator = calibrate.METHODS[name].fit(logits, labels)
    except NoOptimum as none:
        if not none.verdict:
            raise
        return None
    check(probs_of(calibrator, logits), logits)
    return calibrator


@every
def test_says_what_it_returns_needs_and_when_to_prefer_it(name):
    method = calibrate.METHODS[name]
    assert method.returns in ("logits", "probs")
    assert method.prefer.endswith(".")
    assert "\n" not in method.prefer
    assert getattr(calibrate, method.__name__) is method
    assert method.__name__ in calibrate.__all__
    assert list(inspect.signature(method.fit).parameters)[:3] == ["logits", "labels", "weights"]


@every
def test_rows_are_distributions_without_a_zero(name):
    logits, _ = sample(n=300, seed=1)
    check(probs_of(fitted(name), logits), logits)


@every
def test_a_class_far_behind_still_has_a_probability(name):
    if fitted(name).returns == "probs":
        logits = np.array([[3000.0, 0.0, 0.0, -3000.0, 1.0], [1.0, 2.0, 3.0, 4.0, 5e6]])
        check(fitted(name)(logits), logits)


@every
def test_masked_columns_are_as_if_they_were_not_there(name):
    logits, labels = sample(k=7)
    keep = labels < 4
    logits, labels = logits[keep], labels[keep]
    masked = logits.copy()
    masked[:, 4:] = -np.inf
    whole = probs_of(calibrate.METHODS[name].fit(masked, labels), masked)
    part = probs_of(calibrate.METHODS[name].fit(logits[:, :4], labels), logits[:, :4])
    assert (whole[:, 4:] == 0).all()
    assert whole[:, :4] == pytest.approx(part, abs=1e-7)


@every
def test_masks_may_differ_from_row_to_row(name):
    logits, labels = sample(k=6)
    mask = np.random.default_rng(3).random(logits.shape) < 0.3
    mask[np.arange(len(labels)), labels] = False
    masked = np.where(mask, -np.inf, logits)
    assert fit_or_verdict(name, masked, labels) is not None


@every
def test_a_row_with_one_class_on_offer_is_certain(name):
    logits = np.full((1, 5), -np.inf)
    logits[0, 2] = 1.5
    assert probs_of(fitted(name), logits)[0, 2] == 1.0


@every
def test_a_class_without_a_row_stays_possible(name):
    logits, labels = sample(k=6)
    keep = labels != 3
    fit_or_verdict(name, logits[keep], labels[keep])


@every
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_few_rows_give_a_fit_or_a_verdict(name, n):
    logits, labels = sample(n=n)
    calibrator = fit_or_verdict(name, logits, labels)
    if calibrator is not None:
        many, _ = sample(n=50, seed=4)
        check(probs_of(calibrator, many), many)


@every
def test_two_classes_are_enough(name):
    assert fit_or_verdict(name, *sample(k=2)) is not None


@every
@pytest.mark.parametrize("value", [0.0, -7.3])
def test_constant_logits_give_a_fit_or_a_verdict(name, value):
    fit_or_verdict(name, np.full((6, 3), value), np.array([0, 1, 2, 0, 1, 0]))


@every
def test_separable_rows_give_a_fit_or_a_verdict(name):
    logits, _ = sample()
    fit_or_verdict(name, logits, logits.argmax(axis=1))


@every
def test_labels_that_run_against_the_logits_give_a_fit_or_a_verdict(name):
    logits, _ = sample()
    fit_or_verdict(name, logits, logits.argmin(axis=1))


@every
def test_tied_rows_are_treated_alike(name):
    logits = np.repeat(np.round(sample(n=20)[0]), 10, axis=0)
    labels = np.random.default_rng(0).integers(5, size=200)
    labels[::2] = logits[::2].argmax(axis=1)
    calibrator = fit_or_verdict(name, logits, labels)
    probs = probs_of(calibrator, logits).reshape(20, 10, 5)
    assert probs == pytest.approx(np.broadcast_to(probs[:, :1], probs.shape), abs=1e-12)


@every
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_precision_of_the_logits_does_not_matter(name, dtype):
    logits, labels = sample()
    narrow = logits.astype(dtype)
    wide = narrow.astype(np.float64)
    method = calibrate.METHODS[name]
    here, there = method.fit(narrow, labels), method.fit(wide, labels)
    assert probs_of(here, narrow) == pytest.approx(probs_of(there, wide), abs=1e-6)


@every
def test_layout_in_memory_does_not_matter(name):
    logits, labels = sample()
    wide = np.zeros((400, 10))
    wide[:, ::2] = logits
    expected = probs_of(fitted(name), logits)
    for view in (np.asfortranarray(logits), wide[:, ::2]):
        assert probs_of(calibrate.METHODS[name].fit(view, labels), view) == pytest.approx(expected, abs=1e-7)


@every
def test_adding_a_constant_to_a_row_changes_nothing(name):
    logits, labels = sample()
    shifted = logits + np.random.default_rng(1).normal(0, 50, (len(logits), 1))
    expected = probs_of(fitted(name), logits)
    assert probs_of(fitted(name), shifted) == pytest.approx(expected, abs=1e-9)
    assert probs_of(calibrate.METHODS[name].fit(shifted, labels), logits) == pytest.approx(expected, abs=1e-6)


@every
def test_order_of_the_classes_does_not_matter(name):
    logits, labels = sample()
    order = np.array([3, 0, 4, 1, 2])
    moved = calibrate.METHODS[name].fit(logits[:, order], np.argsort(order)[labels])
    assert probs_of(moved, logits[:, order]) == pytest.approx(probs_of(fitted(name), logits)[:, order], abs=1e-6)


@every
def test_order_of_the_rows_does_not_matter(name):
    logits, labels = sample()
    order = np.random.default_rng(2).permutation(len(labels))
    moved = calibrate.METHODS[name].fit(logits[order], labels[order])
    assert probs_of(moved, logits) == pytest.approx(probs_of(fitted(name), logits), abs=1e-6)


@every
def test_rows_are_calibrated_one_by_one(name):
    logits, _ = sample(n=30, seed=5)
    assert probs_of(fitted(name), logits[7:9]) == pytest.approx(probs_of(fitted(name), logits)[7:9], abs=1e-12)


@every
def test_a_weight_of_zero_is_without_the_row_and_equal_weights_are_none(name):
    logits, labels = sample()
    method, weights = calibrate.METHODS[name], np.ones(len(labels))
    same = method.fit(logits, labels, weights)
    assert probs_of(same, logits) == pytest.approx(probs_of(fitted(name), logits), abs=1e-6)
    weights[::4] = 0.0
    keep = weights > 0
    part = method.fit(logits[keep], labels[keep])
    assert probs_of(method.fit(logits, labels, weights), logits) == pytest.approx(probs_of(part, logits), abs=1e-6)


@every
def test_weights_move_the_fit(name):
    logits, labels = sample()
    right = logits.argmax(axis=1) == labels
    sure = calibrate.METHODS[name].fit(logits, labels, np.where(right, 3.0, 1.0))
    assert probs_of(sure, logits).max(axis=1).mean() > probs_of(fitted(name), logits).max(axis=1).mean() + 0.01


@every
@pytest.mark.parametrize("weights", [[1.0, np.nan], [1.0, -1.0], [0.0, 0.0]])
def test_weights_that_are_not_weights_are_refused(name, weights):
    logits, labels = sample()
    with pytest.raises(InputError, match="weights must be 400"):
        calibrate.METHODS[name].fit(logits, labels, np.tile(weights, 200))


@every
def test_logits_over_other_classes_are_refused(name):
    logits, _ = sample(n=10, k=6)
    if name in ANY_K:
        check(probs_of(fitted(name), logits), logits)
    else:
        with pytest.raises(InputError, match="5 classes"):
            fitted(name)(logits)


@every
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_no_softmax_can_use_are_refused(name, value):
    logits, labels = sample()
    logits[3, 1] = value
    with pytest.raises(InputError, match="row 3"):
        calibrate.METHODS[name].fit(logits, labels)
    with pytest.raises(InputError, match="row 3"):
        fitted(name)(logits)


@every
def test_a_row_of_only_masked_classes_is_refused(name):
    logits, labels = sample()
    logits[3] = -np.inf
    with pytest.raises(InputError, match="row 3"):
        calibrate.METHODS[name].fit(logits, labels)
    with pytest.raises(InputError, match="row 3"):
        fitted(name)(logits)


@every
def test_labels_that_do_not_fit_the_logits_are_refused(name):
    logits, labels = sample()
    fit = calibrate.METHODS[name].fit
    with pytest.raises(InputError, match="must lie in"):
        fit(logits, labels + 1)
    masked = logits.copy()
    masked[7, labels[7]] = -np.inf
    with pytest.raises(InputError, match="row 7"):
        fit(masked, labels)


@every
def test_a_fit_without_rows_is_refused(name):
    with pytest.raises(InputError):
        calibrate.METHODS[name].fit(np.empty((0, 5)), np.empty(0, dtype=int))


@every
def test_a_fit_survives_arrays_and_json(name):
    calibrator, logits = fitted(name), sample(n=30, seed=6)[0]
    values = {field.name: getattr(calibrator, field.name) for field in dataclasses.fields(calibrator)}
    arrays = {key: value.copy() for key, value in values.items() if isinstance(value, np.ndarray)}
    assert all(array.dtype.kind in "fiub" for array in arrays.values())
    plain = {key: value for key, value in values.items() if key not in arrays}
    assert {type(value) for value in plain.values()} <= {float, int, str, bool}
    again = type(calibrator)(**arrays, **json.loads(json.dumps(plain, allow_nan=False)))
    assert (again(logits) == calibrator(logits)).all()


@every
def test_a_fit_is_the_same_twice_and_leaves_the_global_generator_alone(name):
    state = np.random.get_state()[1].copy()
    logits, labels = sample()
    once, twice = (calibrate.METHODS[name].fit(logits, labels) for _ in range(2))
    assert (once(logits) == twice(logits)).all()
    assert (np.random.get_state()[1] == state).all()


@every
def test_a_fit_is_frozen(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(fitted(name), dataclasses.fields(fitted(name))[0].name, 1.0)


@every
def test_input_is_not_changed(name):
    logits, labels = sample()
    kept, weights = logits.copy(), np.ones(len(labels))
    for array in (logits, labels, weights):
        array.setflags(write=False)
    calibrate.METHODS[name].fit(logits, labels, weights)(logits)
    assert (logits == kept).all()


@every
def test_over_confident_logits_become_better(name):
    logits, labels = sample(n=4000, seed=8)
    calibrator = calibrate.METHODS[name].fit(logits[:2000], labels[:2000])
    rows, truth = np.arange(2000), labels[2000:]
    before = -np.log(softmax(logits[2000:])[rows, truth]).mean()
    assert -np.log(probs_of(calibrator, logits[2000:])[rows, truth]).mean() < before - 0.05


@every
@given(data=st.data())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_any_rows_give_a_fit_or_a_verdict(name, data):
    n, k = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    cells = st.sampled_from([0.0, 1.0, -1.0, 0.5, 7.0, -30.0, 200.0, -np.inf])
    logits = data.draw(hnp.arrays(np.float64, (n, k), elements=cells))
    labels = data.draw(hnp.arrays(np.int64, n, elements=st.integers(0, k - 1)))
    logits[np.arange(n), labels] = np.where(
        np.isneginf(logits[np.arange(n), labels]), 0.0, logits[np.arange(n), labels]
    )
    fit_or_verdict(name, logits, labels)
