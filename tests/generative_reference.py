"""The published definitions, written down densely in float64 from the formulas: what the engine has to equal."""

import numpy as np
from scipy.stats import betabinom


def distances(x, y):
    """From differences, so that copies are at 0 and equal pairs are equal to the last bit."""
    return np.stack([np.sqrt(np.einsum("nd,nd->n", x - row, x - row)) for row in y], axis=1)


class Dense:
    """All distances of two sets at once."""

    def __init__(self, real, fake):
        real, fake = real.astype(np.float64), fake.astype(np.float64)
        self.real, self.fake = real, fake
        self.cross = distances(real, fake)
        self.own = []
        for points in (real, fake):
            own = distances(points, points)
            np.fill_diagonal(own, np.inf)
            self.own.append(own)
        self.kth = [np.sort(own, axis=1) for own in self.own]

    def radii(self, k):
        return self.kth[0][:, k - 1], self.kth[1][:, k - 1]

    def precision_recall(self, k):
        x, y = self.radii(k)
        return (self.cross < x[:, None]).any(axis=0), (self.cross < y).any(axis=1)

    def density_coverage(self, k):
        inside = self.cross < self.radii(k)[0][:, None]
        return inside.sum(axis=0) / k, inside.any(axis=1)

    def probabilistic(self, k, scale, typical=np.mean):
        x, y = (scale * typical(radii) for radii in self.radii(k))
        fakes = 1 - np.prod(np.minimum(self.cross / x, 1) if x else self.cross > 0, axis=0)
        reals = 1 - np.prod(np.minimum(self.cross / y, 1) if y else self.cross > 0, axis=1)
        return fakes, reals

    def symmetric(self, k):
        x, y = self.radii(k)
        precision, recall = (each.mean() for each in self.precision_recall(k))
        held, coverage = (self.cross < y).any(axis=0).mean(), (self.cross < x[:, None]).any(axis=1).mean()
        return min(precision, held), min(recall, coverage)

    def cover(self, k, factor):
        x, y = self.radii(k * factor)
        return ((self.cross <= y).sum(axis=0) >= k).mean(), ((self.cross <= x[:, None]).sum(axis=1) >= k).mean()

    def clipped_density(self, k):
        radii = np.minimum(self.radii(k)[0], np.median(self.radii(k)[0]))[:, None]
        fakes = np.minimum((self.cross <= radii).sum(axis=0) / k, 1).mean()
        reals = np.minimum((self.own[0] <= radii).sum(axis=0) / k, 1).mean()
        return min(1.0, fakes / reals)

    def clipped_coverage(self, k):
        n, m = self.cross.shape
        found = np.minimum((self.cross < self.radii(k)[0][:, None]).sum(axis=1), k).mean() / k
        table = [0.0] * k + [expected_coverage(fakes, n, k) for fakes in range(k, m + 1)]
        return np.searchsorted(table, found) / (m + 1)

    def realism(self, k):
        radii = self.radii(k)[0]
        radii = np.where(radii <= np.median(radii), radii, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(radii[:, None] / self.cross, nan=0, posinf=np.inf).max(axis=0)

    def authenticity(self):
        nearest = self.cross.argmin(axis=0)
        return self.cross.min(axis=0) > self.radii(1)[0][nearest]

    def alpha_beta(self, steps):
        alphas = np.linspace(0, 1, steps)
        centre, other = self.real.mean(axis=0), self.fake.mean(axis=0)
        limits = np.quantile(np.linalg.norm(self.real - centre, axis=1), alphas)
        precision = [(np.linalg.norm(self.fake - centre, axis=1) <= limit).mean() for limit in limits]
        nearest = np.linalg.norm(self.fake[self.cross.argmin(axis=1)] - other, axis=1)
        met = self.cross.min(axis=1) <= self.radii(1)[0]
        recall = [(met & (nearest <= limit)).mean() for limit in np.quantile(nearest, alphas)]
        step = alphas[1]
        return tuple(1 - 2 * np.abs(alphas - curve).sum() * step for curve in (precision, recall))


def expected_coverage(m, n, k):
    """Mean of min(k, j) / k where j of m fakes fall into a ball of k of n - 1 others, summed over all j."""
    j = np.arange(m + 1)
    return float((np.minimum(j, k) * betabinom.pmf(j, m, k, n - k)).sum() / k)


def low_dimensional(n, m, *, width=64, true=8, seed=0, shift=0.0):
    """Float32 vectors on a sheet of few true dimensions, with a little noise off it."""
    random = np.random.default_rng(seed)
    sheet = random.normal(size=(true, width))
    real = random.normal(size=(n, true)) @ sheet + 0.05 * random.normal(size=(n, width))
    fake = (random.normal(size=(m, true)) + shift) @ sheet + 0.05 * random.normal(size=(m, width))
    return real.astype(np.float32), fake.astype(np.float32)


def with_copies(seed=1):
    """Fakes with exact copies of reals, and reals with copies of each other."""
    real, fake = low_dimensional(300, 260, seed=seed)
    fake[:40] = real[:40]
    real[100:108] = real[100]
    fake[200:206] = fake[199]
    return real, fake


def with_outliers(seed=2):
    """A few reals and fakes very far from all others, and one fake near an outlying real."""
    real, fake = low_dimensional(300, 320, seed=seed)
    real[:3] *= 40
    fake[:5] *= 90
    fake[7] = real[1] * 1.01
    return real, fake


def lattice(seed=3):
    """Few different points, so that nearly every distance is tied."""
    random = np.random.default_rng(seed)
    return tuple(random.integers(0, 4, size=(n, 3)).astype(np.float32) for n in (250, 230))


SCENES = {
    "sheet": low_dimensional(280, 300),
    "shifted": low_dimensional(280, 240, shift=0.7),
    "copies": with_copies(),
    "outliers": with_outliers(),
    "lattice": lattice(),
}
