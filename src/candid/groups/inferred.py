"""Groups where no one has labelled them: from an attribute that few rows have, or from clusters within classes.

Inferred groups are guesses, and say so: `probs` hold how sure each is. `draw` makes groups at random by them, so that
whatever is computed from groups can be computed from several draws and its spread seen; `accuracy` counts rows by how
likely they are in a group. Nam et al. 2022, https://arxiv.org/abs/2204.02070 (few labels); Sohoni et al. 2020,
https://arxiv.org/abs/2011.12945 (clusters).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from candid.errors import InputError
from candid.types import Groups, Labels, Vectors

__all__ = ["Inferred", "clustered_groups", "groups_from_few"]

DIMENSIONS = 16  # that clusters are sought in


@dataclass(frozen=True)
class Inferred:
    """`groups` by row, the likeliest ones, and `probs` n g that each row is in each group."""

    groups: Groups
    probs: Float[np.ndarray, "n g"]
    names: tuple[str, ...]

    @property
    def doubt(self) -> Float[np.ndarray, " n"]:
        """How likely the inferred group is wrong, by the inference's own account; higher = more doubtful."""
        return np.asarray(1 - self.probs.max(axis=1))

    def draw(self, seed: int) -> Groups:
        """Groups drawn by their probabilities."""
        at = np.random.default_rng(seed).random((len(self.probs), 1))
        return np.asarray((np.cumsum(self.probs, axis=1) < at * (1 - 1e-12)).sum(axis=1))

    def accuracy(self, right: Bool[np.ndarray, " n"]) -> dict[str, float]:
        """Share right of each group, rows counted by how likely they are in it."""
        weight = self.probs.sum(axis=0)
        return {name: float(self.probs[:, i] @ right / weight[i]) for i, name in enumerate(self.names) if weight[i] > 0}


def groups_from_few(
    vectors: Vectors, labels: Labels, attributes: Labels, *, classes: Sequence[str], attribute_names: Sequence[str],
    seed: int = 0,
) -> Inferred:  # fmt: skip
    """Class times attribute, the attribute read off the vectors where it is -1, by those rows that have it.

    A logistic regression, its penalty by cross-validated likelihood so that its probabilities mean something; every
    attribute needs 5 labelled rows. Rows that have the attribute keep it, with probability 1.

    >>> rng = np.random.default_rng(0)
    >>> a = np.arange(400) % 2
    >>> x = np.stack([2.0 * a + rng.normal(0, 0.4, 400), rng.normal(size=400)], axis=1)
    >>> few = np.where(np.arange(400) < 40, a, -1)
    >>> found = groups_from_few(x, np.zeros(400, int), few, classes=["bird"], attribute_names=["land", "water"])
    >>> bool((found.groups == a).mean() > 0.97), found.names
    (True, ('bird, land', 'bird, water'))
    """
    attributes, labels = np.asarray(attributes), np.asarray(labels)
    known = attributes >= 0
    m = len(attribute_names)
    counts = np.bincount(attributes[known], minlength=m)
    if len(counts) > m or m < 2 or counts.min() < 5:
        raise InputError(f"expected 5 or more rows of each of {m} attributes, got {counts.tolist()}; -1 is unknown")
    scaler = StandardScaler().fit(vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn: steps that ran out, arguments about to change
        model = LogisticRegressionCV(
            Cs=np.logspace(-4, 1, 8), cv=5, scoring="neg_log_loss", max_iter=2000, random_state=seed
        ).fit(scaler.transform(vectors[known]), attributes[known])
    chances = model.predict_proba(scaler.transform(vectors))
    chances[known] = np.eye(m)[attributes[known]]
    return _crossed(chances, labels, classes, attribute_names)


def clustered_groups(
    vectors: Vectors, labels: Labels, *, classes: Sequence[str], clusters: int = 2, seed: int = 0
) -> Inferred:
    """Clusters within each class as groups: a Gaussian mixture on the vectors' first principal directions.

    Nothing says that a cluster is the attribute that matters; look at its images. The largest cluster comes first.
    """
    labels = np.asarray(labels)
    probs = np.zeros((len(labels), len(classes) * clusters))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2 * clusters:
            raise InputError(f"class {classes[label]} has {len(rows)} rows, too few for {clusters} clusters")
        small = PCA(min(DIMENSIONS, len(rows) - 1, vectors.shape[1]), random_state=seed).fit_transform(vectors[rows])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture = GaussianMixture(clusters, covariance_type="diag", n_init=5, random_state=seed, reg_covar=1e-4)
            own = mixture.fit(small).predict_proba(small)
        own = own[:, np.argsort(-own.sum(axis=0), kind="stable")]
        probs[rows, label * clusters : (label + 1) * clusters] = own
    names = tuple(f"{name}, cluster {i + 1}" for name in classes for i in range(clusters))
    return Inferred(probs.argmax(axis=1), probs, names)


def _crossed(
    chances: Float[np.ndarray, "n m"], labels: Labels, classes: Sequence[str], attribute_names: Sequence[str]
) -> Inferred:
    n, m = chances.shape
    probs = np.zeros((n, len(classes) * m))
    for attribute in range(m):
        probs[np.arange(n), labels * m + attribute] = chances[:, attribute]
    names = tuple(f"{name}, {attribute}" for name in classes for attribute in attribute_names)
    return Inferred(probs.argmax(axis=1), probs, names)
