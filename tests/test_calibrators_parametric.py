"""Parametric calibrators: optima that other solvers find, truths recovered, verdicts, certificates, real networks."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logsumexp, softmax
from sklearn.linear_model import LogisticRegression

from candid import metrics
from candid.calibrate import (
    METHODS,
    Beta,
    BiasCorrected,
    Dirichlet,
    EnsembleTemperature,
    Matrix,
    Structured,
    Temperature,
    Vector,
)
from candid.calibrate.simplex import minimise_quadratic
from candid.errors import InputError, NoOptimum

REAL = Path(__file__).parents[2] / "shared" / "data" / "real_probs.npz"
RIDGED = ["beta", "bias-corrected", "dirichlet", "matrix", "structured", "vector"]
SOFTMAX = [name for name in RIDGED if name != "beta"]


def sample(n=600, k=4, *, temperature=1.7, seed=0):
    """Logits and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(n, k))
    return logits, draw(logits / temperature, rng)


def draw(logits, rng):
    """Labels from softmax(logits)."""
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def centre(logits):
    return logits - logits.mean(axis=1, keepdims=True)


def nll(scores, labels, weights):
    """Mean negative log-likelihood of softmax(scores), written out."""
    each = logsumexp(scores, axis=1) - scores[np.arange(len(labels)), labels]
    return np.average(each, weights=weights)


def written_out(name, logits, labels, weights, ridge):
    """The objective of a method as its docstring states it, how a flat parameter is read, and its size."""
    k = logits.shape[1]
    beta = 1 / Temperature.fit(logits, labels, weights).value

    def vector(theta):
        scale, bias = theta[:k], theta[k:]
        pull = ((scale / beta - 1) ** 2).sum() + (bias**2).sum()
        return nll(centre(logits) * scale + bias, labels, weights) + ridge * pull

    def bias_corrected(theta):
        pull = (theta[0] / beta - 1) ** 2 + (theta[1:] ** 2).sum()
        return nll(theta[0] * logits + theta[1:], labels, weights) + ridge * pull

    def affine(x, theta, unit, across):
        matrix, bias = theta[: k * k].reshape(k, k), theta[k * k :]
        v = matrix / unit - np.eye(k)
        diagonal = (np.diag(v) ** 2).sum()
        pull = ridge * (diagonal + (bias**2).sum()) + across * ((v**2).sum() - diagonal)
        return nll(x @ matrix.T + bias, labels, weights) + pull

    affine_of = {
        "matrix": lambda theta: affine(centre(logits), theta, beta, 3 * ridge),
        "dirichlet": lambda theta: affine(log_softmax(logits, axis=1), theta, beta, 3 * ridge),
        "structured": lambda theta: affine(log_softmax(beta * logits, axis=1), theta, 1.0, (k - 1) * ridge),
    }
    if name in affine_of:
        start = np.append((1.0 if name == "structured" else beta) * np.eye(k).ravel(), np.zeros(k))
        return affine_of[name], start
    if name == "vector":
        return vector, np.append(np.full(k, beta), np.zeros(k))
    return bias_corrected, np.append(beta, np.zeros(k))


def parameters(name, fitted):
    """The flat parameter of `written_out`."""
    if name == "vector":
        return np.append(fitted.scale, fitted.bias)
    if name == "bias-corrected":
        return np.append(fitted.beta, fitted.bias)
    matrix = fitted.off_diagonal + np.diag(fitted.scale) if name == "structured" else fitted.matrix
    return np.append(matrix.ravel(), fitted.bias)


def fit(name, logits, labels, weights=None, *, ridge):
    """A fit whose other penalty, where there is one, is `ridge`, and 3 times that off the diagonal."""
    more = {"ridge": 3 * ridge, "ridge_bias": ridge} if name in ("matrix", "dirichlet") else {"ridge": ridge}
    return METHODS[name].fit(logits, labels, weights, **more)


@pytest.mark.parametrize("ridge", [0.1, 1e-3])
@pytest.mark.parametrize("name", SOFTMAX)
def test_is_the_optimum_that_another_solver_finds(name, ridge):
    logits, labels = sample()
    weights = np.random.default_rng(1).uniform(0.2, 2, len(labels))
    objective, start = written_out(name, logits, labels, weights, ridge)
    theirs = minimize(objective, start, method="BFGS", options={"gtol": 1e-7, "maxiter": 500})
    ours = parameters(name, fit(name, logits, labels, weights, ridge=ridge))
    assert objective(ours) <= theirs.fun + 1e-13
    assert ours == pytest.approx(theirs.x, abs=2e-4)


@pytest.mark.parametrize("name", SOFTMAX)
def test_the_slope_of_the_written_out_objective_vanishes(name):
    logits, labels = sample(seed=3)
    objective, _ = written_out(name, logits, labels, None, 0.01)
    ours, step = parameters(name, fit(name, logits, labels, ridge=0.01)), 1e-5
    for i in np.random.default_rng(0).choice(len(ours), 5, replace=False):
        away = step * np.eye(len(ours))[i]
        slope = (objective(ours + away) - objective(ours - away)) / (2 * step)
        assert abs(slope) < 1e-8  # what third derivatives leave of a central difference


@pytest.mark.parametrize("name", SOFTMAX)
def test_nll_is_that_of_the_fitted_rows(name):
    logits, labels = sample()
    weights = np.random.default_rng(1).uniform(0.2, 2, len(labels))
    fitted = METHODS[name].fit(logits, labels, weights)
    given = fitted(logits)[np.arange(len(labels)), labels]
    assert fitted.nll == pytest.approx(np.average(-np.log(given), weights=weights), rel=1e-12)
    assert fitted.n == len(labels)
    assert fitted.bias.sum() == pytest.approx(0, abs=1e-12)
    assert fitted.gradient < 1e-8


def test_the_structured_vector_form_is_the_optimum_that_another_solver_finds():
    logits, labels = sample()
    x = log_softmax(logits / Temperature.fit(logits, labels).value, axis=1)

    def objective(theta):
        scale, bias = theta[:4], theta[4:]
        return nll(x * scale + bias, labels, None) + 0.01 * (((scale - 1) ** 2).sum() + (bias**2).sum())

    theirs = minimize(objective, np.repeat([1.0, 0.0], 4), method="BFGS", options={"gtol": 1e-8})
    fitted = Structured.fit(logits, labels, form="vector", ridge=0.01)
    assert fitted.off_diagonal.size == 0
    assert np.append(fitted.scale, fitted.bias) == pytest.approx(theirs.x, abs=1e-5)
    assert fitted(logits) == pytest.approx(softmax(x * fitted.scale + fitted.bias, axis=1), rel=1e-12)


def test_masked_rows_reach_the_optimum_of_the_same_objective():
    logits, labels = sample()
    mask = np.random.default_rng(3).random(logits.shape) < 0.3
    mask[np.arange(len(labels)), labels] = False
    masked = np.where(mask, -np.inf, logits)
    beta = 1 / Temperature.fit(masked, labels).value
    x = np.where(mask, 0, logits - np.where(mask, np.nan, logits).mean(axis=1, keepdims=True, where=~mask))

    def objective(theta):
        scale, bias = theta[:4], theta[4:]
        scores = np.where(mask, -np.inf, x * scale + bias)
        return nll(scores, labels, None) + 0.01 * (((scale / beta - 1) ** 2).sum() + (bias**2).sum())

    theirs = minimize(objective, np.append(np.full(4, beta), np.zeros(4)), method="BFGS", options={"gtol": 1e-8})
    fitted = Vector.fit(masked, labels, ridge=0.01)
    assert np.append(fitted.scale, fitted.bias) == pytest.approx(theirs.x, abs=1e-5)


def test_without_ridge_a_matrix_is_scikit_learns_logistic_regression():
    logits, labels = sample(n=2000, k=3)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(centre(logits), labels)
    ours = Matrix.fit(logits, labels, ridge=0.0, ridge_bias=0.0)
    assert ours(logits) == pytest.approx(theirs.predict_proba(centre(logits)), abs=1e-6)


def test_where_labels_run_against_the_logits_a_matrix_is_ridge_logistic_regression():
    # the pull is to 0 there: with one penalty for all entries, and the intercept as a feature, scikit-learn's L2
    logits, _ = sample(n=500, k=3)
    labels = draw(-0.2 * logits, np.random.default_rng(0))
    x = np.append(centre(logits) / np.sqrt((centre(logits) ** 2).mean()), np.ones((500, 1)), axis=1)
    ridge = 0.02
    theirs = LogisticRegression(C=1 / (2 * ridge * 500), fit_intercept=False, tol=1e-10, max_iter=5000).fit(x, labels)
    ours = Matrix.fit(logits, labels, ridge=ridge, ridge_bias=ridge)
    assert ours(logits) == pytest.approx(theirs.predict_proba(x), abs=1e-6)


def test_vector_scaling_recovers_the_slopes_and_intercepts_that_made_the_labels():
    rng = np.random.default_rng(0)
    logits = centre(3 * rng.normal(size=(40_000, 5)))
    scale, bias = np.array([0.3, 0.5, 0.6, 0.8, 1.1]), np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    fitted = Vector.fit(logits, draw(logits * scale + bias, rng), ridge=0.0)
    assert fitted.scale == pytest.approx(scale, abs=0.05)
    assert fitted.bias == pytest.approx(bias, abs=0.1)


def test_bias_correction_recovers_the_class_frequencies_a_shift_multiplied():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(40_000, 4))
    shift = np.log([0.1, 0.2, 0.3, 0.4])
    fitted = BiasCorrected.fit(logits, draw(logits / 1.5 + shift, rng))
    assert fitted.beta == pytest.approx(1 / 1.5, rel=0.03)
    assert fitted.bias == pytest.approx(shift - shift.mean(), abs=0.06)


@pytest.mark.parametrize("method", [Matrix, Dirichlet, Structured])
def test_a_matrix_recovers_which_classes_are_mixed_up(method):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 4))
    truth = np.eye(4)
    truth[0, 1] = truth[1, 0] = 0.8
    labels = draw(centre(logits) @ truth.T, rng)
    plain, mended = softmax(logits, axis=1), method.fit(logits[:10_000], labels[:10_000])(logits[10_000:])
    assert metrics.accuracy(mended, labels[10_000:]) > metrics.accuracy(plain[10_000:], labels[10_000:]) + 0.03
    assert metrics.ece(mended, labels[10_000:]) < 0.02


@pytest.mark.parametrize("name", RIDGED)
def test_an_endless_ridge_is_temperature_scaling(name):
    logits, labels = sample()
    more = {"ridge_bias": 1e9} if name in ("matrix", "dirichlet") else {}
    probs = METHODS[name].fit(logits, labels, ridge=1e9, **more)(logits)
    cooled = Temperature.fit(logits, labels)(logits)
    if name == "beta":  # the binary form: the odds of each class to the power of beta, rows made to sum to 1
        p = softmax(logits, axis=1)
        each = expit((np.log(p) - np.log1p(-p)) / Temperature.fit(logits, labels).value)
        assert probs == pytest.approx(each / each.sum(axis=1, keepdims=True), abs=1e-6)
    else:
        assert probs == pytest.approx(softmax(cooled, axis=1), abs=1e-6)


@pytest.mark.parametrize("name", ["bias-corrected", "matrix", "structured", "vector"])
def test_the_unit_of_the_logits_does_not_matter(name):
    logits, labels = sample()
    expected = METHODS[name].fit(logits, labels)(logits)
    assert METHODS[name].fit(logits / 100, labels)(logits / 100) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", RIDGED)
def test_auto_is_classes_over_rows(name):
    logits, labels = sample(n=500)
    weights = np.repeat([1.0, 0.0], 250)
    assert METHODS[name].fit(logits, labels, weights).ridge == pytest.approx(
        {"matrix": 10, "dirichlet": 3}.get(name, 1) * 4 / 250
    )


@pytest.mark.parametrize("name", RIDGED)
@pytest.mark.parametrize("ridge", [-1.0, np.nan, np.inf, "cv"])
def test_a_ridge_that_is_none_is_refused(name, ridge):
    with pytest.raises(InputError, match="ridge must be a"):
        METHODS[name].fit(*sample(), ridge=ridge)


def none_of(name, logits, labels):
    """The verdict of a fit without any ridge."""
    more = {"ridge_bias": 0.0} if name in ("matrix", "dirichlet") else {}
    with pytest.raises(NoOptimum, match="without a ridge") as caught:
        METHODS[name].fit(logits, labels, ridge=0.0, **more)
    return caught.value.verdict


@pytest.mark.parametrize("name", RIDGED)
def test_without_ridge_a_class_without_a_row_has_no_optimum(name):
    logits, labels = sample()
    assert none_of(name, logits[labels != 2], labels[labels != 2]) == "absent"


@pytest.mark.parametrize("name", RIDGED)
def test_without_ridge_separable_rows_have_no_optimum(name):
    logits, _ = sample(n=100)
    assert none_of(name, logits, logits.argmax(axis=1)) == "separable"


@pytest.mark.parametrize("name", ["beta", "dirichlet", "matrix", "structured", "vector"])
def test_without_ridge_one_separable_class_is_enough_to_have_no_optimum(name):
    logits, labels = sample(n=300)
    logits *= 0.2
    logits[:, 3] = np.where(labels == 3, 1.5, -1.5)  # the others overlap, class 3 stands apart
    assert none_of(name, logits, labels) == "separable"


@pytest.mark.parametrize("name", ["bias-corrected", "vector"])
def test_without_ridge_one_odd_row_is_enough_to_have_an_optimum(name):
    # nothing but row 0 holds the parameters back: a far optimum, not a runaway
    logits, _ = sample(n=300)
    labels = logits.argmax(axis=1)
    labels[0] = logits[0].argmin()
    fitted = METHODS[name].fit(logits, labels, ridge=0.0)
    objective, _ = written_out(name, logits, labels, None, 0.0)
    theirs = minimize(objective, parameters(name, fitted), method="BFGS", options={"gtol": 1e-9})
    assert objective(parameters(name, fitted)) <= theirs.fun + 1e-12


def test_a_class_without_a_row_gets_a_finite_intercept_below_the_others():
    logits, labels = sample(k=5)
    keep = labels != 2
    fitted = BiasCorrected.fit(logits[keep], labels[keep])
    assert fitted.bias.argmin() == 2
    assert -5 < fitted.bias[2] < -0.5


def test_intercepts_of_constant_logits_are_the_log_frequencies():
    fitted = BiasCorrected.fit(np.zeros((10, 3)), np.array([0] * 5 + [1] * 3 + [2] * 2), ridge=0.0)
    assert fitted(np.zeros((1, 3)))[0] == pytest.approx([0.5, 0.3, 0.2], rel=1e-8)


def test_a_common_slope_never_turns_the_logits_around():
    logits, _ = sample(n=2000)
    labels = draw(-logits, np.random.default_rng(0))
    fitted = BiasCorrected.fit(logits, labels, ridge=0.0)
    assert fitted.beta == 0.0
    assert fitted(logits[:1])[0] == pytest.approx(np.bincount(labels) / 2000, rel=1e-6)


def test_the_gap_bounds_what_is_left_to_gain():
    logits, labels = sample()
    fitted = Vector.fit(logits, labels)
    assert 0 <= fitted.gap < 1e-15
    assert Vector.fit(logits, labels, ridge=0.0).gap == np.inf


@pytest.mark.parametrize("ridge", [0.1, 1e-4])
def test_beta_calibration_is_the_optimum_that_another_solver_finds_class_by_class(ridge):
    logits, labels = sample()
    weights = np.random.default_rng(1).uniform(0.2, 2, len(labels))
    unit = 1 / Temperature.fit(logits, labels, weights).value
    fitted, p = Beta.fit(logits, labels, weights, ridge=ridge), softmax(logits, axis=1)
    each = np.zeros_like(p)
    for k in range(4):
        own = labels == k

        def objective(theta, k=k, own=own):
            t = theta[0] * np.log(p[:, k]) - theta[1] * np.log1p(-p[:, k]) + theta[2]
            loss = np.average(np.logaddexp(0, t) - own * t, weights=weights)
            return loss + ridge * (((theta[:2] / unit - 1) ** 2).sum() + theta[2] ** 2)

        bounds = [(0, None), (0, None), (None, None)]
        theirs = minimize(objective, [unit, unit, 0], bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-8})
        ours = np.array([fitted.rise[k], fitted.fall[k], fitted.shift[k]])
        assert objective(ours) <= theirs.fun + 1e-13
        assert ours == pytest.approx(theirs.x, abs=5e-3)
        each[:, k] = expit(ours[0] * np.log(p[:, k]) - ours[1] * np.log1p(-p[:, k]) + ours[2])
    assert fitted(logits) == pytest.approx(each / each.sum(axis=1, keepdims=True), rel=1e-9)


def test_a_curve_that_would_fall_is_held_at_its_bound():
    # right in the middle, wrong at the sure end: free parameters would need b < 0
    p = np.repeat([0.05, 0.3, 0.5, 0.7, 0.95], 100)
    right = np.repeat([0.05, 0.45, 0.6, 0.62, 0.63], 100)
    labels = (np.tile(np.arange(100) / 100, 5) >= right).astype(int)
    fitted = Beta.fit(np.log(np.stack([p, 1 - p], axis=1)), labels, ridge=1e-9)
    assert (fitted.rise >= 0).all()
    assert (fitted.fall >= 0).all()
    assert min(fitted.rise.min(), fitted.fall.min()) == 0.0
    probs = fitted(np.log(np.stack([np.linspace(0.01, 0.99, 99), np.linspace(0.99, 0.01, 99)], axis=1)))
    assert (np.diff(probs[:, 0]) >= 0).all()


def test_beta_calibration_knows_the_top_class_beyond_rounding():
    # 1 - p is 0 in float64 for both rows, ln(1 - p) is -40 and -60: the curve still tells them apart
    fitted = Beta(np.array([1.0, 0.0]), np.array([0.1, 0.1]), np.zeros(2), 0.0, 0.0, 1, 1, 0.0)
    probs = fitted(np.array([[40.0, 0.0], [60.0, 0.0]]))
    assert probs[:, 0] == pytest.approx(expit([4.0, 6.0]) / (expit([4.0, 6.0]) + 0.5), rel=1e-12)


@pytest.mark.parametrize("loss", ["nll", "brier"])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_ensemble_weights_are_the_optimum_that_another_solver_finds(loss, noise):
    logits, labels = sample(n=800)
    rng = np.random.default_rng(5)
    labels = np.where(rng.random(800) < noise, rng.integers(4, size=800), labels)
    weights = rng.uniform(0.2, 2, 800)
    fitted = EnsembleTemperature.fit(logits, labels, weights, loss=loss)
    members = np.stack([softmax(logits / fitted.temperature, axis=1), softmax(logits, axis=1), np.full((800, 4), 0.25)])

    def objective(w):
        mixed = np.tensordot(w, members, axes=1)
        if loss == "nll":
            return np.average(-np.log(mixed[np.arange(800), labels]), weights=weights)
        return np.average(((mixed - np.eye(4)[labels]) ** 2).sum(axis=1), weights=weights)

    simplex = {"type": "eq", "fun": lambda w: w.sum() - 1}
    theirs = minimize(objective, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, constraints=simplex, options={"ftol": 1e-14})
    assert fitted.value == pytest.approx(objective(fitted.weights), rel=1e-12)
    assert fitted.value <= theirs.fun + 1e-12
    assert fitted.gap < 1e-10
    assert fitted(logits) == pytest.approx(np.tensordot(fitted.weights, members, axes=1), rel=1e-12)


def test_one_temperature_that_is_right_is_the_whole_ensemble():
    logits, labels = sample(n=20_000)
    assert EnsembleTemperature.fit(logits, labels).weights == pytest.approx([1, 0, 0], abs=0.05)


def test_mislabelled_rows_raise_the_floor():
    logits, labels = sample(n=20_000, temperature=1.0)
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(20_000) < 0.2, rng.integers(4, size=20_000), labels)
    fitted = EnsembleTemperature.fit(logits, noisy)
    assert fitted.weights[2] == pytest.approx(0.2, abs=0.02)
    assert fitted.value < Temperature.fit(logits, noisy).nll - 0.01


def test_an_ensemble_keeps_every_ranking():
    logits, labels = sample()
    probs = EnsembleTemperature.fit(logits, labels)(logits)
    assert (np.argsort(probs, axis=1) == np.argsort(logits, axis=1)).all()


def test_an_ensemble_without_a_temperature_has_no_optimum():
    logits, _ = sample()
    with pytest.raises(NoOptimum) as caught:
        EnsembleTemperature.fit(logits, logits.argmax(axis=1))
    assert caught.value.verdict == "separable"


@given(st.integers(0, 10_000))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_quadratic_over_the_simplex_is_no_higher_than_anywhere_on_a_grid(seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, rng.integers(1, 4)))  # of rank 1 to 3
    gram, linear = root @ root.T, rng.normal(size=3)
    weights = minimise_quadratic(gram, linear)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    grid = rng.dirichlet(np.ones(3), size=2000)
    values = np.einsum("ni,ij,nj->n", grid, gram, grid) - 2 * grid @ linear
    assert weights @ gram @ weights - 2 * linear @ weights <= values.min() + 1e-9


@pytest.mark.parametrize("method", [Vector, Matrix])
def test_a_huge_number_in_place_of_a_mask_is_refused_where_it_spoils_the_fit(method):
    logits, labels = sample(n=500, k=6)
    logits[:, 4:] = -1e15
    with pytest.raises(InputError, match="use -inf"):
        method.fit(logits, np.minimum(labels, 3))


def test_unknown_options_name_the_known_ones():
    with pytest.raises(InputError, match="brier"):
        EnsembleTemperature.fit(*sample(), loss="briar")
    with pytest.raises(InputError, match="vector"):
        Structured.fit(*sample(), form="vectors")


@pytest.mark.parametrize("method", [Vector, Beta])
def test_the_fit_copies_no_logits(method):
    logits, labels = sample(n=10_000, k=200)
    tracemalloc.start()
    method.fit(logits, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.7 * logits.nbytes


def test_a_matrix_over_more_classes_than_its_metric_inverts_reaches_the_optimum():
    logits, labels = sample(n=400, k=130)
    fitted = Matrix.fit(logits, labels)
    assert fitted.gradient < 1e-7
    assert fitted.nll < metrics.nll_of_logits(Temperature.fit(logits, labels)(logits), labels)


@pytest.mark.skipif(not REAL.exists(), reason="the folder of real network outputs is not here")
@pytest.mark.parametrize("data", ["cifar10_wrn16_4", "cifar100_wrn16_4"])
@pytest.mark.parametrize("name", [*RIDGED, "ensemble-temperature"])
def test_real_networks_are_better_calibrated_on_rows_held_out(name, data):
    with np.load(REAL) as arrays:
        logits, labels = arrays[f"{data}_logp"], arrays[f"{data}_label"].astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    fit_on, held = order[:5000], order[5000:]
    probs = METHODS[name].fit(logits[fit_on], labels[fit_on])(logits[held])
    before = softmax(logits[held].astype(np.float64), axis=1)
    assert metrics.nll(probs, labels[held]) < metrics.nll(before, labels[held]) - 0.005
    assert metrics.brier(probs, labels[held]) < metrics.brier(before, labels[held])
    assert metrics.ece(probs, labels[held]) < metrics.ece(before, labels[held])
