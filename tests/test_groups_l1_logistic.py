"""The optimum of L1-penalised logistic regression: by hand, against scikit-learn's solvers, and by its certificate."""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from candid.errors import InputError
from candid.groups import C_GRID, l1_logistic_path


def rows(n=120, d=40, seed=0, noise=1.0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, d)) @ (np.eye(d) + 0.3 * random.normal(size=(d, d)))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = (x[:, :4].sum(axis=1) + noise * random.normal(size=n) + 0.7 > 0).astype(int)
    return x, y


def objective(x, y, w, b, c, *, penalised, s=None):
    losses = np.logaddexp(0, -(2 * y - 1) * (x @ w + b))
    return np.abs(w).sum() + penalised * abs(b) + c * (losses if s is None else s * losses).sum()


def liblinear(x, y, c, tol=1e-10, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(penalty="l1", solver="liblinear", C=c, tol=tol, max_iter=20000, **options).fit(x, y)
    return model.coef_[0], float(model.intercept_[0])


@pytest.mark.parametrize(("n", "d"), [(120, 40), (60, 200), (400, 8)])
def test_is_liblinears_optimum_at_all_seven_c(n, d):
    x, y = rows(n, d)
    for c, found in zip(C_GRID, l1_logistic_path(x, y, C_GRID, penalise_intercept=True), strict=True):
        w, b = liblinear(x, y, c)
        theirs = objective(x, y, w, b, c, penalised=True)
        assert found.objective <= theirs * (1 + 1e-9)
        assert found.objective == pytest.approx(theirs, rel=1e-6)
        assert found.objective == pytest.approx(
            objective(x, y, found.weights, found.bias, c, penalised=True), rel=1e-12
        )
        np.testing.assert_allclose(x @ found.weights + found.bias, x @ w + b, atol=2e-3)


def test_a_free_intercept_is_sagas_optimum():
    x, y = rows()
    for c, found in zip((1.0, 0.1), l1_logistic_path(x, y, [1.0, 0.1]), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            saga = LogisticRegression(penalty="l1", solver="saga", C=c, tol=1e-9, max_iter=50000).fit(x, y)
        np.testing.assert_allclose(found.weights, saga.coef_[0], atol=1e-4)
        assert found.bias == pytest.approx(float(saga.intercept_[0]), abs=1e-4)


@pytest.mark.parametrize("penalised", [False, True])
def test_the_certificate_is_the_subgradient_computed_afresh(penalised):
    x, y = rows(80, 100)
    for c, found in zip(C_GRID, l1_logistic_path(x, y, C_GRID, penalise_intercept=penalised), strict=True):
        slope = c * (expit(x @ found.weights + found.bias) - y)
        g = slope @ x
        used = found.weights != 0
        off = np.where(used, np.abs(g + np.sign(found.weights)), np.maximum(np.abs(g) - 1, 0)).max()
        if penalised and found.bias == 0:
            off = max(off, abs(slope.sum()) - 1)
        else:
            off = max(off, abs(slope.sum() + penalised * np.sign(found.bias)))
        assert found.kkt == pytest.approx(off, abs=1e-9)
        assert found.kkt <= 1e-6


@pytest.mark.parametrize("seed", range(12))
def test_columns_alike_scales_apart_and_rows_nearly_separable_are_solved(seed):
    random = np.random.default_rng(seed)
    n, d, rank = (int(random.integers(*span)) for span in ((8, 400), (1, 300), (1, 20)))
    x = random.normal(size=(n, rank)) @ random.normal(size=(rank, d))
    x += 10.0 ** random.integers(-6, 1) * random.normal(size=(n, d))
    x *= 10.0 ** random.integers(-2, 3)
    y = (x[:, 0] + 10.0 ** random.integers(-3, 2) * x.std() * random.normal(size=n) > np.median(x[:, 0])).astype(int)
    for c, found in zip(C_GRID, l1_logistic_path(x, y, C_GRID, penalise_intercept=True), strict=True):
        assert found.kkt <= 1e-4
        w, b = liblinear(x, y, c, tol=1e-4)
        assert found.objective <= objective(x, y, w, b, c, penalised=True) * (1 + 1e-9)


def test_labels_of_minus_one_and_one_are_those_of_nought_and_one():
    x, y = rows()
    one, two = (l1_logistic_path(x, labels, [0.3])[0] for labels in (y, 2 * y - 1))
    assert np.array_equal(one.weights, two.weights)


def test_one_weight_by_hand():
    # two rows at +-1: w solves 1 = 2 C sigmoid(-w), so w = log(2 C - 1)
    x, y = np.array([[-1.0], [1.0]]), np.array([0, 1])
    weak, strong = l1_logistic_path(x, y, [2.0, 0.5])
    assert weak.weights[0] == pytest.approx(np.log(3))
    assert strong.weights[0] == 0
    assert weak.bias == pytest.approx(0, abs=1e-9)


def test_weights_of_rows_are_rows_repeated():
    x, y = rows(60, 10)
    times = np.random.default_rng(1).integers(0, 4, 60)
    (weighted,) = l1_logistic_path(x, y, [0.3], sample_weight=times.astype(float))
    (repeated,) = l1_logistic_path(np.repeat(x, times, axis=0), np.repeat(y, times), [0.3])
    np.testing.assert_allclose(weighted.weights, repeated.weights, atol=1e-5)
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-10)


def test_separable_rows_and_equal_columns_have_an_optimum_too():
    x, y = rows(80, 30, noise=0.0)
    x = np.concatenate([x, x], axis=1)
    for found in l1_logistic_path(x, y, [1000.0, 1.0]):
        assert found.kkt <= 1e-6


def test_class_weights_up_to_a_thousand_are_solved():
    x, y = rows(200, 60)
    s = np.where(y == 1, 1000.0, 1.0)
    for c, found in zip(C_GRID, l1_logistic_path(x, y, C_GRID, sample_weight=s, penalise_intercept=True), strict=True):
        w, b = liblinear(x, y, c, tol=1e-8, class_weight={0: 1.0, 1: 1000.0})
        assert found.objective <= objective(x, y, w, b, c, penalised=True, s=s) * (1 + 1e-9)


def test_answers_come_in_the_order_asked_and_a_start_changes_nothing():
    x, y = rows()
    up = l1_logistic_path(x, y, [0.03, 0.3])
    down = l1_logistic_path(x, y, [0.3, 0.03])
    assert [each.objective for each in up] == [each.objective for each in down[::-1]]
    (again,) = l1_logistic_path(x, y, [0.3], start=l1_logistic_path(x, 1 - y, [1.0])[0])
    assert again.objective == pytest.approx(up[1].objective, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, y: (x, y * 0), "both present"),
        (lambda x, y: (x, y + 1), "labels 0 and 1"),
        (lambda x, y: (np.where(np.arange(len(x))[:, None] == 3, np.nan, x), y), "row 3 is not"),
        (lambda x, y: (x[:5], y), "one label a row"),
    ],
)
def test_bad_rows_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        l1_logistic_path(*change(*rows()), [1.0])


@pytest.mark.parametrize("grid", [[], [0.0], [-1.0], [float("nan")]])
def test_a_grid_holds_positive_c(grid):
    with pytest.raises(InputError, match="positive C"):
        l1_logistic_path(*rows(), grid)
