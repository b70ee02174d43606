"""Labels made wrong by the protocols' definitions, and what the manifest of it holds."""

import json

import numpy as np
import pytest

from candid import noise
from candid.errors import InputError

LABELS = np.random.default_rng(7).permutation(np.repeat(np.arange(5), [60, 50, 40, 44, 37]))
PROBS = np.random.default_rng(8).dirichlet(np.ones(5), len(LABELS))
KEEP_ALL = ["confusion", "flip-exact", "flip-iid", "pair"]


def injected(protocol, rate=0.25, seed=0, labels=LABELS, **more):
    return noise.inject(labels, classes=5, protocol=protocol, rate=rate, seed=seed, probs=PROBS, **more)


@pytest.mark.parametrize("protocol", list(noise.PROTOCOLS))
def test_flags_are_exactly_the_labels_that_changed(protocol):
    given, flipped, manifest = injected(protocol)
    np.testing.assert_array_equal(flipped, given != LABELS[manifest.rows])
    assert manifest.counts.sum() == len(given)
    assert manifest.realised == pytest.approx(flipped.mean())


@pytest.mark.parametrize("protocol", list(noise.PROTOCOLS))
def test_rate_zero_changes_nothing_and_seeds_repeat(protocol):
    assert not injected(protocol, rate=0.0).flipped.any()
    one, two, other = (injected(protocol, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.labels, two.labels)
    assert (one.labels != other.labels).any() or (one.manifest.rows != other.manifest.rows).any() or protocol == "pair"


@pytest.mark.parametrize("protocol", list(noise.PROTOCOLS))
def test_global_generators_are_not_touched_and_do_not_matter(protocol):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = injected(protocol).labels
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(5)
    np.testing.assert_array_equal(injected(protocol).labels, first)


def test_streams_are_those_of_the_first_release():
    labels = np.arange(12) % 3
    found = {p: noise.inject(labels, classes=3, protocol=p, rate=0.5, seed=1, probs=np.full((12, 3), 1 / 3), shots=2)
             for p in noise.PROTOCOLS}  # fmt: skip
    assert {p: found[p].labels.tolist() for p in found} == STREAMS
    assert found["ptnl"].manifest.rows.tolist() == ROWS


@pytest.mark.parametrize("rate", [0.0, 0.125, 0.25, 0.5])
def test_ptnl_has_the_same_number_of_wrong_images_in_every_class(rate):
    given, flipped, manifest = injected("ptnl", rate=rate)
    wrong = int(rate * 16)
    for c in range(5):
        here = given == c
        assert here.sum() == 16
        assert flipped[here].sum() == wrong
        assert (LABELS[manifest.rows[here & ~flipped]] == c).all()


def test_ptnl_draws_clean_images_and_donors_from_their_own_halves():
    given, flipped, manifest = injected("ptnl", rate=0.5)
    first = {c: set(np.flatnonzero(c == LABELS)[: (np.sum(c == LABELS) + 1) // 2]) for c in range(5)}
    for row, label, wrong in zip(manifest.rows, given, flipped, strict=True):
        assert (row in first[LABELS[row]]) == (not wrong)
        assert wrong == (LABELS[row] != label)
    clean = manifest.rows[~flipped]
    assert len(set(clean)) == len(clean)  # every class has 16 in its first half
    for c in range(4):  # a donor that one class used is not another's
        assert not set(manifest.rows[flipped & (given == c)]) & set(manifest.rows[flipped & (given > c)])


def test_ptnl_repeats_images_of_a_class_that_has_few():
    labels = np.array([0] * 6 + [1] * 80)
    found = noise.inject(labels, classes=2, protocol="ptnl", rate=0.0)
    assert (found.labels == 0).sum() == 16
    assert set(found.manifest.rows[found.labels == 0]) <= {0, 1, 2}


def test_flip_exact_has_an_exact_count_and_flip_iid_has_not():
    assert injected("flip-exact", rate=0.3).flipped.sum() == int(0.3 * len(LABELS))
    counts = {injected("flip-iid", rate=0.3, seed=s).flipped.sum() for s in range(8)}
    assert len(counts) > 1
    many = noise.inject(np.zeros(40_000, np.int64), classes=4, protocol="flip-iid", rate=0.3)
    assert many.flipped.mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(np.bincount(many.labels[many.flipped], minlength=4)[1:] / 12_000, 1 / 3, atol=0.02)


def test_pair_goes_to_the_next_class_and_confusion_to_the_likeliest_wrong_one():
    given, flipped, _ = injected("pair", rate=0.5)
    np.testing.assert_array_equal(given[flipped], (LABELS[flipped] + 1) % 5)
    given, flipped, _ = injected("confusion", rate=0.5)
    masked = PROBS.copy()
    masked[np.arange(len(LABELS)), LABELS] = -1
    np.testing.assert_array_equal(given[flipped], masked.argmax(1)[flipped])
    for c in range(5):
        assert flipped[c == LABELS].sum() == (c == LABELS).sum() // 2


def test_few_shot_draws_the_same_of_a_class_whatever_the_others_hold():
    rows = noise.few_shot(LABELS, classes=5, shots=16, seed=2)
    assert np.bincount(LABELS[rows]).tolist() == [16] * 5
    assert len(set(rows)) == 80
    fewer = noise.few_shot(np.where(LABELS == 4, 3, LABELS), classes=5, shots=16, seed=2)
    np.testing.assert_array_equal(fewer[:48], rows[:48])
    assert np.bincount(LABELS[noise.few_shot(LABELS[:30], classes=5, shots=100)]).sum() == 30


@pytest.mark.parametrize("protocol", list(noise.PROTOCOLS))
def test_manifest_round_trips_and_makes_the_labels_again(protocol, tmp_path):
    ids = [f"image {i}" for i in range(len(LABELS))]
    found = injected(protocol, ids=ids)
    again = noise.Manifest.load(found.manifest.save(tmp_path / "noise.json"))
    rows, given = again.apply(LABELS)
    np.testing.assert_array_equal(rows, found.manifest.rows)
    np.testing.assert_array_equal(given, found.labels)
    assert (again.protocol, again.rate, again.seed, again.ids) == (protocol, 0.25, 0, found.manifest.ids)
    order = np.random.default_rng(0).permutation(len(LABELS))
    moved, same = again.apply(LABELS[order], ids=[ids[i] for i in order])
    np.testing.assert_array_equal(order[moved], rows)
    np.testing.assert_array_equal(same, given)


def test_manifest_is_refused_on_other_labels_and_when_it_contradicts_itself(tmp_path):
    manifest = injected("flip-exact").manifest
    with pytest.raises(InputError, match="not the 231 the manifest was made for"):
        manifest.apply(np.roll(LABELS, 1))
    path = manifest.save(tmp_path / "noise.json")
    content = json.loads(path.read_text())
    content["given"][0] = (content["given"][0] + 1) % 5
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="contradicts itself"):
        noise.Manifest.load(path)


def test_labels_that_people_gave_are_described_too():
    given = LABELS.copy()
    given[:10] = (given[:10] + 1) % 5
    manifest = noise.Manifest.between(LABELS, given, classes=5)
    assert (manifest.protocol, manifest.flipped.sum()) == ("given", 10)
    assert manifest.rate == manifest.realised == pytest.approx(10 / len(LABELS))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"protocol": "flip"}, "no noise protocol named 'flip'; did you mean flip-"),
        ({"rate": 1.5}, "rate is a share of the labels, 0 to 1, got 1.5"),
        ({"labels": np.array([0, 7])}, "labels"),
        ({"labels": np.array([], np.int64)}, "got none"),
        ({"classes": 1}, "2 classes or more"),
        ({"protocol": "confusion"}, "needs probs"),
        ({"protocol": "confusion", "probs": np.ones((231, 5))}, "sum to 1"),
        ({"protocol": "confusion", "probs": np.ones((231, 1))}, r"expected probs of shape \(231, 5\)"),
        ({"protocol": "ptnl", "classes": 6}, "class 5 has none"),
        ({"shots": 0}, "shots must be 1 or more"),
    ],
)
def test_bad_input_is_one_clear_line(change, line):
    whole = {"labels": LABELS, "classes": 5} | change
    with pytest.raises(InputError, match=line):
        noise.inject(whole.pop("labels"), **whole)


STREAMS = {
    "confusion": [0, 0, 2, 0, 1, 0, 1, 0, 2, 1, 1, 0],
    "flip-exact": [0, 2, 2, 1, 2, 1, 0, 2, 2, 1, 1, 2],
    "flip-iid": [0, 1, 0, 1, 0, 1, 2, 0, 1, 0, 1, 2],
    "pair": [0, 2, 2, 0, 2, 0, 1, 1, 0, 1, 1, 2],
    "ptnl": [0, 0, 1, 1, 2, 2],
}
ROWS = [11, 3, 6, 4, 7, 5]
