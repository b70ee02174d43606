"""Histogram binning: counted by hand, against netcal and naive loops, and what it does at every edge of its input."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candid import metrics
from candid.arrays import softmax
from candid.calibrate import METHODS, HistogramBinning
from candid.errors import InputError

DATA = Path(__file__).parents[2] / "shared" / "data"
SCOPES = ["per-class", "top-label"]


def sample(n=2000, k=5, temperature=2.0, seed=0):
    """Logits and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = 3.0 * rng.normal(size=(n, k))
    return logits, (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)


def logits_of(*probs):
    with np.errstate(divide="ignore"):
        return np.log(np.array(probs))


def naive_equal_width(probs, labels, fresh, bins):
    """Mean of "is class k" in every (lo, hi] bin, rows over their sum; empty bins say their centre."""
    out = np.empty(fresh.shape)
    edges = np.linspace(0, 1, bins + 1)
    for k in range(probs.shape[1]):
        table = []
        for b in range(bins):
            inside = (probs[:, k] > edges[b]) & (probs[:, k] <= edges[b + 1])
            table.append((labels[inside] == k).mean() if inside.any() else (b + 0.5) / bins)
        for i, p in enumerate(fresh[:, k]):
            out[i, k] = next(table[b] for b in range(bins) if p <= edges[b + 1] or b == bins - 1)
    total = out.sum(axis=1, keepdims=True)
    return np.where(total > 0, out / np.where(total > 0, total, 1), 1 / out.shape[1])


def test_equal_mass_bins_by_hand():
    # p of class 1 rises 0.1 .. 0.8; two bins of four rows: labels 0 0 0 1 and 0 1 1 1
    p = np.arange(1, 9) / 10
    logits = logits_of(*zip(1 - p, p, strict=True))
    fitted = HistogramBinning.fit(logits, np.array([0, 0, 0, 1, 0, 1, 1, 1]), bins=2, smoothing=0.0)
    assert fitted.edges == pytest.approx(np.array([[0.55], [0.45]]))
    assert fitted.values == pytest.approx(np.array([[0.25, 0.75], [0.25, 0.75]]))
    assert fitted(logits)[:, 1] == pytest.approx([0.25] * 4 + [0.75] * 4)


@pytest.mark.parametrize("n", [40, 101, 997, 1000])
def test_equal_mass_bins_hold_the_same_number_of_rows(n):
    logits, labels = sample(n=n, k=3)
    fitted = HistogramBinning.fit(logits, labels, bins=7)
    rising = np.sort(softmax(logits), axis=0)
    ranks = np.floor(np.arange(1, 7) / 7 * n + 0.5).astype(int)
    for k in range(3):
        assert fitted.edges[k] == pytest.approx((rising[ranks - 1, k] + rising[ranks, k]) / 2, rel=1e-12)
        shares = [(labels[part] == k).mean() for part in np.split(np.argsort(softmax(logits)[:, k]), ranks)]
        assert fitted.values[k] == pytest.approx(shares)


def test_smoothing_mixes_in_the_uniform_by_one_in_n_plus_one():
    logits = logits_of([0.9, 0.1], [0.9, 0.1], [0.2, 0.8])
    labels = np.array([0, 0, 1])
    textbook = HistogramBinning.fit(logits, labels, bins=2, smoothing=0.0)(logits)
    assert textbook.tolist() == [[1, 0], [1, 0], [0, 1]]
    fitted = HistogramBinning.fit(logits, labels, bins=2)
    assert fitted.smoothing == 1 / 4
    assert fitted(logits) == pytest.approx(0.75 * textbook + 0.125)


def test_equal_width_is_the_naive_loop():
    logits, labels = sample(n=400)
    fresh = sample(n=100, seed=1)[0]
    fitted = HistogramBinning.fit(logits, labels, binning="equal-width", smoothing=0.0)
    expected = naive_equal_width(softmax(logits), labels, softmax(fresh), 10)
    assert fitted(fresh) == pytest.approx(expected, abs=1e-12)


def test_equals_netcal():
    binning = pytest.importorskip("netcal.binning")
    logits, labels = sample(n=3000, k=4)
    theirs = binning.HistogramBinning(bins=10)
    theirs.fit(softmax(logits), labels)
    ours = HistogramBinning.fit(logits, labels, binning="equal-width", smoothing=0.0)
    fresh = sample(n=500, k=4, seed=1)[0]
    assert ours(fresh) == pytest.approx(theirs.transform(softmax(fresh)), abs=1e-6)


def test_top_label_is_the_accuracy_among_rows_of_one_prediction():
    # 100 rows predicted 0 at 0.6 and 0.9 (50 each), 60 predicted 1 at 0.7
    logits = logits_of(*[[0.6, 0.4]] * 50, *[[0.9, 0.1]] * 50, *[[0.3, 0.7]] * 60)
    labels = np.array([0] * 30 + [1] * 20 + [0] * 40 + [1] * 10 + [1] * 33 + [0] * 27)
    fitted = HistogramBinning.fit(logits, labels, scope="top-label", smoothing=0.0)
    assert fitted(logits[[0, 50, 100]]) == pytest.approx(np.array([[0.6, 0.4], [0.8, 0.2], [0.45, 0.55]]))


def test_top_label_classes_predicted_in_under_fifty_rows_share_the_bins_of_all():
    logits = logits_of(*[[0.6, 0.3, 0.1]] * 60, *[[0.1, 0.6, 0.3]] * 40)
    labels = np.array([0] * 30 + [1] * 30 + [1] * 40)
    fitted = HistogramBinning.fit(logits, labels, scope="top-label", smoothing=0.0)
    seen = fitted(logits_of([0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6]))
    assert seen.max(axis=1) == pytest.approx([0.5, 0.7, 0.7])
    odds = 3 ** (1 / fitted.temperature)  # of class 2 against class 0, at the best temperature
    assert seen[1] == pytest.approx([0.3 / (1 + odds), 0.7, 0.3 * odds / (1 + odds)])


@pytest.mark.parametrize("scope", SCOPES)
def test_weights_of_whole_numbers_are_repeated_rows(scope):
    logits, labels = sample(n=300, k=3)
    times = np.random.default_rng(1).integers(0, 4, size=300)
    weighted = HistogramBinning.fit(logits, labels, times.astype(float), scope="per-class", smoothing=0.0)
    repeated = HistogramBinning.fit(
        np.repeat(logits, times, axis=0), np.repeat(labels, times), scope="per-class", smoothing=0.0
    )
    assert weighted.values == pytest.approx(repeated.values)
    ones = HistogramBinning.fit(logits, labels, np.ones(300), scope=scope)
    assert ones(logits) == pytest.approx(HistogramBinning.fit(logits, labels, scope=scope)(logits))


@pytest.mark.parametrize("scope", SCOPES)
def test_rows_of_weight_zero_might_as_well_be_absent(scope):
    logits, labels = sample(n=600, k=3)
    weights = np.ones(600)
    weights[::3] = 0
    logits[0, labels[0]] = -np.inf  # not even this one is looked at
    some = weights > 0
    a = HistogramBinning.fit(logits, labels, weights, scope=scope)
    b = HistogramBinning.fit(logits[some], labels[some], scope=scope)
    assert (a.n, a.smoothing) == (b.n, b.smoothing)
    assert a(logits) == pytest.approx(b(logits))


@pytest.mark.parametrize("scope", SCOPES)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), k=st.integers(2, 6), grid=st.sampled_from([0, 1, 8]))
@settings(max_examples=40)
def test_any_data_give_probabilities_above_zero_in_any_order_of_rows(scope, seed, n, k, grid):
    rng = np.random.default_rng(seed)
    logits = np.round(rng.standard_t(2, size=(n, k)), grid)  # ties in plenty at 0 digits
    labels = rng.integers(k, size=n)
    masked = rng.random((n, k)) < 0.2
    masked[np.arange(n), labels] = False
    logits[masked] = -np.inf
    fitted = HistogramBinning.fit(logits, labels, scope=scope)
    probs = fitted(logits)
    assert probs.sum(axis=1) == pytest.approx(1)
    assert ((probs > 0) == ~masked).all()
    order = rng.permutation(n)
    again = HistogramBinning.fit(logits[order], labels[order], scope=scope)
    assert again.edges == pytest.approx(fitted.edges)
    assert again.values == pytest.approx(fitted.values)


@pytest.mark.parametrize("scope", SCOPES)
def test_adding_a_constant_to_rows_and_renaming_classes_change_nothing(scope):
    logits, labels = sample()
    probs = HistogramBinning.fit(logits, labels, scope=scope)(logits)
    shifted = logits + np.random.default_rng(2).normal(0, 10, (len(logits), 1))
    assert HistogramBinning.fit(shifted, labels, scope=scope)(shifted) == pytest.approx(probs)
    order = np.array([3, 0, 4, 1, 2])
    renamed = HistogramBinning.fit(logits[:, order], np.argsort(order)[labels], scope=scope)
    assert renamed(logits[:, order]) == pytest.approx(probs[:, order])


@pytest.mark.parametrize("scope", SCOPES)
def test_a_column_at_minus_infinity_is_a_class_that_is_not_there(scope):
    logits, labels = sample(k=4)
    wide = np.insert(logits, 2, -np.inf, axis=1)
    probs = HistogramBinning.fit(wide, labels + (labels >= 2), scope=scope)(wide)
    assert not probs[:, 2].any()
    expected = HistogramBinning.fit(logits, labels, scope=scope)(logits)
    assert np.delete(probs, 2, axis=1) == pytest.approx(expected)


def test_a_class_never_on_offer_in_the_fit_keeps_its_probability_to_the_bin():
    logits, labels = sample(k=4)
    wide = np.insert(logits, 4, -np.inf, axis=1)
    fitted = HistogramBinning.fit(wide, labels)
    assert fitted.values[4] == pytest.approx((np.arange(10) + 0.5) / 10)


def test_a_class_without_labels_stays_possible():
    logits, labels = sample(n=500, k=3)
    labels[labels == 2] = 0
    fitted = HistogramBinning.fit(logits, labels)
    probs = fitted(logits)
    assert not fitted.values[2].any()
    assert probs[:, 2] == pytest.approx(1 / 501 / 3)
    assert np.isfinite(metrics.nll(probs, np.full(500, 2)))


def test_a_row_no_table_knows_is_uniform():
    # class 0 is never right above 0.5 and class 1 never right below it, so a row beyond gets zeros from both
    logits = logits_of([0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8])
    fitted = HistogramBinning.fit(logits, np.array([1, 2, 0]), bins=2, binning="equal-width", smoothing=0.0)
    fitted.values[:] = 0.0
    masked = logits.copy()
    masked[0, 2] = -np.inf
    assert fitted(masked)[0].tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scope", SCOPES)
def test_every_precision_and_layout_gives_float64(scope, dtype):
    logits, labels = sample()
    logits = logits.astype(dtype)
    fitted = HistogramBinning.fit(logits, labels, scope=scope)
    wide = HistogramBinning.fit(logits.astype(np.float64), labels, scope=scope)
    assert fitted(logits).dtype == np.float64
    assert fitted(logits) == pytest.approx(wide(logits.astype(np.float64)))
    turned = np.asfortranarray(logits)
    assert HistogramBinning.fit(turned, labels, scope=scope)(turned) == pytest.approx(fitted(logits))


@pytest.mark.parametrize("scope", SCOPES)
def test_one_row_two_classes_constant_and_separable_logits_have_answers(scope):
    one = HistogramBinning.fit(np.array([[1.0, 0.0]]), np.array([0]), scope=scope)
    assert one(np.array([[1.0, 0.0]])) == pytest.approx(np.array([[0.75, 0.25]]))
    flat = np.zeros((200, 4))
    quarter = HistogramBinning.fit(flat, np.arange(200) % 4, scope=scope)(flat)
    assert quarter == pytest.approx(0.25)
    sure = 50.0 * np.eye(3)[np.arange(300) % 3]
    fitted = HistogramBinning.fit(sure, np.arange(300) % 3, scope=scope)
    assert fitted(sure).max(axis=1) == pytest.approx(1 - 1 / 301 * 2 / 3)


@pytest.mark.parametrize("scope", SCOPES)
def test_calibrates_what_was_overconfident(scope):
    logits, labels = sample(n=20_000, temperature=3.0)
    fitted = HistogramBinning.fit(logits[:10_000], labels[:10_000], scope=scope)
    before = metrics.ece(softmax(logits[10_000:]), labels[10_000:])
    after = metrics.ece(fitted(logits[10_000:]), labels[10_000:])
    assert after < 0.03 < 0.15 < before


def test_top_label_never_changes_the_prediction():
    logits, labels = sample(temperature=20.0)  # accuracy near 1/5: other classes would often pass the first
    fitted = HistogramBinning.fit(logits, labels, scope="top-label")
    assert (fitted(logits).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_every_predicted_class_is_calibrated_in_the_top_label_sense():
    logits, labels = sample(n=30_000, k=3, temperature=3.0)
    logits[:, 0] += 1  # class 0 is over-predicted, so its confidence lies more than the others'
    fitted = HistogramBinning.fit(logits[:15_000], labels[:15_000], scope="top-label")
    probs, truth = fitted(logits[15_000:]), labels[15_000:]
    for k in range(3):
        mine = probs.argmax(axis=1) == k
        assert abs((truth[mine] == k).mean() - probs[mine, k].mean()) < 0.03


def test_real_networks_are_repaired():
    path = DATA / "real_probs.npz"
    if not path.exists():
        pytest.skip("the shared data folder is not here")
    with np.load(path) as stored:
        logits, labels = stored["cifar10_wrn16_4_logp"].astype(np.float64), stored["cifar10_wrn16_4_label"]
    fit, test = slice(0, None, 2), slice(1, None, 2)
    labels = labels.astype(np.int64)
    for scope in SCOPES:
        probs = HistogramBinning.fit(logits[fit], labels[fit], scope=scope)(logits[test])
        assert metrics.ece(probs, labels[test]) < 0.6 * metrics.ece(softmax(logits[test]), labels[test])


def test_the_fit_copies_no_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 200)).astype(np.float32)
    labels = rng.integers(200, size=20_000)
    tracemalloc.start()
    HistogramBinning.fit(logits, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * logits.nbytes  # blocks of 8 MB, their sort and masks; float64 copies would start at 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scope": "per-clas"}, "did you mean per-class"),
        ({"binning": "equal-with"}, "did you mean equal-width"),
        ({"bins": 0}, "at least one bin"),
        ({"smoothing": 1.0}, "smoothing must lie in"),
        ({"smoothing": -0.1}, "smoothing must lie in"),
    ],
)
def test_wrong_options_are_refused(options, message):
    fit = getattr(HistogramBinning.fit, "__wrapped__", HistogramBinning.fit)  # without the suite's type checks
    with pytest.raises(InputError, match=message):
        fit(*sample(n=50), **options)


def test_wrong_data_are_refused():
    logits, labels = sample(n=50)
    with pytest.raises(InputError, match="must lie in"):
        HistogramBinning.fit(logits, labels + 1)
    with pytest.raises(InputError, match="must be finite"):
        HistogramBinning.fit(np.where(logits == logits[3, 2], np.nan, logits), labels)
    with pytest.raises(InputError, match="weights must be 50"):
        HistogramBinning.fit(logits, labels, np.zeros(50))
    hidden = logits.copy()
    hidden[7, labels[7]] = -np.inf
    with pytest.raises(InputError, match="of row 7 has logit -inf"):
        HistogramBinning.fit(hidden, labels)
    for scope in SCOPES:
        with pytest.raises(InputError, match="fitted on 5 classes, got logits of 4"):
            HistogramBinning.fit(logits, labels, scope=scope)(logits[:, :4])


def test_methods_lists_it():
    assert METHODS["histogram-binning"] is HistogramBinning
    assert HistogramBinning.returns == "probs"
