"""What judges prediction sets: exact intervals, sizes, strata, and the law that coverage follows."""

import numpy as np
import pytest
from scipy.stats import beta, betabinom, binomtest

from candid import metrics
from candid.errors import InputError


def sample(n=500, k=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, k)) < 0.4, rng.integers(k, size=n)


def test_coverage_is_the_share_inside_with_scipys_exact_interval():
    sets, labels = sample()
    inside = sum(bool(row[label]) for row, label in zip(sets, labels, strict=True))
    found = metrics.coverage(sets, labels, level=0.9)
    exact = binomtest(inside, 500).proportion_ci(0.9, method="exact")
    assert (found.value, found.n, found.level) == (inside / 500, 500, 0.9)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_coverage_by_class_and_group_equals_coverage_of_the_rows_taken_out():
    sets, labels = sample()
    groups = np.random.default_rng(1).choice([-3, 7, 100], size=500)
    for strata in (labels, groups):
        found = metrics.coverage_by_group(sets, labels, strata)
        assert list(found) == sorted(set(strata.tolist()))
        for group, estimate in found.items():
            assert estimate == metrics.coverage(sets[strata == group], labels[strata == group])


def test_a_class_without_rows_is_absent():
    assert list(metrics.coverage_by_group(np.ones((2, 5), bool), np.array([1, 4]), np.array([1, 4]))) == [1, 4]


def test_sizes_of_known_sets():
    sets = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 1]], dtype=bool)
    found = metrics.set_sizes(sets)
    assert (found.mean.value, found.median, found.largest) == (9 / 5, 1.0, 4)
    assert (found.empty, found.single) == (metrics.proportion(1, 5), metrics.proportion(2, 5))
    half = 1.959964 * np.std([4, 1, 1, 0, 3], ddof=1) / np.sqrt(5)
    assert (found.mean.low, found.mean.high) == pytest.approx((1.8 - half, 1.8 + half), abs=1e-6)
    accuracy = metrics.singleton_accuracy(sets, np.array([0, 0, 2, 3, 0]))
    assert (accuracy.value, accuracy.n) == (0.5, 2)


def test_one_row_says_nothing_about_the_mean_size():
    found = metrics.set_sizes(np.array([[True, True, False]]))
    assert (found.mean.low, found.mean.high) == (0.0, 3.0)


def test_the_interval_of_the_mean_size_covers_it_as_often_as_it_says():
    inside = 0
    for seed in range(400):
        mean = metrics.set_sizes(sample(n=60, seed=seed)[0]).mean
        inside += mean.low < 6 * 0.4 < mean.high
    assert 0.92 < inside / 400 < 0.98  # nominal 0.95, binomial sd 0.011


def test_no_singleton_is_no_accuracy():
    with pytest.raises(InputError, match="no set of the 2 holds exactly one"):
        metrics.singleton_accuracy(np.array([[True, True], [False, False]]), np.array([0, 0]))


def test_size_strata_are_those_of_the_paper_and_empty_ones_are_absent():
    k = 200
    sizes = np.array([0, 1, 2, 3, 4, 10, 101, 200])
    sets = np.arange(k) < sizes[:, None]
    found = metrics.size_stratified_coverage(sets, np.zeros(8, dtype=int), target=0.9)
    assert (found.low, found.high) == ((0, 2, 4, 101), (1, 3, 10, 200))
    assert [estimate.n for estimate in found.coverage] == [2, 2, 2, 2]
    assert found.violation == pytest.approx(0.4)  # half of the two smallest sets: 0.5 against 0.9


@pytest.mark.parametrize(("n", "share"), [(9, 0.9), (100, 0.9), (1000, 0.9), (57, 0.8), (400, 0.99)])
def test_expected_coverage_is_the_beta_law(n, share):
    alpha = 1 - share
    miss = int(np.floor((n + 1) * alpha + 1e-9))
    law = beta(n + 1 - miss, miss)  # Vovk 2012, in the form of Angelopoulos & Bates
    found = metrics.expected_coverage(n, share, level=0.9)
    assert (found.value, found.n) == (pytest.approx(law.mean()), n)
    assert (found.low, found.high) == pytest.approx((law.ppf(0.05), law.ppf(0.95)), abs=1e-10)


@pytest.mark.parametrize(("n", "rows"), [(20, 30), (500, 100), (1000, 20_000)])
def test_measured_coverage_has_the_beta_binomial_range_of_scipy(n, rows):
    rank = metrics.conformal_rank(n, 0.9)
    found = metrics.expected_coverage(n, 0.9, rows=rows)
    assert found.low == betabinom.ppf(0.025, rows, rank, n + 1 - rank) / rows
    assert found.high == betabinom.ppf(0.975, rows, rank, n + 1 - rank) / rows


def test_too_few_rows_are_expected_to_cover_everything():
    assert metrics.expected_coverage(8, 0.9).low == 1.0
    assert metrics.expected_coverage(9, 0.9).low < 1.0


@pytest.mark.parametrize("share", np.arange(1, 100) / 100)
def test_the_rank_is_the_least_that_reaches_the_share_in_exact_arithmetic(share):
    percent = round(share * 100)
    for n in (1, 8, 9, 19, 99, 100, 999, 10_000):
        assert metrics.conformal_rank(n, share) == -(-(n + 1) * percent // 100)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.55, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999])
def test_one_row_less_than_the_fewest_gives_no_threshold(share):
    rows = metrics.conformal_rows(share)
    assert rows == max(1, -(-round(share * 10_000) // round((1 - share) * 10_000)))
    assert metrics.conformal_rank(rows, share) <= rows
    assert rows == 1 or metrics.conformal_rank(rows - 1, share) > rows - 1


def test_sets_without_rows_are_refused():
    with pytest.raises(InputError, match="bool matrix"):
        metrics.set_sizes(np.zeros((0, 3), dtype=bool))
    with pytest.raises(InputError, match="bool matrix"):
        metrics.coverage(np.zeros((0, 3), dtype=bool), np.zeros(0, dtype=int))


def test_bad_input_is_named():
    sets, labels = sample(n=4)
    with pytest.raises(InputError, match="labels must lie in"):
        metrics.coverage(sets, labels + 6)
    with pytest.raises(InputError, match="level must lie between"):
        metrics.coverage(sets, labels, level=95.0)
    with pytest.raises(InputError, match="target must lie between"):
        metrics.size_stratified_coverage(sets, labels, target=90.0)
    with pytest.raises(InputError, match="rising sizes"):
        metrics.size_stratified_coverage(sets, labels, strata=(4, 2))
    with pytest.raises(InputError, match="coverage must lie between"):
        metrics.expected_coverage(10, 1.0)
    with pytest.raises(InputError, match="at least one"):
        metrics.expected_coverage(0)
    with pytest.raises(InputError, match="level must lie"):
        metrics.expected_coverage(10, level=1.0)
