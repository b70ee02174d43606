"""P-precision and P-recall: how surely each sample lies in the support of the other set, if it has a soft boundary."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from candid.errors import InputError
from candid.generative.crossing import Missed, Side
from candid.generative.sets import Answers, Sets, check_k

__all__ = ["ProbabilisticPrecisionRecall", "ProbabilisticPrecisionRecallAt"]

TYPICAL: dict[str, Callable[[Float64[np.ndarray, " n"]], np.floating]] = {"mean": np.mean, "median": np.median}


class ProbabilisticPrecisionRecall(NamedTuple):
    """`precision` and `recall` in [0, 1], higher is better, and what they are means of.

    `fake_scores` say how surely each fake lies in the reals' support, `real_scores` each real in the fakes'. The log of
    what is missing, log(1 - score), still ranks samples whose scores round to 1; it is -inf for copies. `real_radius`
    and `fake_radius` are the two radii. `saturation` is the share of pairs within the reals' radius,
    `recall_saturation` within the fakes': above some 5 % the metric says little.
    """

    precision: float
    recall: float
    fake_scores: Float64[np.ndarray, " m"]
    real_scores: Float64[np.ndarray, " n"]
    fake_log_miss: Float64[np.ndarray, " m"]
    real_log_miss: Float64[np.ndarray, " n"]
    real_radius: float
    fake_radius: float
    saturation: float
    recall_saturation: float


@dataclass(frozen=True)
class ProbabilisticPrecisionRecallAt:
    """Settings of P-precision and P-recall. Park and Kim 2023, https://arxiv.org/abs/2309.01590.

    All balls of a set have one radius, `scale` times the mean distance to the k-th nearest other; their weight falls
    linearly from 1 to 0. Where all of a set are equal the radius is 0 and only copies score, with 1.

    `radius="median"` is ours, not the paper's: a few far-off fakes lift the mean radius and with it P-recall, the
    median they leave alone.
    """

    k: int = 4
    scale: float = 1.2
    radius: Literal["mean", "median"] = "mean"

    def __post_init__(self) -> None:
        check_k(self.k)
        if not (self.scale > 0 and np.isfinite(self.scale)):
            raise InputError(f"scale must be positive and finite, got {self.scale}")
        if self.radius not in TYPICAL:
            raise InputError(f"radius must be mean or median, got {self.radius}")

    @property
    def reach(self) -> int:
        return self.k

    def ask(self, sets: Sets) -> tuple[Missed, Missed]:
        return self._missed(sets, "real"), self._missed(sets, "fake")

    def _missed(self, sets: Sets, side: Side) -> Missed:
        def make() -> Missed:
            return Missed(side, self.scale * float(TYPICAL[self.radius](sets.radii(side, self.k))))

        return sets.question(("missed", side, self), make)

    def result(self, sets: Sets, answers: Answers) -> ProbabilisticPrecisionRecall:
        asked = self._missed(sets, "real"), self._missed(sets, "fake")
        real, fake = (answers[question] for question in asked)
        fake_scores, real_scores = 0.0 - np.expm1(real.log_miss), 0.0 - np.expm1(fake.log_miss)
        return ProbabilisticPrecisionRecall(
            precision=float(fake_scores.mean()),
            recall=float(real_scores.mean()),
            fake_scores=fake_scores,
            real_scores=real_scores,
            fake_log_miss=real.log_miss,
            real_log_miss=fake.log_miss,
            real_radius=asked[0].radius,
            fake_radius=asked[1].radius,
            saturation=real.share,
            recall_saturation=fake.share,
        )
