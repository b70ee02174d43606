"""The rule of every claim: what it looks at, and the bound that it must lie above. Written before any run."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from candid.types import Estimate
from candid.workflows.claimed import Condition, interval
from candid.workflows.prompting.conditions import Way, over_zero_shot, paired
from candid.workflows.prompting.record import Record

__all__ = ["RULES"]

NOISY = 0.2  # share of wrong labels from which labels are called noisy
QUARTER = 0.3  # and up to which a quarter of them is
HALF = 0.5


def _is(**fields: object) -> Way:
    return lambda record: all(getattr(record, name) == value for name, value in fields.items())


def _noisy(record: Record) -> bool:
    return record.question == "noise" and record.wrong >= NOISY


def _robust(records: Sequence[Record]) -> Iterable[Condition]:
    for other in ("classifier-random", "classifier-text", "text-encoder"):
        ways = _is(variant="prompt", loss="ce"), _is(variant=other, loss="ce")
        yield Condition(f"accuracy of prompt minus {other} at 20% wrong labels or more",
                         paired(records, "accuracy", *ways, _noisy, over=("protocol", "rate")))  # fmt: skip
        yield Condition(f"accuracy lost to noise by {other} minus by prompt", _lost(records, other))


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
    return interval(values)


def _gce(records: Sequence[Record]) -> Iterable[Condition]:
    ways = _is(variant="prompt", loss="gce"), _is(variant="prompt", loss="ce")
    yield Condition("accuracy of prompt with GCE minus with CE at 20% wrong labels or more",
                     paired(records, "accuracy", *ways, _noisy, over=("protocol", "rate")))  # fmt: skip


def _names(records: Sequence[Record]) -> Iterable[Condition]:
    for other in ("full-prompt", "cls"):
        ways = _is(variant="prompt", loss="ce"), _is(variant=other, loss="ce")
        yield Condition(f"accuracy of prompt minus {other} at 20% wrong labels or more",
                         paired(records, "accuracy", *ways, _noisy, over=("protocol", "rate")))  # fmt: skip


def _gradients(records: Sequence[Record]) -> Iterable[Condition]:
    def keep(record: Record) -> bool:
        return record.question == "gradients" and record.variant == "prompt" and record.loss == "ce" and (
            record.setting == "parameters"
        )  # fmt: skip

    def values(of: Callable[[Record], float]) -> Estimate | None:
        found: dict[tuple[str, str], list[float]] = {}
        for each in records:
            if keep(each):
                found.setdefault((each.model, each.set), []).append(of(each))
        return interval([float(np.mean(each)) for each in found.values()])

    yield Condition("coherence of right minus of wrong labels' gradients",
                     values(lambda r: r.numbers["coherence_right"] - r.numbers["coherence_wrong"]))  # fmt: skip
    yield Condition("share of wrong labels over right ones minus their pull over that of the right ones",
                     values(lambda r: r.wrong / (1 - r.wrong) - r.numbers["pull"]))  # fmt: skip


def _context(records: Sequence[Record]) -> Iterable[Condition]:
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
    yield Condition("accuracy with a set's own best length minus with the best ones of other sets, on a draw that "
                     "chose neither", interval(per_home))  # fmt: skip


def _best(lengths: dict[str, dict[int, float]], left_out: int) -> str:
    return max(lengths, key=lambda setting: np.mean([v for draw, v in lengths[setting].items() if draw != left_out]))


def _models(records: Sequence[Record]) -> Iterable[Condition]:
    """Every model's gain over zero-shot at 20 to 30 % wrong labels, over its sets; one model alone can only refute."""
    names = sorted({each.model for each in records})
    for name in names:
        ours = _is(model=name, variant="prompt", loss="ce")
        gains = over_zero_shot([each for each in records if _noisy(each) and each.wrong <= QUARTER], ours, records)
        yield Condition(f"accuracy of prompt minus zero-shot at 20% to 30% wrong labels, {name}", gains)
    if len(names) < 2:
        yield Condition("the same of a second model", None)


def _confusion(records: Sequence[Record]) -> Iterable[Condition]:
    def keep(record: Record) -> bool:
        return (
            record.question == "noise" and record.rate >= NOISY and record.loss == "ce" and record.variant == "prompt"
        )

    yield Condition("accuracy of prompt under random noise minus under confusion noise of the same rate",
                     paired(records, "accuracy", _is(protocol="flip-exact"), _is(protocol="confusion"), keep,
                            over=("rate",)))  # fmt: skip


def _unlabelled(records: Sequence[Record]) -> Iterable[Condition]:
    upl, robust = _is(setting="top", loss="ce"), _is(setting="random", loss="gce")
    asked = _is(question="unlabelled", member="average")
    for words, way in (("top, CE", upl), ("random, GCE", robust)):
        gains = over_zero_shot([each for each in records if asked(each)], way, records)
        yield Condition(f"accuracy from pseudo-labels ({words}) minus zero-shot", gains)
    yield Condition("accuracy of random with GCE minus top with CE", paired(records, "accuracy", robust, upl, asked))


def _calibration(records: Sequence[Record]) -> Iterable[Condition]:
    """For the prompt: half of the labels wrong against none; "as they are" is within 0.02."""

    def keep(record: Record) -> bool:
        return record.question == "noise" and record.variant == "prompt" and record.loss == "ce"

    ways = _is(rate=0.0), _is(rate=HALF)
    for metric, words in (("ece", "ECE"), ("auroc_msp", "AUROC of unknown images")):
        found = paired(records, metric, *ways, keep, over=("protocol",))
        if found is not None and metric == "auroc_msp":
            found = Estimate(-found.value, -found.high, -found.low, found.n)
        yield Condition(f"{words} with half of the labels wrong: change for the better, against -0.02", found, -0.02)


def _epochs(records: Sequence[Record]) -> Iterable[Condition]:
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
        yield Condition("accuracy after the long training minus after the short", None)
        return
    short, long = (lambda r, s=order[0]: r.setting == s and r.epoch == last[s] and r.member == "one",
                   lambda r, s=order[-1]: r.setting == s and r.epoch == last[s] and r.member == "one")  # fmt: skip
    yield Condition(f"accuracy after {order[-1]} minus after {order[0]}, against -0.01",
                     paired(records, "accuracy", long, short, keep, over=("rate",)), -0.01)  # fmt: skip
    one, many = (lambda r, m=m: r.member == m and r.setting == order[0] and r.epoch == last[order[0]]
                 for m in ("one", "average"))  # fmt: skip
    yield Condition("accuracy of one prompt minus of the average of several, against -0.01",
                     paired(records, "accuracy", one, many, keep, over=("rate",)), -0.01)  # fmt: skip


RULES: Mapping[str, Callable[[Sequence[Record]], Iterable[Condition]]] = {
    "P1": _robust,
    "P2": _gce,
    "P3": _names,
    "P4": _gradients,
    "P5": _context,
    "P5b": _models,
    "P6": _confusion,
    "P7": _unlabelled,
    "X2": _calibration,
    "X3": _epochs,
}
