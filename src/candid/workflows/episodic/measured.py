"""Every question of a set asked: what is tuned, what it scored, and how much of each step the regulariser decided."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from candid import calibrate, metrics, tune
from candid.arrays import log_softmax, softmax
from candid.errors import NoOptimum
from candid.types import Labels, Logits
from candid.workflows.episodic.material import Material
from candid.workflows.episodic.plan import TEMPLATE
from candid.workflows.episodic.record import TuningRecord

__all__ = ["WAYS", "ask"]

BINS = 20  # those of the papers
DIGITS = 6
TEMPERATURE = "zero-shot, temperature"
RELEASED = "a-tpt as released"
Told = Callable[[int, int], None]


def _constant(name: str) -> tune.Way:
    return replace(tune.TEST_TIME[name], entropy=False)


WAYS: dict[str, tune.Way] = {
    **tune.TEST_TIME,
    RELEASED: replace(tune.TEST_TIME["a-tpt"], coefficient=-tune.TEST_TIME["a-tpt"].coefficient),
    "constant o-tpt": _constant("o-tpt"),
    "constant a-tpt": _constant("a-tpt"),
}


def ask(material: Material, question: str, name: str, told: Told) -> list[TuningRecord]:
    """The records of one question of one set."""
    return list(_ASKED[question](material, name, told))


def _methods(material: Material, name: str, told: Told) -> Iterator[TuningRecord]:
    ways = {label: _weighted(way, material) for label, way in WAYS.items()}
    found = _compared(material, [material.start], ways, told)
    predicted = {label: each.logits.argmax(axis=1) for label, each in found.items()}
    for label, each in found.items():
        numbers = each.means()
        for other in ("zero-shot", "constant"):
            numbers[f"agrees_{other}"] = float((predicted[label] == predicted[other]).mean())
        yield _record(material, name, "methods", label, ways[label], each.logits, numbers=numbers)
    yield from _cooled(material, name, found["zero-shot"].logits)


def _starts(material: Material, name: str, told: Told) -> Iterator[TuningRecord]:
    ways = {label: _weighted(tune.TEST_TIME[label], material) for label in ("zero-shot", "tpt", "c-tpt", "constant")}
    for start, draw, episodes in material.starts():
        for label, each in _compared(material, episodes, ways, told).items():
            yield _record(material, name, "starts", label, ways[label], each.logits, start=start, draw=draw,
                          numbers=each.means())  # fmt: skip


def _prompts(material: Material, name: str, told: Told) -> Iterator[TuningRecord]:
    """Every prompt as it is on all images, and tuned by tpt on the first of them."""
    few = min(material.plan.prompt_images, len(material.views))
    for i, template in enumerate(material.plan.prompts):
        start = material.written(template)
        found = tune.compare_ways([start], material.parts(few), {"tpt": tune.TEST_TIME["tpt"]})
        for label, logits in (("zero-shot", _zero_shot(start, material.centre)), ("tpt", found["tpt"].logits)):
            numbers = {"atfd": float(tune.atfd(start.rows))}  # of the prompt as it is: what the paper holds to the ECE
            yield _record(material, name, "prompts", label, tune.TEST_TIME[label], logits, start=template,
                          numbers=numbers)  # fmt: skip
        told(i + 1, len(material.plan.prompts))


def _lambda(material: Material, name: str, told: Told) -> Iterator[TuningRecord]:
    ways = {f"{each:g}": replace(tune.TEST_TIME["c-tpt"], coefficient=each) for each in material.plan.coefficients}
    for label, each in _compared(material, [material.start], ways, told).items():
        yield _record(material, name, "lambda", "c-tpt", ways[label], each.logits, numbers=each.means())


_ASKED: dict[str, Callable[[Material, str, Told], Iterable[TuningRecord]]] = {
    "methods": _methods,
    "starts": _starts,
    "prompts": _prompts,
    "lambda": _lambda,
}


def _weighted(way: tune.Way, material: Material) -> tune.Way:
    """With the weight that was published for this kind of set."""
    if way.regulariser is None or not material.found.imagenet:
        return way
    published = tune.DISPERSIONS[way.regulariser].imagenet
    return replace(way, coefficient=-published if way.coefficient < 0 else published)


def _compared(
    material: Material, starts: Sequence[tune.Episodes], ways: dict[str, tune.Way], told: Told
) -> dict[str, tune.Compared]:
    total = len(material.views)
    return tune.compare_ways(starts, material.parts(), ways, progress=lambda done: told(done, total))


def _cooled(material: Material, name: str, logits: Logits) -> Iterator[TuningRecord]:
    """Zero-shot with one temperature from a few labelled images that judge nothing, for every draw of them."""
    rest, plan = material.rest, material.plan
    if rest is None or rest.labels is None or len(rest) < plan.labels:
        return
    others = _zero_shot(material.start, rest.vectors)
    for draw in range(plan.draws):
        rows = np.random.default_rng([plan.seed, draw]).choice(len(rest), plan.labels, replace=False)
        try:
            fitted = calibrate.Temperature.fit(others[rows], rest.labels[rows])
        except NoOptimum:
            continue
        yield _record(material, name, "methods", TEMPERATURE, tune.TEST_TIME["zero-shot"], fitted(logits), draw=draw,
                      numbers={"temperature": float(fitted.value)})  # fmt: skip


def _zero_shot(start: tune.Episodes, vectors: Float[np.ndarray, "n d"]) -> Logits:
    found: np.ndarray = start.logits(start.own(vectors[:, None]), start.rows)[:, 0].cpu().numpy()
    return found


def _record(
    material: Material, name: str, question: str, method: str, way: tune.Way, logits: Logits, *,
    numbers: dict[str, float], start: str = TEMPLATE, draw: int = 0,
) -> TuningRecord:  # fmt: skip
    labels = material.labels[: len(logits)]
    said = metrics.top_label(logits, labels)
    return TuningRecord(
        question=question,
        model=name,
        set=material.found.name,
        classes=len(material.classes),
        method=method,
        start=start,
        coefficient=way.coefficient,
        draw=draw,
        n=len(logits),
        numbers={**_judged(logits, labels), **numbers},
        confidence=tuple(np.round(said.confidence, DIGITS).tolist()),
        right=tuple(said.correct.tolist()),
        note=material.start.prompts.tower.note,
    )


def _judged(logits: Logits, labels: Labels) -> dict[str, float]:
    probs = softmax(logits)
    return {
        "accuracy": float((logits.argmax(axis=1) == labels).mean()),
        "ece": float(metrics.ece(probs, labels, bins=BINS)),
        "adaptive_ece": float(metrics.adaptive_ece(probs, labels, bins=BINS)),
        "nll": float(-log_softmax(logits)[np.arange(len(labels)), labels].mean()),
        "brier": float(metrics.brier(probs, labels)),
        "confidence": float(probs.max(axis=1).mean()),
    }
