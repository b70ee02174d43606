"""A claim of a paper held against what was measured: its outcome, and how a report tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from scipy import stats

from candid.report.content import Level, Reason
from candid.report.wording import with_interval
from candid.types import Estimate

__all__ = ["Claim", "Condition", "Decided", "Outcome", "counted", "decided", "interval", "reasons"]

FEWEST = 3  # model-set pairs, to speak of a claim
Outcome = Literal["holds", "does not hold", "not settled", "cannot be tested here"]
SEVERITY: tuple[Outcome, ...] = ("does not hold", "cannot be tested here", "not settled", "holds")
TOLD: dict[Outcome, tuple[Level, str]] = {  # the mark beside a claim, and the words for several of them
    "holds": ("good", "hold"),
    "does not hold": ("bad", "do not hold"),
    "not settled": ("unknown", "are not settled"),
    "cannot be tested here": ("unknown", "cannot be tested here"),
}


@runtime_checkable
class Decided(Protocol):
    """One number of a claim's rule; its text says what was measured."""

    @property
    def outcome(self) -> Outcome: ...


@dataclass(frozen=True)
class Condition:
    """One number of a claim's rule. `words`: `found` must lie above `bound`; no `found`: it was not measured."""

    words: str
    found: Estimate | None
    bound: float = 0.0

    @property
    def outcome(self) -> Outcome:
        if self.found is None:
            return "cannot be tested here"
        if self.found.low > self.bound:
            return "holds"
        return "does not hold" if self.found.high <= self.bound else "not settled"

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.words}: too few runs"
        shown = with_interval(self.found.value, self.found.low, self.found.high)
        return f"{self.words}: {shown}, {self.found.n} model-set pairs"


@dataclass(frozen=True)
class Claim:
    """A claim, its outcome, and the numbers its rule saw."""

    number: str
    text: str
    outcome: Outcome
    evidence: str


def interval(values: Sequence[float]) -> Estimate | None:
    """Mean with a 95 % t interval; None for fewer than 3 values."""
    if len(values) < FEWEST:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Estimate(mean, mean - half, mean + half, len(values))


def decided(number: str, text: str, conditions: Sequence[Decided]) -> Claim:
    """The claim with the worst outcome of its conditions, and what each of them saw."""
    worst = min((each.outcome for each in conditions), key=SEVERITY.index)
    said = dict.fromkeys(f"{words[:1].upper()}{words[1:]}." for words in map(str, conditions))
    return Claim(number, text, worst, " ".join(said))


def counted(found: Sequence[Claim]) -> str:
    """How many claims have which outcome.

    >>> counted([Claim("A", "", "holds", ""), Claim("B", "", "not settled", "")])
    '1 hold, 1 are not settled'
    """
    outcomes = [each.outcome for each in found]
    return ", ".join(f"{outcomes.count(kind)} {words}" for kind, (_, words) in TOLD.items() if kind in outcomes)


def reasons(found: Sequence[Claim], *, rule: str) -> tuple[Reason, ...]:
    """The claims as a report lists them."""
    return tuple(
        Reason(rule=rule, text=f"{each.number} {each.text} {each.evidence}", level=TOLD[each.outcome][0],
               word=each.outcome)
        for each in found
    )  # fmt: skip
