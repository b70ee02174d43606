"""Every question of a set asked: what is tuned, what it scored, and how much of each step the regulariser decided.

The slope of an image's entropy at a start is the same for every method and every coefficient, so it is computed once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
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


@dataclass
class _Gathered:
    """What a way gave, image by image."""

    logits: list[Float[np.ndarray, "n k"]] = field(default_factory=list)
    numbers: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, **values: torch.Tensor) -> None:
        for name, value in values.items():
            self.numbers.setdefault(name, []).append(np.atleast_1d(value.double().cpu().numpy()))

    def means(self) -> dict[str, float]:
        return {name: float(np.concatenate(parts).mean()) for name, parts in self.numbers.items()}


def _methods(material: Material, name: str, told: Told) -> Iterator[TuningRecord]:
    ways = {label: _weighted(way, material) for label, way in WAYS.items()}
    gathered = _gathered([material.start], material.parts(), ways, told, len(material.views))
    logits = {label: np.concatenate(each.logits) for label, each in gathered.items()}
    predicted = {label: each.argmax(axis=1) for label, each in logits.items()}
    for label, each in gathered.items():
        numbers = each.means()
        for other in ("zero-shot", "constant"):
            numbers[f"agrees_{other}"] = float((predicted[label] == predicted[other]).mean())
        yield _record(material, name, "methods", label, ways[label], logits[label], numbers=numbers)
    yield from _cooled(material, name, logits["zero-shot"])


def _starts(material: Material, name: str, told: Told) -> Iterator[TuningRecord]:
    ways = {label: _weighted(tune.TEST_TIME[label], material) for label in ("zero-shot", "tpt", "c-tpt", "constant")}
    for start, draw, episodes in material.starts():
        gathered = _gathered(episodes, material.parts(), ways, told, len(material.views))
        for label, each in gathered.items():
            yield _record(material, name, "starts", label, ways[label], np.concatenate(each.logits), start=start,
                          draw=draw, numbers=each.means())  # fmt: skip


def _prompts(material: Material, name: str, told: Told) -> Iterator[TuningRecord]:
    """Every prompt as it is on all images, and tuned by tpt on the first of them."""
    few = min(material.plan.prompt_images, len(material.views))
    for i, template in enumerate(material.plan.prompts):
        start = material.written(template)
        plain = _gathered([start], material.parts(), {"zero-shot": tune.TEST_TIME["zero-shot"]}, _silent, 0)
        tuned = _gathered([start], material.parts(few), {"tpt": tune.TEST_TIME["tpt"]}, _silent, 0)
        for label, each in (plain | tuned).items():
            yield _record(material, name, "prompts", label, tune.TEST_TIME[label], np.concatenate(each.logits),
                          start=template, numbers=each.means())  # fmt: skip
        told(i + 1, len(material.plan.prompts))


def _lambda(material: Material, name: str, told: Told) -> Iterator[TuningRecord]:
    ways = {f"{each:g}": replace(tune.TEST_TIME["c-tpt"], coefficient=each) for each in material.plan.coefficients}
    gathered = _gathered([material.start], material.parts(), ways, told, len(material.views))
    for label, each in gathered.items():
        yield _record(material, name, "lambda", "c-tpt", ways[label], np.concatenate(each.logits),
                      numbers=each.means())  # fmt: skip


_ASKED: dict[str, Callable[[Material, str, Told], Iterable[TuningRecord]]] = {
    "methods": _methods,
    "starts": _starts,
    "prompts": _prompts,
    "lambda": _lambda,
}


def _silent(done: int, total: int) -> None:
    return


def _weighted(way: tune.Way, material: Material) -> tune.Way:
    """With the weight that was published for this kind of set."""
    if way.regulariser is None or not material.found.imagenet:
        return way
    published = tune.DISPERSIONS[way.regulariser].imagenet
    return replace(way, coefficient=-published if way.coefficient < 0 else published)


def _gathered(
    starts: Sequence[tune.Episodes], parts: Iterable[Float[np.ndarray, "n v d"]], ways: dict[str, tune.Way],
    told: Told, total: int,
) -> dict[str, _Gathered]:  # fmt: skip
    """What every way makes of the images; logits are averaged over starts, the other numbers are of the first."""
    found = {label: _Gathered() for label in ways}
    done = 0
    for part in parts:
        seen = [start.see(start.own(part), tune.TestTimeTuner.select) for start in starts]
        for label, way in ways.items():
            logits = []
            for i, (start, each) in enumerate(zip(starts, seen, strict=True)):
                outcomes = list(tune.outcomes(start, each, way))
                logits.append(torch.cat([outcome.logits for outcome in outcomes]))
                if i == 0:
                    _look(found[label], start, each, way, outcomes)
            found[label].logits.append(torch.stack(logits).mean(dim=0).float().cpu().numpy())
        done += len(part)
        told(done, total)
    return found


def _look(
    found: _Gathered, start: tune.Episodes, seen: tune.Seen, way: tune.Way, outcomes: Sequence[tune.Outcome]
) -> None:
    """The spread of the class rows, and what share of the context's coordinates the regulariser decides.

    It decides a coordinate of an image where its pull is the larger: then no image could turn the sign of the step.
    """
    rows = [rows for outcome in outcomes for rows in (outcome.rows if outcome.rows.ndim == 3 else outcome.rows[None])]
    found.add(atfd=torch.stack([tune.atfd(each) for each in rows]))
    if way.entropy and way.regulariser is not None:
        pull = way.coefficient * start.dispersion_gradient(way.regulariser)
        step = seen.gradients + pull
        found.add(
            decided=(pull.abs() > seen.gradients.abs()).double().mean(dim=(1, 2)),
            same_sign=(step.sign() == pull.sign()).double().mean(dim=(1, 2)),
        )


def _cooled(material: Material, name: str, logits: Logits) -> Iterator[TuningRecord]:
    """Zero-shot with one temperature from a few labelled images that judge nothing, for every draw of them."""
    rest, plan = material.rest, material.plan
    if rest is None or rest.labels is None or len(rest) < plan.labels:
        return
    others = _zero_shot(material, rest.vectors)
    for draw in range(plan.draws):
        rows = np.random.default_rng([plan.seed, draw]).choice(len(rest), plan.labels, replace=False)
        try:
            fitted = calibrate.Temperature.fit(others[rows], rest.labels[rows])
        except NoOptimum:
            continue
        yield _record(material, name, "methods", TEMPERATURE, tune.TEST_TIME["zero-shot"], fitted(logits), draw=draw,
                      numbers={"temperature": float(fitted.value)})  # fmt: skip


def _zero_shot(material: Material, vectors: Float[np.ndarray, "n d"]) -> Logits:
    start = material.start
    found: np.ndarray = start.logits(start.own(vectors[:, None]), start.rows)[:, 0].float().cpu().numpy()
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
