"""Every detector against an independent computation, row by row in plain numpy, torch or scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import entropy
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

from candid import detect, extras
from candid.errors import InputError, MissingExtra
from candid.types import Head

N, D, K = 240, 12, 5


def world(seed=0, signed=False, n=N, m=60, d=D, k=K):
    """Known vectors with labels, queries, and a head that is often right."""
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(k, d))
    labels = rng.integers(0, k, n)
    mixing = rng.normal(size=(d, d)) / d**0.5
    known = centres[labels] + rng.normal(size=(n, d)) @ mixing
    queries = np.vstack([centres[rng.integers(0, k, m // 2)], 2 * rng.normal(size=(m - m // 2, d))])
    queries = queries + rng.normal(size=(m, d)) @ mixing
    if not signed:
        known, queries = np.maximum(known, 0), np.maximum(queries, 0)
    head = Head(centres.astype(np.float32) / 3, tuple("abcdefgh"[:k]), 1.5, rng.normal(size=k).astype(np.float32))
    return known.astype(np.float32), labels, queries.astype(np.float32), head


def exact_logits(head, vectors):
    return 1.5 * vectors.astype(np.float64) @ head.weights.T.astype(np.float64) + head.bias


def close(found, expected, rel=1e-5):
    assert found.dtype == np.float64
    assert found == pytest.approx(np.asarray(expected), rel=rel, abs=1e-7)


def test_gen_sums_the_largest_probabilities():
    logits = 3 * np.random.default_rng(0).normal(size=(50, 20))
    p = -np.sort(-softmax(logits, axis=1), axis=1)
    close(detect.gen(logits, gamma=0.1, top=7), (p[:, :7] ** 0.1 * (1 - p[:, :7]) ** 0.1).sum(1), rel=1e-12)
    close(detect.gen(logits), (p**0.1 * (1 - p) ** 0.1).sum(1), rel=1e-12)


def test_gen_tells_sure_inputs_apart_where_one_minus_p_has_no_digits():
    found = detect.gen(np.array([[40.0, 0.0], [50.0, 0.0]]))
    assert found[0] > found[1] > 0


def test_grad_norm_is_the_gradient_of_the_last_layer():
    known, _, _, head = world()
    weights = torch.tensor(1.5 * head.weights, dtype=torch.float64, requires_grad=True)
    expected = []
    for row in known[:20].astype(np.float64):
        logits = torch.tensor(row) @ weights.T + torch.tensor(head.bias)
        loss = -torch.log_softmax(logits, 0).sum()
        expected.append(-float(torch.autograd.grad(loss, weights)[0].abs().sum()))
    close(detect.grad_norm(known[:20], head(known[:20])), expected)


@pytest.mark.parametrize("signed", [False, True])
def test_mahalanobis_is_the_nearest_mean_by_scikit_learns_covariance(signed):
    known, labels, queries, _ = world(signed=signed)
    means = np.stack([known[labels == c].mean(0, dtype=np.float64) for c in range(K)])
    shared = EmpiricalCovariance(assume_centered=True).fit(known - means[labels]).precision_
    away = queries[:, None].astype(np.float64) - means
    by_class = np.einsum("nkd,de,nke->nk", away, shared, away)
    found = detect.Mahalanobis.fit(known, labels)
    close(found(queries), by_class.min(1))
    assert found.nearest(queries)[1].tolist() == by_class.argmin(1).tolist()
    whole = EmpiricalCovariance().fit(known.astype(np.float64))
    close(
        detect.RelativeMahalanobis.fit(known, labels)(queries), by_class.min(1) - whole.mahalanobis(queries), rel=1e-4
    )


def test_mahalanobis_with_dead_dimensions_takes_the_pseudo_inverse():
    known, labels, queries, _ = world()
    dead = [np.hstack([each, np.zeros((len(each), 2), np.float32)]) for each in (known, queries)]
    close(detect.Mahalanobis.fit(dead[0], labels)(dead[1]), detect.Mahalanobis.fit(known, labels)(queries))
    few = detect.Mahalanobis.fit(known[:8], np.arange(8) % 2)  # rank 6 of 12
    means = np.stack([known[:8][c::2].mean(0, dtype=np.float64) for c in range(2)])
    inner = known[:8] - means[np.arange(8) % 2]
    inverse = np.linalg.pinv(inner.T @ inner / 8, rcond=1e-10, hermitian=True)
    away = queries[:, None] - means
    close(few(queries), np.einsum("nkd,de,nke->nk", away, inverse, away).min(1), rel=1e-4)


@given(st.integers(0, 1000), st.integers(1, 5))
def test_moments_of_parts_are_those_of_the_whole(seed, parts):
    known, labels, queries, _ = world(seed, n=60)
    cuts = np.array_split(np.arange(60), parts)
    merged = detect.Moments.of(known[cuts[0]], labels[cuts[0]])
    for cut in cuts[1:]:
        merged = merged.merge(detect.Moments.of(known[cut], labels[cut]))
    whole = detect.Moments.of(known, labels, classes=K)
    assert merged.counts.tolist() == whole.counts[: len(merged.counts)].tolist()
    assert merged.scatter == pytest.approx(whole.scatter, rel=1e-9, abs=1e-9)
    close(detect.Mahalanobis.of(merged)(queries), detect.Mahalanobis.of(whole)(queries), rel=1e-6)


def test_a_class_without_vectors_is_nearest_to_nothing():
    known, labels, queries, _ = world()
    labels = np.where(labels == 2, 3, labels)
    found = detect.Mahalanobis.fit(known, labels)
    assert np.isfinite(found(queries)).all()
    assert 2 not in found.nearest(queries)[1]


@pytest.mark.parametrize("k", [1, 5, 50])
def test_knn_is_scikit_learns_distance_to_the_kth_neighbour(k):
    known, _, queries, _ = world(signed=True)
    unit = [each / np.linalg.norm(each.astype(np.float64), axis=1, keepdims=True) for each in (known, queries)]
    expected = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(unit[0]).kneighbors(unit[1])[0][:, -1]
    close(detect.Knn.fit(known, k=k)(queries), expected, rel=1e-6)


def test_knn_over_many_pieces_of_a_bank_finds_the_same(monkeypatch):
    known, _, queries, _ = world(n=900, signed=True)
    whole = detect.Knn.fit(known, k=20)(queries)
    monkeypatch.setattr("candid.detect.neighbours.CHUNK", 64)
    monkeypatch.setattr("candid.detect.neighbours.QUERIES", 7)
    assert detect.Knn.fit(known, k=20)(queries) == pytest.approx(whole, rel=1e-6)


def test_knn_keeps_its_digits_for_near_duplicates():
    known, _, _, _ = world(signed=True)
    unit = detect.Knn.fit(known, k=1).bank
    moved = np.asarray(unit, np.float64).copy()
    moved[:, 0] += 1e-5
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    expected = np.linalg.norm(moved.astype(np.float32).astype(np.float64) - unit, axis=1)
    assert detect.Knn.fit(known, k=1)(moved.astype(np.float32)) == pytest.approx(expected, rel=0.05)
    assert detect.Knn.fit(known, k=1)(unit).max() < 1e-6


def test_knn_reads_a_bank_mapped_from_a_file_without_copying_it(tmp_path):
    known, _, queries, _ = world(signed=True)
    unit = (known / np.linalg.norm(known, axis=1, keepdims=True)).astype(np.float32)
    np.save(tmp_path / "bank.npy", unit)
    found = detect.Knn.fit(np.load(tmp_path / "bank.npy", mmap_mode="r"), k=10)
    assert isinstance(found.bank, np.memmap)
    assert found(queries) == pytest.approx(detect.Knn.fit(known, k=10)(queries), rel=1e-5)


def test_nnguide_averages_guided_similarities_of_the_nearest():
    known, _, queries, head = world()
    unit = [each / np.linalg.norm(each.astype(np.float64), axis=1, keepdims=True) for each in (known, queries)]
    guide = unit[0] * logsumexp(exact_logits(head, known), axis=1)[:, None]
    best = -np.sort(-unit[1] @ guide.T, axis=1)[:, :10]
    expected = -best.mean(1) * logsumexp(exact_logits(head, queries), axis=1)
    close(detect.NNGuide.fit(known, head, k=10)(queries), expected)


@pytest.mark.parametrize("dimensions", [3, 8])
def test_residual_and_vim_follow_their_equations(dimensions):
    known, _, queries, head = world()
    weights = 1.5 * head.weights.astype(np.float64)
    origin = -np.linalg.pinv(weights) @ head.bias
    centred = known - origin
    values, directions = np.linalg.eig(centred.T @ centred / len(known))
    rest = directions[:, np.argsort(-values.real)[dimensions:]].real
    residual = np.linalg.norm((queries - origin) @ rest, axis=1)
    close(detect.Residual.fit(known, head, dimensions=dimensions)(queries), residual)
    alpha = exact_logits(head, known).max(1).mean() / np.linalg.norm(centred @ rest, axis=1).mean()
    expected = alpha * residual - logsumexp(exact_logits(head, queries), axis=1)
    close(detect.ViM.fit(known, head, dimensions=dimensions)(queries), expected, rel=1e-4)


def test_kl_matching_takes_the_nearest_typical_distribution():
    rng = np.random.default_rng(0)
    known, queries = 2 * rng.normal(size=(200, K)), 2 * rng.normal(size=(30, K))
    p = softmax(known, axis=1)
    typical = [p[p.argmax(1) == c].mean(0) for c in range(K)]
    expected = [min(entropy(row, each) for each in typical) for row in softmax(queries, axis=1)]
    close(detect.KLMatching.fit(known)(queries), expected, rel=1e-9)


def test_kl_matching_leaves_out_classes_never_predicted_and_survives_masked_ones():
    known = np.array([[3.0, 0.0, -np.inf], [0.0, 3.0, -np.inf]])
    found = detect.KLMatching.fit(known)
    assert found.log_typical.shape == (2, 3)
    assert np.isfinite(found(known)).all()
    assert found(np.array([[0.0, 0.0, 3.0]]))[0] > 1e300  # where no known input has mass


def test_she_is_the_product_with_the_pattern_of_right_answers():
    known, labels, queries, head = world()
    predicted = exact_logits(head, known).argmax(1)
    means = np.stack([known[(labels == c) & (predicted == c)].mean(0, dtype=np.float64) for c in range(K)])
    expected = -(queries * means[exact_logits(head, queries).argmax(1)]).sum(1)
    close(detect.SHE.fit(known, labels, head)(queries), expected)


def test_she_names_a_class_that_is_never_right():
    known, labels, _, head = world()
    with pytest.raises(InputError, match="none of 'c'"):
        detect.SHE.fit(known, np.where(labels == 2, 1, labels), head)


def test_fdbd_averages_distances_to_the_boundaries():
    known, _, queries, head = world()
    weights, logits = 1.5 * head.weights.astype(np.float64), exact_logits(head, queries)
    mean, expected = known.mean(0, dtype=np.float64), []
    for row, z in zip(logits, queries, strict=True):
        best = row.argmax()
        gaps = [(row[best] - row[c]) / np.linalg.norm(weights[best] - weights[c]) for c in range(K) if c != best]
        expected.append(-np.mean(gaps) / np.linalg.norm(z - mean))
    close(detect.FDBD.fit(known, head)(queries), expected)


def test_nci_is_alignment_with_the_class_and_length():
    known, _, queries, head = world()
    weights, away = 1.5 * head.weights.astype(np.float64), queries - known.mean(0, dtype=np.float64)
    best = exact_logits(head, queries).argmax(1)
    expected = -(weights[best] * away).sum(1) / np.linalg.norm(away, axis=1) - 0.01 * np.abs(queries).sum(1)
    close(detect.NCI.fit(known, head, alpha=0.01)(queries), expected)


def test_react_cuts_at_the_percentile_of_all_activations():
    known, _, queries, head = world()
    limit = np.percentile(known, 90)
    found = detect.ReAct.fit(known, head, percentile=90.0)
    assert found.limit == pytest.approx(limit, rel=1e-6)
    close(found(queries), -logsumexp(exact_logits(head, np.minimum(queries, limit)), axis=1))


@pytest.mark.parametrize("percentile", [0.0, 33.3, 50.0, 97.0, 99.99])
def test_the_percentile_in_two_passes_is_numpys(percentile):
    known, _, _, head = world(7)
    assert detect.ReAct.fit(known, head, percentile=percentile).limit == pytest.approx(
        np.percentile(known, percentile), rel=1e-6, abs=1e-12
    )


def test_dice_keeps_the_largest_contributions():
    known, _, queries, head = world()
    weights = 1.5 * head.weights.astype(np.float64)
    contributions = weights * known.mean(0, dtype=np.float64)
    kept = np.where(contributions > np.percentile(contributions, 70), weights, 0)
    expected = -logsumexp(queries @ kept.T + head.bias, axis=1)
    close(detect.Dice.fit(known, head, percentile=70.0)(queries), expected)


def shaped_one_by_one(row, percentile, kind):
    """ASH and SCALE of one input, as their papers' pseudo-code has it."""
    keep = len(row) - round(len(row) * percentile / 100)
    top = np.argsort(-row, kind="stable")[:keep]
    pruned = np.zeros_like(row)
    pruned[top] = row[top]
    if kind == "p":
        return pruned
    if kind == "b":
        pruned[top] = row.sum() / keep
        return pruned
    factor = np.exp(row.sum() / pruned.sum())
    return (row if kind == "scale" else pruned) * factor


@pytest.mark.parametrize("kind", ["p", "b", "s", "scale"])
def test_ash_and_scale_shape_each_input_alone(kind):
    rng = np.random.default_rng(3)
    head = world()[3]
    queries = rng.gamma(2.0, size=(40, D)).astype(np.float32)  # no ties
    shaped = np.stack([shaped_one_by_one(row.astype(np.float64), 65, kind) for row in queries])
    found = (
        detect.scale(queries, head, percentile=65.0)
        if kind == "scale"
        else detect.ash(queries, head, percentile=65.0, kind=kind)
    )
    close(found, -logsumexp(exact_logits(head, shaped), axis=1))
    before = queries.copy()
    detect.ash(queries, head)
    assert (queries == before).all()


def test_gl_mcm_adds_the_best_patch():
    rng = np.random.default_rng(0)
    image, patches = rng.uniform(-1, 1, (6, K)), rng.uniform(-1, 1, (6, 9, K))
    expected = -softmax(image, axis=1).max(1) - 0.5 * softmax(patches, axis=2).max((1, 2))
    close(detect.gl_mcm(image, patches), expected, rel=1e-12)


def test_neg_label_is_the_mean_share_over_groups():
    rng = np.random.default_rng(0)
    own, other = rng.uniform(0.1, 0.3, (8, K)), rng.uniform(0.1, 0.3, (8, 40))
    order = np.random.default_rng(5).permutation(40)
    shares = [softmax(np.hstack([own, other[:, part]]) / 0.01, axis=1)[:, :K].sum(1) for part in np.split(order, 10)]
    close(detect.neg_label(own, other, groups=10, seed=5), -np.mean(shares, axis=0), rel=1e-10)
    far = detect.neg_label(np.full((1, 2), -1.0), np.full((1, 3), 1.0), groups=1, temperature=1e-4)
    assert far.tolist() == [0.0]


def test_negative_labels_are_the_words_farthest_from_every_class():
    rng = np.random.default_rng(0)
    classes, words = rng.normal(size=(30, 8)), rng.normal(size=(200, 8))
    near = np.percentile(words @ classes.T, 95, axis=1)
    found = detect.negative_labels(classes, words, share=0.15)
    assert found.tolist() == np.argsort(near)[:30].tolist()


@pytest.mark.parametrize("name", sorted(name for name, each in detect.METHODS.items() if each.suits == "rectified"))
def test_shaping_refuses_signed_vectors_with_a_reason(name):
    known, labels, _, head = world(signed=True)
    with pytest.raises(InputError, match="not negative; row"):
        detect.Detector.fit(name, head, known, labels)(known)


def usable():
    return [name for name, each in detect.METHODS.items() if {"logits", "vectors", "head", "cosines"} >= {*each.takes}]


def made(name, head, known, labels):
    options = {"k": 10} if name in ("knn", "nnguide") else {}
    words = np.random.default_rng(9).normal(size=(50, D)).astype(np.float32)
    return detect.Detector.fit(
        name, head, known, labels, words / np.linalg.norm(words, axis=1, keepdims=True), **options
    )


@pytest.mark.parametrize("name", usable())
def test_every_detector_scores_each_input_alone_and_minds_neither_order_nor_blocks(name, monkeypatch):
    known, labels, _, head = world()
    if name in ("mcm", "neg-label"):
        known = known / np.linalg.norm(known, axis=1, keepdims=True)
    found = made(name, head, known, labels)
    scores = found(known)
    assert scores.shape == (N,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    order = np.random.default_rng(1).permutation(N)
    assert found(known[order]) == pytest.approx(scores[order], rel=1e-5, abs=1e-6)
    monkeypatch.setattr("candid.detect.moments.BLOCK", 50)
    assert np.concatenate([found(known[:7]), found(known[7:])]) == pytest.approx(scores, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", usable())
def test_every_detector_refuses_what_it_cannot_use(name):
    known, labels, _, head = world()
    method = detect.METHODS[name]
    found = made(name, head, known, labels)
    with pytest.raises(InputError):
        found(known[:, :5])
    if method.fits:
        with pytest.raises(InputError, match="got no"):
            detect.Detector.fit(name, head)
        broken = known.copy()
        broken[3, 1] = np.nan
        with pytest.raises(InputError):
            made(name, head, broken, labels)(broken)


def test_detectors_that_see_more_than_vectors_say_so():
    _, _, _, head = world()
    for name in ("gl-mcm", "odin"):
        with pytest.raises(InputError, match="more than an image's vector"):
            detect.Detector.fit(name, head)
    with pytest.raises(InputError, match="could change"):
        detect.Detector.fit("energy", head, temperature=10.0)
    with pytest.raises(InputError, match="did you mean energy"):
        detect.Detector.fit("enrgy", head)


def test_log_probabilities_are_worse_than_useless_for_energy():
    logits = np.random.default_rng(0).normal(size=(20, 4))
    assert detect.energy(log_softmax(logits, axis=1)) == pytest.approx(0.0, abs=1e-12)


def test_approximate_search_is_faiss_s_and_only_when_asked():
    known, _, queries, _ = world(signed=True)
    found = detect.Knn.fit(known, k=5, approximate=True)
    if not extras.installed("faiss"):
        with pytest.raises(MissingExtra, match="candid-vision"):
            found(queries)
    else:
        assert found(queries) == pytest.approx(detect.Knn.fit(known, k=5)(queries), rel=0.05)
