"""Doubt in given labels: by hand, against a plain loop, on planted errors, and on a real network's answers."""

from pathlib import Path

import numpy as np
import pytest

from candid import metrics, noise
from candid.errors import InputError

DATA = Path(__file__).parents[2] / "shared" / "data"
SETTINGS = ("s00_n00", "s00_n02", "s00_n04", "s04_n04", "s06_n04")
# cleanlab 2.9.0 on the same probabilities: labels flagged by prune_by_noise_rate and by prune_by_class.
CLEANLAB = {"s00_n00": (4697, 4698), "s00_n02": (14317, 15020), "s00_n04": (21529, 24648), "s04_n04": (21846, 24109),
            "s06_n04": (20742, 22982)}  # fmt: skip


@pytest.fixture(scope="module")
def planted():
    """Probabilities of a good model, and labels of which a sixth are wrong."""
    random = np.random.default_rng(0)
    true = random.integers(0, 4, 1200)
    given = noise.inject(true, classes=4, protocol="flip-exact", rate=1 / 6).labels
    logits = random.normal(size=(1200, 4))
    logits[np.arange(1200), true] += 3
    probs = np.exp(logits)
    return probs / probs.sum(1, keepdims=True), given, true


def real(setting):
    if not (DATA / "cifar10_oof_probs_resnet50.npz").is_file():
        pytest.skip("the shared data folder is not here")
    found, people = (np.load(DATA / f"cifar10_{name}.npz") for name in ("oof_probs_resnet50", "human_labels"))
    probs = found[f"probs_{setting}"].astype(np.float64)  # stored in half precision: rows sum to 1 to three digits
    return probs / probs.sum(1, keepdims=True), found[f"noisy_{setting}"].astype(np.int64), people["clean_label"]


@pytest.mark.parametrize("name", list(noise.METHODS))
def test_higher_is_more_doubtful(name, planted):
    probs, given, true = planted
    doubt = noise.METHODS[name](probs, given)
    assert metrics.auroc(doubt[given == true], doubt[given != true]) > 0.95


@pytest.mark.parametrize("name", list(noise.METHODS))
def test_permuting_rows_and_classes_permutes_doubt(name, planted):
    probs, given, _ = planted
    doubt, order, classes = noise.METHODS[name](probs, given), np.arange(1200)[::-1], np.array([2, 0, 3, 1])
    np.testing.assert_allclose(noise.METHODS[name](probs[order], given[order]), doubt[order])
    np.testing.assert_allclose(noise.METHODS[name](probs[:, classes], np.argsort(classes)[given]), doubt)


def test_a_plain_loop_counts_the_same(planted):
    probs, given, _ = planted
    found = noise.confident_learning(probs, given)
    thresholds = [np.mean([p[c] for p, y in zip(probs, given, strict=True) if y == c]) for c in range(4)]
    counts = np.zeros((4, 4))
    for p, y in zip(probs, given, strict=True):
        reached = [c for c in range(4) if p[c] >= thresholds[c]]
        if reached:
            counts[y, max(reached, key=lambda c: p[c])] += 1
    np.testing.assert_allclose(found.thresholds, thresholds)
    np.testing.assert_array_equal(found.counts, counts)
    expected = counts / counts.sum(1, keepdims=True) * np.bincount(given)[:, None]
    np.testing.assert_allclose(found.joint, expected)
    np.testing.assert_allclose(found.noise.sum(0), 1)


@pytest.mark.parametrize("prune", ["noise-rate", "class", "both", "off-diagonal"])
def test_finds_planted_errors(prune, planted):
    probs, given, true = planted
    found = noise.confident_learning(probs, given, prune=prune)
    wrong = given != true
    assert (found.wrong & wrong).sum() / wrong.sum() > 0.7
    assert (found.wrong & wrong).sum() / found.wrong.sum() > 0.7
    assert found.estimated_wrong == pytest.approx(wrong.sum(), rel=0.25)
    assert (found.suggested[found.wrong & wrong] == true[found.wrong & wrong]).mean() > 0.9


def test_both_is_what_the_two_agree_on(planted):
    one, other, both = (noise.confident_learning(*planted[:2], prune=p).wrong for p in ("noise-rate", "class", "both"))
    np.testing.assert_array_equal(both, one & other)


def test_a_class_without_labels_has_no_threshold_and_no_images():
    probs = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.7, 0.1, 0.2]])
    found = noise.confident_learning(probs, np.array([0, 1, 0]))
    assert np.isnan(found.thresholds[2])
    assert found.joint[:, 2].sum() == 0
    assert np.isnan(found.noise[:, 2]).all()
    assert not found.wrong.any()


def test_bad_input_is_one_clear_line(planted):
    with pytest.raises(InputError, match="sum to 1"):
        noise.self_confidence(np.ones((2, 2)), np.array([0, 1]))
    with pytest.raises(InputError, match="labels"):
        noise.margin(planted[0], planted[1] + 3)


@pytest.mark.parametrize("setting", SETTINGS)
def test_agrees_with_cleanlab_on_a_real_networks_answers(setting):
    probs, given, _ = real(setting)
    flagged = [int(noise.confident_learning(probs, given, prune=p).wrong.sum()) for p in ("noise-rate", "class")]
    np.testing.assert_allclose(flagged, CLEANLAB[setting], rtol=2e-3)  # they break collisions another way


@pytest.mark.parametrize("setting", SETTINGS[1:])
def test_doubts_the_labels_that_are_wrong_of_a_real_set(setting):
    probs, given, true = real(setting)
    found = noise.confident_learning(probs, given)
    wrong = given != true
    assert (found.wrong & wrong).sum() / wrong.sum() > 0.8
    assert metrics.auroc(*(noise.margin(probs, given)[part] for part in (~wrong, wrong))) > 0.85
