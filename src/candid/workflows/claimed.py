"""A claim of a paper held against what was measured: its outcome, and how a report tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from candid.report.content import Level, Reason

__all__ = ["Claim", "Decided", "Outcome", "counted", "decided", "reasons"]

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
class Claim:
    """A claim, its outcome, and the numbers its rule saw."""

    number: str
    text: str
    outcome: Outcome
    evidence: str


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
