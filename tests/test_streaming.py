"""Fitting and judging from features and a head, block by block: the same numbers as from logits in memory."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candid import metrics
from candid.arrays import softmax
from candid.calibrate import Temperature
from candid.calibrate.likelihood import Likelihood
from candid.errors import InputError, NoOptimum
from candid.metrics.streaming import logit_blocks
from candid.types import Head

DATA = Path(__file__).parents[2] / "shared" / "data"


def sample(n=3000, k=40, d=16, temperature=1.7, scale=12.0, bias=0.0, seed=0):
    """A head, unit vectors near its weights, and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(k, d))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    vectors = weights[rng.integers(k, size=n)] + 0.3 * rng.normal(size=(n, d))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    head = Head(weights.astype(np.float32), tuple(map(str, range(k))), scale=scale, bias=bias)
    vectors = vectors.astype(np.float32)
    logits = head(vectors)
    return head, vectors, (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)


def in_blocks(head, vectors, rows):
    """All logits, as the blocks have them: BLAS rounds float32 products of another size differently."""
    return np.concatenate([block.logits for block in logit_blocks(head, vectors, rows=rows)])


def assert_same_fit(streamed, held):
    assert streamed.value == pytest.approx(held.value, rel=1e-9)
    assert streamed.nll == pytest.approx(held.nll, rel=1e-8)
    assert streamed.standard_error == pytest.approx(held.standard_error, rel=1e-5)
    assert streamed.n == held.n
    assert streamed.certified_low < streamed.value < streamed.certified_high
    assert streamed.certified_high / streamed.certified_low - 1 < 2.1e-9


@pytest.mark.parametrize("rows", [1, 7, 64, 1000, 3000, 5000, None])
def test_the_streamed_fit_is_the_fit_whatever_the_block(rows):
    head, vectors, labels = sample(n=3000 if rows is None or rows > 50 else 400)
    streamed = Temperature.fit_streaming(head, vectors, labels, rows=rows)
    assert_same_fit(streamed, Temperature.fit(in_blocks(head, vectors, rows), labels))
    assert streamed.value == pytest.approx(Temperature.fit(head(vectors), labels).value, rel=1e-7)


@pytest.mark.parametrize("n", [1_000, 20_000, 60_000])
def test_all_rows_are_passed_over_twice(n):
    head, vectors, labels = sample(n=n, k=12, d=8)
    fitted = Temperature.fit_streaming(head, vectors, labels, rows=256)
    assert fitted.evaluations <= 2
    assert_same_fit(fitted, Temperature.fit(in_blocks(head, vectors, 256), labels))


def test_vectors_are_multiplied_no_more_often_than_stated():
    head, vectors, labels = sample(n=20_000, k=12, d=8)
    counted = Counted(vectors)
    fitted = Temperature.fit_streaming(head, counted, labels, rows=256)
    assert fitted.evaluations * 20_000 <= counted.read <= (fitted.evaluations + 0.15) * 20_000


class Counted:
    """Vectors that are no array and count the rows taken from them."""

    def __init__(self, vectors):
        self.vectors, self.read = vectors, 0

    @property
    def shape(self):
        return self.vectors.shape

    def __getitem__(self, rows):
        taken = self.vectors[rows]
        self.read += len(taken)
        return taken


def test_rows_sorted_by_class_take_no_more_passes():
    head, vectors, labels = sample(n=20_000, k=12, d=8)
    order = np.argsort(labels, kind="stable")
    fitted = Temperature.fit_streaming(head, vectors[order], labels[order], rows=256)
    assert fitted.evaluations <= 2
    assert fitted.value == pytest.approx(Temperature.fit(head(vectors), labels).value, rel=1e-7)


def test_masked_classes_weights_and_half_precision():
    bias = np.zeros(40, np.float32)
    bias[25:] = -np.inf
    head, vectors, labels = sample(bias=bias)
    assert labels.max() < 25
    weights = np.random.default_rng(1).random(len(labels))
    for each in (vectors, vectors.astype(np.float16)):
        streamed = Temperature.fit_streaming(head, each, labels, weights, rows=100)
        assert_same_fit(streamed, Temperature.fit(in_blocks(head, each, 100), labels, weights))


def test_vectors_may_be_mapped_from_a_file(tmp_path):
    head, vectors, labels = sample()
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    in_memory = Temperature.fit_streaming(head, vectors, labels, rows=100)
    assert Temperature.fit_streaming(head, mapped, labels, rows=100) == in_memory
    (judged,) = metrics.judge_streaming(head, mapped, labels, rows=100)
    assert judged.correct.mean() == metrics.accuracy(head(vectors), labels)


def no_optimum(which):
    head, vectors, labels = sample(n=1500, temperature=1.0)
    logits = head(vectors)
    if which == "separable":
        return head, vectors, logits.argmax(1)
    if which == "adverse":
        return head, vectors, logits.argmin(1)
    return dataclasses.replace(head, scale=0.0), vectors, labels


@pytest.mark.parametrize("verdict", ["separable", "adverse", "constant"])
def test_the_verdict_is_that_of_the_fit(verdict):
    head, vectors, labels = no_optimum(verdict)
    for fit in (
        lambda: Temperature.fit(head(vectors), labels),
        lambda: Temperature.fit_streaming(head, vectors, labels, rows=50),
    ):
        with pytest.raises(NoOptimum) as caught:
            fit()
        assert caught.value.verdict == verdict


def test_one_error_that_the_first_rows_do_not_hold_is_an_optimum():
    head, vectors, _ = sample(n=1500)
    logits = in_blocks(head, vectors, 50)
    labels = logits.argmax(1)
    labels[1111] = logits[1111].argsort()[-2]
    assert_same_fit(Temperature.fit_streaming(head, vectors, labels, rows=50), Temperature.fit(logits, labels))


@given(st.integers(0, 100_000), st.integers(2, 60), st.integers(2, 6), st.floats(-4, 5), st.integers(3, 20))
@settings(max_examples=40, deadline=None)
def test_any_data_end_as_the_fit_ends(seed, n, k, log_scale, rows):
    rng = np.random.default_rng(seed)
    head = Head(np.eye(k, dtype=np.float32), tuple(map(str, range(k))), scale=float(np.exp(log_scale)))
    vectors = np.round(rng.standard_t(2, size=(n, k)), 1).astype(np.float32)
    labels = rng.integers(k, size=n)
    held = verdict_or_value(lambda: Temperature.fit(head(vectors), labels))
    assert verdict_or_value(lambda: Temperature.fit_streaming(head, vectors, labels, rows=rows)) == held


def verdict_or_value(fit):
    try:
        return pytest.approx(fit().value, rel=1e-9)
    except NoOptimum as none:
        return none.verdict


def test_taylor_bounds_hold_the_slope():
    head, vectors, labels = sample(n=200, scale=30.0)
    logits = head(vectors).astype(np.float64)
    likelihood = Likelihood.of(logits, labels, logits.max(1), np.full(200, 1 / 200))
    (point,) = likelihood.at(0.6)
    for step in (-1e-3, -1e-5, 1e-7, 1e-4, 1e-3):
        beta = 0.6 * (1 + step)
        low, high = point.bounds(beta)
        assert low < likelihood.at(beta)[0].slope < high
    assert point.bounds(0.7) == (-np.inf, np.inf)
    narrow = np.diff(point.bounds(0.6 * (1 + 1e-6)))[0]
    assert narrow < 1e-9 * 0.6 * point.curvature


def test_memory_is_that_of_a_block():
    head, vectors, labels = sample(n=2000, k=2500, d=8)
    tracemalloc.start()
    Temperature.fit_streaming(head, vectors, labels, rows=50)
    metrics.judge_streaming(head, vectors, labels, temperatures=(1.0, 2.0), rows=50)
    metrics.classwise_ece_streaming(head, vectors, labels, rows=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6 < 20e6 == 2000 * 2500 * 4


def test_a_block_is_32_megabytes_by_default():
    head = Head(np.zeros((21_000, 1), np.float32), tuple(map(str, range(21_000))))
    blocks = [block.rows for block in logit_blocks(head, np.zeros((500, 1), np.float32))]
    assert blocks == [slice(0, 399), slice(399, 500)]


# Judging


@pytest.mark.parametrize("temperature", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_judge_is_what_the_metrics_average(temperature, dtype):
    head, vectors, labels = sample(n=500)
    logits = head(vectors).astype(dtype)
    probs = softmax(logits, temperature=temperature)
    found = metrics.judge(logits, labels, temperature=temperature)
    own = probs[np.arange(500), labels]
    assert found.predicted.tolist() == logits.argmax(1).tolist()
    assert found.correct.tolist() == (logits.argmax(1) == labels).tolist()
    assert found.confidence == pytest.approx(probs.max(1), rel=1e-12)
    assert found.nll == pytest.approx(-np.log(own), rel=1e-9, abs=1e-15)
    assert found.brier == pytest.approx((probs**2).sum(1) - 2 * own + 1, abs=1e-14)
    assert found.nll.mean() == pytest.approx(metrics.nll_of_logits(logits, labels, temperature=temperature), rel=1e-12)
    assert found.brier.mean() == pytest.approx(metrics.brier(probs, labels), rel=1e-12)


def test_a_row_takes_33_bytes():
    judged = metrics.judge(np.zeros((10, 3)), np.zeros(10, int))
    assert sum(getattr(judged, field.name).nbytes for field in dataclasses.fields(judged)) == 330


def test_a_label_not_on_offer_has_infinite_loss_and_no_row_is_spoiled():
    judged = metrics.judge(np.array([[0.0, -np.inf], [0.0, -np.inf]]), np.array([1, 0]))
    assert judged.nll.tolist() == [np.inf, 0.0]
    assert judged.brier.tolist() == [2.0, 0.0]


def test_a_sure_right_answer_costs_nothing_and_nothing_is_negative():
    judged = metrics.judge(np.array([[40.0, 0.0], [1e-9, 0.0]]), np.array([0, 0]))
    assert (judged.brier >= 0).all()
    assert judged.brier[1] == pytest.approx(0.5)


@pytest.mark.parametrize("rows", [1, 33, None])
def test_streamed_rows_are_judged_alike_at_every_temperature(rows):
    head, vectors, labels = sample(n=300)
    streamed = metrics.judge_streaming(head, vectors, labels, temperatures=(1.0, 0.5, 4.0), rows=rows)
    assert len(streamed) == 3
    for temperature, found in zip((1.0, 0.5, 4.0), streamed, strict=True):
        held = metrics.judge(head(vectors), labels, temperature=temperature)
        for field in dataclasses.fields(held):
            assert getattr(found, field.name) == pytest.approx(getattr(held, field.name), rel=1e-4, abs=1e-5)
        assert metrics.ece_of_top(found.confidence, found.correct) == pytest.approx(
            metrics.ece_of_logits(head(vectors), labels, temperature=temperature), abs=1e-5
        )


@pytest.mark.parametrize("edges", ["(lo, hi]", "[lo, hi)", "torchmetrics"])
@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("threshold", [None, 1 / 40, 0.3])
def test_the_streamed_classwise_error_is_the_classwise_error(edges, bins, threshold):
    head, vectors, labels = sample(n=400)
    probs = np.concatenate([softmax(block.logits, temperature=2.0) for block in logit_blocks(head, vectors, rows=70)])
    options = {"bins": bins, "edges": edges, "threshold": threshold}
    streamed = metrics.classwise_ece_streaming(head, vectors, labels, temperature=2.0, rows=70, **options)
    assert streamed == pytest.approx(metrics.classwise_ece(probs, labels, **options), rel=1e-12)


def test_classwise_confidences_on_an_edge_follow_the_convention():
    head = Head(np.zeros((2, 1), np.float32), ("a", "b"))  # every probability is 1/2
    vectors, labels = np.ones((3, 1), np.float32), np.array([0, 0, 1])
    for edges in ("(lo, hi]", "[lo, hi)", "torchmetrics"):
        streamed = metrics.classwise_ece_streaming(head, vectors, labels, bins=2, edges=edges)
        assert streamed == pytest.approx(1 / 6)


# Refusals


def test_a_vector_that_is_no_number_is_named():
    head, vectors, labels = sample(n=300)
    vectors[211, 3] = np.nan
    for call in (Temperature.fit_streaming, metrics.judge_streaming, metrics.classwise_ece_streaming):
        with pytest.raises(InputError, match="vector 211 gives nan"):
            call(head, vectors, labels, rows=50)


def test_a_masked_label_is_named_by_its_row_in_the_whole():
    bias = np.zeros(40, np.float32)
    bias[39] = -np.inf
    head, vectors, labels = sample(n=300, bias=bias)
    labels[180] = 39
    with pytest.raises(InputError, match="label 39 of row 180 has logit -inf"):
        Temperature.fit_streaming(head, vectors, labels, rows=50)


def test_other_shapes_are_refused():
    head, vectors, labels = sample(n=30)
    with pytest.raises(InputError, match="expected 30 labels"):
        Temperature.fit_streaming(head, vectors, labels[:-1])
    with pytest.raises(InputError, match="encode the images with the model that made this head"):
        metrics.judge_streaming(head, vectors[:, :-1], labels)
    with pytest.raises(InputError, match=r"n x d with n > 0, got shape \(0, 16\)"):
        metrics.judge_streaming(head, vectors[:0], labels[:0])
    with pytest.raises(InputError, match="at least one row, got rows=0"):
        Temperature.fit_streaming(head, vectors, labels, rows=0)
    with pytest.raises(InputError, match="at least one temperature"):
        metrics.judge_streaming(head, vectors, labels, temperatures=())
    with pytest.raises(InputError, match="must be positive"):
        metrics.judge_streaming(head, vectors, labels, temperatures=(1.0, 0.0))
    with pytest.raises(InputError, match="weights must be 30"):
        Temperature.fit_streaming(head, vectors, labels, np.zeros(30))
    with pytest.raises(InputError, match="no probability lies above"):
        metrics.classwise_ece_streaming(head, vectors, labels, threshold=1.0)


@pytest.mark.skipif(not (DATA / "clip_embeddings_fashion.npz").exists(), reason="the shared data are not here")
def test_real_embeddings_fit_and_score_alike():
    data = np.load(DATA / "clip_embeddings_fashion.npz")
    known = data["label"] >= 0
    vectors, labels = data["image"][known].astype(np.float32), data["label"][known].astype(int)
    classes = tuple(map(str, data["classes"]))
    means = np.stack([data["text"][known][labels == i].mean(0) for i in range(len(classes))]).astype(np.float32)
    head = Head(means / np.linalg.norm(means, axis=1, keepdims=True), classes, scale=100.0)
    streamed = Temperature.fit_streaming(head, vectors, labels, rows=64)
    assert_same_fit(streamed, Temperature.fit(in_blocks(head, vectors, 64), labels))
    raw, cooled = metrics.judge_streaming(head, vectors, labels, temperatures=(1.0, streamed.value), rows=64)
    assert cooled.nll.mean() == pytest.approx(streamed.nll, rel=1e-9)
    assert cooled.nll.mean() < raw.nll.mean()
