"""The learning rate of an epoch: one epoch of warm-up at a small constant, then a cosine.

Zhou et al. 2022 (CoOp), arxiv.org/abs/2109.01134, section 4.1; the paper on noisy labels trains alike.
"""

import math

__all__ = ["learning_rate"]


def learning_rate(epoch: int, *, peak: float, epochs: int, warm_up: int = 1, warm_up_rate: float = 1e-5) -> float:
    """The rate of epoch 0, 1, ...: `warm_up_rate` first, then peak / 2 (1 + cos(pi (epoch - warm_up) / epochs)).

    As in the reference, the cosine counts from the end of the warm-up over all `epochs`, so it does not reach 0.

    >>> [round(learning_rate(e, peak=0.002, epochs=50), 9) for e in (0, 1, 2, 49)]
    [1e-05, 0.002, 0.001998027, 7.885e-06]
    """
    if epoch < warm_up:
        return min(warm_up_rate, peak)
    return peak / 2 * (1 + math.cos(math.pi * (epoch - warm_up) / epochs))
