"""The claims of C-TPT and two questions of ours, held against the records by rules that were written before any run.

Yoon et al. 2024, arxiv.org/abs/2403.14119. Each number is one difference, or correlation, a model and set, as a mean
over such pairs with a 95 % t interval; it must lie above its bound with the whole interval.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from scipy import stats

from candid import metrics
from candid.types import Estimate
from candid.workflows.claimed import Claim, Condition, decided, interval
from candid.workflows.episodic.measured import BINS, TEMPERATURE
from candid.workflows.episodic.record import TuningRecord

__all__ = ["CLAIMS", "claims", "correlation", "gap", "pairs", "ranks"]

Records = Sequence[TuningRecord]
SAME = 0.01  # accuracy or ECE within this is the same
MUCH = 0.02  # an ECE that differs much
LIKE = 0.02  # accuracy of prompts that are called equally good
NEARLY_ALL = 0.9  # of a context's coordinates

CLAIMS: dict[str, str] = {
    "B1": "Test-time prompt tuning raises accuracy and makes the model over-confident.",
    "B2": "Prompts of equal accuracy differ much in ECE.",
    "B3": "Prompts whose class features are spread out have a lower ECE.",
    "B4": "Adding the dispersion to the loss keeps the accuracy of test-time tuning and lowers its ECE.",
    "X1": "C-TPT is in effect one constant move of the prompt for each class list.",
    "X1b": "Zero-shot with a temperature from 50 labels is as accurate as C-TPT and has a lower ECE.",
}


def claims(records: Records) -> tuple[Claim, ...]:
    """Every claim with its outcome on these records."""
    return tuple(decided(number, text, list(_RULES[number](records))) for number, text in CLAIMS.items())


def pairs(records: Records, question: str) -> dict[tuple[str, str], list[TuningRecord]]:
    """The records of a question by model and set."""
    found: dict[tuple[str, str], list[TuningRecord]] = {}
    for each in records:
        if each.question == question:
            found.setdefault((each.model, each.set), []).append(each)
    return found


def gap(records: Records, metric: str, first: str, second: str) -> Estimate | None:
    """Mean over model-set pairs of the metric of one method minus that of another."""
    found = []
    for each in pairs(records, "methods").values():
        one, other = (_mean(each, method, metric) for method in (first, second))
        if one is not None and other is not None:
            found.append(one - other)
    return interval(found)


def correlation(records: Records, method: str) -> Estimate | None:
    """Mean over model-set pairs of Spearman's correlation between dispersion and ECE over prompts."""
    found = [ranks([r for r in each if r.method == method]) for each in pairs(records, "prompts").values()]
    return interval([each for each in found if each is not None])


def ranks(prompts: Records) -> float | None:
    """Spearman's correlation of dispersion with ECE over prompts; None where there is none."""
    known = [each.numbers for each in prompts if {"atfd", "ece"} <= each.numbers.keys()]
    both = [[numbers[metric] for numbers in known] for metric in ("atfd", "ece")]
    if len(known) < 3 or min(len(set(each)) for each in both) < 2:
        return None
    return float(stats.spearmanr(*both)[0])


def _mean(records: Records, method: str, metric: str) -> float | None:
    """Over draws."""
    values = [each.numbers[metric] for each in records if each.method == method and metric in each.numbers]
    return float(np.mean(values)) if values else None


def _tuning(records: Records) -> Iterable[Condition]:
    yield Condition("accuracy of tpt minus zero-shot", gap(records, "accuracy", "tpt", "zero-shot"))
    over = [(_excess(each, "tpt"), _excess(each, "zero-shot")) for each in pairs(records, "methods").values()]
    found = interval([one - other for one, other in over if one is not None and other is not None])
    yield Condition("mean confidence less accuracy, of tpt minus zero-shot", found)
    yield Condition("ECE of tpt minus zero-shot", gap(records, "ece", "tpt", "zero-shot"))


def _excess(records: Records, method: str) -> float | None:
    said, right = (_mean(records, method, metric) for metric in ("confidence", "accuracy"))
    return None if said is None or right is None else said - right


def _equal_prompts(records: Records) -> Iterable[Condition]:
    """The prompts of most and of least ECE, found on every second image, compared on the others."""
    found = []
    for each in pairs(records, "prompts").values():
        asked = [r for r in each if r.method == "zero-shot"]
        middle = sorted(r.numbers["accuracy"] for r in asked)[len(asked) // 2]
        like = [r for r in asked if abs(r.numbers["accuracy"] - middle) <= LIKE / 2]
        if len(like) > 1:
            first, second = ([_half(r, start) for r in like] for start in (0, 1))
            found.append(second[int(np.argmax(first))] - second[int(np.argmin(first))])
    yield Condition(f"ECE of the worst minus the best calibrated prompt among those within {LIKE:.0%} accuracy, chosen "
                    f"on other images, against {MUCH}", interval(found), MUCH)  # fmt: skip


def _half(record: TuningRecord, start: int) -> float:
    confidence, right = record.said
    return float(metrics.ece_of_top(confidence[start::2], right[start::2], bins=BINS))


def _spread(records: Records) -> Iterable[Condition]:
    for method, words in (("zero-shot", "prompts as they are"), ("tpt", "prompts after tpt")):
        yield Condition(f"minus the rank correlation of dispersion with ECE over {words}",
                        _minus(correlation(records, method)))  # fmt: skip


def _dispersed(records: Records) -> Iterable[Condition]:
    yield Condition(f"accuracy of c-tpt minus tpt, against -{SAME}", gap(records, "accuracy", "c-tpt", "tpt"), -SAME)
    yield Condition("ECE of tpt minus c-tpt", gap(records, "ece", "tpt", "c-tpt"))


def _constant(records: Records) -> Iterable[Condition]:
    shares = [_mean(each, "c-tpt", "decided") for each in pairs(records, "methods").values()]
    yield Condition(f"share of coordinates that the constant decides, against {NEARLY_ALL}",
                    interval([each for each in shares if each is not None]), NEARLY_ALL)  # fmt: skip
    nearer = []
    for each in pairs(records, "methods").values():
        like = [_mean(each, "c-tpt", f"agrees_{other}") for other in ("constant", "zero-shot")]
        if like[0] is not None and like[1] is not None:
            nearer.append(like[0] - like[1])
    yield Condition("predictions of c-tpt shared with the constant minus with zero-shot", interval(nearer))
    yield Condition(f"accuracy of the constant minus c-tpt, against -{SAME}",
                    gap(records, "accuracy", "constant", "c-tpt"), -SAME)  # fmt: skip
    yield Condition(f"ECE of c-tpt minus the constant, against -{SAME}",
                    gap(records, "ece", "c-tpt", "constant"), -SAME)  # fmt: skip


def _labelled(records: Records) -> Iterable[Condition]:
    yield Condition(f"accuracy of zero-shot minus c-tpt, against -{SAME}",
                    gap(records, "accuracy", TEMPERATURE, "c-tpt"), -SAME)  # fmt: skip
    yield Condition("ECE of c-tpt minus zero-shot with a temperature", gap(records, "ece", "c-tpt", TEMPERATURE))


def _minus(found: Estimate | None) -> Estimate | None:
    return None if found is None else Estimate(-found.value, -found.high, -found.low, found.n)


_RULES: Mapping[str, Callable[[Records], Iterable[Condition]]] = {
    "B1": _tuning,
    "B2": _equal_prompts,
    "B3": _spread,
    "B4": _dispersed,
    "X1": _constant,
    "X1b": _labelled,
}
