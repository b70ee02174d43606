"""Deep feature reweighting: what it recovers, that it is the published procedure, what it refuses."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from candid import groups
from candid.errors import InputError
from candid.groups.balance import balanced, halves


def spurious(n=600, agreement=0.9, seed=0, classes=2):
    """Rows whose first column is the class, faintly, and whose second is an attribute that mostly agrees, loudly."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, n)
    a = np.where(random.random(n) < agreement, y, (y + 1) % classes)
    core, shown = np.eye(classes)[y] + random.normal(0, 0.45, (n, classes)), np.eye(classes)[a]
    x = np.concatenate([core, 5 * shown + random.normal(0, 0.3, (n, classes)), random.normal(size=(n, 6))], axis=1)
    return x.astype(np.float32), y, classes * y + a


def worst(head, x, y, g):
    right = head(x).argmax(axis=1) == y
    return min(right[g == each].mean() for each in np.unique(g))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_worst_group_is_mended(classes):
    x, y, g = spurious(900, classes=classes)
    test = spurious(4000, seed=1, classes=classes)
    from sklearn.linear_model import LogisticRegression

    plain = LogisticRegression(max_iter=2000).fit(x, y)
    right = plain.predict(test[0]) == test[1]
    before = min(right[test[2] == each].mean() for each in np.unique(test[2]))
    found = groups.retrain_last_layer(x, y, g, tuning_splits=3)
    assert worst(found.head, *test) > before + 0.1
    assert found.head.weights.shape == (classes, x.shape[1])


def test_is_the_published_procedure_on_the_same_rows():
    x, y, g = spurious()
    found = groups.retrain_last_layer(x, y, g, redraws=3, penalise_intercept=True, seed=5)
    scaler = StandardScaler().fit(x.astype(np.float64))
    legs = []
    for redraw in range(3):
        rows = balanced(g, np.random.default_rng([5, 2, redraw]))
        z = scaler.transform(x.astype(np.float64)[rows])
        legs += groups.l1_logistic_path(z, y[rows], [found.setting["c"]], penalise_intercept=True)
    w, b = np.mean([each.weights for each in legs], axis=0), np.mean([each.bias for each in legs])
    logits = found.head(x)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], scaler.transform(x.astype(np.float64)) @ w + b, atol=2e-3)


def test_ties_go_to_the_first_of_the_grid():
    x, y, g = spurious()
    found = groups.retrain_last_layer(x, y, g)
    best = max(trial.mean for trial in found.tried)
    assert found.setting == next(trial.setting for trial in found.tried if trial.mean == best)
    assert [trial.setting["c"] for trial in found.tried] == list(groups.C_GRID)


def test_training_rows_can_retrain_while_held_out_rows_score():
    train, held = spurious(), spurious(seed=3)
    found = groups.retrain_last_layer(*train, held_out=groups.HeldOut(*held), class_weights=groups.CLASS_WEIGHTS)
    assert len(found.tried) == 7 * 13
    assert all(len(trial.worst) == 1 for trial in found.tried)


def test_the_seed_decides_everything_and_several_splits_are_kept():
    x, y, g = spurious()
    one, two = (groups.retrain_last_layer(x, y, g, seed=7, tuning_splits=4) for _ in range(2))
    assert np.array_equal(one.head.weights, two.head.weights)
    assert one.tried == two.tried
    assert all(len(trial.worst) == 4 for trial in one.tried)
    assert len({trial.worst for trial in one.tried}) > 1


def test_a_column_that_never_changes_is_left_alone():
    x, y, g = spurious()
    x[:, 9] = 3.0
    found = groups.retrain_last_layer(x, y, g)
    assert np.isfinite(found.head.weights).all()
    assert found.head.weights[0, 9] == 0


def test_balanced_subsets_have_as_many_of_each_and_halves_share_no_row():
    _, _, g = spurious()
    rows = balanced(g, np.random.default_rng(0))
    assert len(set(np.bincount(g[rows]).tolist())) == 1
    assert len(set(rows.tolist())) == len(rows)
    scoring, training = halves(g, np.random.default_rng(0))
    assert sorted([*scoring, *training]) == list(range(len(g)))
    assert set(np.unique(g[scoring])) == set(np.unique(g[training])) == set(np.unique(g))


NAMES = ("a on a", "a on b", "b on a", "b on b")


def test_an_empty_group_is_an_error_that_names_it():
    x, y, g = spurious(agreement=1.0)
    with pytest.raises(InputError, match=r"group 'a on b' has 0 rows.*exclude=\['a on b'\]"):
        groups.retrain_last_layer(x, y, g, group_names=NAMES)


def test_a_group_too_small_to_halve_is_an_error_and_can_be_left_out():
    x, y, g = spurious()
    keep = np.concatenate([np.flatnonzero(g != 1), np.flatnonzero(g == 1)[:1]])
    with pytest.raises(InputError, match="group 'a on b' has 1 rows, 2 are needed"):
        groups.retrain_last_layer(x[keep], y[keep], g[keep], group_names=NAMES)
    found = groups.retrain_last_layer(x[keep], y[keep], g[keep], group_names=NAMES, exclude=["a on b"])
    assert found.excluded == ("a on b",)
    assert set(found.counts) == {"a on a", "b on a", "b on b"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"exclude": ["nobody"]}, "exclude names groups"),
        ({"class_weights": [(1.0,)]}, "class_weights of 2 positive"),
        ({"tuning_splits": 0}, "tuning splits"),
        ({"redraws": 0}, "redraws"),
        ({"scale_by": np.zeros((5, 3))}, "scale_by vectors of 10 finite dimensions"),
        ({"held_out": groups.HeldOut(np.zeros((4, 3)), np.arange(4) % 2, np.arange(4))}, "held_out vectors of 10"),
        ({"group_names": ("one",)}, "number of group_names"),
    ],
)
def test_bad_choices_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        groups.retrain_last_layer(*spurious(), **options)
