"""Intervals: exact ones against scipy, the bootstrap against theory, the null of the ECE against redrawn labels."""

import numpy as np
import pytest
from scipy.stats import binomtest

from candid import metrics
from candid.arrays import softmax
from candid.errors import InputError


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 30), (499, 500)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_proportion_equals_scipys_exact_interval(successes, n, level):
    ours = metrics.proportion(successes, n, level=level)
    theirs = binomtest(successes, n).proportion_ci(level, method="exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (ours.value, ours.n, ours.level) == (successes / n, n, level)


def test_bootstrap_of_a_mean_has_the_textbook_width():
    values = np.random.default_rng(0).normal(size=400)
    found = metrics.bootstrap(lambda v: float(v.mean()), values)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert found.n == 400


def test_bootstrap_draws_rows_of_all_arrays_together():
    values = np.arange(50.0)
    found = metrics.bootstrap(lambda a, b: float(np.abs(a - b).max()), values, values)
    assert (found.low, found.high) == (0.0, 0.0)


def test_two_samples_are_drawn_apart():
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(size=300), rng.normal(1, 1, 100)
    found = metrics.bootstrap(metrics.auroc, known, unknown, paired=False, resamples=300)
    assert found.low < found.value < found.high
    assert found.n == 400
    # Hanley & McNeil 1982 for this AUROC and these sizes
    a = found.value
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = np.sqrt((a * (1 - a) + 99 * (q1 - a * a) + 299 * (q2 - a * a)) / (100 * 300))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_the_seed_decides_the_draws_and_the_global_generator_is_left_alone():
    values = np.random.default_rng(1).normal(size=30)
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    once = metrics.bootstrap(np.mean, values, seed=4)
    assert metrics.bootstrap(np.mean, values, seed=4) == once
    assert metrics.bootstrap(np.mean, values, seed=5) != once
    assert (np.random.get_state()[1] == before).all()


def test_bootstrap_refuses_what_it_cannot_pair():
    with pytest.raises(InputError, match="paired=False"):
        metrics.bootstrap(metrics.auroc, np.zeros(3), np.zeros(4))
    with pytest.raises(InputError, match="at least one row"):
        metrics.bootstrap(np.mean, np.zeros(0))
    with pytest.raises(InputError, match="level"):
        metrics.bootstrap(np.mean, np.zeros(3), level=95.0)


def test_the_ece_null_is_the_ece_of_labels_redrawn_from_the_probabilities():
    rng = np.random.default_rng(0)
    probs = softmax(2 * rng.normal(size=(500, 4)))
    cumulated = probs.cumsum(axis=1)
    redrawn = [metrics.ece(probs, np.minimum((rng.random((500, 1)) > cumulated).sum(axis=1), 3)) for _ in range(400)]
    null = metrics.ece_null(probs.max(axis=1), resamples=400)
    assert null.mean() == pytest.approx(np.mean(redrawn), abs=4 * np.std(redrawn) / 20 * 1.5)
    assert null.std() == pytest.approx(np.std(redrawn), rel=0.2)
    assert null.mean() > 0.02  # a calibrated model does not show an ECE of 0


def test_certain_predictions_leave_the_null_no_error():
    assert metrics.ece_null(np.ones(20), resamples=5).tolist() == [0.0] * 5
