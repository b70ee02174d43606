"""What a calibrated confidence leaves for the other classes: methods of the top label still return a distribution.

Their proportions come from the softmax at the one best temperature, for a model that is too sure of its first class is
too sure of its second among the rest.
"""

import numpy as np
from jaxtyping import Float

from candid.calibrate.columns import Rows, mix, ratio
from candid.calibrate.temperature import Temperature
from candid.errors import NoOptimum
from candid.metrics.rows import Highest, row_blocks
from candid.types import Logits, Probs

__all__ = ["spread", "temperature_of_the_rest"]

STRICT = 1e-9  # by how much the predicted class stays above the others


def temperature_of_the_rest(rows: Rows) -> float:
    """The best temperature of these rows, 1 where none is best."""
    try:
        return Temperature.fit(rows.logits, rows.labels, rows.weights).value
    except NoOptimum:
        return 1.0


def spread(
    logits: Logits, best: Highest, confidence: Float[np.ndarray, " n"], *, temperature: float, smoothing: float
) -> Probs:
    """Probabilities with `confidence` in the predicted class; the others share the rest as softmax(logits / T) would.

    The predicted class stays the highest: a confidence below 1 / (classes on offer) is raised to it, and where a
    runner-up would pass it, the others are moved towards their mean, just far enough.
    """
    probs = np.empty(logits.shape)
    for rows in row_blocks(*logits.shape):
        offered = ~np.isneginf(logits[rows])
        label, top = best.label[rows], best.value[rows]
        here = np.arange(len(label))
        others = np.exp(np.subtract(logits[rows], top[:, None], dtype=np.float64) / temperature)
        others[here, label] = 0.0
        rivals = offered.sum(axis=1) - 1
        level = offered / np.maximum(rivals, 1)[:, None]
        level[here, label] = 0.0
        total = others.sum(axis=1, keepdims=True)
        others = np.where(total > 0, ratio(others, total), level)
        sure = np.where(rivals > 0, np.maximum(confidence[rows], (1 + STRICT) / (rivals + 1)), 1.0)
        pull = _pull(others.max(axis=1), sure, 1.0 / np.maximum(rivals, 1))[:, None]
        block = (1 - sure)[:, None] * ((1 - pull) * others + pull * level)
        block[here, label] = sure
        mix(block, offered, smoothing)
        probs[rows] = block
    return probs


def _pull(
    rival: Float[np.ndarray, " n"], sure: Float[np.ndarray, " n"], mean: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """How far the others' shares must move to their mean so that the highest, `rival`, stays below `sure`."""
    rest = 1 - sure
    limit = np.where(rest > 0, ratio(sure * (1 - STRICT), rest), np.inf)
    over = np.maximum(rival - limit, 0.0)
    pull: Float[np.ndarray, " n"] = np.minimum(ratio(over, np.maximum(rival - mean, over)), 1.0)
    return pull
