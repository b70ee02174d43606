"""The toy experiments of Park and Kim's repository, and a drop of modes: real and fake vectors by setting and seed.

64 dimensions, 10,000 samples of each set, as there. `mode drop` is ours: ten modes on an 8-dimensional sheet.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SAMPLES, WIDTH = 10_000, 64
TRUE, MODES = 8, 10


@dataclass(frozen=True)
class Toy:
    """`draw(setting, random, n)` gives reals and fakes; `settings` are the values of what is varied."""

    varied: str
    settings: tuple[float, ...]
    draw: Callable[[float, np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def outlier_in_reals(shift, random, n):
    """One real lies where the fakes are put for a shift of -2."""
    real, fake = _normal(random, n), _normal(random, n) + shift
    real[0] = random.normal(size=WIDTH) - 2
    return real, fake


def no_outlier(shift, random, n):
    """The same without it."""
    return _normal(random, n), _normal(random, n) + shift


def outlier_in_fakes(shift, random, n):
    """Reals are shifted, and one fake lies at +2."""
    real, fake = _normal(random, n) + shift, _normal(random, n)
    fake[0] = random.normal(size=WIDTH) + 2
    return real, fake


def no_outlier_in_fakes(shift, random, n):
    """The same without it."""
    return _normal(random, n) + shift, _normal(random, n)


def truncation(spread, random, n):
    """Fakes spread less or more than reals."""
    return _normal(random, n), spread * _normal(random, n)


def mode_drop(share, random, n):
    """A share of nine modes is taken from them and given to the first."""
    sheet, centres = random.normal(size=(TRUE, WIDTH)), 4 * random.normal(size=(MODES, TRUE))
    sets = []
    for taken in (0.0, share):
        mode = random.integers(0, MODES, n)
        mode[random.random(n) < taken] = 0
        sets.append((centres[mode] + random.normal(size=(n, TRUE))) @ sheet)
    return tuple(sets)


def dimension(width, random, n):
    """Equal distributions of other dimensions."""
    return tuple(random.normal(size=(2, n, int(width))))


def garbage(share, random, n):
    """Equal distributions on a sheet, and a share of the fakes far off."""
    sheet = random.normal(size=(TRUE, WIDTH))
    real, fake = (random.normal(size=(n, TRUE)) @ sheet for _ in range(2))
    far = random.random(n) < share
    fake[far] = 10 * random.normal(size=(int(far.sum()), WIDTH))
    return real, fake


def _normal(random, n):
    return random.normal(size=(n, WIDTH))


SHIFTS = (-3.0, -2.0, -1.0, -0.6, -0.4, 0.0, 0.4, 1.0)
TOYS: dict[str, Toy] = {
    "one outlier among reals": Toy("shift of fakes", SHIFTS, outlier_in_reals),
    "no outlier among reals": Toy("shift of fakes", SHIFTS, no_outlier),
    "one outlier among fakes": Toy("shift of reals", tuple(-each for each in SHIFTS), outlier_in_fakes),
    "no outlier among fakes": Toy("shift of reals", tuple(-each for each in SHIFTS), no_outlier_in_fakes),
    "truncation": Toy("spread of fakes", (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5), truncation),
    "mode drop": Toy("share taken", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), mode_drop),
    "dimension": Toy("dimensions", (2.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0), dimension),
    "garbage among fakes": Toy("share", (0.0, 0.005, 0.01, 0.02, 0.05, 0.1), garbage),
}
