"""Distance-aware calibration: factors by hand, against a loop over classes, and every refusal."""

import numpy as np
import pytest

from candid.arrays import softmax
from candid.calibrate import METHODS, DistanceAware
from candid.errors import InputError


def units(n, d=16, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def turned(rows, by, seed=1):
    """The same rows, moved and made unit again."""
    moved = rows + by * units(*rows.shape, seed=seed)
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def factor_of(new_zero_shot, new_tuned, base_zero_shot, base_tuned, neighbours):
    """One class at a time, as the definition reads."""
    out = []
    for before, after in zip(new_zero_shot, new_tuned, strict=True):
        plain = sorted(np.linalg.norm(base_zero_shot - before, axis=1))[:neighbours]
        tuned = sorted(np.linalg.norm(base_tuned - after, axis=1))[:neighbours]
        out.append(1.0 if tuned[0] < 0.05 else np.exp(-np.mean(tuned)) / np.exp(-np.mean(plain)))
    return np.array(out)


def test_factors_by_hand():
    # class 0 stays at distance sqrt(2 - 2 cos) from both; class 1 moves from on top of base 0 to opposite it
    base = np.eye(3)[:2]
    before = np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    after = np.array([[0.6, 0.8, 0.0], [-1.0, 0.0, 0.0]])
    fitted = DistanceAware.fit(base, base, before, after, neighbours=2)
    # class 1: sqrt(2) from both before; 2 and sqrt(2) after
    assert fitted.factors == pytest.approx([1.0, np.exp(2**0.5 - (2 + 2**0.5) / 2)])


@pytest.mark.parametrize("neighbours", [1, 5, 12])
def test_factors_are_the_loop_over_classes(neighbours):
    base, new = units(12), units(30, seed=2)
    base_tuned, new_tuned = turned(base, 0.5), turned(new, 0.8, seed=3)
    new_tuned[4] = base_tuned[7]  # a class that was tuned on
    fitted = DistanceAware.fit(base, base_tuned, new, new_tuned, neighbours=neighbours)
    assert fitted.factors == pytest.approx(factor_of(new, new_tuned, base, base_tuned, neighbours), rel=1e-12)
    assert fitted.factors[4] == 1.0


def test_five_neighbours_unless_said():
    base, new = units(12), units(3, seed=2)
    given = DistanceAware.fit(base, turned(base, 0.5), new, turned(new, 0.5), neighbours=5)
    assert (DistanceAware.fit(base, turned(base, 0.5), new, turned(new, 0.5)).factors == given.factors).all()


@pytest.mark.parametrize(("near", "factor"), [(0.0499, 1.0), (0.0501, None)])
def test_classes_nearer_than_a_twentieth_to_a_tuned_one_are_left_alone(near, factor):
    base = np.eye(4)[:3]
    angle = 2 * np.arcsin(near / 2)
    after = np.array([[np.cos(angle), np.sin(angle), 0.0, 0.0]])
    fitted = DistanceAware.fit(base, base, np.array([[0.0, 0.0, 0.0, 1.0]]), after, neighbours=1)
    assert fitted.factors[0] == pytest.approx(factor or np.exp(2**0.5 - near), rel=1e-6)


def test_does_nothing_without_tuning():
    base, new = units(8), units(20, seed=2)
    fitted = DistanceAware.fit(base, base, new, new)
    assert fitted.factors == pytest.approx(1.0)
    logits = np.random.default_rng(0).normal(size=(5, 20))
    assert fitted(logits) == pytest.approx(logits)


def test_scales_the_row_by_the_factor_of_its_highest_class():
    fitted = DistanceAware(np.array([0.5, 2.0, 1.0]))
    logits = np.array([[4.0, 2.0, 0.0], [1.0, 2.0, 0.0], [0.0, 1.0, 2.0], [0.0, 1.0, -np.inf]])
    expected = [[2.0, 1.0, 0.0], [2.0, 4.0, 0.0], [0.0, 1.0, 2.0], [0.0, 2.0, -np.inf]]
    assert fitted(logits).tolist() == expected
    assert logits[0, 0] == 4.0  # its own is left alone


def test_a_class_moved_away_loses_confidence_and_no_prediction_changes():
    base, new = units(10), units(6, seed=2)
    away = new - base.mean(axis=0) * 3
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    fitted = DistanceAware.fit(base, base, new, away)
    assert (fitted.factors < 1).all()
    logits = np.random.default_rng(0).normal(size=(50, 6)) * 4
    probs = softmax(fitted(logits))
    assert (probs.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert (probs.max(axis=1) < softmax(logits).max(axis=1)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_keeps_the_precision_and_ignores_a_constant_in_a_row(dtype):
    fitted = DistanceAware(np.array([0.5, 2.0, 1.0]))
    logits = np.random.default_rng(0).normal(size=(40, 3)).round(2).astype(dtype)
    assert fitted(logits).dtype == np.promote_types(dtype, np.float32)
    moved = logits + np.array(2.0, dtype=dtype)
    assert softmax(fitted(moved)) == pytest.approx(softmax(fitted(logits)), abs=5e-3 if dtype is np.float16 else 1e-6)


def test_order_of_the_classes_and_of_the_base_does_not_matter():
    base, new = units(9), units(7, seed=2)
    base_tuned, new_tuned = turned(base, 0.5), turned(new, 0.8, seed=3)
    factors = DistanceAware.fit(base, base_tuned, new, new_tuned).factors
    order, other = np.random.default_rng(0).permutation(7), np.random.default_rng(1).permutation(9)
    moved = DistanceAware.fit(base[other], base_tuned[other], new[order], new_tuned[order]).factors
    assert moved == pytest.approx(factors[order])


def test_float32_features_of_thousands_of_classes_are_distances_to_rounding():
    base, new = units(300, d=64).astype(np.float32), units(2000, d=64, seed=2).astype(np.float32)
    fitted = DistanceAware.fit(base, turned(base, 0.3).astype(np.float32), new, turned(new, 0.3).astype(np.float32))
    some = factor_of(new[:50], turned(new, 0.3).astype(np.float32)[:50], base, turned(base, 0.3).astype(np.float32), 5)
    assert fitted.factors[:50] == pytest.approx(some, rel=1e-6)


def test_wrong_input_is_refused():
    base, new = units(8), units(3, seed=2)
    fit = getattr(DistanceAware.fit, "__wrapped__", DistanceAware.fit)  # without the suite's type checks
    with pytest.raises(InputError, match="rows of new_tuned must have length 1, row 1 has 2"):
        DistanceAware.fit(base, base, new, new * np.array([[1.0], [2.0], [1.0]]))
    with pytest.raises(InputError, match="rows of base_zero_shot must have length 1, row 0 has nan"):
        DistanceAware.fit(base * np.nan, base, new, new)
    with pytest.raises(InputError, match="one base row a class before and after, got 8, 7"):
        fit(base, base[:7], new, new)
    for neighbours in (0, 9):
        with pytest.raises(InputError, match=f"between 1 and the number of base classes, 8, got {neighbours}"):
            DistanceAware.fit(base, base, new, new, neighbours=neighbours)
    with pytest.raises(InputError, match="one row of floating-point features a class"):
        DistanceAware.fit(base, base, new[:0], new[:0])
    with pytest.raises(InputError, match="fitted on 3 classes, got logits of 4"):
        DistanceAware.fit(base, base, new, new)(np.zeros((2, 4)))


def test_methods_lists_it_as_needing_text():
    assert METHODS["distance-aware"] is DistanceAware
    assert (DistanceAware.needs, DistanceAware.returns) == ("text", "logits")
