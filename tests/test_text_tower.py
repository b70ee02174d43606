"""The tower that shares prefixes against the framework's own full forward and backward pass."""

import gc
import weakref

import checkpoints
import dual_checkpoints
import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from candid import models, tune
from candid.errors import InputError
from candid.tune.wording import learned, written

NAMES = [
    "cat",
    "Jack O'Lantern",
    "maine_coon",
    "t-shirt",
    "a very long name of something",
    "boeing 737-800",
    "naïve owl",
]
BOUND = {torch.float64: 1e-12, torch.float32: 1e-5}


@pytest.fixture(scope="module")
def tiny():
    """A tiny of one's own: these tests change its precision."""
    return models.load("tiny")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return models.load(str(checkpoints.clip_checkpoint(tmp_path_factory.mktemp("clip") / "clip")))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return models.load(str(checkpoints.siglip_checkpoint(tmp_path_factory.mktemp("siglip") / "siglip")))


def both(model):
    """The tower as it is used, and the framework's own way."""
    tower = tune.text_tower(model)
    return tower, tune.TextTower(model, model.module, tower.limit, "", None)


def passed(prompts, context, names, upstream):
    """Rows, and the gradients of a random function of them."""
    inputs = [part.clone().requires_grad_() for part in (context, names) if part is not None]
    found = prompts(inputs[0], inputs[1] if names is not None else None)
    (found * upstream).sum().backward()
    return [found.detach(), *(part.grad for part in inputs)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("free_names", [False, True])
def test_equals_the_full_forward_and_backward(tiny, dtype, position, per_class, runs, free_names):
    tiny.module.to(dtype)
    random = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(shape, generator=random, dtype=torch.float64).to(dtype)

    fast, full = (tune.Prompts.learned(tower, NAMES, length=5, position=position) for tower in both(tiny))
    assert fast.tower.shares
    assert not full.tower.shares
    context = 0.02 * draw(runs, len(NAMES) if per_class else 1, 5, fast.width)
    names = fast.name_vectors + 0.01 * draw(runs, sum(fast.name_lengths), fast.width) if free_names else None
    upstream = draw(runs, len(NAMES), tiny.dim)
    for ours, theirs in zip(*(passed(p, context, names, upstream) for p in (fast, full)), strict=True):
        assert (ours - theirs).abs().max() <= BOUND[dtype] * theirs.abs().max()


def test_a_checkpoint_on_disk_takes_the_fast_way_too(saved):
    fast, full = (tune.Prompts.learned(tower, ["cat", "dog", "red bird"], length=3) for tower in both(saved))
    context = torch.randn((2, 1, 3, fast.width), generator=torch.Generator().manual_seed(0))
    assert fast.tower.shares
    assert torch.allclose(fast(context), full(context), atol=1e-5)


def test_weights_that_train_get_the_gradients_of_the_full_pass(tiny):
    tiny.module.double()
    found = []
    for tower in both(tiny):
        twin = tower.trainable()
        rows = tune.Prompts.written(twin, NAMES, template="a photo of a {}, a pet.")()
        rows[..., ::3].sum().backward()
        found.append({name: p.grad for name, p in twin.parameters().items()})
    assert found[0].keys() == found[1].keys()
    assert all(p.grad is None for p in tiny.module.parameters())
    for name, ours in found[0].items():
        theirs = found[1][name]
        assert ours is not None, name
        assert (ours - theirs).abs().max() <= 1e-11 * (1 + theirs.abs().max()), name


def test_training_a_copy_leaves_the_model_as_it_was(tiny):
    before = {name: p.clone() for name, p in tiny.module.named_parameters()}
    twin = tune.text_tower(tiny).trainable()
    with torch.no_grad():
        for parameter in twin.parameters().values():
            parameter += 1
    assert all(torch.equal(before[name], p) for name, p in tiny.module.named_parameters())
    assert twin.module.vision_model is tiny.module.vision_model


@pytest.mark.parametrize("template", ["a photo of a {}.", "{} texture.", "a photo of {}, a type of food.", "the {}"])
def test_written_prompts_are_the_texts_of_the_model(tiny, template):
    tiny.module.float()
    rows = tune.Prompts.written(tiny, NAMES, template=template)()[0].detach().numpy()
    texts = [template.replace("{}", name.replace("_", " ")) for name in NAMES]
    np.testing.assert_allclose(rows, tiny.encode_texts(texts), atol=2e-6)


def test_context_of_words_gives_the_rows_of_the_sentence(tiny):
    tiny.module.float()
    words = tune.Prompts.written(tiny, ["cat"], template="a photo of a {}.")
    context = words.tower.look_up(words.wording.context[:4])
    rows = tune.encode_prompts(tiny, ["cat", "maine_coon"], context)
    np.testing.assert_allclose(
        rows.detach().numpy(), tiny.encode_texts(["a photo of a cat.", "a photo of a maine coon."]), atol=2e-6
    )


def test_a_two_way_tower_takes_the_ordinary_way_and_says_so(siglip):
    tower = tune.text_tower(siglip)
    assert not tower.shares
    assert "causal" in tower.note
    rows = tune.Prompts.written(siglip, ["cat", "dog"], template="a photo of a {}.")()[0].detach().numpy()
    np.testing.assert_allclose(rows, siglip.encode_texts(["a photo of a cat.", "a photo of a dog."]), atol=1e-6)
    context = torch.zeros((2, tower.table.shape[1]), requires_grad=True)
    tune.encode_prompts(siglip, ["cat", "dog"], context)[0, 0].backward()
    assert context.grad.abs().sum() > 0


def test_a_tower_that_is_not_what_it_seems_is_found_out(tiny, monkeypatch):
    other = models.load("tiny")
    layers = other.text_layers()
    wrong = type(layers)(layers.tokens, layers.positions.flip(0), layers.blocks, layers.norm, layers.projection, 3)
    monkeypatch.setattr(type(other), "text_layers", lambda self: wrong)
    tower = tune.text_tower(other)
    assert not tower.shares
    assert "does not give the rows" in tower.note


def test_changed_weights_are_seen():
    model = models.load("tiny")
    context = torch.zeros(2, 192)
    before = tune.encode_prompts(model, ["cat", "dog"], context)
    with torch.no_grad():
        model.module.text_model.encoder.layers[0].self_attn.k_proj.weight.mul_(2)
    after = tune.encode_prompts(model, ["cat", "dog"], context)
    assert (before - after).abs().max() > 1e-3


@pytest.mark.parametrize("position", ["end", "front"])
def test_prompts_made_before_weights_changed_see_the_change(position):
    model = models.load("tiny")
    made, context = tune.Prompts.learned(model, ["cat", "dog"], length=2, position=position), torch.zeros(1, 1, 2, 192)
    made(context)
    with torch.no_grad():
        model.module.text_model.encoder.layers[0].self_attn.k_proj.weight.mul_(2)
    full = tune.TextTower(model, model.module, made.tower.limit, "", None)
    theirs = tune.Prompts.learned(full, ["cat", "dog"], length=2, position=position)(context)
    assert (made(context) - theirs).abs().max() <= 1e-5


def test_a_model_that_was_tuned_can_be_let_go():
    model = models.load("tiny")
    tune.encode_prompts(model, ["cat", "dog"], torch.zeros(2, 192))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_names_are_read_from_whole_sentences():
    def letters(texts):  # a tokenizer that joins dots
        return [[0, *map(ord, text.replace(" ", "").replace("..", ":")), 1] for text in texts]

    found = learned(letters, ["ab", "St."], length=2, position="front")
    assert found.names == (tuple(map(ord, "ab")), tuple(map(ord, "St:")))
    assert found.tails == ((ord("."), 1), (1,))
    assert (found.before, found.after) == (0, 2)
    spoken = written(letters, ["ab", "c"], template="a {}.")
    assert (spoken.head, spoken.context, spoken.names) == ((0,), tuple(map(ord, "a.")), ((97, 98), (99,)))


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda m: tune.Prompts.learned(m, ["a b " * 40], length=4), "takes .* tokens, the tower has 77; shorten"),
        (lambda m: tune.Prompts.learned(m, ["a", "a"], length=4), "'a' appears more than once"),
        (lambda m: tune.Prompts.learned(m, [], length=4), "at least one class"),
        (lambda m: tune.Prompts.learned(m, ["a"], length=0), "1 context token or more"),
        (lambda m: tune.Prompts.written(m, ["a"], template="a photo"), "needs {} once"),
        (lambda m: tune.Prompts.learned(m, ["a"], length=2)(), "pass context vectors"),
        (lambda m: tune.Prompts.learned(m, ["a"], length=2)(torch.zeros(1, 1, 3, 192)), "expected context of shape"),
        (lambda m: tune.encode_prompts(m, ["a", "b"], torch.zeros(3, 2, 192)), "one for each of 2 classes, got 3"),
    ],
)
def test_bad_input_is_one_clear_line(tiny, call, line):
    with pytest.raises(InputError, match=line):
        call(tiny)


def test_unknown_position(tiny):
    with pytest.raises((InputError, TypeCheckError)):
        tune.Prompts.learned(tiny, ["a"], length=2, position="last")


def test_a_dual_encoder_with_clips_text_tower_shares(tmp_path):
    """What a wrapper of two towers holds is known by its text tower, not by the wrapper's name."""
    model = models.load(str(dual_checkpoints.dual_checkpoint(tmp_path / "dual", "vit", "clip")))
    model.module.to(torch.float64)
    tower, own = both(model)
    assert tower.shares
    wording = written(model.token_ids, ["cat", "a big dog"], template="a photo of a {}.", limit=tower.limit)
    found, expected = (tune.Prompts(each, wording)() for each in (tower, own))
    assert (found - expected).abs().max() <= BOUND[torch.float64]
