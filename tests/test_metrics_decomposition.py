"""Splits of proper scores: by hand, by an isotonic regression of another package, by identities that must be exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metric_samples import calibrated_top, edge_cases, quasi_random_top, real_top, wave_probs
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss

from candid import metrics
from candid.errors import InputError
from candid.metrics.binning import bin_index


def recalibrated(confidence, correct):
    return IsotonicRegression(y_min=0, y_max=1).fit(confidence, correct).predict(confidence)


def test_corp_by_hand():
    # isotonic pools 0.6 (right) with 0.7 (wrong) to 1/2, and leaves 0.2 wrong at 0 and 0.9 right at 1
    confidence, correct = np.array([0.2, 0.6, 0.7, 0.9]), np.array([False, True, False, True])
    parts = metrics.score_parts_of_top(confidence, correct)
    score, best = (0.04 + 0.16 + 0.49 + 0.01) / 4, (0.25 + 0.25) / 4
    assert parts == pytest.approx((score, score - best, 0.25 - best, 0.25))
    assert parts.refinement == pytest.approx(best)


@pytest.mark.parametrize("score", ["brier", "log"])
def test_corp_equals_scores_of_scikit_learns_isotonic_regression(score):
    confidence, correct = quasi_random_top(2, 0.1)
    measure = {"brier": brier_score_loss, "log": lambda y, p: log_loss(y, np.stack([1 - p, p], 1))}[score]
    own, best = measure(correct, confidence), measure(correct, recalibrated(confidence, correct))
    blind = measure(correct, np.full(len(correct), correct.mean()))
    parts = metrics.score_parts_of_top(confidence, correct, score=score)
    assert parts == pytest.approx((own, own - best, blind - best, blind), abs=1e-9)


def test_rows_of_one_confidence_are_recalibrated_together():
    confidence, correct = edge_cases()
    confidence = confidence.round(9)  # scikit-learn also pools inputs an ulp apart
    parts = metrics.score_parts_of_top(confidence, correct)
    best = np.square(recalibrated(confidence, correct) - correct).mean()
    assert parts.refinement == pytest.approx(best, abs=1e-12)


def test_the_log_score_of_a_certain_wrong_answer_is_infinite_and_its_mendable_part_too():
    parts = metrics.score_parts_of_top(np.array([1.0, 0.5, 0.5]), np.array([False, True, False]), score="log")
    assert parts.score == parts.miscalibration == np.inf
    assert parts.refinement == pytest.approx(parts.uncertainty - parts.discrimination)
    assert np.isfinite(parts.refinement)


@given(st.integers(1, 50), st.integers(0, 10_000), st.sampled_from(["brier", "log"]))
def test_corp_is_exact_and_none_of_its_parts_negative(n, seed, score):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.integers(1, 9, n) / 9, rng.random(n) < 0.5
    parts = metrics.score_parts_of_top(confidence, correct, score=score)
    assert parts.score == pytest.approx(parts.miscalibration - parts.discrimination + parts.uncertainty, abs=1e-12)
    assert min(parts) >= 0
    assert parts.discrimination <= parts.uncertainty + 1e-12


def test_all_right_or_all_wrong_is_all_miscalibration():
    confidence = np.linspace(0.3, 0.9, 7)
    for correct in (np.ones(7, bool), np.zeros(7, bool)):
        for score in ("brier", "log"):
            parts = metrics.score_parts_of_top(confidence, correct, score=score)
            assert parts == pytest.approx((parts.score, parts.score, 0, 0))


def test_monotone_distortion_moves_miscalibration_alone():
    confidence, correct = calibrated_top(3000)
    plain, bent = (metrics.score_parts_of_top(c, correct) for c in (confidence, confidence**3))
    assert bent[2:] == pytest.approx(plain[2:], abs=1e-12)
    assert bent.miscalibration > 10 * plain.miscalibration


def test_the_split_of_all_classes_adds_up_to_the_brier_score():
    probs, labels = wave_probs()
    parts = metrics.classwise_brier_parts(probs, labels)
    assert parts.score == pytest.approx(metrics.brier(probs, labels), abs=1e-12)
    assert parts.score == pytest.approx(parts.miscalibration - parts.discrimination + parts.uncertainty, abs=1e-12)
    share = np.bincount(labels) / 400
    assert parts.uncertainty == pytest.approx((share * (1 - share)).sum())
    best = sum(np.square(recalibrated(probs[:, c], labels == c) - (labels == c)).mean() for c in range(5))
    assert parts.refinement == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("edges", ["(lo, hi]", "[lo, hi)", "torchmetrics"])
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_binned_split_is_its_definition_and_exact_with_the_within_term(bins, edges):
    confidence, correct = edge_cases()
    parts = metrics.brier_parts_of_top(confidence, correct, bins=bins, edges=edges)
    index, rate, expected = bin_index(confidence, bins, edges), correct.mean(), np.zeros(3)
    for b in np.unique(index):
        stated, right = confidence[index == b], correct[index == b]
        covariance = ((stated - stated.mean()) * (right - right.mean())).mean()
        terms = [(stated.mean() - right.mean()) ** 2, (right.mean() - rate) ** 2, stated.var() - 2 * covariance]
        expected += len(right) / len(correct) * np.array(terms)
    assert (parts.reliability, parts.resolution, parts.within) == pytest.approx(expected, abs=1e-14)
    assert parts.uncertainty == pytest.approx(rate * (1 - rate))
    assert parts.score == pytest.approx(np.square(confidence - correct).mean())
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert parts.score == pytest.approx(total, abs=1e-14)


def test_bins_of_one_confidence_have_no_within_term():
    parts = metrics.brier_parts_of_top(np.repeat([0.3, 0.7], 5), np.arange(10) % 3 == 0)
    assert parts.within == pytest.approx(0, abs=1e-15)
    assert parts.reliability == pytest.approx(
        metrics.rms_ece_of_top(np.repeat([0.3, 0.7], 5), np.arange(10) % 3 == 0) ** 2
    )


def test_of_probs_is_of_their_top_label():
    probs, labels = wave_probs()
    top = metrics.top_of_probs(probs, labels)
    assert metrics.score_parts(probs, labels, score="log") == metrics.score_parts_of_top(*top, score="log")
    assert metrics.brier_parts(probs, labels, bins=7) == metrics.brier_parts_of_top(*top, bins=7)


def test_on_a_real_network_miscalibration_is_small_beside_refinement():
    top = real_top()
    parts = metrics.score_parts_of_top(*top)
    assert 0 < parts.miscalibration < 0.2 * parts.refinement
    assert parts.miscalibration == pytest.approx(metrics.brier_parts_of_top(*top).reliability, rel=0.3)


def test_float32_and_row_order_change_nothing_that_matters():
    confidence, correct = quasi_random_top(2, 0.1)
    order = np.random.default_rng(0).permutation(len(correct))
    parts = metrics.score_parts_of_top(confidence, correct)
    assert metrics.score_parts_of_top(confidence[order], correct[order]) == pytest.approx(parts, abs=1e-12)
    assert metrics.score_parts_of_top(confidence.astype(np.float32), correct) == pytest.approx(parts, abs=1e-6)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="are these logits"):
        metrics.score_parts_of_top(np.array([2.0]), np.array([True]))
    with pytest.raises(InputError, match="pass softmax"):
        metrics.classwise_brier_parts(np.array([[3.0, 1.0]]), np.array([0]))
    with pytest.raises(InputError, match="row 0 is 2"):
        metrics.classwise_brier_parts(np.array([[0.5, 0.5]]), np.array([2]))
    with pytest.raises(InputError, match="at least one bin"):
        metrics.brier_parts_of_top(np.array([0.5]), np.array([True]), bins=0)
    with pytest.raises(InputError, match="non-empty"):
        metrics.brier_parts_of_top(np.zeros(0), np.zeros(0, dtype=bool))
