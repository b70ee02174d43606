"""Memoryless detectors: pure functions of one row of logits. float64 inside, no n x k copy."""

import numpy as np

from candid.errors import InputError
from candid.metrics.rows import highest, inverse_mass, tilted
from candid.types import Logits, Scores

__all__ = ["energy", "entropy", "max_logit", "mcm", "msp"]


def msp(logits: Logits) -> Scores:
    """Negative maximum softmax probability, in [-1, -1/k], higher = further from known. Hendrycks & Gimpel 2017.

    >>> msp(np.array([[0.0, np.log(3.0)]])).round(6).tolist()
    [-0.75]
    """
    return -inverse_mass(logits, highest(logits).value, 1.0)


def energy(logits: Logits, *, temperature: float = 1.0) -> Scores:
    """Free energy -T logsumexp(logits / T), higher = further from known. Liu et al. 2020, eq. 4.

    https://arxiv.org/abs/2010.03759

    Needs logits as trained: adding a constant to a row moves its energy, so log-probabilities and centred logits say
    nothing. A large temperature only adds the constant -T log k to the negative mean logit; float64 keeps the rest.

    >>> energy(np.array([[0.0, 0.0]])).round(6).tolist()
    [-0.693147]
    """
    if not temperature > 0:
        raise InputError(f"temperature must be positive, got {temperature}")
    top = highest(logits).value
    return -(top + temperature * tilted(logits, top, 1.0 / temperature).log_sum)


def max_logit(logits: Logits) -> Scores:
    """Negative highest logit, higher = further from known; no temperature to set. Hendrycks et al. 2022.

    >>> max_logit(np.array([[1.0, 3.0]])).tolist()
    [-3.0]
    """
    return -highest(logits).value.astype(np.float64)


def entropy(logits: Logits) -> Scores:
    """Entropy of the softmax in nats, in [0, log k], higher = further from known.

    >>> entropy(np.array([[0.0, 0.0, -np.inf]])).round(6).tolist()
    [0.693147]
    """
    row = tilted(logits, highest(logits).value, 1.0)
    nats: Scores = np.maximum(row.log_sum - row.mean, 0.0)
    return nats


def mcm(cosines: Logits, *, temperature: float = 1.0) -> Scores:
    """Maximum concept matching: negative maximum softmax of image-text cosines / T, higher = further from known.

    Ming et al. 2022, https://arxiv.org/abs/2211.13445, eq. 2. Takes cosines, not logits: at T = 1 / scale it is `msp`.

    >>> mcm(np.array([[0.25, 0.15]])).round(6).tolist()
    [-0.524979]
    """
    if not temperature > 0:
        raise InputError(f"temperature must be positive, got {temperature}")
    top = highest(cosines).value
    if max(abs(float(top.max())), abs(float(top.min()))) > 1.01:
        raise InputError(
            f"cosines lie in [-1, 1], got {float(np.abs(top).max()):.4g}; divide logits by the model's scale"
        )
    return -inverse_mass(cosines, top, 1.0 / temperature)
