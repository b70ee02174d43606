"""Prediction sets: scores by hand, a naive loop, validity over draws, ties, small n, and what is refused."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candid import metrics
from candid.arrays import softmax
from candid.calibrate import ConformalSet, Temperature
from candid.calibrate.conformal_scores import Scoring, at_least, descending
from candid.errors import InputError

REAL = Path(__file__).parents[2] / "shared" / "data" / "real_probs.npz"
METHODS = {
    "lac": {},
    "aps": {},
    "raps": {"penalty": 0.02, "rank": 2},
    "saps": {"penalty": 0.1},
}
ROW = np.array([[0.2, 0.5, 0.05, 0.25]])  # walked as classes 1, 3, 0, 2


def sample(n=300, k=6, seed=0, scale=2.0, truth=1.5):
    """Probabilities and labels drawn from a colder or warmer softmax of the same logits: exchangeable, uncalibrated."""
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(n, k)) + np.linspace(0, 1, k)
    return softmax(logits), (logits / truth + rng.gumbel(size=(n, k))).argmax(axis=1)


def uniform_of(probs, seed=0):
    return Scoring("aps", 0.0, 0, True, seed).uniforms(descending(probs))


def naive_scores(method, row, u, penalty=0.0, rank=0):
    """Scores of all labels of one row, written as the papers do; inf at probability 0."""
    out = np.empty(len(row))
    order = sorted(range(len(row)), key=lambda j: (-row[j], j))
    for place, j in enumerate(order, start=1):
        if row[j] == 0:
            out[j] = np.inf
        elif method == "lac":
            out[j] = 1 - row[j]
        elif method == "saps":
            out[j] = u * row[j] if place == 1 else row[order[0]] + (place - 2 + u) * penalty
        else:
            out[j] = sum(row[i] for i in order[: place - 1]) + u * row[j] + penalty * max(0, place - rank)
    return out


def naive_fit(method, probs, labels, coverage, uniform, **constants):
    scores = np.array([naive_scores(method, row, u, **constants) for row, u in zip(probs, uniform, strict=True)])
    own = np.sort(scores[np.arange(len(labels)), labels])
    rank = int(np.ceil((len(own) + 1) * coverage - 1e-9))
    return (own[rank - 1] if rank <= len(own) else np.inf), scores


@pytest.mark.parametrize(
    ("method", "constants", "expected"),
    [
        ("lac", {}, [-0.2, -0.5, -0.05, -0.25]),
        ("aps", {}, [0.95, 0.5, 1.0, 0.75]),
        ("raps", {"penalty": 0.1, "rank": 1}, [1.15, 0.5, 1.3, 0.85]),
        ("raps", {"penalty": 0.1, "rank": 3}, [0.95, 0.5, 1.1, 0.75]),
        ("saps", {"penalty": 0.1}, [0.7, 0.5, 0.8, 0.6]),
    ],
)
def test_scores_by_hand(method, constants, expected):
    scoring = Scoring(method, constants.get("penalty", 0.0), constants.get("rank", 0), False, 0)
    found = scoring.of_labels(np.tile(ROW, (4, 1)), np.arange(4))
    assert found == pytest.approx(np.array(expected), abs=1e-15)


def test_randomised_scores_take_one_uniform_a_row():
    u = uniform_of(ROW)[0]
    assert 0 <= u < 1
    found = Scoring("aps", 0.0, 0, True, 0).of_labels(np.tile(ROW, (4, 1)), np.arange(4))
    assert found == pytest.approx([0.75 + 0.2 * u, 0.5 * u, 0.95 + 0.05 * u, 0.5 + 0.25 * u], abs=1e-15)
    found = Scoring("saps", 0.1, 0, True, 0).of_labels(np.tile(ROW, (4, 1)), np.arange(4))
    assert found == pytest.approx([0.5 + 0.1 * (1 + u), 0.5 * u, 0.5 + 0.1 * (2 + u), 0.5 + 0.1 * u], abs=1e-15)


def test_a_tiny_set_by_hand():
    probs = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    labels = np.array([0, 1, 1, 2])
    lac = ConformalSet.fit(probs, labels, 0.6)  # scores .4 .6 .3 .2, third of four
    assert lac.threshold == pytest.approx(0.4)
    assert lac(np.array([[0.5, 0.3, 0.2], [0.6, 0.35, 0.05], [0.65, 0.3, 0.05]])).sum(axis=1).tolist() == [0, 1, 1]
    aps = ConformalSet.fit(probs, labels, 0.6, "aps", randomised=False)  # scores .6 .9 .7 .8, third of four
    assert aps.threshold == pytest.approx(0.8)
    assert aps(np.array([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]])).tolist() == [[True, False, True], [False, False, True]]


@pytest.mark.parametrize("randomised", [True, False])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_equals_a_naive_loop(method, dtype, randomised):
    probs, labels = sample(n=120, k=80, scale=1.2)
    probs = probs.astype(dtype)
    fitted = ConformalSet.fit(probs[:60], labels[:60], 0.85, method, randomised=randomised, **METHODS[method])
    wide = probs.astype(np.float64)
    uniform = uniform_of(wide) if randomised else np.ones(120)
    threshold, _ = naive_fit(method, wide[:60], labels[:60], 0.85, uniform[:60], **METHODS[method])
    assert fitted.threshold == pytest.approx(threshold, abs=1e-12)
    _, scores = naive_fit(method, wide[60:], labels[60:], 0.85, uniform[60:], **METHODS[method])
    assert (fitted(probs[60:]) == (scores <= fitted.threshold + 1e-12)).all()


@pytest.mark.parametrize(
    ("method", "options", "threshold", "labels_inside"),
    [
        ("lac", {}, 0.950527583496181, 757),
        ("aps", {}, 0.9402275564753592, 614),
        ("raps", {"penalty": 0.05, "rank": 2}, 1.0073080642104162, 611),
        ("saps", {"penalty": 0.2}, 1.049739997160456, 687),
    ],
)
def test_equals_torchcp(method, options, threshold, labels_inside):
    # TorchCP 1.2.1, SplitPredictor with randomized=False scores on float64 logits; its penalties are float32
    a, b = np.arange(400)[:, None], np.arange(8)[None]
    logits = 3 * np.sin(1.7 * a + 2.3 * b * b + 0.1 * a * b)
    labels = np.where(np.arange(400) % 3 == 0, (np.arange(400) * 7 // 3) % 8, logits.argmax(1))
    probs = softmax(logits)
    fitted = ConformalSet.fit(probs[:200], labels[:200], 0.8, method, randomised=False, **options)
    assert fitted.threshold == pytest.approx(threshold, abs=3e-8)
    assert fitted(probs[200:]).sum() == labels_inside


@pytest.mark.parametrize("per", ["class", "group"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_strata_equal_a_fit_on_their_rows_alone(method, dtype, per):
    probs, labels = sample(n=400, k=5)
    probs = probs.astype(dtype)
    groups = np.random.default_rng(1).choice([-2, 5, 9], size=400) if per == "group" else None
    strata = labels if per == "class" else groups
    fitted = ConformalSet.fit(probs, labels, 0.8, method, per=per, groups=groups, **METHODS[method])
    sets = fitted(probs, groups)
    for i, stratum in enumerate(fitted.strata):
        rows = strata == stratum
        alone = ConformalSet.fit(probs[rows], labels[rows], 0.8, method, **METHODS[method])
        assert fitted.thresholds[i] == alone.threshold
        assert fitted.rows[i] == rows.sum()
        if per == "group":
            assert (sets[rows] == alone(probs[rows])).all()
        else:
            assert (sets[:, stratum] == alone(probs)[:, stratum]).all()


@pytest.mark.parametrize("randomised", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_coverage_over_draws_is_what_was_promised(method, randomised):
    n, draws = 49, 200
    total = 0
    parts = (np.split(array, draws) for array in sample(n=(n + 200) * draws, k=4, seed=2))
    for seed, (probs, labels) in enumerate(zip(*parts, strict=True)):
        fitted = ConformalSet.fit(
            probs[:n], labels[:n], 0.8, method, randomised=randomised, seed=seed, **METHODS[method]
        )
        total += metrics.coverage(fitted(probs[n:]), labels[n:]).value
    # of one draw: Beta(40, 10), mean 0.8 and variance 0.8 * 0.2 / 51, and 200 new rows
    error = np.sqrt(0.16 / 51 * (1 + 50 / 200) / draws)
    assert abs(total / draws - 0.8) < 3.5 * error


@pytest.mark.parametrize("per", ["class", "group"])
@pytest.mark.parametrize("method", METHODS)
def test_coverage_over_draws_is_what_was_promised_in_every_stratum(method, per):
    hits, rows = np.zeros(3), np.zeros(3)
    for seed in range(100):
        probs, labels = sample(n=360, k=3, seed=seed, truth=2.5)
        probs = probs[:, [0, 1, 2]] ** np.array([1.0, 1.0, 0.3])  # class 2 is favoured: a marginal fit misses others
        probs /= probs.sum(axis=1, keepdims=True)
        groups = (probs.max(axis=1) > 0.7).astype(int) + (probs.max(axis=1) > 0.85)
        own = groups if per == "group" else None
        fitted = ConformalSet.fit(
            probs[:160],
            labels[:160],
            0.8,
            method,
            per=per,
            groups=None if own is None else own[:160],
            **METHODS[method],
        )
        inside = fitted(probs[160:], None if own is None else own[160:])[np.arange(200), labels[160:]]
        strata = (groups if per == "group" else labels)[160:]
        hits += np.bincount(strata, weights=inside, minlength=3)
        rows += np.bincount(strata, minlength=3)
    assert (hits / rows > 0.79).all()
    assert (hits / rows < 0.83).all()  # of about 50 rows a stratum: up to 1 / 51 above the promise


def test_one_threshold_for_all_does_not_cover_every_group():
    probs, labels = sample(n=4000, k=6, truth=2.5)
    groups = (probs.max(axis=1) > 0.8).astype(int)
    fit, new = slice(0, 2000), slice(2000, None)
    marginal = ConformalSet.fit(probs[fit], labels[fit])
    by_group = ConformalSet.fit(probs[fit], labels[fit], per="group", groups=groups[fit])
    spread = [
        min(e.value for e in metrics.coverage_by_group(sets, labels[new], groups[new]).values())
        for sets in (marginal(probs[new]), by_group(probs[new], groups[new]))
    ]
    assert spread[0] < 0.86 < 0.88 < spread[1]


@pytest.mark.parametrize("method", METHODS)
def test_sets_grow_with_the_coverage(method):
    probs, labels = sample()
    before = np.zeros(probs.shape, dtype=bool)
    for coverage in (0.1, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999):
        sets = ConformalSet.fit(probs, labels, coverage, method, **METHODS[method])(probs)
        assert (sets | ~before).all()
        before = sets
    assert before.all()  # 300 rows cannot promise 0.999


@pytest.mark.parametrize("per", ["all", "class"])
@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_rows_and_classes_does_not_matter(method, per):
    probs, labels = sample(n=200, k=7)
    rng = np.random.default_rng(3)
    rows, classes = rng.permutation(200), rng.permutation(7)
    plain = ConformalSet.fit(probs, labels, 0.8, method, per=per, **METHODS[method])
    moved = ConformalSet.fit(probs[rows], labels[rows], 0.8, method, per=per, **METHODS[method])
    renamed = ConformalSet.fit(probs[:, classes], np.argsort(classes)[labels], 0.8, method, per=per, **METHODS[method])
    assert (plain.thresholds == moved.thresholds).all()
    assert (moved(probs[rows]) == plain(probs)[rows]).all()
    assert (renamed(probs[:, classes]) == plain(probs)[:, classes]).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_set_of_a_row_does_not_depend_on_its_batch_precision_or_layout(method):
    probs, labels = sample(n=200, k=9)
    probs = probs.astype(np.float32)
    fitted = ConformalSet.fit(probs, labels, 0.9, method, **METHODS[method])
    sets = fitted(probs)
    assert (np.concatenate([fitted(probs[i : i + 1]) for i in range(200)]) == sets).all()
    assert (fitted(probs.astype(np.float64)) == sets).all()
    assert (fitted(np.asfortranarray(probs)) == sets).all()
    assert (fitted(np.repeat(probs, 2, axis=0)[::2]) == sets).all()


def test_the_uniform_numbers_are_uniform_differ_by_row_and_seed_and_ignore_the_label_order():
    probs, _ = sample(n=4000, k=5)
    first, second = uniform_of(probs), uniform_of(probs, seed=1)
    for u in (first, second):
        assert np.abs(np.sort(u) - (np.arange(4000) + 0.5) / 4000).max() < 1.95 / np.sqrt(4000)  # Kolmogorov, p = 0.001
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(4000)
    assert abs(np.corrcoef(first, probs.max(axis=1))[0, 1]) < 4 / np.sqrt(4000)
    assert (uniform_of(probs[:, ::-1]) == first).all()
    assert len(np.unique(first)) == 4000


def test_randomised_sets_are_smaller_and_cover_less_above_the_promise():
    probs, labels = sample(n=4000, k=3)
    plain = ConformalSet.fit(probs[:2000], labels[:2000], 0.8, "aps", randomised=False)(probs[2000:])
    random = ConformalSet.fit(probs[:2000], labels[:2000], 0.8, "aps")(probs[2000:])
    assert random.mean() < plain.mean()


@pytest.mark.parametrize("method", METHODS)
def test_rows_that_repeat_are_all_covered_at_the_boundary(method):
    # quantised probabilities put many labels exactly on the threshold: each of them must come out inside
    rng = np.random.default_rng(0)
    probs = rng.multinomial(10, np.full(4, 0.25), size=500) / 10
    labels = (rng.random((500, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    labels = np.minimum(labels, 3)
    for coverage in (0.3, 0.5, 0.7, 0.9):
        fitted = ConformalSet.fit(probs, labels, coverage, method, randomised=False, **METHODS[method])
        inside = fitted(probs)[np.arange(500), labels]
        assert inside.sum() >= metrics.conformal_rank(500, coverage)


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(2, 6), st.sampled_from(list(METHODS)), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_fit_covers_its_own_rows_whatever_the_ties_zeros_and_precision(seed, n, k, method, randomised):
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(6, rng.dirichlet(np.full(k, 0.5)), size=n)
    probs = (counts / 6).astype(rng.choice([np.float32, np.float64]))
    labels = rng.integers(k, size=n)
    for per in ("all", "class"):
        fitted = ConformalSet.fit(probs, labels, 0.7, method, randomised=randomised, per=per, **METHODS[method])
        inside = fitted(probs)[np.arange(n), labels]
        for stratum in fitted.strata:
            own = inside[labels == stratum] if per == "class" else inside
            assert own.sum() >= min(metrics.conformal_rank(len(own), 0.7), len(own))


def test_equal_probabilities_are_walked_in_the_order_of_their_index():
    probs = np.full((1, 4), 0.25)
    scoring = Scoring("aps", 0.0, 0, False, 0)
    found = scoring.of_labels(np.tile(probs, (4, 1)), np.arange(4))
    assert found.tolist() == [0.25, 0.5, 0.75, 1.0]
    for m in range(5):
        assert scoring.sets(probs, np.array([0.25 * m])).tolist() == [[j < m for j in range(4)]]
        assert scoring.sets_by_class(probs, np.full(4, 0.25 * m)).tolist() == [[j < m for j in range(4)]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "coverage"), [(1, 0.9), (8, 0.9), (98, 0.99)])
def test_too_few_rows_give_every_label_and_say_so(method, n, coverage):
    probs, labels = sample(n=n + 1)
    few = ConformalSet.fit(probs[:n], labels[:n], coverage, method, **METHODS[method])
    assert few.threshold == np.inf
    assert few.full.tolist() == [True]
    assert few(probs).all()
    needed = {0.9: 9, 0.99: 99}[coverage]
    assert f"always all 6 labels: {coverage} coverage needs {needed} rows" in few.verdict
    enough = ConformalSet.fit(*sample(n=needed), coverage, method, **METHODS[method])
    assert np.isfinite(enough.threshold)
    assert not enough.full.any()
    assert "set every threshold" in enough.verdict


@pytest.mark.parametrize("method", METHODS)
def test_a_class_with_too_few_rows_is_always_inside(method):
    probs, labels = sample(n=300, k=4)
    keep = (labels != 3) & ~((labels == 2) & (np.arange(300) > 20))
    fitted = ConformalSet.fit(probs[keep], labels[keep], 0.9, method, per="class", **METHODS[method])
    assert fitted.rows[3] == 0
    assert fitted.rows[2] < 9
    assert fitted.full.tolist() == [False, False, True, True]
    sets = fitted(probs)
    assert sets[:, 2:].all()
    assert not sets[:, :2].all()
    assert "2 of 4 classes are in every set: 0.9 coverage needs 9 rows" in fitted.verdict


def test_a_group_with_too_few_rows_gets_every_label():
    probs, labels = sample(n=300, k=4)
    groups = np.where(np.arange(300) < 5, 7, 2)
    fitted = ConformalSet.fit(probs, labels, per="group", groups=groups)
    assert (fitted.strata.tolist(), fitted.rows.tolist(), fitted.full.tolist()) == ([2, 7], [295, 5], [False, True])
    assert fitted(probs[:3], np.array([7, 7, 7])).all()
    assert "1 of 2 groups get every label" in fitted.verdict


def test_an_unknown_group_is_named():
    probs, labels = sample(n=40)
    fitted = ConformalSet.fit(probs, labels, per="group", groups=np.repeat([0, 5], 20))
    for stranger in (-1, 3, 9):
        with pytest.raises(InputError, match=f"group {stranger} of row 1 had no calibration rows"):
            fitted(probs[:2], np.array([0, stranger]))


@pytest.mark.parametrize("method", METHODS)
def test_the_empty_set_policy(method):
    probs, labels = sample(n=1000, k=3, scale=4.0, truth=1.0)
    allowed = ConformalSet.fit(probs, labels, 0.6, method, **METHODS[method])(probs)
    topped = ConformalSet.fit(probs, labels, 0.6, method, empty="top", **METHODS[method])(probs)
    bare = ~allowed.any(axis=1)
    assert bare.any()
    assert (topped[~bare] == allowed[~bare]).all()
    assert (topped[bare].sum(axis=1) == 1).all()
    assert (topped[bare].argmax(axis=1) == probs[bare].argmax(axis=1)).all()
    assert metrics.coverage(topped, labels).value > metrics.coverage(allowed, labels).value


def test_without_randomisation_and_from_rank_one_on_aps_sets_can_still_be_empty():
    sure = ConformalSet.fit(np.tile([0.6, 0.4], (20, 1)), np.zeros(20, int), 0.9, "aps", randomised=False)
    assert sure(np.array([[0.6, 0.4], [0.7, 0.3]])).sum(axis=1).tolist() == [1, 0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("per", ["all", "class"])
def test_masked_classes_are_in_no_set_while_the_rows_suffice(method, per):
    probs, labels = sample(n=600, k=4, scale=6.0)
    masked = np.concatenate([probs, np.zeros((600, 2))], axis=1)
    fitted = ConformalSet.fit(masked, labels, 0.95, method, randomised=False, per=per, **METHODS[method])
    sets = fitted(masked)
    assert sets[:, 4:].all() == (per == "class")  # without a row of their own, they cannot be left out
    assert sets[:, 4:].any() == (per == "class")
    without = ConformalSet.fit(probs, labels, 0.95, method, randomised=False, per=per, **METHODS[method])
    assert (sets[:, :4] == without(probs)).all()


@pytest.mark.parametrize("method", METHODS)
def test_saturated_rows_hold_the_top_label_alone_if_it_is_right_often_enough(method):
    probs = np.eye(5)[np.arange(200) % 5]
    labels = np.arange(200) % 5
    labels[:10] = (labels[:10] + 1) % 5  # 5 % of the labels have probability 0
    sets = ConformalSet.fit(probs, labels, 0.9, method, randomised=False, **METHODS[method])(probs)
    assert (sets == (probs == 1)).all()
    fitted = ConformalSet.fit(probs, labels, 0.98, method, randomised=False, **METHODS[method])
    assert fitted(probs).all()
    assert fitted.full.all()
    assert "labels of probability above 0" in fitted.verdict


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("per", ["all", "class"])
def test_minus_zero_is_zero(method, per):
    probs, labels = sample(n=200, k=3)
    signed, plain = (
        np.concatenate([np.full((200, 1), zero), probs], axis=1).astype(np.float32) for zero in (-0.0, 0.0)
    )
    fitted = ConformalSet.fit(signed, labels + 1, 0.8, method, randomised=False, per=per, **METHODS[method])
    assert (fitted(signed) == fitted(plain)).all()
    assert not fitted(signed)[:, 1:].all()


def test_lac_tells_tiny_probabilities_apart():
    probs = np.array([[1.0, 1e-20, 1e-30, 0.0]] * 20)
    fitted = ConformalSet.fit(probs, np.repeat([0, 1], 10), 0.9)
    assert fitted.threshold == 1.0  # in float64 1 - 1e-20 is 1, and so is 1 - 0
    assert fitted(probs[:1]).tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_two_classes_and_sums_a_thousandth_off(method):
    probs, labels = sample(n=400, k=2)
    probs = (probs * np.random.default_rng(0).uniform(0.9991, 1.0009, (400, 1))).astype(np.float32)
    fitted = ConformalSet.fit(probs[:200], labels[:200], 0.9, method, **METHODS[method])
    assert metrics.coverage(fitted(probs[200:]), labels[200:]).high > 0.9


def test_raps_constants_are_chosen_on_rows_that_set_no_threshold():
    probs, labels = sample(n=500, k=40, scale=1.5)
    fitted = ConformalSet.fit(probs, labels, 0.9, "raps", seed=3)
    assert len(fitted.spent) == 100
    assert fitted.n == 400
    assert len(set(fitted.spent.tolist())) == 100
    place = np.sort([(p > p[y]).sum() + 1 for p, y in zip(probs[fitted.spent], labels[fitted.spent], strict=True)])
    assert fitted.rank == place[metrics.conformal_rank(100, 0.9) - 1]
    sizes = {}
    for penalty in (0.001, 0.01, 0.1, 0.2, 0.5):
        tried = ConformalSet.fit(
            probs[fitted.spent], labels[fitted.spent], 0.9, "raps", penalty=penalty, rank=fitted.rank, seed=3
        )
        sizes[penalty] = tried(probs[fitted.spent]).sum(axis=1).mean()
    assert fitted.penalty == min(sizes, key=sizes.__getitem__)
    rest = np.setdiff1d(np.arange(500), fitted.spent)
    given = ConformalSet.fit(probs[rest], labels[rest], 0.9, "raps", penalty=fitted.penalty, rank=fitted.rank, seed=3)
    assert given.threshold == fitted.threshold
    assert len(given.spent) == 0


@pytest.mark.parametrize(("method", "given"), [("raps", {"penalty": 0.3}), ("raps", {"rank": 4}), ("saps", {})])
def test_only_what_is_missing_is_chosen(method, given):
    fitted = ConformalSet.fit(*sample(k=20), 0.9, method, tune=0.5, **given)
    assert len(fitted.spent) == 150
    for name, value in given.items():
        assert getattr(fitted, name) == value
    assert fitted.penalty > 0


def test_penalties_make_long_sets_short():
    probs, labels = sample(n=1000, k=200, truth=0.4)  # an under-confident model: half its mass lies in the tail
    size = {
        method: ConformalSet.fit(probs[:500], labels[:500], 0.9, method, randomised=False)(probs[500:]).sum(1).mean()
        for method in METHODS
    }
    assert size["raps"] < size["aps"]
    assert size["saps"] < size["aps"]
    assert size["lac"] < size["aps"]


def test_a_temperature_changes_lac_and_aps_sets_but_not_the_rank_of_a_label():
    probs, labels = sample(n=1000, k=10, truth=3.0)
    cooled = softmax(Temperature.fit(np.log(probs), labels)(np.log(probs)))
    for method in ("lac", "aps"):
        before = ConformalSet.fit(probs, labels, 0.9, method, randomised=False)(probs)
        after = ConformalSet.fit(cooled, labels, 0.9, method, randomised=False)(cooled)
        assert (before.sum(axis=1) != after.sum(axis=1)).any()


def test_survives_a_file_of_arrays_and_json():
    probs, labels = sample(k=4)
    fitted = ConformalSet.fit(probs, labels, 0.9, "raps", per="class")
    state = {field.name: getattr(fitted, field.name) for field in dataclasses.fields(fitted)}
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    rest = json.loads(json.dumps({name: value for name, value in state.items() if name not in arrays}))
    assert all(array.dtype in (np.float64, np.int64) for array in arrays.values())
    assert (ConformalSet(**arrays, **rest)(probs) == fitted(probs)).all()


def test_numbers_that_are_no_conformal_set_are_refused():
    fitted = ConformalSet.fit(*sample())
    with pytest.raises(InputError, match="one threshold and one count a stratum"):
        dataclasses.replace(fitted, cuts=np.array([np.nan]))
    with pytest.raises(InputError, match="no method 'lacc'; did you mean lac"):
        dataclasses.replace(fitted, method="lacc")


def test_the_same_seed_gives_the_same_sets_and_the_global_generator_is_left_alone():
    probs, labels = sample()
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    once, again, other = (ConformalSet.fit(probs, labels, 0.9, "raps", seed=seed) for seed in (1, 1, 2))
    assert (once(probs) == again(probs)).all()
    assert once.spent.tolist() != other.spent.tolist()
    assert (once(probs) != other(probs)).any()
    assert (np.random.get_state()[1] == before).all()


def test_the_input_is_left_as_it_was():
    probs, labels = sample()
    copies = probs.copy(), labels.copy()
    for per in ("all", "class"):
        ConformalSet.fit(probs, labels, 0.9, "raps", per=per)(probs)
    assert (probs == copies[0]).all()
    assert (labels == copies[1]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverage": 90.0}, "coverage must lie between 0 and 1"),
        ({"coverage": 1.0}, "coverage must lie between 0 and 1"),
        ({"penalty": 0.1}, 'penalty belongs to "raps" and "saps"'),
        ({"method": "saps", "rank": 3}, 'rank belongs to "raps"'),
        ({"method": "saps", "penalty": 0.0}, 'above 0 for "saps"'),
        ({"method": "raps", "penalty": -0.1}, "at least 0"),
        ({"method": "raps", "penalty": np.inf}, "finite"),
        ({"method": "raps", "rank": -1}, "0 or more"),
        ({"method": "raps", "tune": 1.0}, "between 0 and 1"),
        ({"per": "group"}, 'groups go with per="group"'),
        ({"groups": np.zeros(300, int)}, 'groups go with per="group"'),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        ConformalSet.fit(*sample(), **options)


def test_bad_data_are_named():
    probs, labels = sample()
    with pytest.raises(InputError, match="are these logits"):
        ConformalSet.fit(np.log(probs), labels)
    with pytest.raises(InputError, match="labels must lie in"):
        ConformalSet.fit(probs, labels + 1)
    with pytest.raises(InputError, match="choosing penalty and rank needs 5 rows, got 4"):
        ConformalSet.fit(probs[:4], labels[:4], 0.9, "raps")
    fitted = ConformalSet.fit(probs, labels)
    with pytest.raises(InputError, match="expected probs of 6 classes"):
        fitted(np.full((2, 3), 1 / 3))
    with pytest.raises(InputError, match="groups go with"):
        fitted(probs, labels)
    with pytest.raises(InputError, match="there are 6 thresholds"):
        _ = ConformalSet.fit(probs, labels, per="class").threshold


def test_without_checked_annotations_our_own_lines_answer():
    # in a process of its own: here the annotations are checked first
    program = """
import numpy as np
from candid import metrics
from candid.calibrate import ConformalSet
probs, labels, sets = np.full((20, 2), 0.5), np.zeros(20, int), np.ones((4, 2), bool)
fit = ConformalSet.fit
for call in (
    lambda: fit(probs, labels, method="apps"),
    lambda: fit(probs, labels, per="clas"),
    lambda: fit(probs, labels, empty="tops"),
    lambda: fit(probs, labels[:-1]),
    lambda: fit(probs, labels, per="group", groups=labels[:3]),
    lambda: metrics.coverage(sets, labels[:3]),
    lambda: metrics.coverage(sets.astype(float), labels[:4]),
    lambda: metrics.coverage_by_group(sets, labels[:4], labels[:3]),
):
    try:
        call()
    except ValueError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    for line, start in zip(
        lines,
        (
            "no method 'apps'; did you mean aps",
            "unknown per='clas'; did you mean class?",
            "unknown empty='tops'; did you mean top?",
            "expected 20 labels, one a row",
            "expected 20 integer groups, one a row",
            "expected 4 labels, one a row",
            "sets must be a bool matrix",
            "expected 4 integer groups, one a row",
        ),
        strict=True,
    ):
        assert line.startswith(start)


def test_memory_is_a_block_and_the_answer():
    tracemalloc = pytest.importorskip("tracemalloc")
    rng = np.random.default_rng(0)
    probs = rng.random((2000, 500), dtype=np.float32)
    probs /= probs.sum(axis=1, keepdims=True)
    labels = rng.integers(500, size=2000)
    for options in ({"method": "aps"}, {"method": "raps"}, {"method": "aps", "per": "class"}):
        tracemalloc.start()
        fitted = ConformalSet.fit(probs, labels, **options)
        at_fit = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        fitted(probs)
        at_call = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert at_fit < probs.nbytes
        assert at_call < probs.size + probs.nbytes


@pytest.mark.skipif(not REAL.exists(), reason="needs the shared file of real network outputs")
@pytest.mark.parametrize("network", ["cifar10_lenet5", "cifar10_wrn16_4", "cifar100_lenet5", "cifar100_wrn16_4"])
@pytest.mark.parametrize("method", METHODS)
def test_real_networks_are_covered_as_promised(network, method):
    with np.load(REAL) as data:
        probs, labels = np.exp(data[f"{network}_logp"].astype(np.float32)), data[f"{network}_label"].astype(int)
    probs /= probs.sum(axis=1, keepdims=True)
    order = np.random.default_rng(0).permutation(len(probs))
    fit, new = order[:2000], order[2000:]
    fitted = ConformalSet.fit(probs[fit], labels[fit], 0.9, method)
    found = metrics.coverage(fitted(probs[new]), labels[new])
    expected = metrics.expected_coverage(fitted.n, 0.9, rows=len(new), level=0.999)
    assert expected.low <= found.value <= expected.high


def test_a_float32_probability_is_held_against_the_float64_cut_itself():
    value = np.float32(0.3)
    cut = np.array([np.nextafter(float(value), side) for side in (0.0, 1.0)] + [float(value), np.inf, -0.0])
    bounds = at_least(cut, np.dtype(np.float32))
    around = np.array([np.nextafter(value, np.float32(0)), value, np.nextafter(value, np.float32(1))])
    assert bounds.dtype == np.float32
    assert ((around[:, None] >= bounds) == (around.astype(np.float64)[:, None] >= cut)).all()
    assert np.isneginf(at_least(np.array([-np.inf]), np.dtype(np.float32))).all()
