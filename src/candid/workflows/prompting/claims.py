"""The paper's claims held against the records, by rules that were written before any run.

P1 to P7 of Wu et al. 2023 (arxiv.org/abs/2307.11978) and two questions of ours. A rule looks at a difference between
two ways of training, paired by model, set, noise, rate and draw, averaged within each model-set pair, and takes the
mean over the pairs with a 95 % t interval. The difference must lie above its bound with its whole interval.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from candid.report.wording import with_interval
from candid.types import Estimate
from candid.workflows.prompting.record import Record

__all__ = ["CLAIMS", "Claim", "Outcome", "claims", "paired"]

Outcome = Literal["holds", "does not hold", "not settled", "cannot be tested here"]
NOISY = 0.2  # share of wrong labels from which labels are called noisy
HALF = 0.5
FEWEST = 3  # model-set pairs, to speak of a claim

CLAIMS: dict[str, str] = {
    "P1": "Prompt tuning withstands wrong labels better than linear probes and than fine-tuning the text encoder.",
    "P2": "GCE makes it withstand them better still.",
    "P3": "Fixed class names regularise: learning them too (full-prompt, cls) is worse under noise.",
    "P4": "Right labels pull one way and wrong ones cancel out.",
    "P5": "The best context length depends on the data set.",
    "P6": "Confusion noise is harder than random noise.",
    "P7": "Pseudo-labels train better prompts than zero-shot; drawn at random and with GCE they train better ones.",
    "X2": "Wrong labels leave calibration and the telling apart of unknown images as they are.",
    "X3": "Robustness is of the prompt itself: neither fewer epochs nor averaging several prompts makes it.",
}

Keep = Callable[[Record], bool]
Way = Callable[[Record], bool]


@dataclass(frozen=True)
class Claim:
    """A claim, its outcome, and the numbers its rule saw."""

    number: str
    text: str
    outcome: Outcome
    evidence: str


@dataclass(frozen=True)
class _Condition:
    """`words`: `found` must lie above `bound`; no `found`: the records do not hold what it takes."""

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


SEVERITY: tuple[Outcome, ...] = ("does not hold", "cannot be tested here", "not settled", "holds")


def claims(records: Sequence[Record]) -> tuple[Claim, ...]:
    """Every claim with its outcome on these records."""
    rules: dict[str, Callable[[Sequence[Record]], Iterable[_Condition]]] = {
        "P1": _robust,
        "P2": _gce,
        "P3": _names,
        "P4": _gradients,
        "P5": _context,
        "P6": _confusion,
        "P7": _unlabelled,
        "X2": _calibration,
        "X3": _epochs,
    }
    return tuple(_decided(number, list(rule(records))) for number, rule in rules.items())


def paired(
    records: Sequence[Record], metric: str, first: Way, second: Way, keep: Keep, *, over: Sequence[str] = ()
) -> Estimate | None:
    """Mean over model-set pairs of the metric of `first` minus that of `second`, with a 95 % t interval.

    Two records pair where model, set, draw and the fields `over` are equal. None with fewer than 3 pairs of model and
    set.
    """
    sides: list[dict[tuple, list[float]]] = [{}, {}]
    for each in records:
        if keep(each) and metric in each.numbers:
            key = (each.model, each.set, each.draw, *(getattr(each, name) for name in over))
            for side, way in zip(sides, (first, second), strict=True):
                if way(each):
                    side.setdefault(key, []).append(each.numbers[metric])
    gaps: dict[tuple, list[float]] = {}
    for key in sides[0].keys() & sides[1].keys():
        gaps.setdefault(key[:2], []).append(float(np.mean(sides[0][key]) - np.mean(sides[1][key])))
    return _interval([float(np.mean(values)) for _, values in sorted(gaps.items())])


def _interval(values: Sequence[float]) -> Estimate | None:
    if len(values) < FEWEST:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Estimate(mean, mean - half, mean + half, len(values))


def _decided(number: str, conditions: list[_Condition]) -> Claim:
    worst = min((each.outcome for each in conditions), key=SEVERITY.index)
    said = dict.fromkeys(f"{words[:1].upper()}{words[1:]}." for words in map(str, conditions))
    return Claim(number, CLAIMS[number], worst, " ".join(said))


def _is(**fields: object) -> Way:
    return lambda record: all(getattr(record, name) == value for name, value in fields.items())


def _noisy(record: Record) -> bool:
    return record.question == "noise" and record.wrong >= NOISY


def _robust(records: Sequence[Record]) -> Iterable[_Condition]:
    for other in ("classifier-random", "classifier-text", "text-encoder"):
        ways = _is(variant="prompt", loss="ce"), _is(variant=other, loss="ce")
        yield _Condition(f"accuracy of prompt minus {other} at 20% wrong labels or more",
                         paired(records, "accuracy", *ways, _noisy, over=("protocol", "rate")))  # fmt: skip
        yield _Condition(f"accuracy lost to noise by {other} minus by prompt", _lost(records, other))


def _lost(records: Sequence[Record], other: str) -> Estimate | None:
    """Accuracy that another variant loses from rate 0 to the noisy rates, minus what the prompt loses."""
    sides: dict[tuple[str, str, str], dict[bool, list[float]]] = {}
    for each in records:
        asked = each.question == "noise" and each.loss == "ce" and not each.protocol.startswith("people")
        told = each.variant in ("prompt", other) and (each.wrong >= NOISY or each.rate == 0)
        if asked and told and "accuracy" in each.numbers:
            side = sides.setdefault((each.model, each.set, each.variant), {True: [], False: []})
            side[each.rate == 0].append(each.numbers["accuracy"])
    values = []
    for model, name in sorted({key[:2] for key in sides}):
        both = [sides.get((model, name, variant)) for variant in (other, "prompt")]
        losses = [np.mean(side[True]) - np.mean(side[False]) for side in both if side and side[True] and side[False]]
        if len(losses) == 2:
            values.append(float(losses[0] - losses[1]))
    return _interval(values)


def _gce(records: Sequence[Record]) -> Iterable[_Condition]:
    ways = _is(variant="prompt", loss="gce"), _is(variant="prompt", loss="ce")
    yield _Condition("accuracy of prompt with GCE minus with CE at 20% wrong labels or more",
                     paired(records, "accuracy", *ways, _noisy, over=("protocol", "rate")))  # fmt: skip


def _names(records: Sequence[Record]) -> Iterable[_Condition]:
    for other in ("full-prompt", "cls"):
        ways = _is(variant="prompt", loss="ce"), _is(variant=other, loss="ce")
        yield _Condition(f"accuracy of prompt minus {other} at 20% wrong labels or more",
                         paired(records, "accuracy", *ways, _noisy, over=("protocol", "rate")))  # fmt: skip


def _gradients(records: Sequence[Record]) -> Iterable[_Condition]:
    def keep(record: Record) -> bool:
        return record.question == "gradients" and record.variant == "prompt" and record.loss == "ce" and (
            record.setting == "parameters"
        )  # fmt: skip

    def values(of: Callable[[Record], float]) -> Estimate | None:
        found: dict[tuple[str, str], list[float]] = {}
        for each in records:
            if keep(each):
                found.setdefault((each.model, each.set), []).append(of(each))
        return _interval([float(np.mean(each)) for each in found.values()])

    yield _Condition("coherence of right minus of wrong labels' gradients",
                     values(lambda r: r.numbers["coherence_right"] - r.numbers["coherence_wrong"]))  # fmt: skip
    yield _Condition("share of wrong labels over right ones minus their pull over that of the right ones",
                     values(lambda r: r.wrong / (1 - r.wrong) - r.numbers["pull"]))  # fmt: skip


def _context(records: Sequence[Record]) -> Iterable[_Condition]:
    """By how much the best length of another set falls behind a set's own best, chosen on other draws."""
    table: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for each in records:
        if each.question == "context" and each.rate == 0 and "accuracy" in each.numbers:
            place = table.setdefault((each.model, each.set), {}).setdefault(each.setting, {})
            place[each.draw] = each.numbers["accuracy"]
    gaps = []
    for home, lengths in sorted(table.items()):
        draws = sorted({draw for found in lengths.values() for draw in found})
        for left_out in draws if len(draws) > 1 else ():
            own = _best(lengths, left_out)
            others = [_best(found, left_out) for other, found in sorted(table.items()) if other != home]
            away = [lengths[setting][left_out] for setting in others if left_out in lengths.get(setting, {})]
            if away and left_out in lengths[own]:
                gaps.append((home, lengths[own][left_out] - float(np.mean(away))))
    per_home = [float(np.mean([gap for at, gap in gaps if at == home])) for home in dict.fromkeys(at for at, _ in gaps)]
    yield _Condition("accuracy with a set's own best length minus with the best ones of other sets, on a draw that "
                     "chose neither", _interval(per_home))  # fmt: skip


def _best(lengths: dict[str, dict[int, float]], left_out: int) -> str:
    return max(lengths, key=lambda setting: np.mean([v for draw, v in lengths[setting].items() if draw != left_out]))


def _confusion(records: Sequence[Record]) -> Iterable[_Condition]:
    def keep(record: Record) -> bool:
        return (
            record.question == "noise" and record.rate >= NOISY and record.loss == "ce" and record.variant == "prompt"
        )

    yield _Condition("accuracy of prompt under random noise minus under confusion noise of the same rate",
                     paired(records, "accuracy", _is(protocol="flip-exact"), _is(protocol="confusion"), keep,
                            over=("rate",)))  # fmt: skip


def _unlabelled(records: Sequence[Record]) -> Iterable[_Condition]:
    upl, robust = _is(setting="top", loss="ce"), _is(setting="random", loss="gce")
    asked: Keep = lambda record: record.question == "unlabelled" and record.member == "average"  # noqa: E731
    zero = {(each.model, each.set): each.numbers["accuracy"] for each in records if each.question == "zero-shot"}
    for words, way in (("top, CE", upl), ("random, GCE", robust)):
        gaps: dict[tuple[str, str], list[float]] = {}
        for each in records:
            if asked(each) and way(each) and "accuracy" in each.numbers and (each.model, each.set) in zero:
                gaps.setdefault((each.model, each.set), []).append(
                    each.numbers["accuracy"] - zero[each.model, each.set]
                )
        yield _Condition(f"accuracy from pseudo-labels ({words}) minus zero-shot",
                         _interval([float(np.mean(values)) for values in gaps.values()]))  # fmt: skip
    yield _Condition("accuracy of random with GCE minus top with CE", paired(records, "accuracy", robust, upl, asked))


def _calibration(records: Sequence[Record]) -> Iterable[_Condition]:
    """For the prompt: half of the labels wrong against none; "as they are" is within 0.02."""

    def keep(record: Record) -> bool:
        return record.question == "noise" and record.variant == "prompt" and record.loss == "ce"

    ways = _is(rate=0.0), _is(rate=HALF)
    for metric, words in (("ece", "ECE"), ("auroc_msp", "AUROC of unknown images")):
        found = paired(records, metric, *ways, keep, over=("protocol",))
        if found is not None and metric == "auroc_msp":
            found = Estimate(-found.value, -found.high, -found.low, found.n)
        yield _Condition(f"{words} with half of the labels wrong: change for the better, against -0.02", found, -0.02)


def _epochs(records: Sequence[Record]) -> Iterable[_Condition]:
    """With half of the labels wrong: what fewer epochs and averaging add, against 0.01."""

    def keep(record: Record) -> bool:
        return (
            record.question == "epochs" and record.variant == "prompt" and record.loss == "ce" and record.rate >= NOISY
        )

    last: dict[str, int] = {}
    for each in records:
        if keep(each):
            last[each.setting] = max(last.get(each.setting, 0), each.epoch)
    order = sorted(last, key=lambda setting: last[setting])
    if len(order) < 2:
        yield _Condition("accuracy after the long training minus after the short", None)
        return
    short, long = (lambda r, s=order[0]: r.setting == s and r.epoch == last[s] and r.member == "one",
                   lambda r, s=order[-1]: r.setting == s and r.epoch == last[s] and r.member == "one")  # fmt: skip
    yield _Condition(f"accuracy after {order[-1]} minus after {order[0]}, against -0.01",
                     paired(records, "accuracy", long, short, keep, over=("rate",)), -0.01)  # fmt: skip
    one, many = (lambda r, m=m: r.member == m and r.setting == order[0] and r.epoch == last[order[0]]
                 for m in ("one", "average"))  # fmt: skip
    yield _Condition("accuracy of one prompt minus of the average of several, against -0.01",
                     paired(records, "accuracy", one, many, keep, over=("rate",)), -0.01)  # fmt: skip
