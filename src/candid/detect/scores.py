"""Memoryless detectors: pure functions of one row of logits. float64 inside, no n x k copy."""

import numpy as np

from candid.arrays import check_logits, log_softmax, row_blocks, softmax
from candid.errors import InputError
from candid.metrics.rows import highest, inverse_mass, tilted
from candid.types import Logits, Scores, Vectors

__all__ = ["energy", "entropy", "gen", "grad_norm", "max_logit", "mcm", "msp", "odin"]


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


def odin(perturbed: Logits, *, temperature: float = 1000.0) -> Scores:
    """Negative maximum softmax of logits / T of a perturbed input, in [-1, -1/k], higher = further from known.

    Liang et al. 2018, https://arxiv.org/abs/1706.02690, eq. 1. What is known can be made surer by a small change of its
    pixels; `models.perturbed_logits` makes the change, at the same temperature.

    >>> odin(np.array([[0.0, 2.0 * np.log(3.0)]]), temperature=2.0).round(6).tolist()
    [-0.75]
    """
    if not temperature > 0:
        raise InputError(f"temperature must be positive, got {temperature}")
    return -inverse_mass(perturbed, highest(perturbed).value, 1.0 / temperature)


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


def gen(logits: Logits, *, gamma: float = 0.1, top: int = 100) -> Scores:
    """Generalised entropy: sum over the `top` largest p of p^gamma (1 - p)^gamma, higher = further from known.

    Liu, Lochman & Zach 2023 (CVPR, "GEN: Pushing the limits of softmax-based out-of-distribution detection"), eq. 6.
    gamma in (0, 1). Of fewer classes than `top` all count.

    >>> gen(np.array([[0.0, 0.0]]), gamma=0.5).round(6).tolist()
    [1.0]
    """
    if not 0 < gamma < 1:
        raise InputError(f"gamma must lie in (0, 1), got {gamma}")
    if top < 1:
        raise InputError(f"top must be 1 or more, got {top}")
    scores = np.empty(len(check_logits(logits)))
    for rows in row_blocks(*logits.shape):
        log_p = log_softmax(logits[rows])
        probs, sure = np.exp(log_p), (np.arange(len(log_p)), log_p.argmax(axis=1))
        rest = 1.0 - probs
        probs[sure] = 0.0
        rest[sure] = probs.sum(axis=1)  # the digits that 1 - p loses where p is near 1
        if log_p.shape[1] > top:
            largest = np.argpartition(-log_p, top - 1, axis=1)[:, :top]
            log_p, rest = np.take_along_axis(log_p, largest, 1), np.take_along_axis(rest, largest, 1)
        scores[rows] = (np.exp(gamma * log_p) * rest**gamma).sum(axis=1)
    return scores


def grad_norm(vectors: Vectors, logits: Logits) -> Scores:
    """-(sum over classes |k p - 1|) |z|_1, higher = further from known. Huang et al. 2021.

    https://arxiv.org/abs/2110.00218: minus the L1 norm of the gradient, in the last layer's weights, of the
    cross-entropy to the uniform distribution (times k), in closed form.

    >>> grad_norm(np.array([[1.0, -2.0]]), np.log([[0.75, 0.25]])).round(6).tolist()
    [-3.0]
    """
    if len(vectors) != len(check_logits(logits)):
        raise InputError(f"expected a row of logits a vector, got {len(logits)} for {len(vectors)}")
    scores = np.empty(len(logits))
    for rows in row_blocks(*logits.shape):
        probs = softmax(logits[rows])
        gap = np.abs(logits.shape[1] * probs - 1).sum(axis=1)
        scores[rows] = -gap * np.abs(vectors[rows]).sum(axis=1, dtype=np.float64)
    return scores
