"""E-AURC and AUGRC: by hand, over all orders of ties, against published closed forms."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metric_samples import calibrated_top, edge_cases, real_top

from candid import metrics
from candid.errors import InputError


def test_by_hand():
    # accepted 1, 2, 3, 4 with 0, 1, 1, 2 wrong; perfectly ranked 0, 0, 1, 2
    confidence, correct = np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False])
    area, best = (0 + 1 / 2 + 1 / 3 + 2 / 4) / 4, (0 + 0 + 1 / 3 + 2 / 4) / 4
    assert metrics.eaurc(confidence, correct) == pytest.approx(area - best)
    assert metrics.augrc(confidence, correct) == (0 + 1 + 1 + 2) / 4 / 4


def test_both_are_means_over_the_orders_of_ties():
    correct = np.array([True, True, False, True, False, False])
    confidence = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1])
    wrong = [np.cumsum(~correct[[0, *order, 5]]) for order in itertools.permutations([1, 2, 3, 4])]
    assert metrics.augrc(confidence, correct) == pytest.approx(np.mean(wrong) / 6, abs=1e-14)
    best = np.mean(np.cumsum(np.sort(~correct)) / np.arange(1, 7))
    areas = np.mean([np.mean(w / np.arange(1, 7)) for w in wrong])
    assert metrics.eaurc(confidence, correct) == pytest.approx(areas - best, abs=1e-14)


@pytest.mark.parametrize("top", [calibrated_top(500), edge_cases()], ids=["random", "edges and ties"])
def test_augrc_is_the_authors_closed_form_and_half_a_step(top):
    # Traub et al. 2024: (1 - AUROC) accuracy error + error^2 / 2, AUROC of telling wrong from right with ties half
    confidence, correct = top
    error = 1 - correct.mean()
    ranked = metrics.auroc(-confidence[correct], -confidence[~correct])
    trapezoid = (1 - ranked) * (1 - error) * error + error**2 / 2
    assert metrics.augrc(confidence, correct) == pytest.approx(trapezoid + error / (2 * len(correct)), abs=1e-13)


def test_the_best_order_approaches_the_published_approximation():
    confidence, correct = calibrated_top(20_000)
    error = 1 - correct.mean()
    approximate = metrics.aurc(confidence, correct) - (error + (1 - error) * np.log(1 - error))
    assert metrics.eaurc(confidence, correct) == pytest.approx(approximate, abs=1e-4)


@given(st.integers(1, 40), st.integers(0, 10_000))
def test_a_perfect_ranking_has_no_excess_and_nothing_beats_it(n, seed):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.integers(0, 5, n) / 4, rng.random(n) < 0.6
    assert metrics.eaurc(np.where(correct, 0.9, 0.1), correct) == pytest.approx(0, abs=1e-14)
    assert 0 <= metrics.eaurc(confidence, correct) < 1
    best = metrics.augrc(np.where(correct, 0.9, 0.1), correct)
    assert best - 1e-12 <= metrics.augrc(confidence, correct) <= metrics.aurc(confidence, correct) + 1e-12


def test_all_right_all_wrong_and_one_row():
    confidence = np.array([0.2, 0.5, 0.9])
    assert metrics.eaurc(confidence, np.ones(3, bool)) == metrics.augrc(confidence, np.ones(3, bool)) == 0.0
    assert metrics.eaurc(confidence, np.zeros(3, bool)) == 0.0
    assert metrics.augrc(confidence, np.zeros(3, bool)) == pytest.approx((1 + 2 + 3) / 9)
    assert metrics.augrc(np.array([1.0]), np.array([False])) == 1.0
    assert metrics.eaurc(np.array([0.0]), np.array([True])) == 0.0


def test_only_the_order_of_confidences_counts():
    confidence, correct = calibrated_top(300)
    for metric in (metrics.eaurc, metrics.augrc):
        assert metric(confidence**5, correct) == pytest.approx(metric(confidence, correct), abs=1e-14)


def test_on_a_real_network_most_of_the_area_is_its_accuracy():
    top = real_top()
    assert 0 < metrics.eaurc(*top) < metrics.aurc(*top)


def test_bad_input_is_named():
    for metric in (metrics.eaurc, metrics.augrc):
        with pytest.raises(InputError, match="are these logits"):
            metric(np.array([2.0]), np.array([True]))
        with pytest.raises(InputError, match="non-empty"):
            metric(np.zeros(0), np.zeros(0, dtype=bool))
