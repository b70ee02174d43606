"""Binned and smooth calibration errors against hand counts, brute force, torchmetrics, netcal and relplot."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from candid import metrics
from candid.arrays import softmax
from candid.errors import InputError
from candid.metrics.binning import bin_index
from candid.metrics.calibration import classwise_gaps

CONVENTIONS = ["(lo, hi]", "[lo, hi)", "torchmetrics"]


def sample(n=400, k=5, seed=0):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(n, k))
    return softmax(logits), rng.integers(k, size=n)


def quasi_random_top(power, lowest):
    """2,000 confidences and outcomes without a random generator, for values stored from other packages."""
    i = np.arange(1, 2001)
    confidence = lowest + (1 - lowest) * ((i * 0.6180339887498949) % 1)
    return confidence, ((i * 0.7548776662466927) % 1) < confidence**power


def wave_probs():
    """400 rows, 5 classes, no random generator; a third of the labels are not the top class."""
    a, b = np.arange(400)[:, None], np.arange(5)[None]
    logits = 3 * np.sin(1.7 * a + 2.3 * b * b + 0.1 * a * b)
    labels = np.where(np.arange(400) % 3 == 0, (np.arange(400) * 7 // 3) % 5, logits.argmax(1))
    return softmax(logits), labels


def ece_by_loop(confidence, correct, bins, closed):
    """The definition, bin by bin."""
    limits, total = np.linspace(0, 1, bins + 1), 0.0
    for b in range(bins):
        low, high = limits[b], limits[b + 1]
        if closed == "(lo, hi]":
            inside = (confidence > low) & (confidence <= high) | ((b == 0) & (confidence == 0))
        else:
            inside = (confidence >= low) & (confidence < high) | ((b == bins - 1) & (confidence == 1))
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


def test_ece_by_hand():
    # bins of 1/2: rows 0.6 (right) and 0.8 (wrong) share one, accuracy 1/2, confidence 0.7; row 0.4 (right) is alone
    probs = np.array([[0.6, 0.4, 0.0], [0.2, 0.8, 0.0], [0.3, 0.3, 0.4]])
    labels = np.array([0, 0, 2])
    assert metrics.ece(probs, labels, bins=2) == pytest.approx(2 / 3 * 0.2 + 1 / 3 * 0.6)
    assert metrics.mce(probs, labels, bins=2) == pytest.approx(0.6)


@pytest.mark.parametrize("edges", ["(lo, hi]", "[lo, hi)"])
@pytest.mark.parametrize("bins", [1, 7, 10, 15])
def test_ece_is_its_definition_on_values_that_sit_on_edges(edges, bins):
    confidence = np.concatenate([np.linspace(0, 1, bins + 1), np.linspace(0, 1, 16), [0.0, 0.0, 1.0, 1.0, 0.3]])
    correct = np.arange(len(confidence)) % 3 == 0
    found = metrics.ece_of_top(confidence, correct, bins=bins, edges=edges)
    assert found == pytest.approx(ece_by_loop(confidence, correct, bins, edges), abs=1e-15)


@pytest.mark.parametrize("bins", [1, 2, 3, 7, 10, 15, 20, 99])
def test_the_torchmetrics_convention_bins_as_torch_does(bins):
    limits = torch.linspace(0, 1, bins + 1, dtype=torch.float32)
    values = torch.cat([limits, torch.nextafter(limits[1:], torch.tensor(0.0)), torch.rand(50)])
    ours = bin_index(values.numpy().astype(np.float64), bins, "torchmetrics")
    assert ours.tolist() == (torch.bucketize(values, limits, right=True) - 1).tolist()


@pytest.mark.parametrize("bins", [2, 10, 15])
def test_ece_and_mce_equal_torchmetrics_also_where_confidence_is_exactly_one(bins):
    rng = np.random.default_rng(3)
    confidence = np.concatenate([np.linspace(0.5, 1, 31), rng.uniform(0.5, 1, 300), np.ones(40)]).astype(np.float32)
    probs = np.stack([confidence, 1 - confidence], axis=1)
    labels = rng.integers(2, size=len(probs))
    for norm, metric in (("l1", metrics.ece), ("max", metrics.mce)):
        theirs = multiclass_calibration_error(torch.from_numpy(probs), torch.from_numpy(labels), 2, bins, norm)
        assert metric(probs, labels, bins=bins, edges="torchmetrics") == pytest.approx(float(theirs), abs=2e-6)


def test_a_confidence_of_one_is_where_the_conventions_part():
    # right at 1.0 and wrong at 0.97: one bin cancels to |1/2 - 0.985|, two bins do not
    probs, labels = np.array([[1.0, 0.0], [0.97, 0.03]]), np.array([0, 1])
    assert metrics.ece(probs, labels) == metrics.ece(probs, labels, edges="[lo, hi)") == pytest.approx(0.485)
    assert metrics.ece(probs, labels, edges="torchmetrics") == pytest.approx(0.485)  # gap 0 and gap 0.97, half each
    assert metrics.mce(probs, labels, edges="torchmetrics") == pytest.approx(0.97)
    assert metrics.mce(probs, labels) == pytest.approx(0.485)


def test_binned_errors_equal_netcal():
    # netcal 1.4.0: ECE(15), ECE(10), MCE(15) .measure(probs, labels)
    probs, labels = wave_probs()
    assert metrics.ece(probs, labels) == pytest.approx(0.15316707199940116, abs=1e-12)
    assert metrics.ece(probs, labels, bins=10) == pytest.approx(0.1458433072049077, abs=1e-12)
    assert metrics.mce(probs, labels) == pytest.approx(0.3866315644092593, abs=1e-12)


@pytest.mark.parametrize(
    ("power", "lowest", "value"),
    [
        (1, 0.0, 0.012482269074606183),
        (2, 0.0, 0.16578990820967895),
        (3, 0.3, 0.2954490623115326),
        (0.3, 0.1, 0.2604098658959209),
        (50, 0.5, 0.7138767048624848),
    ],
)
def test_smooth_ece_equals_relplot(power, lowest, value):
    # relplot 1.0.3: smECE(confidence, correct)
    assert metrics.smooth_ece_of_top(*quasi_random_top(power, lowest)) == pytest.approx(value, abs=1e-12)


def test_smooth_ece_equals_relplot_on_saturated_confidences():
    # relplot 1.0.3 on (1, 0, 0.5, 0.2) and on ten wrong answers given with certainty
    confidence, correct = np.array([1.0, 0.0, 0.5, 0.2]), np.array([True, False, True, True])
    assert metrics.smooth_ece_of_top(confidence, correct) == pytest.approx(0.4333120686056276, abs=1e-12)
    assert metrics.smooth_ece_of_top(np.ones(10), np.zeros(10, bool)) == pytest.approx(0.999947784134747, abs=1e-12)


def test_smooth_ece_is_a_fixed_point_of_the_width():
    # the definition without grids: |mean residual kernel|, a Gaussian reflected at 0 and 1, integrated by midpoints
    confidence, correct = quasi_random_top(2, 0.0)
    value = metrics.smooth_ece_of_top(confidence, correct)
    t = (np.arange(2000) + 0.5) / 2000
    images = np.concatenate([confidence, -confidence, 2 - confidence])
    kernel = np.exp(-0.5 * ((t[:, None] - images) / value) ** 2) / (np.sqrt(2 * np.pi) * value)
    at_own_width = np.abs(kernel @ np.tile(confidence - correct, 3) / len(confidence)).mean()
    assert at_own_width == pytest.approx(value, abs=1e-3)  # ten bisections leave 2^-10


def test_adaptive_ece_is_its_definition():
    probs, labels = sample(n=403)
    top = metrics.top_of_probs(probs, labels)
    order, start, total = np.argsort(top.confidence, kind="stable"), 0, 0.0
    for b in range(15):
        size = 403 // 15 + (b < 403 % 15)
        run = order[start : start + size]
        total += size / 403 * abs(top.correct[run].mean() - top.confidence[run].mean())
        start += size
    assert metrics.adaptive_ece(probs, labels) == pytest.approx(total, abs=1e-14)


def test_adaptive_ece_with_more_bins_than_rows_is_the_mean_miss():
    probs, labels = np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])
    assert metrics.adaptive_ece(probs, labels) == pytest.approx((0.1 + 0.6) / 2)


@pytest.mark.parametrize("edges", ["(lo, hi]", "[lo, hi)"])
def test_classwise_ece_is_the_mean_of_one_vs_rest_errors(edges):
    probs, labels = sample(n=300, k=4)
    labels[labels == 3] = 0  # class 3 is absent, and counts
    each = [ece_by_loop(probs[:, c], labels == c, 15, edges) for c in range(4)]
    assert metrics.classwise_ece(probs, labels, edges=edges) == pytest.approx(np.mean(each), abs=1e-14)
    assert each[3] == pytest.approx(probs[:, 3].mean())


def test_classwise_ece_above_a_threshold_uses_only_those_entries():
    probs = np.array([[0.7, 0.3, 0.0], [0.9, 0.1, 0.0]])
    gaps = classwise_gaps(probs, np.array([0, 1]), bins=15, edges="(lo, hi]", threshold=0.25)
    # class 0: 0.7 right, 0.9 wrong, in two bins; class 1: only 0.3, wrong; class 2 has nothing above the threshold
    assert gaps == pytest.approx([(0.3 + 0.9) / 2, 0.3])
    with pytest.raises(InputError, match="threshold 1"):
        metrics.classwise_ece(probs, np.array([0, 1]), threshold=1.0)


@pytest.mark.parametrize("edges", CONVENTIONS)
def test_masked_classes_change_no_top_label_error(edges):
    probs, labels = sample()
    wide = np.concatenate([probs, np.zeros((len(probs), 3))], axis=1)
    for metric in (metrics.ece, metrics.mce):
        assert metric(wide, labels, edges=edges) == metric(probs, labels, edges=edges)
    ratio = metrics.classwise_ece(wide, labels, edges=edges) / metrics.classwise_ece(probs, labels, edges=edges)
    assert ratio == pytest.approx(5 / 8)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 8.0])
def test_ece_of_logits_is_ece_of_their_softmax(dtype, temperature):
    rng = np.random.default_rng(5)
    logits = (2 * rng.normal(size=(3000, 12))).astype(dtype)
    logits[::7] = 0  # confidence 1/12, first class
    logits[::5, 6:] = -np.inf
    labels = rng.integers(6, size=3000)
    reference = metrics.ece(softmax(logits, temperature=temperature), labels)
    assert metrics.ece_of_logits(logits, labels, temperature=temperature) == pytest.approx(reference, abs=1e-7)


@pytest.mark.parametrize("edges", CONVENTIONS)
def test_ece_of_float32_logits_keeps_rows_on_edges_in_their_float64_bin(edges):
    # ties of 2, 3, 5 and 15 classes: confidences 1/2, 1/3, 1/5 and 1/15 in 30 bins, each exactly on an edge
    logits = np.full((4, 15), -np.inf, dtype=np.float32)
    for row, ties in enumerate((2, 3, 5, 15)):
        logits[row, :ties] = 0.1 * row
    labels = np.array([0, 1, 0, 0])
    reference = metrics.ece(softmax(logits), labels, bins=30, edges=edges)
    assert metrics.ece_of_logits(logits, labels, bins=30, edges=edges) == pytest.approx(reference, abs=1e-15)


def test_ties_go_to_the_first_class():
    probs = np.array([[0.5, 0.5], [0.5, 0.5]])
    assert metrics.top_of_probs(probs, np.array([0, 1])).correct.tolist() == [True, False]
    assert metrics.top_label(np.zeros((2, 2)), np.array([0, 1])).correct.tolist() == [True, False]


def test_reliability_leaves_empty_bins_out_and_adds_up():
    probs, labels = sample()
    shown = metrics.reliability(probs, labels)
    assert shown.n.sum() == len(labels)
    assert (shown.n > 0).all()
    assert len(shown) < 15  # no five-class row can have a confidence below 1/5
    gap = np.abs(shown.accuracy - shown.confidence)
    assert (shown.n / shown.n.sum()) @ gap == pytest.approx(metrics.ece(probs, labels))
    assert ((shown.low <= shown.confidence) & (shown.confidence <= shown.high)).all()
    assert ((shown.accuracy_low <= shown.accuracy) & (shown.accuracy <= shown.accuracy_high)).all()


def test_reliability_shows_the_extra_bin_of_torchmetrics_as_a_point():
    shown = metrics.reliability(np.array([[1.0, 0.0], [0.97, 0.03]]), np.array([0, 1]), edges="torchmetrics")
    assert shown.low.tolist()[1] == shown.high.tolist()[1] == 1.0
    assert shown.n.tolist() == [1, 1]


def test_a_single_row_gives_every_metric():
    probs, labels = np.array([[0.25, 0.75]]), np.array([1])
    for metric in (metrics.ece, metrics.mce, metrics.adaptive_ece, metrics.classwise_ece):
        assert metric(probs, labels) == pytest.approx(0.25)
    assert metrics.smooth_ece(probs, labels) == pytest.approx(0.25, abs=2e-3)  # the width's bisection


@pytest.mark.parametrize("metric", [metrics.ece, metrics.mce, metrics.adaptive_ece, metrics.classwise_ece])
def test_row_order_does_not_matter(metric):
    probs, labels = sample()
    order = np.random.default_rng(1).permutation(len(labels))
    assert metric(probs[order], labels[order]) == pytest.approx(metric(probs, labels), abs=1e-13)


@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 10_000))
def test_errors_lie_between_zero_and_one_and_ece_below_mce(n, k, seed):
    probs, labels = sample(n, k, seed)
    for edges in CONVENTIONS:
        assert (
            0 <= metrics.ece(probs, labels, edges=edges) <= metrics.mce(probs, labels, edges=edges) + 1e-12 <= 1 + 1e-12
        )


def test_bad_input_is_named():
    with pytest.raises(InputError, match="pass softmax"):
        metrics.ece(np.array([[3.0, 1.0]]), np.array([0]))
    with pytest.raises(InputError, match="n, k > 0"):
        metrics.ece(np.zeros((0, 3)), np.zeros(0, dtype=int))
    with pytest.raises(InputError, match="at least one bin"):
        metrics.ece(np.array([[1.0]]), np.array([0]), bins=0)
    with pytest.raises(InputError, match=r"\[0, 2\), row 0 is 2"):
        metrics.ece(np.array([[0.5, 0.5]]), np.array([2]))
    with pytest.raises(InputError, match="are these logits"):
        metrics.ece_of_top(np.array([2.0]), np.array([True]))
    with pytest.raises(InputError, match="non-empty"):
        metrics.smooth_ece_of_top(np.zeros(0), np.zeros(0, dtype=bool))
    with pytest.raises(InputError, match="temperature"):
        metrics.ece_of_logits(np.zeros((1, 2)), np.array([0]), temperature=0.0)
    with pytest.raises(InputError, match="row 1"):
        metrics.ece_of_logits(np.array([[0.0, 1.0], [np.nan, 1.0]]), np.array([0, 0]))
