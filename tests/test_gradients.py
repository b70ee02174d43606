"""Per-example gradients against autograd, and the agreement of groups made to agree or cancel."""

import pytest
import torch

from candid import models, tune
from candid.errors import InputError
from candid.tune.gradients import class_gradients, gradient_agreement
from candid.tune.losses import loss_named
from candid.tune.parametrised import parametrised


@pytest.mark.parametrize("loss", ["ce", "gce", "sce"])
def test_class_gradients_are_those_of_autograd(loss):
    random = torch.Generator().manual_seed(0)
    weights, features = (torch.randn(shape, generator=random, dtype=torch.float64) for shape in ((4, 6), (5, 6)))
    labels = torch.tensor([0, 3, 1, 1, 2])
    found = class_gradients(weights, features, labels, scale=3.0, loss=loss)
    row, options = loss_named(loss)
    for i in range(5):
        leaf = weights.clone().requires_grad_()
        row.of((3.0 * features[i] @ leaf.T)[None], labels[i : i + 1], **options).sum().backward()
        assert torch.allclose(found[i], leaf.grad, atol=1e-10)


@pytest.mark.parametrize("variant", ["prompt", "full-prompt", "cls", "classifier-random"])
def test_parameter_gradients_are_those_of_the_whole_way(variant):
    model = models.load("tiny")
    model.module.double()
    form = parametrised(model, ["cat", "dog", "owl"], tune.Recipe(variant=variant, context=3))
    parameters = form.start([0])
    random = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn((6, 256), generator=random, dtype=torch.float64), dim=1)
    labels, wrong = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([True, False, False, True, False, False])
    found = gradient_agreement(form.rows, parameters, features, labels, wrong, scale=model.scale)["parameters"]
    gradients = []
    for i in range(6):
        leaves = {name: p.clone().requires_grad_() for name, p in parameters.items()}
        logits = model.scale * features[i : i + 1] @ form.rows(leaves)[0].T
        torch.nn.functional.cross_entropy(logits, labels[i : i + 1]).backward()
        gradients.append(torch.cat([p.grad.reshape(-1) for p in leaves.values()]))
    g = torch.stack(gradients)
    right, other = g[~wrong].sum(0), g[wrong].sum(0)
    assert found.norm_right == pytest.approx(g[~wrong].norm(dim=1).mean().item(), rel=1e-10)
    assert found.coherence_wrong == pytest.approx((other.norm() / g[wrong].norm(dim=1).sum()).item(), rel=1e-10)
    assert found.cosine == pytest.approx((right @ other / right.norm() / other.norm()).item(), abs=1e-10)
    assert found.pull == pytest.approx((other.norm() / right.norm()).item(), rel=1e-10)


def test_one_way_is_coherent_and_opposites_cancel():
    weights = torch.zeros((1, 2, 2), dtype=torch.float64)
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    labels, wrong = torch.tensor([0, 0, 0, 1]), torch.tensor([False, False, True, True])
    found = gradient_agreement(lambda p: p["w"], {"w": weights}, features, labels, wrong, scale=1.0)["classes"]
    assert found.coherence_right == pytest.approx(1)
    assert found.coherence_wrong == pytest.approx(0, abs=1e-12)
    assert found.pull == pytest.approx(0, abs=1e-12)


def test_many_examples_are_added_up_in_parts():
    random = torch.Generator().manual_seed(0)
    weights, features = (torch.randn(shape, generator=random, dtype=torch.float64) for shape in ((3, 4), (75, 4)))
    labels, wrong = torch.arange(75) % 3, torch.arange(75) % 5 == 0
    found = gradient_agreement(lambda p: p["w"], {"w": weights[None]}, features, labels, wrong, scale=2.0)
    h = class_gradients(weights, features, labels, scale=2.0).flatten(1)
    assert found["classes"] == found["parameters"]
    assert found["classes"].norm_wrong == pytest.approx(h[wrong].norm(dim=1).mean().item(), rel=1e-12)
    assert found["classes"].pull == pytest.approx((h[wrong].sum(0).norm() / h[~wrong].sum(0).norm()).item(), rel=1e-12)


def test_needs_both_kinds():
    with pytest.raises(InputError, match="got only one kind"):
        gradient_agreement(lambda p: p["w"], {"w": torch.zeros(1, 2, 2)}, torch.ones(2, 2), torch.tensor([0, 1]),
                           torch.tensor([True, True]), scale=1.0)  # fmt: skip
