"""What every way to retrain a last layer does, and what each is by its paper."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from candid import groups
from candid.errors import InputError
from candid.groups.from_errors import _as_linear, _evened, _pulled
from candid.groups.linear import Scaler
from candid.types import Head

NAMES = ("cow on grass", "cow on sand", "camel on grass", "camel on sand")


def rows(n=600, agreement=0.9, seed=0):
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    a = np.where(random.random(n) < agreement, y, 1 - y)
    x = np.stack([y + random.normal(0, 0.3, n), 3 * a + random.normal(0, 0.5, n), *random.normal(size=(4, n))], axis=1)
    return x.astype(np.float32), y, 2 * y + a


def erm():
    """A head fitted to rows where the attribute nearly always agrees."""
    x, y, _ = rows(2000, 0.98, seed=9)
    model = LogisticRegression(C=0.05).fit(x, y)
    w, b = model.coef_[0], model.intercept_[0]
    return Head(
        np.stack([-w / 2, w / 2]).astype(np.float32), ("cow", "camel"), 1.0, np.array([-b / 2, b / 2], np.float32)
    )


def worst(head):
    x, y, g = rows(8000, 0.5, seed=77)
    right = head(x).argmax(axis=1) == y
    return min(right[g == each].mean() for each in range(4))


def retrain(name, x, y, g, **options):
    method = groups.METHODS[name]
    if "head" in method.needs:
        options["head"] = erm()
    return method.retrain(x, y, g, group_names=None if g is None else NAMES, **options)


@pytest.mark.parametrize("name", sorted(groups.METHODS))
def test_the_worst_group_is_better_off_than_with_the_head_it_came_from(name):
    found = retrain(name, *rows(), tuning_splits=3)
    assert worst(found.head) > worst(erm()) + 0.1
    assert found.method == name
    assert sum(found.counts.values()) == 600
    assert found.setting in [trial.setting for trial in found.tried]


@pytest.mark.parametrize("name", sorted(name for name, each in groups.METHODS.items() if each.needs == "head"))
def test_no_group_labels_are_needed(name):
    x, y, _ = rows()
    found = retrain(name, x, y, None, tuning_splits=3)
    assert found.counts == {"cow": 300, "camel": 300}
    assert np.isfinite(found.head.weights).all()


@pytest.mark.parametrize("name", sorted(groups.METHODS))
def test_the_seed_decides(name):
    one, two = (retrain(name, *rows(), seed=4) for _ in range(2))
    assert np.array_equal(one.head.weights, two.head.weights)


@pytest.mark.parametrize("name", sorted(groups.METHODS))
def test_an_empty_group_is_named(name):
    with pytest.raises(InputError, match="'cow on sand' has 0 rows"):
        retrain(name, *rows(agreement=1.0))


@pytest.mark.parametrize("name", sorted(groups.METHODS))
def test_held_out_rows_score(name):
    found = retrain(name, *rows(), held_out=groups.HeldOut(*rows(seed=5)))
    assert all(0 <= trial.mean <= 1 for trial in found.tried)


@pytest.mark.parametrize("name", ["jtt", "self"])
def test_a_head_without_mistakes_teaches_nothing(name):
    x, y, g = rows()
    x[:, 1] = 3 * y
    with pytest.raises(InputError, match="makes no mistake"):
        retrain(name, x, y, g)


def test_a_head_of_other_vectors_is_refused():
    x, y, g = rows()
    with pytest.raises(InputError, match="vectors of 6 dimensions, got 4"):
        retrain("afr", x[:, :4], y, g)


def test_afr_weights_are_even_over_classes_and_by_hand():
    weights = _evened(np.array([1.0, 3.0, 2.0]), np.array([0, 0, 1]))
    np.testing.assert_allclose(weights, [0.125, 0.375, 0.5])


def test_afr_without_a_pull_is_weighted_logistic_regression_and_with_an_endless_one_the_old_head():
    x, y, _ = rows()
    scaler = Scaler.fit(x)
    z, old = scaler(x), _as_linear(erm(), Scaler.fit(x))
    weights = _evened(np.random.default_rng(0).uniform(0.1, 1, 600), y)
    free = _pulled(z, y, weights, old, 1e-12)
    peer = LogisticRegression(C=1e9, tol=1e-10, max_iter=5000).fit(z, y, sample_weight=weights * 600)
    ours, theirs = softmax(z @ free.weights.T + free.bias, axis=1), peer.predict_proba(z)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    np.testing.assert_allclose(_pulled(z, y, weights, old, 1e6).weights, old.weights, atol=1e-5)


def test_a_head_on_standardised_rows_says_the_same():
    x, _, _ = rows()
    head, scaler = erm(), Scaler.fit(x)
    np.testing.assert_allclose(_as_linear(head, scaler).on(scaler)(x), head(x), atol=1e-4)


def test_self_takes_its_share_of_the_hardest_rows_of_each_class():
    x, y, g = rows(2000, 0.95)
    found = groups.use_hardest(x, y, g, head=erm(), shares=[0.1], c_grid=[1.0])
    logits = erm()(x)
    margin = np.where(y == 1, 1, -1) * (logits[:, 1] - logits[:, 0])
    hardest = np.concatenate([np.flatnonzero(y == k)[np.argsort(margin[y == k], kind="stable")[:100]] for k in (0, 1)])
    scaler = Scaler.fit(x)
    (leg,) = groups.l1_logistic_path(scaler(x)[hardest], y[hardest], [1.0])
    ours = found.head(x)
    np.testing.assert_allclose(ours[:, 1] - ours[:, 0], scaler(x) @ leg.weights + leg.bias, atol=1e-2)


@pytest.mark.parametrize("shares", [[], [0.0], [1.5]])
def test_shares_are_above_nothing_and_at_most_all(shares):
    with pytest.raises(InputError, match="shares above 0 and up to 1"):
        groups.use_hardest(*rows(), head=erm(), shares=shares)
