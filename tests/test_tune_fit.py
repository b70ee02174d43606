"""tune.fit against a plain loop, stacks against single runs, and whether training learns what it should."""

import numpy as np
import pytest
import torch

from candid import data, models, tune, workflows
from candid.errors import InputError
from candid.tune.losses import loss_named
from candid.tune.schedule import learning_rate
from candid.types import Head


@pytest.fixture(scope="module")
def tiny():
    return models.load("tiny")


@pytest.fixture(scope="module")
def photos(tiny, tmp_path_factory):
    """Vectors, labels and names of the five commonest kinds among the sample photos."""
    known = data.sample().known
    found = workflows.encode(tiny, known, cache=tmp_path_factory.mktemp("cache"))
    kept = np.argsort(-np.bincount(found.labels), kind="stable")[:5]
    rows = np.flatnonzero(np.isin(found.labels, kept))
    labels = np.searchsorted(np.sort(kept), found.labels[rows])
    return found.vectors[rows], labels, tuple(known.classes[i] for i in np.sort(kept))


def shots(labels, each):
    return np.concatenate([np.flatnonzero(labels == c)[:each] for c in range(labels.max() + 1)])


def plain_loop(rows_of, start, vectors, labels, scale, *, loss, epochs, rate, batch=32, seed=0):
    """Training written out: one run, torch's optimiser, and the same shuffling."""
    parameters = [p.clone().requires_grad_() for p in start]
    optimiser = torch.optim.SGD(parameters, lr=1.0, momentum=0.9, weight_decay=5e-4)
    random, (row, options) = np.random.default_rng([seed, 1]), loss_named(loss)
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = learning_rate(epoch, peak=rate, epochs=epochs)
        order = random.permutation(len(labels))
        for step in range(len(labels) // batch):
            chosen = order[step * batch : (step + 1) * batch]
            logits = scale * torch.from_numpy(vectors[chosen]) @ rows_of(*parameters).T
            optimiser.zero_grad()
            row.of(logits, torch.from_numpy(labels[chosen]), **options).mean().backward()
            optimiser.step()
    return rows_of(*parameters).detach().numpy()


@pytest.mark.parametrize("loss", ["ce", "gce"])
def test_prompt_equals_a_plain_loop_through_the_framework(photos, loss):
    model = models.load("tiny")
    model.module.double()
    vectors, labels, classes = photos
    rows = shots(labels, 14)
    vectors, labels = vectors[rows].astype(np.float64), labels[rows]
    full = tune.TextTower(model, model.module, 77, "", None)
    prompts = tune.Prompts.learned(full, classes, length=4)
    tuned = tune.fit(model, vectors, labels, classes, loss=loss, context=4, epochs=3, seeds=1, watch=(0,))
    start = torch.from_numpy(tuned.parameters[0][0]["context"])
    expected = plain_loop(
        lambda c: prompts(c[None])[0], [start], vectors, labels, model.scale, loss=loss, epochs=3, rate=0.002
    )
    np.testing.assert_allclose(tuned.head.weights, expected, atol=1e-7)  # a Head is float32


def test_classifier_equals_a_plain_loop(tiny, photos):
    vectors, labels, classes = photos
    rows = shots(labels, 14)
    start = torch.from_numpy(models.zero_shot(tiny, classes).weights)
    tuned = tune.fit(tiny, vectors[rows], labels[rows], classes, variant="classifier-text", epochs=4, seeds=1, rate=0.1)
    expected = plain_loop(
        lambda w: w / w.norm(dim=-1, keepdim=True), [start], vectors[rows], labels[rows], tiny.scale, loss="ce",
        epochs=4, rate=0.1,
    )  # fmt: skip
    np.testing.assert_allclose(tuned.head.weights, expected, atol=2e-6)


@pytest.mark.parametrize("variant", ["prompt", "full-prompt", "cls", "classifier-random"])
def test_a_stack_of_unlike_runs_is_each_run_alone(photos, variant):
    model = models.load("tiny")
    model.module.double()
    vectors, labels, classes = photos
    vectors, few, many = vectors.astype(np.float64), shots(labels, 7), shots(labels, 14)
    wrong = np.roll(labels[many], 3)
    runs = [
        tune.Run(labels[few], few, seed=1),  # one step an epoch
        tune.Run(wrong, many, "gce", {"q": 0.5}, seed=2),  # two
        tune.Run(labels[many], many, "nlprompt", seed=3),
        tune.Run(labels[few[:9]], few[:9], seed=1),  # fewer than a batch
    ]
    recipe = tune.Recipe(variant=variant, context=3, epochs=3)
    together = tune.fit_many(model, vectors, runs, classes, recipe=recipe)
    for run, stacked in zip(runs, together, strict=True):
        (alone,) = tune.fit_many(model, vectors, [run], classes, recipe=recipe)
        np.testing.assert_allclose(stacked.head.weights, alone.head.weights, atol=1e-7)
        np.testing.assert_allclose(stacked.loss, alone.loss, rtol=1e-9)


@pytest.mark.parametrize("variant", list(tune.VARIANTS))
def test_every_variant_learns_its_labels(tiny, photos, variant):
    vectors, labels, classes = photos
    rows = shots(labels, 12)
    tuned = tune.fit(tiny, vectors[rows], labels[rows], classes, variant=variant, context=4, epochs=12, seeds=1)
    assert isinstance(tuned.head, Head)
    assert tuned.head.scale == tiny.scale
    assert tuned.loss[0, -1] < tuned.loss[0, 0]
    assert not tuned.warning
    assert tuned.recipe["variant"] == variant


@pytest.mark.parametrize("variant", ["classifier-text", "prompt", "cls"])
def test_labels_teach_what_meaningless_names_do_not_say(tiny, photos, variant):
    vectors, labels, _ = photos
    names = ["lorem", "ipsum", "dolor", "sit", "amet"]
    rows = shots(labels, 16)
    rest = np.setdiff1d(np.arange(len(labels)), rows)
    before = (models.zero_shot(tiny, names)(vectors[rest]).argmax(1) == labels[rest]).mean()
    tuned = tune.fit(tiny, vectors[rows], labels[rows], names, variant=variant, context=4, per_class=True, seeds=1)
    after = (tuned.head(vectors[rest]).argmax(1) == labels[rest]).mean()
    assert after > before + 0.2


def test_gce_withstands_wrong_labels_that_ce_learns(tiny, photos):
    vectors, labels, classes = photos
    rows = shots(labels, 24)
    rest = np.setdiff1d(np.arange(len(labels)), rows)
    given = labels[rows].copy()
    given[::2] = (given[::2] + 1 + np.arange(len(given[::2])) % 4) % 5
    right = {}
    for loss in ("ce", "gce"):
        tuned = tune.fit(
            tiny, vectors[rows], given, classes, variant="classifier-random", loss=loss, rate=0.1, epochs=80
        )
        right[loss] = (tuned.head(vectors[rest]).argmax(1) == labels[rest]).mean()
    assert right["gce"] > right["ce"] + 0.05


def test_average_of_seeds_is_the_mean_of_their_logits(tiny, photos):
    vectors, labels, classes = photos
    tuned = tune.fit(tiny, vectors, labels, classes, variant="classifier-random", epochs=2, seeds=3)
    mean = np.mean([head(vectors) for head in tuned.members], axis=0)
    np.testing.assert_allclose(tuned.head(vectors), mean, atol=1e-4)
    assert tuned.recipe["seeds"] == [0, 1, 2]
    assert np.abs(tuned.members[0].weights - tuned.members[1].weights).max() > 0.01


def test_an_epoch_sees_its_own_view(tiny, photos):
    vectors, labels, classes = photos
    rows = shots(labels, 8)
    same = np.repeat(vectors[rows, None], 2, axis=1)
    spoilt = same.copy()
    spoilt[:, 1] = vectors[np.roll(rows, 11)]
    one, two, three = (
        tune.fit(tiny, v, labels[rows], classes, variant="classifier-text", epochs=3, seeds=1).loss[0]
        for v in (vectors[rows], same, spoilt)
    )
    np.testing.assert_allclose(one, two, rtol=1e-6)
    assert three[0] == pytest.approx(one[0])
    assert three[1] > one[1] + 0.5


def test_half_precision_views_and_features_by_name(tiny, photos):
    vectors, labels, classes = photos
    tuned = tune.fit(tiny, vectors.astype(np.float16), labels, classes, variant="classifier-text", epochs=1, seeds=1)
    assert tuned.head.weights.dtype == np.float32


def test_watched_heads_are_those_of_shorter_looks(tiny, photos):
    vectors, labels, classes = photos
    tuned = tune.fit(tiny, vectors, labels, classes, variant="classifier-text", epochs=3, seeds=1, watch=(0, 3))
    np.testing.assert_allclose(tuned.watched[3][0].weights, tuned.head.weights)
    np.testing.assert_allclose(tuned.watched[0][0].weights, models.zero_shot(tiny, classes).weights, atol=1e-5)


def test_divergence_is_an_error_that_leaves_the_other_runs(tiny, photos):
    vectors, labels, classes = photos
    poisoned = vectors.copy()
    poisoned[0] = np.nan
    recipe = tune.Recipe(variant="classifier-text", epochs=2)
    good, bad = np.arange(40, 80), np.arange(40)
    found = tune.fit_many(
        tiny, poisoned, [tune.Run(labels[bad], bad), tune.Run(labels[good], good)], classes, recipe=recipe
    )
    assert isinstance(found[0], InputError)
    assert "diverged in epoch 0" in str(found[0])
    assert np.isfinite(found[1].head.weights).all()
    with pytest.raises(InputError, match="lower the rate"):
        tune.fit(tiny, poisoned, labels, classes, variant="classifier-text", epochs=1)


def test_a_run_that_gets_nowhere_says_so(tiny, photos):
    vectors, labels, classes = photos
    random = np.random.default_rng(0).integers(0, 5, len(labels))
    how = {"variant": "classifier-text", "epochs": 8, "seeds": 1}
    lost = tune.fit(tiny, vectors, random, classes, rate=30.0, **how)
    assert "at rate 30 collapsed: its loss rose from" in lost.warning
    assert not tune.fit(tiny, vectors, labels, classes, **how).warning


def test_clipping_bounds_every_runs_step(tiny, photos):
    vectors, labels, classes = photos
    free, bound = (
        tune.fit(
            tiny, vectors, labels, classes, variant="classifier-text", epochs=1, seeds=1, clip=clip, weight_decay=0.0
        )
        for clip in (None, 1e-3)
    )
    zero = models.zero_shot(tiny, classes).weights
    steps = len(labels) // 32
    assert np.linalg.norm(bound.head.weights - zero) <= 1e-5 * 1e-3 * steps * steps + 1e-6
    assert np.linalg.norm(free.head.weights - zero) > np.linalg.norm(bound.head.weights - zero)


def test_words_in_place_of_names_and_one_word_for_all(tiny, photos):
    vectors, labels, classes = photos
    recipe = tune.Recipe(context=2, epochs=1, words=("thing",) * 5)
    (tuned,) = tune.fit_many(tiny, vectors, [tune.Run(labels)], classes, recipe=recipe)
    assert np.ptp(tuned.head.weights, axis=0).max() < 1e-6  # nothing tells the classes apart


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"loss": "cee"}, "no loss named"),
        ({"labels": np.array([0, 9])}, "labels must lie in 0 to 4, got 0 to 9"),
        ({"labels": np.array([0, -1])}, "leave unlabelled images out"),
        ({"features": np.zeros((2, 7), np.float32)}, r"expected features \(n, 256\)"),
        ({"classes": ["a", "a", "b", "c", "d"]}, "appears more than once"),
        ({"epochs": 0}, "epochs must be 1 or more"),
        ({"rate": -1.0}, "rate must be positive"),
        ({"variant": "prompt", "logit": "raw"}, "a choice of the classifiers"),
        ({"seeds": 0}, "seeds must be 1 or more"),
    ],
)
def test_bad_input_is_one_clear_line(tiny, photos, change, line):
    whole = {"features": photos[0][:2], "labels": np.array([0, 1]), "classes": photos[2], "seeds": 1} | change
    features, labels, classes = (whole.pop(name) for name in ("features", "labels", "classes"))
    with pytest.raises(InputError, match=line):
        tune.fit(tiny, features, labels, classes, **whole)


def test_labels_and_rows_must_belong_together(tiny, photos):
    with pytest.raises(InputError, match="a label for each of 2 images, got 1"):
        tune.fit_many(tiny, photos[0][:2], [tune.Run(np.array([0]))], photos[2], recipe=tune.Recipe())
    with pytest.raises(InputError, match="rows must lie in 0 to 1, got 2 to 2"):
        tune.fit_many(tiny, photos[0][:2], [tune.Run(np.array([0]), np.array([2]))], photos[2], recipe=tune.Recipe())
