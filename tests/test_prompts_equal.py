"""The fast text tower against a dense one written from CoOp's description, which shares no line with it."""

import runpy
from pathlib import Path

import checkpoints
import pytest
import torch
from transformers.activations import ACT2FN

from candid import models, tune

Dense = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "against" / "dense_coop.py"))["Dense"]
NAMES = ["cat", "a big dog", "tree", "boat of the red plane", "bird in blue"]
BOUND = {torch.float64: 1e-12, torch.float32: 1e-5}


@pytest.fixture(scope="module", params=["quick_gelu", "gelu"])
def model(request, tmp_path_factory):
    """A checkpoint read from disk, and the activation set to one or the other."""
    loaded = models.load(str(checkpoints.clip_checkpoint(tmp_path_factory.mktemp("clip") / request.param)))
    for layer in loaded.module.text_model.encoder.layers:
        layer.mlp.activation_fn = ACT2FN[request.param]
    return loaded


def padded(model, texts):
    rows = model.token_ids(texts)
    end = model.tokenizer.eos_token_id
    return torch.tensor([[*row, *[end] * (checkpoints.CONTEXT - len(row))] for row in rows])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_dense_tower_is_the_frameworks(model, dtype):
    model.module.to(dtype)
    texts = [f"a {name}." for name in NAMES]
    ids = padded(model, texts)
    rows = Dense(model.module, ids, length=1)(
        model.module.text_model.embeddings.token_embedding.weight[ids[0, 1]][None]
    )
    theirs = model.text_tower(texts)
    assert (rows - theirs / theirs.norm(dim=-1, keepdim=True)).abs().max() <= BOUND[dtype]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("length", [1, 4, 7])
@pytest.mark.parametrize("runs", [1, 3])
def test_prompts_equal_the_dense_tower_forward_and_backward(model, dtype, length, runs):
    model.module.to(dtype)
    random = torch.Generator().manual_seed(length)
    width = model.module.config.text_config.hidden_size
    context = torch.randn((runs, length, width), generator=random, dtype=torch.float64).to(dtype)
    upstream = torch.randn((runs, len(NAMES), model.dim), generator=random, dtype=torch.float64).to(dtype)
    dense = Dense(
        model.module, padded(model, [" ".join(["a"] * length) + f" {name}." for name in NAMES]), length=length
    )
    theirs = context.clone().requires_grad_()
    expected = torch.stack([dense(each) for each in theirs])
    (expected * upstream).sum().backward()
    ours = context.clone().requires_grad_()
    prompts = tune.Prompts.learned(model, NAMES, length=length)
    found = prompts(ours[:, None])
    (found * upstream).sum().backward()
    assert prompts.tower.shares
    assert (found - expected).abs().max() <= BOUND[dtype]
    assert (ours.grad - theirs.grad).abs().max() <= BOUND[dtype] * theirs.grad.abs().max()
