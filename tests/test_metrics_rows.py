"""The one pass behind everything: against scipy, and the compiled route against numpy."""

import numpy as np
import pytest
from scipy.special import logsumexp

from candid import metrics
from candid.calibrate import Temperature
from candid.errors import InputError
from candid.metrics import rows


def sample(n=300, k=37, dtype=np.float32):
    rng = np.random.default_rng(2)
    logits = (5 * rng.normal(size=(n, k))).astype(dtype)
    logits[::3, 20:] = -np.inf
    logits[::4] *= 300  # saturated
    return logits


def take_compiled_route(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(rows, "COMPILED_CELLS", 1)
    monkeypatch.setattr(rows, "COMPILED_FROM", 1)


@pytest.fixture
def compiled(monkeypatch):
    take_compiled_route(monkeypatch)


@pytest.mark.parametrize("beta", [1e-3, 1.0, 7.0])
def test_log_sum_mean_and_variance_are_those_of_the_softmax(beta):
    logits = sample()
    top = rows.highest(logits)
    found = rows.tilted(logits, top.value, beta)
    gaps = logits.astype(np.float64) - top.value[:, None]
    log_sum = logsumexp(beta * gaps, axis=1)
    p = np.exp(beta * gaps - log_sum[:, None])
    gaps[np.isneginf(gaps)] = 0
    mean = (p * gaps).sum(1)
    assert found.log_sum == pytest.approx(log_sum, rel=1e-13, abs=1e-15)
    assert found.mean == pytest.approx(mean, rel=1e-12, abs=1e-300)
    assert found.variance == pytest.approx((p * (gaps - mean[:, None]) ** 2).sum(1), rel=1e-10, abs=1e-10)
    scale = (p * np.abs(gaps) ** 3).sum(1).max()
    assert found.third == pytest.approx((p * (gaps - mean[:, None]) ** 3).sum(1), rel=1e-9, abs=1e-12 * scale)
    mass = rows.mass(logits, top.value, beta)
    assert mass.squares / mass.total**2 == pytest.approx((p * p).sum(1), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", [1e-20, 0.01, 1.0, 50.0])
def test_the_compiled_route_equals_numpy(dtype, beta, monkeypatch):
    logits = sample(dtype=dtype)
    top = rows.highest(logits).value
    plain, mass = rows.tilted(logits, top, beta), rows.mass(logits, top, beta)
    confidence = rows.inverse_mass(logits, top, beta)
    take_compiled_route(monkeypatch)
    for ours, reference in zip(rows.tilted(logits, top, beta), plain, strict=True):
        assert ours == pytest.approx(reference, rel=1e-11, abs=1e-11 / min(beta, 1) ** 3)
    for ours, reference in zip(rows.mass(logits, top, beta), mass, strict=True):
        assert ours == pytest.approx(reference, rel=1e-13)
    assert rows.inverse_mass(logits, top, beta) == pytest.approx(confidence, rel=1e-13)


@pytest.mark.parametrize("beta", [0.01, 1.0, 50.0])
def test_single_precision_is_right_to_a_millionth_on_both_routes(beta, monkeypatch):
    logits = sample()
    top = rows.highest(logits).value
    exact = rows.inverse_mass(logits, top, beta)
    assert rows.inverse_mass_single(logits, top, beta) == pytest.approx(exact, rel=1e-6)
    take_compiled_route(monkeypatch)
    assert rows.inverse_mass_single(logits, top, beta) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("beta", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("route", ["numpy", "compiled"])
def test_single_precision_moments_are_right_to_a_hundred_thousandth(route, beta, monkeypatch):
    logits = sample()
    top = rows.highest(logits).value
    exact = rows.tilted(logits, top, beta)
    if route == "compiled":
        take_compiled_route(monkeypatch)
    for power, (single, double) in enumerate(zip(rows.tilted_single(logits, top, beta), exact, strict=True)):
        assert single * beta**power == pytest.approx(double * beta**power, rel=1e-5, abs=1e-3 if power == 3 else 1e-4)


@pytest.mark.usefixtures("compiled")
def test_small_arrays_stay_with_numpy_and_do_not_count(monkeypatch):
    monkeypatch.setattr(rows, "COMPILED_FROM", 1 << 18)
    monkeypatch.setattr(rows, "COMPILED_CELLS", rows._passed + 2 * (1 << 18))
    large = np.zeros((1 << 9, 1 << 9), np.float32)
    assert [rows.compiled_pays(a) for a in (large[:9], large, large[:9], large, large[:9])] == [
        False, False, False, True, False,
    ]  # fmt: skip


@pytest.mark.usefixtures("compiled")
def test_the_compiled_fit_and_ece_equal_numpys(monkeypatch):
    rng = np.random.default_rng(0)
    logits = (3 * rng.normal(size=(9000, 20))).astype(np.float32)
    labels = (logits / 1.7 + rng.gumbel(size=logits.shape)).argmax(1)
    fast, fast_ece = Temperature.fit(logits, labels), metrics.ece_of_logits(logits, labels)
    monkeypatch.setattr(rows, "COMPILED_CELLS", 1 << 60)
    plain = Temperature.fit(logits, labels)
    assert fast.value == pytest.approx(plain.value, rel=1e-11)
    assert fast.standard_error == pytest.approx(plain.standard_error, rel=1e-9)
    assert fast_ece == pytest.approx(metrics.ece_of_logits(logits, labels), abs=1e-7)


@pytest.mark.usefixtures("compiled")
def test_what_the_compiled_route_cannot_read_goes_through_numpy():
    logits = sample()
    columns = np.asfortranarray(logits)
    assert not rows.compiled_pays(columns)
    assert not rows.compiled_pays(logits.astype(np.float16))
    top = rows.highest(columns).value
    assert rows.inverse_mass(columns, top, 1.0) == pytest.approx(rows.inverse_mass(logits, top, 1.0), rel=1e-13)


@pytest.mark.usefixtures("compiled")
def test_read_only_logits_are_read():
    logits = sample()
    logits.flags.writeable = False
    assert len(metrics.top_scores(logits).label) == len(logits)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_no_softmax_can_use_are_named_by_row(bad):
    logits = np.zeros((4, 3))
    logits[2, 1] = bad
    with pytest.raises(InputError, match="row 2"):
        metrics.top_scores(logits)


def test_a_row_of_only_masked_classes_is_refused():
    with pytest.raises(InputError, match="never a whole row"):
        metrics.top_scores(np.array([[0.0, 1.0], [-np.inf, -np.inf]]))


def test_blocks_cover_every_row_once():
    for n, k in ((1, 1), (5, 40_000), (1000, 100), (3, 200_000)):
        covered = [i for block in rows.row_blocks(n, k) for i in range(block.start, block.stop)]
        assert covered == list(range(n))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 3, 256, 257, 1000])
def test_the_compiled_top_of_probs_equals_numpys_ties_too(dtype, k, monkeypatch):
    rng = np.random.default_rng(k)
    probs = rng.integers(0, 4, size=(200, k)).astype(dtype) + (np.arange(k) == 0)  # many ties, no row all zero
    probs /= probs.sum(1, keepdims=True)
    probs[0] = np.where(np.arange(k) == k - 1, 1.0, -0.0)
    labels = rng.integers(k, size=200)
    plain = metrics.top_of_probs(probs, labels)
    take_compiled_route(monkeypatch)
    fast = metrics.top_of_probs(probs, labels)
    assert fast.confidence.tolist() == plain.confidence.tolist()
    assert fast.correct.tolist() == plain.correct.tolist()


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("value", "words"), [(-0.25, "not be negative, row 7"), (0.5, "row 7 sums to 1.25"), (np.nan, "row 7 sums to nan")]
)
def test_the_compiled_route_refuses_what_are_no_probabilities(value, words):
    probs = np.full((20, 4), 0.25)
    probs[7, 2] = value
    probs[7, 3] += (0.25 - value) if value < 0 else 0.0
    with pytest.raises(InputError, match=words):
        metrics.ece(probs, np.zeros(20, int))
