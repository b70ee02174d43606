"""The k-nearest-neighbour family against the published definitions, written down densely in float64."""

from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch
from generative_reference import SCENES, Dense, expected_coverage, low_dimensional
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc

from candid import generative
from candid.errors import InputError
from candid.generative import (
    AlphaBetaAt,
    AuthenticityAt,
    ClippedDensityCoverageAt,
    DensityCoverageAt,
    PrecisionRecallAt,
    PrecisionRecallCoverAt,
    ProbabilisticPrecisionRecallAt,
    RealismAt,
    SymmetricPrecisionRecallAt,
)

DENSE = {name: Dense(*sets) for name, sets in SCENES.items()}
scene = pytest.fixture(params=SCENES)(lambda request: request.param)


@pytest.fixture(params=[None, "cpu", *["cuda"] * torch.cuda.is_available()])
def device(request):
    return request.param


@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_precision_recall_density_and_coverage_of_every_sample_are_exact(scene, k, device):
    real, fake = SCENES[scene]
    pairs, balls = generative.compare(real, fake, [PrecisionRecallAt(k), DensityCoverageAt(k)], device=device)
    inside, covered = DENSE[scene].precision_recall(k)
    np.testing.assert_array_equal(pairs.fakes_inside, inside)
    np.testing.assert_array_equal(pairs.reals_inside, covered)
    density, held = DENSE[scene].density_coverage(k)
    np.testing.assert_array_equal(balls.fake_density, density)
    np.testing.assert_array_equal(balls.reals_covered, held)
    assert (pairs.precision, pairs.recall) == (inside.mean(), covered.mean())
    assert balls.density == pytest.approx(density.mean(), rel=1e-12)
    assert balls.coverage == held.mean()


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("name", ["sheet", "shifted", "outliers"])
def test_agrees_with_prdc(name, k):
    real, fake = (each.astype(np.float64) for each in SCENES[name])
    with redirect_stdout(StringIO()):
        peer = compute_prdc(real, fake, nearest_k=k)
    pairs, balls = generative.compare(real, fake, [PrecisionRecallAt(k), DensityCoverageAt(k)])
    found = {"precision": pairs.precision, "recall": pairs.recall, "density": balls.density, "coverage": balls.coverage}
    assert found == pytest.approx(peer, rel=1e-12)


@pytest.mark.parametrize(("k", "scale"), [(4, 1.2), (2, 1.0), (5, 1.3), (9, 0.8)])
@pytest.mark.parametrize("radius", ["mean", "median"])
def test_p_precision_and_p_recall_of_every_sample(scene, k, scale, radius, device):
    real, fake = SCENES[scene]
    found = generative.probabilistic_precision_recall(real, fake, k, scale, radius=radius, device=device)
    fakes, reals = DENSE[scene].probabilistic(k, scale, getattr(np, radius))
    np.testing.assert_allclose(found.fake_scores, fakes, atol=1e-5)
    np.testing.assert_allclose(found.real_scores, reals, atol=1e-5)
    assert found.precision == pytest.approx(fakes.mean(), abs=1e-6)
    assert found.recall == pytest.approx(reals.mean(), abs=1e-6)


def test_many_settings_in_one_pass_are_those_of_one_each():
    real, fake = SCENES["copies"]
    asked = [ProbabilisticPrecisionRecallAt(k, scale) for k in (2, 4, 6) for scale in (1.0, 1.2, 1.4)]
    together = generative.compare(real, fake, [*asked, DensityCoverageAt(3)])
    for settings_, found in zip(asked, together, strict=False):
        alone = generative.probabilistic_precision_recall(real, fake, settings_.k, settings_.scale)
        assert (found.precision, found.recall) == (alone.precision, alone.recall)


@pytest.mark.parametrize("k", [2, 5])
def test_symmetric_variants(scene, k):
    found = generative.symmetric_precision_recall(*SCENES[scene], k)
    assert (found.precision, found.recall) == DENSE[scene].symmetric(k)


@pytest.mark.parametrize(("k", "factor"), [(3, 3), (2, 4), (5, 1)])
def test_cover_variants(scene, k, factor):
    found = generative.precision_recall_cover(*SCENES[scene], k, factor)
    assert (found.precision, found.recall) == DENSE[scene].cover(k, factor)


@pytest.mark.parametrize("k", [1, 5])
def test_clipped_density_and_coverage(scene, k):
    if scene == "lattice":
        pytest.skip("which of many tied neighbours are the k nearest is not defined")
    found = generative.clipped_density_coverage(*SCENES[scene], k)
    assert found.density == pytest.approx(DENSE[scene].clipped_density(k), rel=1e-12)
    assert found.coverage == pytest.approx(DENSE[scene].clipped_coverage(k), abs=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_realism_of_every_fake(scene, k, device):
    if scene == "lattice":
        with pytest.raises(InputError, match="at least half of them are copies"):
            generative.realism(*SCENES[scene], 1)
        return
    found = generative.realism(*SCENES[scene], k, device=device)
    np.testing.assert_allclose(found.scores, DENSE[scene].realism(k), rtol=1e-6)


def test_authenticity_of_every_fake(scene, device):
    found = generative.authenticity(*SCENES[scene], device=device)
    np.testing.assert_array_equal(found.authentic, DENSE[scene].authenticity())


@pytest.mark.parametrize("steps", [30, 7])
def test_alpha_precision_and_beta_recall(scene, steps):
    if scene == "lattice":
        pytest.skip("which of tied fakes is nearest is not defined")
    found = generative.alpha_beta(*SCENES[scene], steps)
    assert (found.alpha_precision, found.beta_recall) == pytest.approx(DENSE[scene].alpha_beta(steps), abs=1e-9)


def test_closed_balls_hold_what_lies_on_their_boundary():
    real, fake = np.array([[0.0], [1.0], [3.0]]), np.array([[4.0], [7.0], [20.0]])
    open_, closed = (generative.precision_recall(real, fake, 1, closed=each) for each in (False, True))
    assert open_.fakes_inside.tolist() == [True, False, False]  # |4 - 3| < 2
    assert closed.reals_inside.tolist() == [False, True, True]  # |1 - 4| = 3, the radius of 4
    assert open_.reals_inside.tolist() == [False, False, True]


@pytest.mark.parametrize("offset", [10.0, 100.0, 10_000.0])
def test_an_offset_on_all_features_changes_nothing(offset):
    real, fake = (each.astype(np.float64) for each in SCENES["copies"])
    plain, moved = (
        generative.compare(a, b, [DensityCoverageAt(5), ProbabilisticPrecisionRecallAt()])
        for a, b in ((real, fake), (real + offset, fake + offset))
    )
    assert (plain[0].density, plain[0].coverage) == (moved[0].density, moved[0].coverage)
    assert moved[1].precision == pytest.approx(plain[1].precision, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_unit_of_features_changes_nothing(scale):
    real, fake = (each.astype(np.float64) for each in SCENES["outliers"])
    plain, scaled = (
        generative.compare(a, b, [PrecisionRecallAt(5), ProbabilisticPrecisionRecallAt()])
        for a, b in ((real, fake), (real * scale, fake * scale))
    )
    assert plain[0].precision == scaled[0].precision
    assert scaled[1].recall == pytest.approx(plain[1].recall, abs=1e-6)


def test_tight_modes_far_apart_are_told_apart_in_float64():
    random = np.random.default_rng(0)
    modes = 1000 * random.normal(size=(5, 32))
    real, fake = (modes[random.integers(0, 5, 200)] + 0.001 * random.normal(size=(200, 32)) for _ in range(2))
    dense = Dense(real, fake)
    found = generative.precision_recall(real, fake, 5)
    np.testing.assert_array_equal(found.fakes_inside, dense.precision_recall(5)[0])
    soft = generative.probabilistic_precision_recall(real, fake)
    assert soft.precision == pytest.approx(dense.probabilistic(4, 1.2)[0].mean(), abs=1e-5)


def test_nearly_equal_rows_among_long_ones_are_told_apart():
    random = np.random.default_rng(0)
    centre = 1e4 * random.normal(size=40)
    real, fake = (centre + 1e-3 * random.normal(size=(150, 40)) for _ in range(2))
    real[:75] += 1e5  # so that centring does not help
    fake[:75] += 1e5
    dense = Dense(real, fake)
    found = generative.density_coverage(real, fake, 5)
    np.testing.assert_array_equal(found.fake_density, dense.density_coverage(5)[0])


def test_a_row_beyond_float32_is_named():
    real, fake = (each.astype(np.float64) for each in low_dimensional(40, 40))
    fake[17] *= 1e30
    with pytest.raises(InputError, match="row 17 lies more than"):
        generative.density_coverage(real, fake)


def test_a_set_against_itself():
    real, _ = SCENES["sheet"]
    pairs, balls, soft, copies = generative.compare(
        real, real, [PrecisionRecallAt(5), DensityCoverageAt(5), ProbabilisticPrecisionRecallAt(), AuthenticityAt()]
    )
    assert (pairs.precision, pairs.recall, balls.coverage) == (1, 1, 1)
    assert (soft.precision, soft.recall, copies.share) == (1, 1, 0)


def test_a_constant_set_has_radius_zero_and_only_copies_score():
    real, fake = np.ones((60, 4)), np.ones((50, 4))
    fake[0] += 1
    found = generative.probabilistic_precision_recall(real, fake)
    assert found.precision == 49 / 50
    assert found.fake_scores[0] == 0
    assert found.real_radius == 0
    assert found.recall == 1
    pairs = generative.precision_recall(real, fake, 3)
    closed = generative.precision_recall(real, fake, 3, closed=True)
    assert (pairs.precision, closed.precision) == (0, 49 / 50)


def test_log_scores_rank_what_scores_of_one_cannot():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(2, 800, 96))
    found = generative.probabilistic_precision_recall(real, fake, scale=1.6)
    assert (found.fake_scores > 1 - 1e-15).all()
    assert len(np.unique(found.fake_log_miss)) == 800
    radius = found.real_radius
    logs = np.log(np.minimum(Dense(real, fake).cross / radius, 1)).sum(axis=0)
    np.testing.assert_allclose(found.fake_log_miss, logs, rtol=1e-5)


def test_saturation_is_the_share_of_pairs_within_the_radius():
    real, fake = SCENES["shifted"]
    found = generative.probabilistic_precision_recall(real, fake)
    assert found.saturation == (DENSE["shifted"].cross < found.real_radius).mean()
    assert found.recall_saturation == (DENSE["shifted"].cross < found.fake_radius).mean()


def test_results_do_not_depend_on_memory_threads_or_tiles():
    real, fake = low_dimensional(700, 650)
    every = [row.at() for row in generative.METHODS.values()]
    plain = generative.compare(real, fake, every)
    small = generative.compare(real, fake, every, memory=1, threads=1)
    many = generative.compare(real, fake, every, memory=12, threads=4)
    for one, other, third in zip(plain, small, many, strict=True):
        for field in one._fields:
            np.testing.assert_allclose(getattr(one, field), getattr(other, field), rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(getattr(one, field), getattr(third, field), rtol=1e-5, atol=1e-5)


def test_threads_give_the_same_bits():
    real, fake = low_dimensional(700, 650)
    soft = [generative.probabilistic_precision_recall(real, fake, memory=12, threads=3) for _ in range(3)]
    assert len({(each.precision, each.recall) for each in soft}) == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_any_number_type(dtype):
    random = np.random.default_rng(0)
    real, fake = (random.integers(0, 60, size=(n, 20)).astype(dtype) for n in (120, 100))
    dense = Dense(real, fake)
    np.testing.assert_array_equal(generative.density_coverage(real, fake).fake_density, dense.density_coverage(5)[0])


def test_vectors_mapped_from_a_file_are_never_loaded_whole(tmp_path):
    real, fake = low_dimensional(200, 180)
    np.save(tmp_path / "real.npy", real)

    class Sliced:
        shape = real.shape

        def __getitem__(self, rows):
            assert rows.stop - rows.start <= 200
            return np.load(tmp_path / "real.npy", mmap_mode="r")[rows]

    assert generative.density_coverage(Sliced(), fake).density == generative.density_coverage(real, fake).density


def test_a_reference_is_made_once_for_many_fakes():
    real, fake = SCENES["sheet"]
    reference = generative.Reference.of(real, reach=9)
    for scene_ in ("sheet", "shifted"):
        fake = SCENES[scene_][1]
        with_it, without = (
            generative.compare(each, fake, [PrecisionRecallCoverAt(), AlphaBetaAt(), RealismAt()])
            for each in (reference, real)
        )
        assert [found[0] for found in with_it] == [found[0] for found in without]
    with pytest.raises(InputError, match="knows 9 neighbours, 12 are asked for"):
        generative.density_coverage(reference, fake, 12)


def test_expected_coverage_is_that_of_equal_distributions():
    random, shares = np.random.default_rng(0), []
    for _ in range(60):
        real, fake = random.normal(size=(2, 150, 2))
        dense = Dense(real, fake)
        shares.append(np.minimum((dense.cross < dense.radii(5)[0][:, None]).sum(axis=1), 5).mean() / 5)
    assert np.mean(shares) == pytest.approx(expected_coverage(150, 150, 5), abs=3 * np.std(shares) / 60**0.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 60), st.integers(8, 60), st.integers(1, 6), st.integers(1, 5))
def test_any_small_sets_of_few_values(seed, n, m, width, k):
    random = np.random.default_rng(seed)
    real, fake = (random.integers(0, 3, size=(rows, width)).astype(np.float32) for rows in (n, m))
    dense = Dense(real, fake)
    pairs, soft, near = generative.compare(
        real, fake, [PrecisionRecallAt(k), ProbabilisticPrecisionRecallAt(k), SymmetricPrecisionRecallAt(k)]
    )
    np.testing.assert_array_equal(pairs.fakes_inside, dense.precision_recall(k)[0])
    np.testing.assert_allclose(soft.fake_scores, dense.probabilistic(k, 1.2)[0], atol=2e-6)
    assert near.precision == dense.symmetric(k)[0]


def _far_real(r, x, y):
    x[:2] *= 10.0 ** r.uniform(0, 15)


def _far_fake(r, x, y):
    y[:2] *= 10.0 ** r.uniform(0, 12)


def _offset(r, x, y):
    shift = 10.0 ** r.uniform(0, 8)
    x += shift
    y += shift


def _tiny(r, x, y):
    x *= 10.0 ** -r.uniform(0, 12)
    y *= 10.0 ** -r.uniform(0, 12)


def _far_modes(r, x, y):
    modes = 10.0 ** r.uniform(1, 8) * r.normal(size=(4, x.shape[1]))
    x += modes[r.integers(0, 4, len(x))]
    y += modes[r.integers(0, 4, len(y))]


def _rounded(r, x, y):
    np.round(x, out=x)
    np.round(y, out=y)


def _copied(r, x, y):
    y[: len(y) // 2] = x[r.integers(0, len(x), len(y) // 2)]
    x[:5] = x[0]


def _nearly_copied(r, x, y):
    y[:] = x[r.integers(0, len(x), len(y))] + (r.random((len(y), 1)) < 0.3) * 1e-6


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "spoil",
    [_far_real, _far_fake, _offset, _tiny, _far_modes, _rounded, _copied, _nearly_copied],
    ids=lambda f: f.__name__,
)
def test_nasty_sets_are_counted_exactly(spoil, seed):
    r = np.random.default_rng(seed)
    n, m, d, k = r.integers(30, 160), r.integers(30, 160), r.integers(1, 40), int(r.integers(1, 6))
    real, fake = r.normal(size=(n, d)), r.normal(size=(m, d))
    spoil(r, real, fake)
    dtype = np.float32 if seed % 2 else np.float64
    real, fake = real.astype(dtype), fake.astype(dtype)
    dense = Dense(real, fake)
    metrics = [PrecisionRecallAt(k), DensityCoverageAt(k), ProbabilisticPrecisionRecallAt(k)]
    pairs, balls, soft = generative.compare(real, fake, metrics, memory=1 + 63 * (seed % 2), threads=1)
    np.testing.assert_array_equal(pairs.fakes_inside, dense.precision_recall(k)[0])
    np.testing.assert_array_equal(pairs.reals_inside, dense.precision_recall(k)[1])
    np.testing.assert_array_equal(balls.fake_density, dense.density_coverage(k)[0])
    np.testing.assert_array_equal(balls.reals_covered, dense.density_coverage(k)[1])
    np.testing.assert_allclose(soft.fake_scores, dense.probabilistic(k, 1.2)[0], atol=1e-4)
    np.testing.assert_allclose(soft.real_scores, dense.probabilistic(k, 1.2)[1], atol=1e-4)


def test_bad_input_is_refused_in_one_line():
    real, fake = low_dimensional(20, 15)
    bad = fake.copy()
    bad[4, 2] = np.nan
    with pytest.raises(InputError, match="fake must be finite, row 4"):
        generative.density_coverage(real, bad)
    with pytest.raises(InputError, match="one width, got 64 and 63"):
        generative.density_coverage(real, fake[:, 1:])
    with pytest.raises(InputError, match=r"fake has 15 rows, so k may be 1 to 14; got 15"):
        generative.density_coverage(real, fake, 15)
    with pytest.raises(InputError, match="k must be a whole number, 1 or more, got 0"):
        generative.density_coverage(real, fake, 0)
    with pytest.raises(InputError, match="scale must be positive"):
        generative.probabilistic_precision_recall(real, fake, scale=0.0)
    with pytest.raises(InputError, match="n x d"):
        generative.density_coverage(real[0], fake)
    with pytest.raises(InputError, match="expected metrics with settings"):
        generative.compare(real, fake, [PrecisionRecallAt])
    with pytest.raises(InputError, match="too little for 64 threads"):
        generative.density_coverage(real, fake, memory=1, threads=64)


@pytest.mark.parametrize("name", sorted(generative.METHODS))
def test_every_method_judges_a_good_set_above_a_bad_one(name):
    row = generative.METHODS[name]
    real, good = low_dimensional(400, 400, seed=5)
    bad = low_dimensional(400, 400, seed=5, shift=3.0)[1]
    first, second = (generative.compare(real, fake, [row.at()])[0] for fake in (good, bad))
    for field in (row.fidelity, row.diversity):
        if field is None:
            continue
        higher, lower = getattr(first, field), getattr(second, field)
        assert higher < lower if name == "authenticity" else higher > lower
    assert row.prefer


def test_clipped_counts_by_sample():
    real, fake = SCENES["sheet"]
    found = generative.compare(real, fake, [ClippedDensityCoverageAt(5)])[0]
    assert found.fake_scores.max() <= 1
    assert set(np.round(found.real_scores * 5)) <= set(range(6))
