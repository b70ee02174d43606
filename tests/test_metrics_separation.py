"""All ranking numbers at once: equal to the single ones, mergeable, with intervals that cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candid import metrics
from candid.errors import InputError


def samples(seed, n=400, m=150, grid=None):
    rng = np.random.default_rng(seed)
    known, unknown = rng.normal(0, 2, n), rng.normal(1.5, 2, m)
    return (known, unknown) if grid is None else (np.floor(known / grid) * grid, np.floor(unknown / grid) * grid)


@pytest.mark.parametrize("grid", [None, 0.5, 3.0])
def test_every_number_is_the_one_its_function_gives(grid):
    known, unknown = samples(0, grid=grid)
    found = metrics.separation(known, unknown)
    assert found.auroc.value == metrics.auroc(known, unknown)
    for positive in ("known", "unknown"):
        for part in ("step", "trapezoid"):
            name = f"aupr_{positive}_positive" + ("" if part == "step" else "_trapezoid")
            expected = metrics.aupr(known, unknown, positive=positive, interpolation=part)
            assert found.estimates()[name].value == pytest.approx(expected, abs=1e-14)
        for rule in ("first", "nearest"):
            expected = metrics.fpr_at_tpr(known, unknown, positive=positive, rule=rule)
            assert found.estimates()[f"fpr_{positive}_positive_{rule}"].value == expected
    _, counts = np.unique(np.r_[known, unknown], return_counts=True)
    assert found.tied == counts[counts > 1].sum()
    assert (found.n_known, found.n_unknown) == (400, 150)


def test_even_aupr_does_not_depend_on_how_many_unknown_there_are():
    known, unknown = samples(1)
    once, tenfold = metrics.separation(known, unknown), metrics.separation(known, np.repeat(unknown, 10))
    for name in ("aupr_known_positive_even", "aupr_unknown_positive_even"):
        assert once.estimates()[name].value == pytest.approx(tenfold.estimates()[name].value, abs=1e-13)
    assert once.aupr_unknown_positive.value < tenfold.aupr_unknown_positive.value - 0.1
    equal = metrics.separation(*samples(1, 300, 300))
    assert equal.aupr_known_positive_even.value == pytest.approx(equal.aupr_known_positive.value, abs=1e-14)


@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans())
def test_blocks_give_what_the_whole_gives(seed, parts, tied):
    known, unknown = samples(seed, 60, 40, 1.0 if tied else None)
    blocks = [*((part, np.zeros(0)) for part in np.array_split(known, parts)),
              *((np.zeros(0), part) for part in np.array_split(unknown, parts + 1))]  # fmt: skip
    whole, found = metrics.Ranked.of(known, unknown), metrics.Ranked.of_blocks(blocks)
    for name in ("values", "known", "unknown"):
        assert getattr(whole, name).tolist() == getattr(found, name).tolist()


@given(st.integers(0, 10_000), st.booleans())
def test_parts_that_were_ranked_apart_merge_to_the_whole(seed, tied):
    known, unknown = samples(seed, 60, 40, 1.0 if tied else None)
    parts = metrics.Ranked.of(known[:25], unknown[:30]).merge(metrics.Ranked.of(known[25:], unknown[30:]))
    whole = metrics.Ranked.of(known, unknown)
    for name in ("values", "known", "unknown"):
        assert getattr(whole, name).tolist() == getattr(parts, name).tolist()


def test_blocks_of_one_side_only_are_refused():
    with pytest.raises(InputError, match="one known and one unknown"):
        metrics.Ranked.of_blocks([(np.arange(3.0), np.zeros(0))])
    with pytest.raises(InputError, match="NaN"):
        metrics.Ranked.of_blocks([(np.array([np.nan]), np.zeros(0))])
    with pytest.raises(InputError, match="beside the known"):
        metrics.separation(np.arange(3.0))


def test_delong_equals_its_formula_by_counting_pairs():
    known, unknown = samples(2, 50, 30, 1.0)
    wins = (unknown[:, None] > known) + 0.5 * (unknown[:, None] == known)
    area = wins.mean()
    variance = wins.mean(0).var(ddof=1) / 50 + wins.mean(1).var(ddof=1) / 30
    half = 1.959963984540054 * variance**0.5 / (area * (1 - area))
    low, high = (1 / (1 + np.exp(-(np.log(area / (1 - area)) + side * half))) for side in (-1, 1))
    found = metrics.separation(known, unknown).auroc
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_perfect_separation_still_has_an_interval():
    found = metrics.separation(np.arange(20.0), 100 + np.arange(10.0))
    assert found.auroc.value == 1.0
    assert found.auroc.low == metrics.proportion(10, 10).low
    assert found.fpr_known_positive_first.value == 0.0
    assert found.fpr_known_positive_first.high >= metrics.proportion(0, 10).high
    assert found.aupr_unknown_positive.low == metrics.proportion(10, 10).low


@pytest.mark.parametrize(
    "name", ["auroc", "fpr_known_positive_first", "fpr_unknown_positive_first", "aupr_unknown_positive"]
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(name):
    truth = metrics.separation(*samples(0, 400_000, 400_000)).estimates()
    if name == "aupr_unknown_positive":
        truth[name] = metrics.separation(*samples(0, 400_000, 150_000)).estimates()[name]
    hits = 0
    for seed in range(100):
        found = metrics.separation(*samples(seed + 1), seed=seed).estimates()[name]
        hits += found.low <= truth[name].value <= found.high
    assert 88 <= hits <= 100  # 95 less three standard errors


def test_joining_scores_to_cells_keeps_values_exact_and_intervals_close():
    known, unknown = samples(3, 8000, 3000)
    fine = metrics.separation(known, unknown)
    assert fine.fpr_known_positive_first.value == metrics.fpr_at_tpr(known, unknown)
    rng = np.random.default_rng(0)
    draws = [metrics.fpr_at_tpr(rng.choice(known, 8000), rng.choice(unknown, 3000)) for _ in range(200)]
    spread = fine.fpr_known_positive_first.high - fine.fpr_known_positive_first.low
    assert spread == pytest.approx(np.diff(np.quantile(draws, [0.025, 0.975]))[0], rel=0.3)


def test_tables_name_each_set_and_average_by_kind():
    known, near = samples(4)
    found = metrics.separations(
        known, {"a": near, "b": near + 1, "c": near + 4}, kinds={"a": "near", "b": "near", "c": "far"}
    )
    assert list(found.sets) == ["a", "b", "c"]
    assert list(found.means) == ["near", "far", "all"]
    assert found.means["near"]["auroc"].value == pytest.approx(
        (found.sets["a"].auroc.value + found.sets["b"].auroc.value) / 2
    )
    assert found.means["far"]["auroc"].value == found.sets["c"].auroc.value
    assert found.means["all"]["auroc"].n == 400 + 3 * 150
    with pytest.raises(InputError, match="at least one set"):
        metrics.separations(known, {})
