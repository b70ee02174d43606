"""Symmetric precision and recall: each with its complement, so that neither is fooled where one set is spread out."""

from dataclasses import dataclass
from typing import NamedTuple

from candid.generative.crossing import Inside
from candid.generative.sets import Answers, Sets, check_k

__all__ = ["SymmetricPrecisionRecall", "SymmetricPrecisionRecallAt"]


class SymmetricPrecisionRecall(NamedTuple):
    """Shares in [0, 1], higher is better: `precision` and `recall`, each the lower of two.

    `fake_balls_held` is the share of fake balls that hold a real, the complement of precision; that of recall is
    coverage.
    """

    precision: float
    recall: float
    fake_balls_held: float
    coverage: float


@dataclass(frozen=True)
class SymmetricPrecisionRecallAt:
    """Settings of min(precision, share of fake balls with a real) and min(recall, coverage).

    Khayatkhoei and AbdAlmageed 2023, https://arxiv.org/abs/2306.09618.
    """

    k: int = 5

    def __post_init__(self) -> None:
        check_k(self.k)

    @property
    def reach(self) -> int:
        return self.k

    def ask(self, sets: Sets) -> tuple[Inside, Inside]:
        return sets.balls("real", self.k), sets.balls("fake", self.k)

    def result(self, sets: Sets, answers: Answers) -> SymmetricPrecisionRecall:
        real, fake = (answers[question] for question in self.ask(sets))
        precision, recall = float((real.holding > 0).mean()), float((fake.holding > 0).mean())
        held, coverage = float((fake.held > 0).mean()), float((real.held > 0).mean())
        return SymmetricPrecisionRecall(min(precision, held), min(recall, coverage), held, coverage)
