"""What a full matrix costs: passes over the rows where penalties are weak, and threads of the BLAS."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from threadpoolctl import ThreadpoolController, threadpool_info

from candid.calibrate import Matrix
from candid.calibrate.examples import anchor, centred, examples
from candid.calibrate.full import Full, penalties
from candid.calibrate.threads import one_thread


def drawn(rows, classes, seed=0):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.standard_normal((rows, classes))
    return logits, (1.3 * logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.mark.parametrize("ridge", [1e-3, 1e-6, 1e-9])
def test_weak_penalties_take_few_passes(ridge):
    logits, labels = drawn(6_000, 20)
    fitted = Matrix.fit(logits, labels, ridge=ridge, ridge_bias=ridge)
    assert fitted.evaluations <= 30  # 47 to 116 with a metric of 2,000 rows kept to the end
    assert fitted.gradient < 1e-8


def test_a_weak_penalty_ends_where_another_solver_does():
    logits, labels = drawn(1_500, 4)
    fitted = Matrix.fit(logits, labels, ridge=1e-6, ridge_bias=1e-6)
    x = np.column_stack([logits - logits.mean(axis=1, keepdims=True), np.ones(len(logits))])
    beta = anchor(examples(logits, labels, None)).beta

    def objective(flat):
        theta = flat.reshape(4, 5)
        log_p = log_softmax(x @ theta.T, axis=1)
        residual = np.exp(log_p)
        residual[np.arange(len(x)), labels] -= 1
        deviation = np.column_stack([theta[:, :4] / beta - np.eye(4), theta[:, 4]])
        pull = 2e-6 * deviation / np.append(np.full(4, beta), 1.0)
        value = 1e-6 * (deviation**2).sum() - log_p[np.arange(len(x)), labels].mean()
        return value, (residual.T @ x / len(x) + pull).ravel()

    start = beta * np.eye(4, 5)
    theirs = minimize(objective, start.ravel(), jac=True, options={"gtol": 1e-10, "maxiter": 5000})
    ours = np.column_stack([fitted.matrix, fitted.bias])
    assert objective(ours.ravel())[0] <= theirs.fun + 1e-12
    assert fitted(logits) == pytest.approx(np.exp(log_softmax(x @ theirs.x.reshape(4, 5).T, axis=1)), abs=1e-5)


def test_the_metric_is_exact_for_a_shift_of_all_classes():
    logits, labels = drawn(300, 5)
    rows = examples(logits, labels, None)
    pulled = anchor(rows)
    objective = Full.of(
        rows, centred(rows.logits, pulled.unit), pulled.slope, penalties(5, across=3e-4, diagonal=1e-5, bias=2e-5)
    )
    at = 0.1 * np.random.default_rng(1).standard_normal(30)
    shift = np.tile(np.arange(6.0), 5)
    assert objective.metric(at)(objective.product(at, shift)) == pytest.approx(shift, abs=1e-8)


def test_the_blas_has_its_threads_back_after_a_fit():
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas_threads()
        with one_thread(128):
            assert set(blas_threads()) == {1}
        assert blas_threads() == before
        with pytest.raises(ZeroDivisionError), one_thread(128):
            1 / 0  # noqa: B018 -- any error
        assert blas_threads() == before
        with one_thread(129):
            assert blas_threads() == before
