"""The likelihood of a temperature where logits are computed as they are needed: features and a head, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from candid.calibrate.likelihood import Likelihood, Objective, Point
from candid.metrics.streaming import VectorRows, logit_blocks
from candid.types import Head, Labels

__all__ = ["Streamed"]


@dataclass(frozen=True)
class Streamed:
    """Every `step`-th vector's logits, label and share, `rows` at a time.

    A block costs far more to compute than to evaluate, so several betas are evaluated on each.
    """

    head: Head
    vectors: VectorRows
    labels: Labels
    share: Float[np.ndarray, " n"]
    rows: int
    step: int = 1
    together: ClassVar[int] = 2

    @property
    def few(self) -> int:
        """Rows whose logits may be kept: one block, and no more than need be."""
        return min(self.rows, Likelihood.few)

    def at(self, *betas: float, single: bool = False) -> tuple[Point, ...]:
        """One pass over the vectors."""
        sums = np.zeros((len(betas), 6))
        for block in self.blocks():
            sums += [block.sums(beta, single=single) for beta in betas]
        return tuple(Point(beta, *map(float, row)) for beta, row in zip(betas, sums, strict=True))

    def blocks(self) -> Iterator[Likelihood]:
        """The blocks' own parts of the likelihood."""
        for rows, logits, best in logit_blocks(self.head, self.vectors, rows=self.rows, step=self.step):
            numbers = range(rows.start * self.step, rows.stop * self.step, self.step)
            yield Likelihood.of(logits, self.labels[rows], best.value, self.share[rows], numbers=numbers)

    def thinned(self, step: int) -> Objective:
        """Every `step`-th of these rows; with their logits in memory where they fit in one block."""
        thin = replace(self, labels=self.labels[::step], share=self.share[::step], step=self.step * step)
        return next(thin.blocks()) if len(thin.share) <= self.rows else thin
