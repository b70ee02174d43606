"""AUROC, AUPR and FPR at a TPR: both directions, both rules, with ties, against scikit-learn and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from candid import metrics
from candid.errors import InputError


def scores(seed=0, grid=None):
    rng = np.random.default_rng(seed)
    known, unknown = rng.normal(0, 2, 300), rng.normal(1.5, 2, 170)
    return (known, unknown) if grid is None else (np.floor(known / grid) * grid, np.floor(unknown / grid) * grid)


def stacked(known, unknown, positive):
    """Labels and scores as scikit-learn wants them: positive is 1 and scores high."""
    truth = np.r_[np.zeros(len(known)), np.ones(len(unknown))]
    values = np.r_[known, unknown]
    return (truth, values) if positive == "unknown" else (1 - truth, -values)


def operating_points(known, unknown, positive):
    """(recall, false positive rate) of every threshold, by counting."""
    pos, neg = (-known, -unknown) if positive == "known" else (unknown, known)
    return [((pos >= t).mean(), (neg >= t).mean()) for t in sorted({*pos, *neg}, reverse=True)]


CASES = [(seed, grid) for seed in (0, 1) for grid in (None, 0.5, 1.0, 3.0)]


@pytest.mark.parametrize(("seed", "grid"), CASES)
def test_auroc_equals_scikit_learn_with_and_without_ties(seed, grid):
    known, unknown = scores(seed, grid)
    assert metrics.auroc(known, unknown) == pytest.approx(roc_auc_score(*stacked(known, unknown, "unknown")), abs=1e-14)


@pytest.mark.parametrize("positive", ["known", "unknown"])
@pytest.mark.parametrize(("seed", "grid"), CASES)
def test_aupr_equals_scikit_learn_in_both_directions(seed, grid, positive):
    known, unknown = scores(seed, grid)
    truth, values = stacked(known, unknown, positive)
    step = metrics.aupr(known, unknown, positive=positive)
    assert step == pytest.approx(average_precision_score(truth, values), abs=1e-13)
    precision, recall, _ = precision_recall_curve(truth, values)
    trapezoid = metrics.aupr(known, unknown, positive=positive, interpolation="trapezoid")
    assert trapezoid == pytest.approx(auc(recall, precision), abs=1e-13)


@pytest.mark.parametrize("positive", ["known", "unknown"])
@pytest.mark.parametrize(("seed", "grid"), CASES)
@pytest.mark.parametrize("tpr", [0.5, 0.95, 1.0])
def test_fpr_first_is_the_strictest_threshold_that_reaches_the_rate(seed, grid, positive, tpr):
    known, unknown = scores(seed, grid)
    expected = next(fpr for recall, fpr in operating_points(known, unknown, positive) if recall >= tpr)
    assert metrics.fpr_at_tpr(known, unknown, tpr=tpr, positive=positive) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("positive", ["known", "unknown"])
@pytest.mark.parametrize(("seed", "grid"), CASES)
def test_fpr_nearest_takes_the_closest_recall_then_the_higher_then_the_most_negatives(seed, grid, positive):
    known, unknown = scores(seed, grid)
    points = operating_points(known, unknown, positive)
    recall = min((recall for recall, _ in points), key=lambda r: (abs(r - 0.95), -r))
    assert recall < 1
    expected = max(fpr for r, fpr in points if r == recall)
    found = metrics.fpr_at_tpr(known, unknown, positive=positive, rule="nearest")
    assert found == pytest.approx(expected, abs=1e-15)


def test_nearest_at_full_recall_adds_no_negatives_beyond_the_last_positive():
    # three known inputs: recall 1 is nearest to 0.95; the unknown ones at 5 and 6 lie beyond the last known
    known, unknown = np.array([0.0, 1.0, 2.0]), np.array([1.5, 5.0, 6.0])
    assert metrics.fpr_at_tpr(known, unknown, rule="nearest") == pytest.approx(1 / 3)


def test_the_two_directions_are_two_numbers():
    # keep 19 of 20 known: the cut at 18 lets in the unknown at 17.5 (1 of 4).
    # catch all four unknown: the cut at 17.5 throws out the known at 18 and 19 (2 of 20)
    known, unknown = np.arange(20.0), np.array([17.5, 18.5, 30.0, 40.0])
    assert metrics.fpr_at_tpr(known, unknown, positive="known") == 0.25
    assert metrics.fpr_at_tpr(known, unknown, positive="unknown") == 0.10


def test_equal_scores_everywhere_are_chance():
    known, unknown = np.zeros(4), np.zeros(3)
    assert metrics.auroc(known, unknown) == 0.5
    assert metrics.aupr(known, unknown) == pytest.approx(3 / 7)
    assert metrics.aupr(known, unknown, interpolation="trapezoid") == pytest.approx((1 + 3 / 7) / 2)
    assert metrics.fpr_at_tpr(known, unknown) == metrics.fpr_at_tpr(known, unknown, rule="nearest") == 1.0


def test_perfect_separation():
    known, unknown = np.array([0.0, 1.0]), np.array([2.0, np.inf])
    assert metrics.auroc(known, unknown) == metrics.aupr(known, unknown) == 1.0
    assert metrics.fpr_at_tpr(known, unknown) == metrics.fpr_at_tpr(known, unknown, positive="unknown") == 0.0


def test_infinities_order_and_tie():
    known, unknown = np.array([-np.inf, np.inf]), np.array([np.inf, 0.0])
    assert metrics.auroc(known, unknown) == pytest.approx((1 + 0.5 + 1 + 0) / 4)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
def test_swapping_the_samples_and_the_sign_changes_nothing(n, m, seed):
    rng = np.random.default_rng(seed)
    known, unknown = rng.integers(0, 6, n).astype(float), rng.integers(2, 8, m).astype(float)
    assert metrics.auroc(known, unknown) == pytest.approx(1 - metrics.auroc(unknown, known))
    assert metrics.auroc(known, unknown) == pytest.approx(metrics.auroc(-unknown, -known))
    for name in (metrics.aupr, metrics.fpr_at_tpr):
        assert name(known, unknown, positive="known") == pytest.approx(name(-unknown, -known, positive="unknown"))


@given(st.integers(0, 1000))
def test_a_monotone_change_of_scores_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    known, unknown = rng.integers(-4, 3, 40).astype(float), rng.integers(-3, 4, 30).astype(float)
    for metric in (metrics.auroc, metrics.aupr, metrics.fpr_at_tpr):
        assert metric(known, unknown) == metric(np.exp(known), np.exp(unknown))


def test_bad_scores_are_refused():
    good = np.array([0.0, 1.0])
    with pytest.raises(InputError, match="unknown must not be NaN, row 1"):
        metrics.auroc(good, np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="known must be a flat, non-empty"):
        metrics.auroc(np.zeros(0), good)
    with pytest.raises(InputError, match="tpr"):
        metrics.fpr_at_tpr(good, good, tpr=95.0)
