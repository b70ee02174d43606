"""Frechet, kernel, CMMD and Vendi against other implementations, closed forms and by hand."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from candid import generative
from candid.errors import InputError


def features(n, d=12, seed=0, shift=0.0, scale=1.0):
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(d, d))
    return scale * random.normal(size=(n, d)) @ mix + shift


def test_frechet_agrees_with_torchmetrics_and_with_scipys_root():
    real, fake = features(200), features(150, seed=1, shift=0.3, scale=1.2)
    moments = [(torch.tensor(each.mean(axis=0)), torch.tensor(np.cov(each.T))) for each in (real, fake)]
    peer = float(_compute_fid(*moments[0], *moments[1]))
    first, second = np.cov(real.T), np.cov(fake.T)
    gap = real.mean(axis=0) - fake.mean(axis=0)
    root = scipy.linalg.sqrtm(first @ second).real
    by_root = gap @ gap + np.trace(first + second - 2 * root)
    assert generative.frechet(real, fake) == pytest.approx(peer, rel=1e-10)
    assert generative.frechet(real, fake) == pytest.approx(by_root, rel=1e-8)


def test_frechet_of_fewer_rows_than_dimensions_is_that_of_the_singular_values():
    real, fake = features(9, d=40), features(7, d=40, seed=1, shift=1.0)
    centred = [each - each.mean(axis=0) for each in (real, fake)]
    traces = sum((each**2).sum() / (len(each) - 1) for each in centred)
    nuclear = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum() / (8 * 6) ** 0.5
    gap = real.mean(axis=0) - fake.mean(axis=0)
    assert generative.frechet(real, fake) == pytest.approx(gap @ gap + traces - 2 * nuclear, rel=1e-6)
    assert generative.frechet(real, real) == pytest.approx(0, abs=1e-6 * traces)


def test_frechet_of_kept_statistics():
    real, fake = features(300), features(200, seed=1)
    kept = generative.Gaussian.of(real)
    assert kept.n == 300
    assert generative.frechet(kept, fake) == generative.frechet(real, fake)


def test_frechet_extrapolated_removes_most_of_the_bias_of_few_samples():
    plain, found = [], []
    for seed in range(6):
        real, fake = features(4000, seed=seed), features(400, seed=50 + seed)
        plain.append(generative.frechet(real, fake))
        found.append(generative.frechet_extrapolated(real, fake, seed=seed).value)
    assert abs(np.mean(found)) < np.mean(plain) / 3


@pytest.mark.parametrize("size", [60, 2000])
def test_kernel_agrees_with_torchmetrics(size):
    real, fake = features(size), features(size, seed=1, shift=0.2)
    peer = poly_mmd(torch.tensor(real), torch.tensor(fake))
    assert generative.kernel(real, fake) == pytest.approx(float(peer), rel=1e-9)


def test_kernel_estimators_by_hand():
    real, fake = np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]])
    # products cubed: reals 1 1 1 125, fakes 8 8 8 8, across 1 1 27 27
    assert generative.kernel(real, fake, estimator="biased") == 128 / 4 + 8 - 2 * 14
    assert generative.kernel(real, fake) == 1 + 8 - 2 * 14


def test_kernel_subsets_are_about_the_whole():
    real, fake = features(500), features(400, seed=1, shift=0.2)
    found = generative.kernel_subsets(real, fake, subsets=60, size=200, seed=3)
    assert len(found.values) == 60
    assert found.mean == pytest.approx(generative.kernel(real, fake), abs=3 * found.spread / 60**0.5 + 1e-9)
    whole = generative.kernel_subsets(real[:400], fake, subsets=2, size=1000)
    assert whole.mean == pytest.approx(generative.kernel(real[:400], fake), rel=1e-9)


def test_cmmd_by_its_formula_and_where_formula_loses_its_digits():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(2, 90, 16))
    real, fake = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (real, fake))

    def mean(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(axis=2) / 200).mean()

    formula = 1000 * (mean(real, real) + mean(fake, fake) - 2 * mean(real, fake))
    assert generative.cmmd(real, fake) == pytest.approx(formula, abs=1e-9)
    near = np.stack([np.cos([0, 1e-6]), np.sin([0, 1e-6])], axis=1)
    assert generative.cmmd(near[:1], near[1:]) == pytest.approx(1000 * 2 * 1e-12 / 200, rel=1e-3)


def test_cmmd_takes_rows_as_they_are():
    assert generative.cmmd(np.array([[0.0]]), np.array([[30.0]])) == pytest.approx(2000 * (1 - np.exp(-4.5)))


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0, np.inf])
def test_vendi_from_the_d_by_d_dual_is_that_of_the_kernel_matrix(order):
    vectors = features(40, d=6)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(unit @ unit.T / 40)
    shares = shares[shares > 1e-12]
    if order == 1:
        expected = np.exp(-(shares * np.log(shares)).sum())
    else:
        expected = 1 / shares.max() if np.isinf(order) else (shares**order).sum() ** (1 / (1 - order))
    assert generative.vendi(vectors, order=order) == pytest.approx(expected, rel=1e-9)


def test_bad_input_is_refused_in_one_line():
    real = features(10)
    with pytest.raises(InputError, match="a covariance needs two rows"):
        generative.frechet(real, real[:1])
    with pytest.raises(InputError, match="one width, got 12 and 11"):
        generative.kernel(real, real[:, 1:])
    with pytest.raises(InputError, match="real must be finite, row 3"):
        generative.kernel(np.where(np.arange(10)[:, None] == 3, np.nan, real), real)
    with pytest.raises(InputError, match="row 2 is one"):
        generative.vendi(np.where(np.arange(10)[:, None] == 2, 0.0, real))
    with pytest.raises(InputError, match="needs at least 17 fakes, got 10"):
        generative.frechet_extrapolated(real, real)
