"""Losses by hand, by their limits and by their gradients; the transport split against a plain loop."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from candid.errors import InputError
from candid.tune.losses import LOSSES, loss_named
from candid.tune.schedule import learning_rate
from candid.tune.transport import sinkhorn, trusted

P = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05]], dtype=torch.float64)
LOGITS, LABELS = P.log() + torch.tensor([[3.0], [-2.0]]), torch.tensor([1, 1])  # p of the given label: 0.2 and 0.9
PER_EXAMPLE = [name for name, row in LOSSES.items() if not row.selects]


def found(name, logits=LOGITS, labels=LABELS, **options):
    row, full = loss_named(name, options)
    return row.of(logits, labels, **full)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("ce", {}, [-math.log(0.2), -math.log(0.9)]),
        ("gce", {}, [(1 - 0.2**0.7) / 0.7, (1 - 0.9**0.7) / 0.7]),
        ("gce", {"q": 1.0}, [0.8, 0.1]),
        ("unhinged", {}, [0.8, 0.1]),
        ("mae", {}, [1.6, 0.2]),
        ("phuber-ce", {"tau": 2.0}, [-2 * 0.2 + math.log(2) + 1, -math.log(0.9)]),
        ("phuber-gce", {"q": 0.5, "tau": 2.0}, [2 * (0.25 - 0.2) + (1 - 0.5) / 0.5, (1 - 0.9**0.5) / 0.5]),
        ("sce", {}, [-0.1 * math.log(0.2) - 0.8 * math.log(1e-4), -0.1 * math.log(0.9) - 0.1 * math.log(1e-4)]),
        ("nce", {}, [math.log(0.2) / math.log(0.7 * 0.2 * 0.1), math.log(0.9) / math.log(0.9 * 0.05**2)]),
        ("nce-rce", {"a": 0.0, "b": 2.0}, [-1.6 * math.log(1e-4), -0.2 * math.log(1e-4)]),
        ("label-smoothing", {"smoothing": 0.3}, [-0.7 * math.log(0.2) - 0.1 * math.log(0.7 * 0.2 * 0.1),
                                                 -0.7 * math.log(0.9) - 0.1 * math.log(0.9 * 0.05**2)]),
    ],
)  # fmt: skip
def test_by_hand(name, options, expected):
    np.testing.assert_allclose(found(name, **options).numpy(), expected, rtol=1e-9)


def test_gce_becomes_ce_as_q_goes_to_zero():
    assert (found("gce", q=1e-6) - found("ce")).abs().max() < 1e-4


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_gradient_of_gce_is_that_of_ce_times_p_to_the_q(q):
    logits = LOGITS.clone().requires_grad_()
    found("gce", logits, q=q).sum().backward()
    onehot = torch.nn.functional.one_hot(LABELS, 3)
    expected = P.gather(1, LABELS[:, None]) ** q * (P - onehot)
    assert torch.allclose(logits.grad, expected, atol=1e-12)


@pytest.mark.parametrize("name", PER_EXAMPLE)
def test_finite_with_finite_gradients_at_the_ends(name):
    logits = torch.tensor([[80.0, -80.0, 0.0], [-500.0, 500.0, 0.0]], requires_grad=True)
    values = found(name, logits, torch.tensor([1, 1]))
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", PER_EXAMPLE)
@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.integers(0, 2))
def test_a_constant_on_all_logits_and_the_order_of_classes_change_nothing(name, shift, label):
    labels = torch.tensor([label, 2 - label])
    order = torch.tensor([2, 0, 1])
    placed = torch.tensor([order.tolist().index(int(each)) for each in labels])
    base = found(name, LOGITS, labels)
    assert torch.allclose(found(name, LOGITS + shift, labels), base, atol=1e-9)
    assert torch.allclose(found(name, LOGITS[:, order], placed), base, atol=1e-12)


@pytest.mark.parametrize("name", PER_EXAMPLE)
def test_stacked_runs_and_half_precision(name):
    stacked = found(name, torch.stack((LOGITS, LOGITS * 0.5)), torch.stack((LABELS, LABELS)))
    assert torch.allclose(stacked[0], found(name))
    assert found(name, LOGITS.half()).dtype == torch.float32


@pytest.mark.parametrize(("name", "border"), [("phuber-ce", 0.1), ("phuber-gce", 10 ** (1 / (0.7 - 1)))])
def test_tangents_meet_their_curves_without_a_kink(name, border):
    def at(p):
        logits = torch.tensor([[math.log(p / (1 - p)), 0.0]], dtype=torch.float64, requires_grad=True)
        value = found(name, logits, torch.tensor([0]))
        value.sum().backward()
        return value.item(), logits.grad[0, 0].item()

    below, above = at(border * (1 - 1e-7)), at(border * (1 + 1e-7))
    assert below == pytest.approx(above, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("cee", {}, "did you mean .*ce"),
        ("gce", {"p": 1.0}, "no option 'p'; its options: q"),
        ("gce", {"q": 0.0}, "0 < q <= 1"),
        ("phuber-ce", {"tau": 1.0}, "tau > 1"),
        ("phuber-gce", {"q": 1.0}, "0 < q < 1"),
        ("label-smoothing", {"smoothing": 1.0}, "0 <= smoothing < 1"),
    ],
)
def test_bad_options_are_one_clear_line(name, options, line):
    with pytest.raises(InputError, match=line):
        found(name, **options)


def test_plan_has_uniform_marginals_and_is_that_of_a_plain_loop():
    cost = torch.rand((12, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plan = sinkhorn(cost, reg=0.1)
    np.testing.assert_allclose(plan.sum(0), np.full(4, 1 / 4), rtol=1e-6)
    np.testing.assert_allclose(plan.sum(1), np.full(12, 1 / 12), rtol=1e-5)
    kernel, v = np.exp(-cost.numpy() / 0.1), np.ones(4)
    for _ in range(3000):
        u = (1 / 12) / (kernel @ v)
        v = (1 / 4) / (kernel.T @ u)
    np.testing.assert_allclose(plan, u[:, None] * kernel * v, rtol=1e-4)


def test_uniform_classes_move_a_label_that_the_argmax_would_keep():
    logits = torch.tensor([[2.0, 0.0], [1.5, 0.0], [0.1, 0.0], [0.2, 0.0]])  # the argmax is 0 for all
    assert trusted(logits, torch.tensor([0, 0, 1, 1])).all()
    assert not trusted(logits, torch.tensor([0, 0, 0, 0]))[2:].any()


def test_released_split_is_softer():
    logits = torch.tensor([[[9.0, 0.0], [0.0, 9.0]]])
    p = logits.double().softmax(-1)
    sharp, soft = sinkhorn(-p.log(), reg=1.0), sinkhorn(-p.log_softmax(-1), reg=1.0)
    assert sharp.max() > soft.max()


def test_nlprompt_is_ce_where_trusted_and_unhinged_elsewhere():
    row, options = loss_named("nlprompt")
    values = row.of(LOGITS, LABELS, clean=torch.tensor([True, False]), **options)
    np.testing.assert_allclose(values, [found("ce")[0], found("unhinged")[1]])


def test_rate_by_epoch():
    rates = [learning_rate(e, peak=0.002, epochs=50) for e in (0, 1, 2, 49)]
    np.testing.assert_allclose(rates, [1e-5, 2e-3, 1.998027e-3, 7.885e-6], rtol=1e-3)
    assert learning_rate(0, peak=1e-6, epochs=5) == 1e-6
