"""Confidences, outcomes and probabilities without a random generator, for values stored from other packages."""

from pathlib import Path

import numpy as np
import pytest

from candid import metrics
from candid.arrays import softmax

DATA = Path(__file__).parents[2] / "shared" / "data"


def quasi_random_top(power, lowest, n=2000):
    """Confidences in [lowest, 1), each right with a chance of confidence ** power."""
    i = np.arange(1, n + 1)
    confidence = lowest + (1 - lowest) * ((i * 0.6180339887498949) % 1)
    return confidence, ((i * 0.7548776662466927) % 1) < confidence**power


def wave_probs():
    """400 rows, 5 classes; a third of the labels are not the top class."""
    a, b = np.arange(400)[:, None], np.arange(5)[None]
    logits = 3 * np.sin(1.7 * a + 2.3 * b * b + 0.1 * a * b)
    labels = np.where(np.arange(400) % 3 == 0, (np.arange(400) * 7 // 3) % 5, logits.argmax(1))
    return softmax(logits), labels


def edge_cases():
    """Confidences at 0, at 1, on the edges of 10 and of 15 bins, in ties, and at random; some right, some wrong."""
    rng = np.random.default_rng(11)
    fixed = [np.zeros(3), np.ones(7), np.linspace(0, 1, 11), np.linspace(0, 1, 16), np.full(9, 0.3), np.full(6, 0.6)]
    confidence = np.concatenate([*fixed, rng.uniform(0.2, 1, 60)])
    return confidence, rng.random(len(confidence)) < 0.6


def calibrated_top(n, seed=0, lowest=0.2):
    """Confidences that are exactly the chance of being right."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(lowest, 1, n)
    return confidence, rng.random(n) < confidence


def real_top(name="cifar100_wrn16_4"):
    """Confidence and correctness of a real network on its whole test set."""
    path = DATA / "real_probs.npz"
    if not path.exists():
        pytest.skip("the shared data folder is not here")
    with np.load(path) as stored:
        logits, labels = stored[f"{name}_logp"].astype(np.float64), stored[f"{name}_label"]
    return metrics.top_label(logits, labels)
