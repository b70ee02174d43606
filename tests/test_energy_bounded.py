"""Energy-bounded fine-tuning: the loss by hand and by finite differences, the schedule, resuming, and what it does."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from candid import tune
from candid.errors import InputError
from candid.tune.outlier_steps import passes
from candid.types import Head


def rows(seed=0, n=6, m=9, k=4):
    rng = np.random.default_rng(seed)
    return 4 * rng.normal(size=(n, k)), rng.integers(0, k, n), 4 * rng.normal(size=(m, k))


def by_hand(known, labels, unknown, m_in, m_out, weight):
    ce = (logsumexp(known, axis=1) - known[np.arange(len(known)), labels]).mean()
    above = np.maximum(0, -logsumexp(known, axis=1) - m_in)
    below = np.maximum(0, m_out + logsumexp(unknown, axis=1))
    return ce + weight * ((above**2).mean() + (below**2).mean())


def test_the_loss_and_its_gradient_are_those_of_the_equation():
    known, labels, unknown = rows()
    margins = (-7.0, -6.0, 0.3)
    a, b = (torch.tensor(each, requires_grad=True) for each in (known, unknown))
    loss = tune.energy_bounded_loss(a, torch.tensor(labels), b, *margins)
    assert float(loss.detach()) == pytest.approx(by_hand(known, labels, unknown, *margins), rel=1e-12)
    loss.backward()
    for given, found, place in ((known, a.grad, 0), (unknown, b.grad, 1)):
        for i, j in np.ndindex(given.shape):
            ends = []
            for step in (-1e-6, 1e-6):
                moved = [known.copy(), unknown.copy()]
                moved[place][i, j] += step
                ends.append(by_hand(moved[0], labels, moved[1], *margins))
            assert float(found[i, j]) == pytest.approx((ends[1] - ends[0]) / 2e-6, abs=1e-6)


def test_the_defaults_are_those_of_the_paper_s_cifar10_table():
    known, labels, unknown = rows()
    found = tune.energy_bounded_loss(torch.tensor(known), torch.tensor(labels), torch.tensor(unknown))
    assert float(found) == pytest.approx(by_hand(known, labels, unknown, -23.0, -5.0, 0.1), rel=1e-12)


def test_outlier_exposure_is_cross_entropy_to_the_uniform_distribution():
    known, labels, unknown = rows()
    found = tune.outlier_exposure_loss(torch.tensor(known), torch.tensor(labels), torch.tensor(unknown))
    p = unknown - logsumexp(unknown, axis=1, keepdims=True)
    expected = by_hand(known, labels, unknown, 0, 0, 0.0) + 0.5 * (-p.mean(axis=1) - np.log(4) + np.log(4)).mean()
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_margins_lie_one_deviation_beyond_each_mean_and_refuse_the_wrong_way_round():
    known, unknown = torch.tensor([-10.0, -12.0, -14.0]), torch.tensor([-5.0, -7.0])
    found = tune.margins_of(known, unknown)
    assert found.known == pytest.approx(-12 - (8 / 3) ** 0.5)
    assert found.unknown == pytest.approx(-5.0)
    with pytest.raises(InputError, match="wrong way round"):
        tune.margins_of(unknown, known)


@pytest.mark.parametrize("bad", [{"m_in": -5.0, "m_out": -5.0}, {"m_in": 0.0}])
def test_margins_in_the_wrong_order_are_refused(bad):
    known, labels, unknown = rows()
    with pytest.raises(InputError, match="m_in must lie below m_out"):
        tune.energy_bounded_loss(torch.tensor(known), torch.tensor(labels), torch.tensor(unknown), **bad)


def pictures(seed=0, n=300, m=500):
    """Two classes told by where a bright bar lies; outliers are noise of the same brightness."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    known = 0.2 * rng.normal(size=(n, 1, 8, 8))
    known[labels == 0, :, 2:4] += 1.0
    known[labels == 1, :, :, 2:4] += 1.0
    return known.astype(np.float32), labels, (0.25 + 0.6 * rng.normal(size=(m, 1, 8, 8))).astype(np.float32)


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Dropout(0.2),
            torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(128, 2),
        )  # fmt: skip


def trained():
    known, labels, _ = pictures()
    recipe = tune.OutlierRecipe("ce", epochs=8, rate=0.1, batch=50)
    return tune.energy_bounded(network(), known, labels, None, recipe).model


def test_fine_tuning_separates_energies_that_were_not_and_keeps_the_classes():
    known, labels, outliers = pictures(1)
    model = trained()
    before = [tune.energies(model, rows) for rows in (known, outliers)]
    recipe = tune.OutlierRecipe(epochs=15, rate=0.02, batch=50, outlier_batch=100)
    found = tune.energy_bounded(model, known, labels, outliers, recipe)
    held_known, held_labels, held_outliers = pictures(2)
    after = [tune.energies(found.model, rows) for rows in (held_known, held_outliers)]
    assert found.margins.known < found.margins.unknown
    gap = [float(side[1].mean() - side[0].mean()) for side in (before, after)]
    assert gap[1] > gap[0]
    with torch.inference_mode():
        right = (found.model(torch.tensor(held_known)).argmax(1).numpy() == held_labels).mean()
    assert right > 0.97
    assert float((after[1][:, None] > after[0]).float().mean()) > 0.97  # AUROC on new images
    assert len(found.history) == 15
    assert found.history[-1]["energy_unknown"] > found.history[0]["energy_unknown"]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("at", [3, 7])
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(tmp_path, monkeypatch, at):
    monkeypatch.setattr("candid.tune.outlier_training.SAVED_EVERY", 2)
    known, labels, outliers = pictures()
    recipe = tune.OutlierRecipe(epochs=2, rate=0.02, batch=50, outlier_batch=100)

    def augment(batch, generator):
        return tune.crop_and_flip(batch, generator, pad=1)

    def run(**options):
        model = network(3)
        found = tune.energy_bounded(model, known, labels, outliers, recipe, augment=augment, **options)
        return {name: value.clone() for name, value in found.model.state_dict().items()}, found

    def stop(done, total):
        if done == at:
            raise Stopped

    whole, first = run()
    with pytest.raises(Stopped):
        run(checkpoint=tmp_path / "part.pt", progress=stop)
    again, second = run(checkpoint=tmp_path / "part.pt")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert first.margins == second.margins
    assert first.history == second.history


def test_a_checkpoint_of_another_run_or_a_broken_one_is_refused(tmp_path):
    known, labels, outliers = pictures()
    path = tmp_path / "part.pt"
    recipe = tune.OutlierRecipe(epochs=1, batch=100)
    tune.energy_bounded(network(), known, labels, outliers, recipe, checkpoint=path)
    with pytest.raises(InputError, match="another fine-tuning"):
        tune.energy_bounded(network(), known, labels, outliers, tune.OutlierRecipe(seed=1, batch=100), checkpoint=path)
    with pytest.raises(InputError, match="another fine-tuning"):  # other weights to start from
        tune.energy_bounded(network(1), known, labels, outliers, recipe, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="delete it to start again"):
        tune.energy_bounded(network(), known, labels, outliers, recipe, checkpoint=path)


def test_the_global_generators_are_not_touched():
    known, labels, outliers = pictures()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tune.energy_bounded(network(), known, labels, outliers, tune.OutlierRecipe(epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_rate_falls_along_the_cosine_and_both_halves_pass_together():
    known, labels, outliers = pictures(n=256)
    seen, rates = [], []

    class Watched(torch.nn.Linear):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x.flatten(1))

    model = Watched(64, 2)
    step = torch.optim.SGD.step

    def watched(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    torch.optim.SGD.step = watched
    try:
        recipe = tune.OutlierRecipe(margins=tune.Margins(-3.0, -1.0), epochs=2)
        tune.energy_bounded(model, known, labels, outliers, recipe)
    finally:
        torch.optim.SGD.step = step
    assert seen == [128 + 256] * 4
    expected = [1e-6 + (1e-3 - 1e-6) * 0.5 * (1 + np.cos(np.pi * (i + 1) / 4)) for i in range(4)]
    assert rates == pytest.approx(expected)


def test_outliers_come_in_wholepasses():
    drawn = np.concatenate([passes(10, 4, step, 0) for step in range(5)])
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()


def test_crops_stay_within_their_pad_and_mirror_half():
    batch = torch.arange(1.0, 37.0).reshape(1, 1, 6, 6).expand(400, 1, 6, 6)
    found = tune.crop_and_flip(batch, torch.Generator().manual_seed(0), pad=1)
    choices = {}
    padded = torch.nn.functional.pad(batch[:1], (1, 1, 1, 1))[0, 0]
    for i in range(3):
        for j in range(3):
            crop = padded[i : i + 6, j : j + 6]
            choices[tuple(crop.flatten().tolist())] = choices[tuple(crop.flip(1).flatten().tolist())] = 0
    for image in found:
        choices[tuple(image.flatten().tolist())] += 1
    assert len(choices) == 18
    assert all(count > 5 for count in choices.values())


def test_a_head_over_frozen_vectors_comes_back_as_a_head():
    rng = np.random.default_rng(0)
    known = (rng.normal(size=(200, 3)) + np.array([5, 0, 0])).astype(np.float32)
    outliers = rng.normal(size=(300, 3)).astype(np.float32)
    labels = (known[:, 1] > 0).astype(int)
    head = Head(np.array([[0.3, -1, 0], [0.3, 1, 0]], np.float32), ("down", "up"), 2.0, 0.5)
    recipe = tune.OutlierRecipe(epochs=30, rate=0.01)
    found = tune.energy_bounded(head, known, labels, outliers, recipe).model
    assert isinstance(found, Head)
    assert (found.classes, found.scale) == (("down", "up"), 1.0)
    energy = [
        -logsumexp(each(outliers), axis=1).mean() + logsumexp(each(known), axis=1).mean() for each in (head, found)
    ]
    assert energy[1] > energy[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 0}, "epochs must be 1 or more"),
        ({"rate": 0.0}, "rate must be positive"),
        ({"margins": tune.Margins(-1.0, -2.0)}, "lower energies"),
    ],
)
def test_recipes_that_cannot_be_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        tune.OutlierRecipe(**change)


def test_what_cannot_be_trained_on_is_refused():
    known, labels, outliers = pictures()
    with pytest.raises(InputError, match="needs outliers"):
        tune.energy_bounded(network(), known, labels, None)
    with pytest.raises(InputError, match="expected 300 labels"):
        tune.energy_bounded(network(), known, labels[:5], outliers)
    with pytest.raises(InputError, match="floating point"):
        tune.energy_bounded(network(), known.astype(np.uint8), labels, outliers.astype(np.uint8))
    recipe = tune.OutlierRecipe(rate=1e6, margins=tune.Margins(-300.0, 300.0), epochs=5)
    with pytest.raises(InputError, match="stopped being finite"):
        tune.energy_bounded(network(), known, labels, outliers, recipe)
