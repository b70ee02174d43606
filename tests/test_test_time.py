"""Test-time tuning against a loop over single images that shares no line with it, and against hand-computed answers."""

import runpy
from math import pi
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch

from candid import models, tune
from candid.errors import InputError
from candid.tune import confident_views
from candid.tune.episodes import Step

AGAINST = Path(__file__).parents[1] / "benchmarks" / "against"
Dense = runpy.run_path(str(AGAINST / "dense_coop.py"))["Dense"]
LOOP = runpy.run_path(str(AGAINST / "per_image_tuning.py"))
NAMES = ["cat", "a big dog", "tree", "boat of the red plane", "bird in blue"]
WEIGHTS = {"c-tpt": 50.0, "o-tpt": 18.0, "a-tpt": 80.0, "constant": 50.0}
SOURCES = {  # a template's words, with the places of those that are tuned counted from the start and from the end
    "a photo of a {}.": (range(1, 5), range(0)),
    "a photo of {} in red.": (range(1, 4), range(-4, -2)),
    "a {} boat": (range(1, 2), range(-2, -1)),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    loaded = models.load(str(checkpoints.clip_checkpoint(tmp_path_factory.mktemp("clip") / "clip")))
    loaded.module.to(torch.float64)
    loaded.scale = 20.0
    return loaded


@pytest.fixture(scope="module")
def views(model):
    random = np.random.default_rng(0)
    drawn = random.standard_normal((5, 32, model.dim)) + 2 * random.standard_normal((5, 1, model.dim))
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


def dense(model, source):
    """The dense tower's rows as a function of the context, and the context that a template or vectors start at."""
    table = model.module.text_model.embeddings.token_embedding.weight
    if isinstance(source, torch.Tensor):
        texts = [" ".join(["a"] * len(source)) + f" {name}." for name in NAMES]
        before, after = range(1, 1 + len(source)), range(0)
    else:
        texts, (before, after) = [source.replace("{}", name) for name in NAMES], SOURCES[source]
    rows, end = model.token_ids(texts), model.tokenizer.eos_token_id
    places = torch.tensor([[*before, *(len(row) + at for at in after)] for row in rows])
    ids = torch.tensor([[*row, *[end] * (checkpoints.CONTEXT - len(row))] for row in rows])
    start = source if isinstance(source, torch.Tensor) else table[ids[0, places[0]]].detach()
    return Dense(model.module, ids, places=places), start


def looped(model, views, source, method, **settings):
    encode, start = dense(model, source)
    found = []
    for image in torch.from_numpy(views):
        before = model.scale * image @ encode(start).detach().T
        if method == "zero-shot":
            found.append(before[0])
            continue
        kind = "tpt" if method == "cots" else method
        after = LOOP["one_image"](encode, start, image, model.scale, method=kind,
                                  coefficient=WEIGHTS.get(kind, 0.0), select=0.2, **settings)  # fmt: skip
        divisor = LOOP["temperature"](after, before, select=0.2) if method == "cots" else 1.0
        found.append(after[0] / divisor)
    return torch.stack(found).numpy()


def test_every_template_tunes_the_words_it_is_meant_to(model):
    for template, (before, after) in SOURCES.items():
        wording = tune.Episodes.written(model, NAMES, template).prompts.wording
        assert (wording.before, wording.after) == (len(before), len(after))


@pytest.mark.parametrize("method", tune.TEST_TIME)
@pytest.mark.parametrize("template", SOURCES)
def test_logits_are_those_of_a_loop_over_images(model, views, template, method):
    expected = looped(model, views, template, method)
    found = tune.test_time(model, views, NAMES, method=method, template=template, select=0.2)
    assert found.dtype == np.float64
    assert np.abs(found - expected).max() <= 1e-12 * model.scale
    if method != "zero-shot":
        assert np.abs(found - tune.test_time(model, views, NAMES, method="zero-shot", template=template)).max() > 1e-3


@pytest.mark.parametrize("method", tune.TEST_TIME)
@pytest.mark.parametrize("length", [1, 4])
def test_a_start_of_vectors_is_the_loops(model, views, method, length):
    context = tune.random_context(model, length=length, seed=3)
    expected = looped(model, views, context, method)
    found = tune.test_time(model, views, NAMES, method=method, context=context, select=0.2)
    assert np.abs(found - expected).max() <= 1e-12 * model.scale


@pytest.mark.parametrize("method", ["tpt", "c-tpt", "o-tpt", "a-tpt"])
def test_several_steps_are_the_loops(model, views, method):
    expected = looped(model, views, "a photo of a {}.", method, steps=3)
    found = tune.test_time(model, views, NAMES, method=method, select=0.2, steps=3)
    assert np.abs(found - expected).max() <= 1e-10 * model.scale  # three steps near sign flips amplify rounding


@pytest.mark.parametrize("template", SOURCES)
def test_classes_in_blocks_give_the_same(model, views, template, monkeypatch):
    whole = tune.test_time(model, views, NAMES, template=template, select=0.2, steps=2)
    monkeypatch.setattr("candid.tune.episodes.WIDEST", 16 * 32 * 7)  # seven rows of tokens at a time
    start = tune.Episodes.written(model, NAMES, template)
    assert len(start._blocks) > 2
    assert start.images_at_once == 1
    blocks = tune.test_time(model, views, NAMES, template=template, select=0.2, steps=2)
    np.testing.assert_allclose(blocks, whole, rtol=0, atol=1e-12 * model.scale)


def test_several_templates_are_averaged(model, views):
    templates = list(SOURCES)
    each = [tune.test_time(model, views, NAMES, method="c-tpt", template=t, select=0.2) for t in templates]
    found = tune.test_time(model, views, NAMES, method="c-tpt", template=templates, select=0.2)
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=0, atol=1e-13 * model.scale)


@pytest.mark.parametrize("method", tune.TEST_TIME)
def test_neither_order_nor_company_changes_an_image(model, views, method):
    """Each image is an episode of its own, whatever came before it and whatever it shares a batch with."""
    together = tune.test_time(model, views, NAMES, method=method, select=0.2)
    backwards = tune.test_time(model, views[::-1], NAMES, method=method, select=0.2)[::-1]
    alone = [tune.test_time(model, view[None], NAMES, method=method, select=0.2)[0] for view in views]
    for other in (backwards, np.stack(alone)):
        np.testing.assert_allclose(together, other, rtol=0, atol=1e-12 * model.scale)


@pytest.mark.parametrize("method", ["zero-shot", "constant"])
def test_what_looks_at_no_views_needs_the_centre_crop_alone(model, views, method):
    whole = tune.test_time(model, views, NAMES, method=method)
    np.testing.assert_allclose(tune.test_time(model, views[:, :1], NAMES, method=method), whole, rtol=0, atol=1e-13)


def test_constant_is_a_head(model, views):
    head = tune.constant_head(model, NAMES)
    logits = tune.test_time(model, views, NAMES, method="constant")
    np.testing.assert_allclose(head(views[:, 0]), logits, rtol=0, atol=1e-5)


def test_gradients_at_the_start_are_autograds(model, views):
    """The closed slope of the entropy, sent through the shared graph, is what autograd gives for the whole loss."""
    start = tune.Episodes.written(model, NAMES, "a photo of a {}.")
    selected = start.select(start.own(views), 0.2)
    found = start.entropy_gradients(selected)
    encode, context = dense(model, "a photo of a {}.")
    for image, gradient in zip(selected, found, strict=True):
        own = context.clone().requires_grad_()
        LOOP["entropy_of_mean"](model.scale * image @ encode(own).T).backward()
        assert (gradient - own.grad).abs().max() <= 1e-12 * own.grad.abs().max()
    for method, regulariser in LOOP["REGULARISERS"].items():
        own = context.clone().requires_grad_()
        regulariser(encode(own)).backward()
        assert (start.dispersion_gradient(method) - own.grad).abs().max() <= 1e-12 * own.grad.abs().max()


def test_the_first_step_is_nearly_the_sign():
    context, gradient = torch.zeros(3, dtype=torch.float64), torch.tensor([2.0, -1e-3, 1e-8], dtype=torch.float64)
    moved = Step(0.005, 0.0)(context, gradient)
    expected = torch.tensor([-0.005, 0.005, -0.0025], dtype=torch.float64)  # g / (|g| + 1e-8)
    torch.testing.assert_close(moved, expected, rtol=2e-5, atol=0)


def test_steps_are_those_of_adamw():
    random = torch.Generator().manual_seed(0)
    start = torch.randn(4, 6, generator=random, dtype=torch.float64)
    gradients = [torch.randn(4, 6, generator=random, dtype=torch.float64) for _ in range(5)]
    parameter, step, context = torch.nn.Parameter(start.clone()), Step(0.005, 0.01), start
    optimiser = torch.optim.AdamW([parameter], 0.005, weight_decay=0.01)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimiser.step()
        context = step(context, gradient)
        torch.testing.assert_close(context, parameter.detach(), rtol=0, atol=1e-15)


def test_dispersion_of_known_rows():
    same = torch.tensor([[1.0, 0.0]]).repeat(3, 1)
    assert float(tune.atfd(same)) == 0.0
    assert float(tune.overlap(same)) == pytest.approx(3**0.5 - 1)
    turned = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])  # angles to the nearest: 90 degrees each
    assert float(tune.smallest_angle(turned)) == pytest.approx(pi / 2)
    assert float(tune.atfd(turned)) == pytest.approx(((1 + 1 / 9) ** 0.5 * 2 + 2 / 3) / 3)


def test_the_closed_form_of_the_householder_term():
    rows = torch.nn.functional.normalize(
        torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64), dim=1
    )
    assert float(tune.overlap(rows)) == pytest.approx(float(LOOP["orthogonal"](rows)), rel=1e-12)


def test_a_step_of_each_regulariser_spreads_what_it_measures(model):
    """The sign of the papers' words: angles and dispersion grow, overlap falls; a-tpt's public code has the other."""
    start = tune.Episodes.written(model, NAMES, "a photo of a {}.")
    for method, (term, *_) in tune.DISPERSIONS.items():
        assert term(start.constant(method, rate=1e-4)) < term(start.rows)
    turned = start.constant("a-tpt", coefficient=-80.0, rate=1e-4)
    assert tune.smallest_angle(turned) < tune.smallest_angle(start.rows)


def test_six_of_sixty_four_views_and_the_centre_has_no_privilege():
    assert confident_views.kept(64, 0.1) == 6
    logits = torch.zeros(1, 64, 3)
    logits[0, 10:16, 0] = 5.0
    assert sorted(confident_views.chosen(logits, 6)[0].tolist()) == list(range(10, 16))


def test_entropy_of_sure_views_is_finite():
    logits = torch.tensor([[[500.0, 0.0], [500.0, 0.0]]])
    entropy = confident_views.mean_entropy(logits)
    assert float(entropy) == 0.0
    assert torch.isfinite(confident_views.mean_entropy_slope(logits)).all()


def test_cots_changes_no_prediction_and_lowers_confidence(model, views):
    tuned = tune.test_time(model, views, NAMES, method="tpt", select=0.2)
    cooled = tune.test_time(model, views, NAMES, method="cots", select=0.2)
    assert (tuned.argmax(axis=1) == cooled.argmax(axis=1)).all()
    ratio = tuned / cooled
    np.testing.assert_allclose(ratio, ratio[:, :1].repeat(len(NAMES), axis=1), rtol=1e-12)
    assert (ratio[:, 0] > 1).mean() > 0.5


def test_towers_that_share_nothing_give_the_same(model, views):
    start = tune.Episodes.written(model, NAMES, "a photo of a {}.")
    tower = tune.text_tower(model)
    plain = tune.TextTower(model, model.module, tower.limit, "asked to", None)
    other = tune.Episodes.written(plain, NAMES, "a photo of a {}.")
    assert not plain.shares
    selected = start.select(start.own(views), 0.2)
    one, two = (each.entropy_gradients(selected) for each in (start, other))
    assert (one - two).abs().max() <= 1e-12 * one.abs().max()


@pytest.mark.parametrize("method", ["c-tpt", "cots", "constant"])
def test_a_sigmoid_model_is_tuned_through_its_own_tower(method, tmp_path):
    """SigLIP's attention is not causal, so nothing is shared; scale and bias are its own."""
    siglip = models.load(str(checkpoints.siglip_checkpoint(tmp_path / "siglip")))
    siglip.module.to(torch.float64)
    siglip.scale, siglip.bias = 20.0, -8.0
    random = np.random.default_rng(1)
    views = random.standard_normal((3, 20, siglip.dim))
    views /= np.linalg.norm(views, axis=-1, keepdims=True)
    start = tune.Episodes.written(siglip, NAMES, "a photo of a {}.")
    assert not start.prompts.tower.shares
    found = tune.test_time(siglip, views, NAMES, method=method, select=0.2)
    for image, logits in zip(torch.from_numpy(views), found, strict=True):
        kind = "tpt" if method == "cots" else method
        encode = lambda context: start.prompts(context[None, None])[0]  # noqa: E731
        after = LOOP["one_image"](encode, start.start, image, 20.0, method=kind, coefficient=50.0, select=0.2)
        before = 20.0 * image @ encode(start.start).detach().T
        divisor = LOOP["temperature"](after - 8, before - 8, select=0.2) if method == "cots" else 1.0
        np.testing.assert_allclose(logits, (after[0].numpy() - 8) / divisor, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("no test-time method", {"method": "c_tpt"}),
        ("less than one", {"select": 0.01}),
        ("share of views", {"select": 0.0}),
        ("no words", {"template": "{}."}),
        ("at least one template", {"template": []}),
        ("width", {"context": torch.zeros(4, 3, dtype=torch.float64)}),
        ("two classes", {"classes": ["cat"]}),
        ("steps", {"steps": 0}),
    ],
)
def test_bad_input_is_named(model, views, said, wrong):
    with pytest.raises(InputError, match=said):
        tune.test_time(model, views, **({"classes": NAMES} | wrong))


def test_views_of_another_model_are_refused(model):
    with pytest.raises(InputError, match="expected views"):
        tune.test_time(model, np.zeros((5, 8, 3)), NAMES)


def test_views_that_are_no_numbers_are_refused(model, views):
    with pytest.raises(InputError, match="not finite"):
        tune.test_time(model, np.where(views > 0.5, np.nan, views), NAMES, select=0.2)


def test_no_images_give_no_rows(model):
    assert tune.test_time(model, np.zeros((0, 8, model.dim)), NAMES, select=0.2).shape == (0, 5)
