"""Where other packages bin differently: each quirk is either one of our conventions or told apart here by a row."""

import numpy as np
import pytest
from metric_samples import edge_cases, quasi_random_top

from candid import metrics
from candid.arrays import softmax
from candid.metrics.binning import bin_edges, bin_index

ALONE = {  # every top-label error, with its value where one row at 0.75 is right
    metrics.ece_of_top: 0.25,
    metrics.mce_of_top: 0.25,
    metrics.adaptive_ece_of_top: 0.25,
    metrics.quantile_ece_of_top: 0.25,
    metrics.sweep_ece_of_top: 0.25,
    metrics.rms_ece_of_top: 0.25,
    metrics.debiased_rms_ece_of_top: 0.0,  # one row says nothing about its noise
    metrics.debiased_ece_of_top: 0.25,
    metrics.kde_ece_of_top: 0.25,
    metrics.ks_error_of_top: 0.25,
    metrics.kuiper_error_of_top: 0.25,
}
ERRORS = list(ALONE)


def gaps(confidence, correct, index):
    """Weighted absolute gaps over the groups of `index`; negative indices are rows left out of every bin."""
    held = [b for b in np.unique(index) if b >= 0]
    return sum(abs((confidence - correct)[index == b].sum()) for b in held) / len(correct)


def test_zero_is_the_only_confidence_where_the_loop_of_guo_et_al_differs():
    # gpleiss/temperature_scaling: (lo, hi] and nothing else, so 0 is in no bin; MAPIE gives it a bin of its own
    confidence, correct = edge_cases()
    index = np.searchsorted(bin_edges(15), confidence, side="left") - 1
    assert (confidence[index < 0] == 0).all()
    ours = metrics.ece_of_top(confidence, correct)
    assert ours != gaps(confidence, correct, index)
    assert ours == pytest.approx(gaps(confidence, correct, np.maximum(index, 0)), abs=1e-15)
    # the top label of k classes is at least 1 / k, so no top-label error is touched
    above = confidence > 0
    share = above.mean()
    assert metrics.ece_of_top(confidence[above], correct[above]) * share == pytest.approx(
        gaps(confidence, correct, index)
    )


@pytest.mark.parametrize(
    ("bins", "netcal_ece", "netcal_mce"),
    [(10, 0.2738165668432237, 0.8833333333333333), (15, 0.2895113854305132, 0.8666666666666667)],
)
def test_left_closed_edges_are_netcals(bins, netcal_ece, netcal_mce):
    # netcal 1.4.0 ECE(bins), MCE(bins) on the edge cases: it clips to (0, 1) by an epsilon, which moves no row
    top = edge_cases()
    assert metrics.ece_of_top(*top, bins=bins, edges="[lo, hi)") == pytest.approx(netcal_ece, abs=1e-12)
    assert metrics.mce_of_top(*top, bins=bins, edges="[lo, hi)") == pytest.approx(netcal_mce, abs=1e-12)


def test_netcals_ace_is_the_unweighted_mean_gap_of_equal_width_bins():
    # netcal 1.4.0 ACE(15); `reliability` holds what it is made of
    shown = metrics.reliability_of_top(*quasi_random_top(2, 0.1))
    assert np.abs(shown.accuracy - shown.confidence).mean() == pytest.approx(0.1729529490574761, abs=1e-12)


def test_quantile_edges_are_netcals_where_nothing_ties():
    # netcal 1.4.0 ECE(15, equal_intervals=False)
    found = metrics.quantile_ece_of_top(*quasi_random_top(2, 0.1))
    assert found == pytest.approx(0.17500516984286502, abs=1e-12)


def test_mapies_bins_are_one_fewer_than_it_is_asked_for():
    # MAPIE 1.6.0 expected_calibration_error(num_bins=11) on the edge cases
    assert metrics.ece_of_top(*edge_cases(), bins=10) == pytest.approx(0.2809594239860808, abs=1e-12)


def test_edges_from_division_move_rows_by_an_ulp():
    # uncertainty-calibration 0.1.4: edges i / 10, where linspace has values an ulp above 0.3, 0.6 and 0.7
    confidence, correct = edge_cases()
    index = np.searchsorted(np.arange(1, 11) / 10, confidence, side="left")
    assert gaps(confidence, correct, index) == pytest.approx(0.27381656684322364, abs=1e-12)
    moved = np.unique(confidence[index != bin_index(confidence, 10, "(lo, hi]")])
    assert moved == pytest.approx([0.3, 0.6, 0.7], abs=1e-15)


def test_a_weighted_mce_is_not_ours():
    # DAC's largest n_b / n |gap|, Fortuna's largest n_b |gap|
    confidence, correct = np.array([0.95, 0.55, 0.55, 0.55]), np.array([False, True, False, True])
    assert metrics.mce_of_top(confidence, correct) == pytest.approx(0.95)
    index = bin_index(confidence, 15, "(lo, hi]")
    weighted = max(abs((confidence - correct)[index == b].sum()) / 4 for b in np.unique(index))
    assert weighted == pytest.approx(0.95 / 4)


def test_a_float32_confidence_on_an_edge_is_where_its_digits_say():
    # 0.2 in float32 is above 0.2: float32 in, next bin; the same softmax in float64 stays on the edge
    assert bin_index(np.array([np.float32(0.2)]).astype(np.float64), 10, "(lo, hi]").tolist() == [2]
    assert bin_index(np.array([0.2]), 10, "(lo, hi]").tolist() == [1]
    logits = np.zeros((1, 5), dtype=np.float32)
    assert softmax(logits).max() == 0.2
    assert metrics.top_label(logits, np.array([0])).confidence[0] == 0.2


@pytest.mark.parametrize("metric", ERRORS)
def test_float32_rows_away_from_edges_change_no_error(metric):
    confidence, correct = quasi_random_top(2, 0.1, n=300)
    assert metric(confidence.astype(np.float32), correct) == pytest.approx(metric(confidence, correct), abs=1e-6)


@pytest.mark.parametrize("metric", ERRORS)
def test_one_row(metric):
    assert metric(np.array([0.75]), np.array([True])) == pytest.approx(ALONE[metric], abs=1e-9)


@pytest.mark.parametrize("metric", ERRORS)
def test_all_right_and_all_wrong_at_the_ends(metric):
    right, wrong = np.ones(40, bool), np.zeros(40, bool)
    for confidence, correct in ((np.ones(40), right), (np.zeros(40), wrong)):
        assert metric(confidence, correct) == pytest.approx(0.0, abs=1e-4)
    for confidence, correct in ((np.ones(40), wrong), (np.zeros(40), right)):
        assert metric(confidence, correct) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("metric", ERRORS)
def test_ties_right_as_often_as_they_say_show_no_error(metric):
    confidence, correct = np.full(8, 0.5), np.arange(8) < 4
    if metric is metrics.adaptive_ece_of_top:  # fifteen bins part eight equal rows, each alone
        assert metric(confidence, correct) == 0.5
    else:
        assert metric(confidence, correct) <= 1e-4  # the finest kernel's width; debiased may be negative


@pytest.mark.parametrize("bins", [1, 2, 3, 7, 10, 15, 49, 100, 1000])
@pytest.mark.parametrize(("edges", "side"), [("(lo, hi]", "left"), ("[lo, hi)", "right")])
def test_bins_by_arithmetic_are_those_of_a_search_among_the_edges_to_the_last_bit(bins, edges, side):
    limits = bin_edges(bins)
    beside = [np.nextafter(limits, -1), limits, np.nextafter(limits, 2), limits.astype(np.float32).astype(np.float64)]
    far = np.concatenate([limits - 1e-12, limits + 1e-12, limits - 3e-12, limits + 3e-12])
    values = np.concatenate([*beside, far, np.random.default_rng(0).random(5000), [1 + 1e-3, 5e-324]])
    expected = np.clip(np.searchsorted(limits, values, side=side) - 1, 0, bins - 1)
    assert (bin_index(values, bins, edges) == expected).all()
    assert (bin_index(values.reshape(2, -1), bins, edges).ravel() == expected).all()
    single = values.astype(np.float32)
    expected = np.clip(np.searchsorted(limits, single.astype(np.float64), side=side) - 1, 0, bins - 1)
    assert (bin_index(single, bins, edges) == expected).all()
