"""Known and unknown scores as counts at each distinct score: one sort from which every ranking number follows.

Counts add, so samples may come in blocks or from several machines, and nothing is lost. Scores: higher = further from
known; +-inf order fine, NaN is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from candid.arrays import check_scores
from candid.errors import InputError

__all__ = ["Interpolation", "Known", "Positive", "Ranked", "Rule", "Unknown", "area", "cut"]

Known = Float[np.ndarray, " known"]
Unknown = Float[np.ndarray, " unknown"]
AnyScores = Float[np.ndarray, "_"]  # each block has its own length
BLOCK = 1 << 20  # distinct scores at a time
Positive = Literal["known", "unknown"]
Rule = Literal["first", "nearest"]
Interpolation = Literal["step", "trapezoid"]
Count = Int[np.ndarray, " levels"]


def cut(true: Count, tpr: float, rule: Rule) -> int:
    """Place of the threshold at which `tpr` of the positives are found, from how many lie at or beyond each of them.

    >>> cut(np.array([1, 2, 4]), 0.5, "first"), cut(np.array([1, 2, 4]), 0.4, "nearest")
    (1, 1)
    """
    if not 0 < tpr <= 1:
        raise InputError(f"tpr must lie in (0, 1], got {tpr}; 95 % is 0.95")
    recall = true / true[-1]
    at_least = int(np.searchsorted(recall, tpr))
    if rule == "first":
        return at_least
    if rule != "nearest":
        raise InputError(f"rule is 'first' or 'nearest', got {rule!r}")
    near = recall[at_least]
    if at_least and tpr - recall[at_least - 1] < near - tpr:
        near = recall[at_least - 1]
    if near == 1.0:  # beyond the last positive thresholds only add false positives
        return int(np.searchsorted(recall, 1.0))
    return int(np.searchsorted(recall, near, side="right")) - 1


def area(true: np.ndarray, false: np.ndarray, interpolation: Interpolation) -> np.ndarray:
    """Area under precision-recall along the last axis, from how many of each side lie at or beyond each threshold.

    >>> float(area(np.array([1, 2]), np.array([0, 2]), "step"))
    0.75
    """
    found = np.diff(true, axis=-1, prepend=0)
    with np.errstate(invalid="ignore"):  # a resample may have nothing at its strictest scores
        precision = np.where(true > 0, true / (true + false), 0.0)
    if interpolation == "trapezoid":
        before = np.concatenate([np.ones_like(precision[..., :1]), precision[..., :-1]], axis=-1)
        precision = (precision + before) / 2
    elif interpolation != "step":
        raise InputError(f"interpolation is 'step' or 'trapezoid', got {interpolation!r}")
    return np.asarray((found * precision).sum(axis=-1) / true[..., -1])


@dataclass(frozen=True, eq=False)
class Ranked:
    """Distinct scores, ascending, with how many known and unknown inputs have each of them or a lower one."""

    values: Float[np.ndarray, " levels"]
    known: Count
    unknown: Count

    @classmethod
    def of(cls, known: Known, unknown: Unknown) -> "Ranked":
        """Both samples, sorted once.

        >>> found = Ranked.of(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
        >>> found.values.tolist(), found.known.tolist(), found.unknown.tolist()
        ([0.0, 1.0, 2.0], [1, 2, 2], [0, 1, 2])
        """
        return cls._sorted([np.sort(check_scores(known, name="known")), np.sort(check_scores(unknown, name="unknown"))])

    @classmethod
    def _sorted(cls, sides: list[AnyScores]) -> "Ranked":
        """From both samples, sorted, which are taken out of the list: large ones are not held twice."""
        low, high = sides
        sides.clear()
        place = np.searchsorted(low, high, side="right")
        place += np.arange(len(high))
        is_known = np.ones(len(low) + len(high), dtype=bool)
        is_known[place] = False
        merged = np.empty(len(is_known))
        merged[place], merged[is_known] = high, low
        del low, high, place
        kept = np.cumsum(is_known)
        last = np.append(merged[1:] != merged[:-1], True)
        if last.all():
            others = np.arange(1, len(kept) + 1)
            others -= kept
            return cls(merged, kept, others)
        kept = kept[last]
        return cls(merged[last], kept, np.flatnonzero(last) + 1 - kept)

    @classmethod
    def of_blocks(cls, blocks: Iterable[tuple[AnyScores, AnyScores]]) -> "Ranked":
        """Scores that come in blocks (known, unknown), of which one side may be empty; 8 bytes a score until the last.

        >>> Ranked.of_blocks([(np.array([0.0, 1.0]), np.zeros(0)), (np.zeros(0), np.array([1.0, 2.0]))]).auroc()
        0.875
        """
        parts: tuple[list[AnyScores], list[AnyScores]] = ([], [])
        for block in blocks:
            for name, side, gathered in zip(("known", "unknown"), block, parts, strict=True):
                if len(side):
                    gathered.append(check_scores(side, name=name))
        if not parts[0] or not parts[1]:
            raise InputError("expected at least one known and one unknown score, got none of one side")
        sides = list[AnyScores]()
        for gathered in parts:
            sides.append(np.concatenate(gathered))
            gathered.clear()
            sides[-1].sort()
        return cls._sorted(sides)

    def merge(self, other: "Ranked") -> "Ranked":
        """Both samples of both."""
        place = np.searchsorted(self.values, other.values, side="right") + np.arange(len(other.values))
        own = np.ones(len(self.values) + len(other.values), dtype=bool)
        own[place] = False

        def joined(mine: np.ndarray, others: np.ndarray) -> np.ndarray:
            both = np.empty(len(own), mine.dtype)
            both[own], both[place] = mine, others
            return both

        values = joined(self.values, other.values)
        last = np.append(values[1:] != values[:-1], True)
        counts = (
            np.cumsum(joined(self._at(mine), self._at(others)))[last]
            for mine, others in ((self.known, other.known), (self.unknown, other.unknown))
        )
        return Ranked(values[last], *counts)

    @property
    def n_known(self) -> int:
        return int(self.known[-1])

    @property
    def n_unknown(self) -> int:
        return int(self.unknown[-1])

    @property
    def tied(self) -> int:
        """Inputs that share their score with another input."""
        together = self._at(self.known) + self._at(self.unknown)
        return int(together[together > 1].sum())

    def auroc(self) -> float:
        """Chance that an unknown input scores above a known one, ties counted half, exact in int64."""
        twice = 0
        for start in range(0, len(self.values), BLOCK):
            known, unknown = (
                np.diff(count[start : start + BLOCK], prepend=count[start - 1] if start else 0)
                for count in (self.known, self.unknown)
            )
            twice += int(unknown @ (2 * self.known[start : start + BLOCK] - known))
        return twice / (2.0 * self.n_known * self.n_unknown)

    def aupr(self, *, positive: Positive, interpolation: Interpolation) -> float:
        """Area under precision-recall for the positive class."""
        return float(area(*self.beyond(positive), interpolation))

    def fpr_at_tpr(self, tpr: float, *, positive: Positive, rule: Rule) -> float:
        """Share of negatives taken for positives once `tpr` of the positives are found."""
        true, false = self.beyond(positive)
        return float(false[cut(true, tpr, rule)] / false[-1])

    def beyond(self, positive: Positive) -> tuple[Count, Count]:
        """Positives and negatives at or beyond each distinct threshold, from the most to the least positive score."""
        if positive == "known":
            return self.known, self.unknown
        if positive == "unknown":
            return self._caught
        raise InputError(f"positive is 'known' or 'unknown', got {positive!r}")

    @cached_property
    def _caught(self) -> tuple[Count, Count]:
        unknown, known = (count[-1] - np.append(0, count[:-1])[::-1] for count in (self.unknown, self.known))
        return unknown, known

    @staticmethod
    def _at(count: Count) -> Count:
        return np.diff(count, prepend=0)
