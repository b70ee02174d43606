"""The tables of docs/studies/test_time.md from finished studies: `python -m recipes.test_time.summary OUT [OUT ...]`.

Accuracy in percent. What stands in brackets is a 95 % interval: of a set's number over its images, of a mean or a claim
over model-set pairs.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from candid.types import Estimate
from candid.workflows.episodic.answers import difference, estimate, over_pairs
from candid.workflows.episodic.measured import TEMPERATURE
from candid.workflows.episodic.record import TuningRecord, load_records
from candid.workflows.episodic.rules import CLAIMS, claims, gap, pairs, ranks
from recipes.tables import show

Records = Sequence[TuningRecord]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="+")
    found = [each for out in parser.parse_args().out for each in read(out / "runs")]
    show((
        ("Claims", claim_rows(found)),
        ("Every way, means over models and sets", mean_rows(found)),
        ("Against zero-shot with a temperature from 50 labels", against_rows(found)),
        ("Accuracy by set", set_rows(found, "accuracy")),
        ("ECE by set", set_rows(found, "ece")),
        ("The constant move", move_rows(found)),
        ("Starts", start_rows(found)),
        ("Dispersion against ECE over prompts", prompt_rows(found)),
        ("Lambda", lambda_rows(found)),
    ))  # fmt: skip


def read(folder: Path) -> list[TuningRecord]:
    """The records of every finished unit."""
    found = []
    for path in sorted(folder.glob("*.json")):
        found += load_records(path, json.loads(path.read_text())["key"]) or []
    return found


def claim_rows(found: Records) -> Iterable[tuple]:
    yield "", "claim", "here", "evidence"
    for each in claims(found):
        yield each.number, CLAIMS[each.number], each.outcome, each.evidence


def of(found: Records, question: str) -> list[TuningRecord]:
    return [each for each in found if each.question == question]


def mean_rows(found: Records) -> Iterable[tuple]:
    yield "tuned by", "right", "ECE", "NLL", "confidence less accuracy", "ATFD"
    asked = of(found, "methods")
    for method in dict.fromkeys(each.method for each in asked):
        here = [each for each in asked if each.method == method]
        right, error, loss, said, spread = (
            over_pairs(here, metric) for metric in ("accuracy", "ece", "nll", "confidence", "atfd")
        )
        over = f"{100 * (said.value - right.value):+.1f}"
        yield (method, percent(right), number(error), number(loss), over, f"{spread.value:.3f}" if spread else "")


def against_rows(found: Records) -> Iterable[tuple]:
    """Paired by model and set."""
    yield "tuned by", "right, minus it", "ECE, minus it", "NLL, minus it"
    for method in dict.fromkeys(each.method for each in of(found, "methods")):
        if method != TEMPERATURE:
            gaps = [gap(found, metric, method, TEMPERATURE) for metric in ("accuracy", "ece", "nll")]
            yield method, percent(gaps[0], sign="+"), number(gaps[1], sign="+"), number(gaps[2], sign="+")


def set_rows(found: Records, metric: str) -> Iterable[tuple]:
    columns = ("zero-shot", "tpt", "c-tpt", "constant", "o-tpt", "a-tpt", "cots", TEMPERATURE)
    yield "model", "set", "classes", *columns
    for (model, name), here in pairs(found, "methods").items():
        cells = []
        for method in columns:
            every = [each for each in here if each.method == method]
            cells.append(shown(every, metric))
        yield model, name, here[0].classes, *cells


def shown(every: Records, metric: str) -> str:
    if not every:
        return ""
    if len(every) > 1:  # draws of labels
        values = [each.numbers[metric] for each in every]
        low, high = np.quantile(values, [0.025, 0.975])
        found = Estimate(float(np.mean(values)), float(low), float(high), len(values))
    else:
        found = estimate(every[0], metric)
    return percent(found) if metric == "accuracy" else number(found)


def move_rows(found: Records) -> Iterable[tuple]:
    yield ("model", "set", "classes", "decided, c-tpt", "o-tpt", "a-tpt", "same sign, c-tpt", "predicts as constant",
           "as zero-shot", "right, constant minus c-tpt", "ECE", "right, constant minus zero-shot", "ECE")  # fmt: skip
    for (model, name), here in pairs(found, "methods").items():
        one = {each.method: each for each in here if each.draw == 0}
        numbers = one["c-tpt"].numbers
        yield (model, name, here[0].classes,
               *(f"{100 * one[m].numbers['decided']:.1f}" for m in ("c-tpt", "o-tpt", "a-tpt")),
               f"{100 * numbers['same_sign']:.1f}", f"{100 * numbers['agrees_constant']:.1f}",
               f"{100 * numbers['agrees_zero-shot']:.1f}",
               *(form(difference(one["constant"], one[other], metric), sign="+") for other in ("c-tpt", "zero-shot")
                 for metric, form in (("accuracy", percent), ("ece", number))))  # fmt: skip


def start_rows(found: Records) -> Iterable[tuple]:
    """Only sets that are asked about starts."""
    methods = ("zero-shot", "tpt", "c-tpt", "constant")
    yield ("start", "pairs", *(f"{method}, {words}" for words in ("right", "ECE") for method in methods))
    asked = of(found, "starts")
    names = {each.start: each.start if not each.start.startswith("own: ") else "the set's own" for each in asked}
    for start in dict.fromkeys(names.values()):
        here = [each for each in asked if names[each.start] == start]
        cells = [over_pairs([r for r in here if r.method == method], metric)
                 for metric in ("accuracy", "ece") for method in methods]  # fmt: skip
        yield (
            start,
            len(pairs(here, "starts")),
            *(percent(each) for each in cells[:4]),
            *(number(each) for each in cells[4:]),
        )


def prompt_rows(found: Records) -> Iterable[tuple]:
    yield "model", "set", "prompts", "right, least to most", "ECE, least to most", "rank correlation", "after tpt"
    for (model, name), here in pairs(found, "prompts").items():
        plain, tuned = ([r for r in here if r.method == method] for method in ("zero-shot", "tpt"))
        right, error = ([r.numbers[metric] for r in plain] for metric in ("accuracy", "ece"))
        spans = f"{100 * min(right):.1f} to {100 * max(right):.1f}", f"{min(error):.3f} to {max(error):.3f}"
        yield (model, name, len(plain), *spans, *(f"{ranks(each):+.2f}" for each in (plain, tuned)))


def lambda_rows(found: Records) -> Iterable[tuple]:
    yield "lambda", "right", "ECE", "NLL", "ATFD", "decided by the constant"
    asked = of(found, "lambda")
    for weight in sorted({each.coefficient for each in asked}):
        here = [each for each in asked if each.coefficient == weight]
        right, error, loss, spread, decided = (
            over_pairs(here, metric) for metric in ("accuracy", "ece", "nll", "atfd", "decided")
        )
        yield (f"{weight:g}", percent(right), number(error), number(loss), f"{spread.value:.3f}", percent(decided))


def percent(found: Estimate | None, sign: str = "") -> str:
    return spanned(found, 100, f"{sign}.1f")


def number(found: Estimate | None, sign: str = "") -> str:
    return spanned(found, 1, f"{sign}.3f")


def spanned(found: Estimate | None, times: int, form: str) -> str:
    """The number with its interval; of fewer than three pairs there is none."""
    if found is None:
        return ""
    value, low, high = (f"{times * each:{form}}" for each in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})" if found.n > 2 else value


if __name__ == "__main__":
    main()
