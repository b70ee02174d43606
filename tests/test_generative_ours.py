"""What the papers lack: intervals that cover, scores that read as shares of good samples, modes, median radii."""

import numpy as np
import pytest
from generative_reference import low_dimensional

from candid import generative
from candid.errors import InputError
from candid.generative import DensityCoverageAt, PrecisionRecallAt, ProbabilisticPrecisionRecallAt

SHEET = np.random.default_rng(0).normal(size=(6, 16))


def draw(seed, n=200, spread=0.9, shift=0.3, bad=0.0):
    """Reals and somewhat different fakes, a share of them far off in every direction."""
    random = np.random.default_rng(seed)
    real, fake = random.normal(size=(n, 6)) @ SHEET, (spread * random.normal(size=(n, 6)) + shift) @ SHEET
    far = random.random(n) < bad
    fake[far] = 60 * random.normal(size=(int(far.sum()), 16))
    return real, fake


def draw_equal(seed, n, bad=0.0):
    """Reals and fakes of one distribution, but for the share far off."""
    return draw(seed, n, 1.0, 0.0, bad)


def test_intervals_have_the_width_of_what_new_samples_do():
    metrics = [ProbabilisticPrecisionRecallAt(), PrecisionRecallAt(5)]
    seen = [generative.compare(*draw(seed), metrics, threads=1) for seed in range(40)]
    stated = [generative.resampled(*draw(500 + seed), metrics, repeats=15, threads=1) for seed in range(8)]
    for place, name in ((0, "precision"), (0, "recall"), (1, "precision"), (1, "recall")):
        values = [getattr(found[place], name) for found in seen]
        widths = [(found[place][name].high - found[place][name].low) / (2 * 1.96) for found in stated]
        assert 0.7 < np.mean(widths) / np.std(values) < 1.6
        inside = [found[place][name].low <= np.mean(values) <= found[place][name].high for found in stated]
        assert np.mean(inside) > 0.7


def test_an_interval_belongs_to_the_value_of_the_whole_sets():
    real, fake = draw(0)
    (found,) = generative.resampled(real, fake, [DensityCoverageAt(5)], repeats=4)
    whole = generative.density_coverage(real, fake)
    assert set(found) == {"density", "coverage"}
    assert found["density"].value == whole.density
    assert found["density"].low < whole.density < found["density"].high
    again = generative.resampled(real, fake, [DensityCoverageAt(5)], repeats=4)[0]
    assert again == found
    assert generative.resampled(real, fake, [DensityCoverageAt(5)], repeats=4, seed=1)[0] != found


def test_calibrated_scores_fall_in_proportion_to_bad_fakes():
    for bad in (0.0, 0.25, 0.5, 0.75):
        found = generative.calibrated_precision_recall(*draw_equal(1, 800, bad), splits=6)
        assert found.precision.value == pytest.approx(1 - bad, abs=0.12)
        assert found.precision.low < found.precision.value < found.precision.high
    assert found.size == 400


def test_few_fakes_are_not_taken_for_all_there_are():
    real = draw_equal(4, 800)[0]
    values, stated = [], []
    for seed in range(24):
        fake = draw_equal(100 + seed, 80, bad=0.5)[1]  # how many of 80 are bad is what varies most
        found = generative.calibrated_precision_recall(real, fake, splits=8, threads=1)
        assert found.size == 40
        values.append(found.precision.value)
        stated.append((found.precision.high - found.precision.low) / (2 * 1.96))
    assert np.mean(stated) > 0.7 * np.std(values)


def test_a_set_of_other_reals_scores_about_one():
    random = np.random.default_rng(3)
    real, fake = (random.normal(size=(600, 6)) @ SHEET for _ in range(2))
    found = generative.calibrated_precision_recall(real, fake, splits=8)
    assert found.precision.low < 1.0 < found.precision.high
    assert found.recall.low < 1.0 < found.recall.high
    assert found.real_precision < 0.95


def test_garbage_lifts_p_recall_through_the_mean_radius_and_not_through_the_median():
    clean, dirty = (draw_equal(5, 1000, bad) for bad in (0.0, 0.05))
    moved = {}
    for radius in ("mean", "median"):
        values = [generative.probabilistic_precision_recall(*each, radius=radius).recall for each in (clean, dirty)]
        moved[radius] = values[1] - values[0]
    assert moved["mean"] > 0.1
    assert abs(moved["median"]) < 0.05


def test_one_real_far_enough_out_lifts_p_precision_through_the_mean_radius_alone():
    real, fake = draw(6, n=400, spread=1.0, shift=8.0)
    far = real.copy()
    far[0] *= 1e4
    found = {
        radius: [generative.probabilistic_precision_recall(each, fake, radius=radius).precision for each in (real, far)]
        for radius in ("mean", "median")
    }
    assert found["mean"][0] < 0.1 < 0.9 < found["mean"][1]
    assert found["median"][1] == pytest.approx(found["median"][0], abs=0.02)


def test_high_dimension_saturates_and_says_so():
    random = np.random.default_rng(0)
    flat, high = (generative.probabilistic_precision_recall(*random.normal(size=(2, 500, d))) for d in (8, 256))
    assert flat.saturation < 0.05 < 0.5 < high.saturation
    assert high.precision > 0.999


def test_a_missing_mode_is_the_lowest_cluster():
    random = np.random.default_rng(0)
    centres = 10 * random.normal(size=(6, 12))
    modes = random.integers(0, 6, 600)
    real = centres[modes] + random.normal(size=(600, 12))
    fake = centres[random.integers(1, 6, 600)] + random.normal(size=(600, 12))
    scores = generative.probabilistic_precision_recall(real, fake).real_scores
    found = generative.modes(real, scores, count=6)
    assert sum(mode.share for mode in found) == pytest.approx(1)
    assert set(modes[found[0].rows]) == {0}
    assert found[0].score.high < 0.05 < 0.5 < found[1].score.low
    assert [mode.score.value for mode in found] == sorted(mode.score.value for mode in found)


def test_bad_input_is_refused_in_one_line():
    real, fake = low_dimensional(30, 30)
    with pytest.raises(InputError, match="an interval needs 40 rows or more of each set, got 30 and 30"):
        generative.resampled(real, fake, [DensityCoverageAt(5)])
    with pytest.raises(InputError, match="calibration needs 40 reals"):
        generative.calibrated_precision_recall(real, fake)
    with pytest.raises(InputError, match="reals score 0 among themselves"):
        generative.calibrated_precision_recall(
            *low_dimensional(60, 60), at=ProbabilisticPrecisionRecallAt(scale=0.01), splits=2
        )
    with pytest.raises(InputError, match="expected 30 scores, one a row, got 4"):
        generative.modes(real, np.zeros(4))
    with pytest.raises(InputError, match="count must lie between 1 and the 30 rows, got 31"):
        generative.modes(real, np.zeros(30), count=31)
    with pytest.raises(InputError, match="repeats must be 2 or more"):
        generative.resampled(*draw(0), [DensityCoverageAt(5)], repeats=1)
