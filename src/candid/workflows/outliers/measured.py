"""The questions, each a function from one model's features to records."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from candid import detect, metrics
from candid.arrays import log_softmax
from candid.errors import InputError
from candid.types import Features, Head, Scores
from candid.workflows.detectors import fit_detector, is_fitted, refused_for
from candid.workflows.outliers.deep import DEEP
from candid.workflows.outliers.plan import OutlierPlan, Unit
from candid.workflows.outliers.record import OutlierRecord, Spread

__all__ = ["Material", "ask"]

AnyScores = Float[np.ndarray, "_"]  # each side has its own length
SHOWN = ("msp", "energy")  # scores whose histograms are kept
BINS = 50
TAIL = 0.002


@dataclass(frozen=True)
class Material:
    """One model in one state: its head, known rows to judge by and to learn from, and unknown ones by set."""

    model: str
    unit: Unit
    head: Head
    test: Features
    train: Features | None
    unknown: Mapping[str, Features]
    words: Float[np.ndarray, "w d"] | None = None
    language: bool = False
    deep: Callable[[str, str], Scores] | None = None  # of a detector and an unknown set, "" for the known images

    def record(
        self, question: str, name: str, detector: str, numbers: Mapping[str, float], *, known: int,
        unknown: int | None = None, temperature: float = 1.0, spread: Spread | None = None, note: str = "",
    ) -> OutlierRecord:  # fmt: skip
        """One record of this model; `name` is the unknown set."""
        kind = {each.name: each.kind for each in self.unit.found.unknown}.get(name, "")
        count = unknown if unknown is not None else len(self.unknown[name]) if name in self.unknown else 0
        return OutlierRecord(question, self.model, self.unit.found.name, self.unit.state, name, kind, detector,
                             temperature, known, count, dict(numbers), spread, note)  # fmt: skip


def ask(found: Material, plan: OutlierPlan) -> list[OutlierRecord]:
    """Every question of the plan, answered from these features."""
    return [each for question in plan.questions for each in _QUESTIONS[question](found, plan)]


def _detectors(found: Material, plan: OutlierPlan) -> Iterator[OutlierRecord]:
    """All ranking numbers of every detector on every set; a detector that cannot be is a record that says why."""
    accuracy = metrics.accuracy(found.head(found.test.vectors), _labels(found.test))
    right = metrics.proportion(round(accuracy * len(found.test)), len(found.test))
    yield found.record("detectors", "", "", {"accuracy": accuracy, "accuracy_low": right.low,
                                             "accuracy_high": right.high}, known=len(found.test))  # fmt: skip
    for name in plan.detectors:
        try:
            score = _scorer(name, found)
            known = score("")
        except InputError as error:
            yield found.record("detectors", "", name, {}, known=0, note=str(error))
            continue
        for which in found.unknown:
            scores = score(which)
            numbers = _numbers(known, scores, plan.seed)
            spread = _spread(known, scores) if name in SHOWN else None
            yield found.record("detectors", which, name, numbers, known=len(known), unknown=len(scores), spread=spread)


def _temperature(found: Material, plan: OutlierPlan) -> Iterator[OutlierRecord]:
    for temperature in plan.temperatures:
        known = detect.energy(found.head(found.test.vectors), temperature=temperature)
        for which, features in found.unknown.items():
            scores = detect.energy(found.head(features.vectors), temperature=temperature)
            yield found.record("temperature", which, "energy", _numbers(known, scores, plan.seed), known=len(known),
                               temperature=temperature)  # fmt: skip


def _identity(found: Material, plan: OutlierPlan) -> Iterator[OutlierRecord]:
    """log max p = E + highest logit: how exact, and how its two parts differ between known and unknown images."""
    known = _parts(found.head, found.test)
    for which, features in found.unknown.items():
        unknown = _parts(found.head, features)
        yield found.record("identity", which, "msp", {
            "error": max(float(np.abs(p - (e + top)).max()) for p, e, top in (known, unknown)),
            "known_energy": float(known[1].mean()), "unknown_energy": float(unknown[1].mean()),
            "known_top": float(known[2].mean()), "unknown_top": float(unknown[2].mean()),
            "auroc_energy": metrics.auroc(known[1], unknown[1]), "auroc_top": metrics.auroc(-known[2], -unknown[2]),
            "auroc_sum": metrics.auroc(-known[0], -unknown[0]),
        }, known=len(known[0]))  # fmt: skip


def _parts(head: Head, features: Features) -> tuple[AnyScores, AnyScores, AnyScores]:
    logits = head(features.vectors)
    return log_softmax(logits).max(axis=1), detect.energy(logits), logits.max(axis=1).astype(np.float64)


def _threshold(found: Material, plan: OutlierPlan) -> Iterator[OutlierRecord]:
    """A threshold from half of the known images: what it keeps of the other half, and lets in of each set."""
    order = np.random.default_rng(plan.seed).permutation(len(found.test))
    half = len(order) // 2
    known = detect.energy(found.head(found.test.vectors))
    for guarantee in ("rows", "average", "sure"):
        try:
            cut = detect.Threshold.fit(known[order[:half]], keep=plan.keep, guarantee=guarantee)
        except InputError as error:
            yield found.record("threshold", "", guarantee, {}, known=half, note=str(error))
            continue
        kept = metrics.proportion(int(cut(known[order[half:]]).sum()), len(order) - half)
        expected = cut.refusal()
        numbers = {"threshold": float(cut.values[0]), "kept": kept.value, "kept_low": kept.low, "kept_high": kept.high,
                   "expected": 1 - expected.value, "expected_low": 1 - expected.high,
                   "expected_high": 1 - expected.low}  # fmt: skip
        for which, features in found.unknown.items():
            scores = detect.energy(found.head(features.vectors))
            inside = metrics.proportion(int(cut(scores).sum()), len(scores))
            own = {"let_in": inside.value, "let_in_low": inside.low, "let_in_high": inside.high}
            yield found.record("threshold", which, guarantee, numbers | own, known=half)


def _scorer(name: str, found: Material) -> Callable[[str], AnyScores]:
    """Scores of an unknown set by name, of the known images by ""; or an `InputError` that says why there are none."""
    if name in DEEP:
        deep = found.deep
        if deep is None:
            raise InputError("it looks at the images, which is done for models as they are")
        return lambda which: deep(name, which)
    given = {"labelled": found.train is not None, "language": found.language, "words": found.words is not None}
    if reason := refused_for(name, found.test.vectors, **given):
        raise InputError(reason)
    if is_fitted(name) and found.train is None:
        raise InputError("it learns from known images, and the set has no training images")
    vectors, labels = found.test.vectors[:0], None
    if found.train is not None:
        vectors, labels = found.train.vectors, _labels(found.train)
    made = fit_detector(name, found.head, vectors, labels, found.words)
    return lambda which: made((found.unknown[which] if which else found.test).vectors)


def _numbers(known: AnyScores, unknown: AnyScores, seed: int) -> dict[str, float]:
    found = metrics.separation(known, unknown, seed=seed)
    flat: dict[str, float] = {"tied": float(found.tied)}
    for name, each in found.estimates().items():
        flat |= {name: each.value, f"{name}_low": each.low, f"{name}_high": each.high}
    return flat


def _spread(known: AnyScores, unknown: AnyScores) -> Spread:
    both = np.concatenate([known, unknown])
    low, high = np.quantile(both, [TAIL, 1 - TAIL])
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    shares = [np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0] / len(side) for side in (known, unknown)]
    return Spread(tuple(edges.tolist()), tuple(shares[0].tolist()), tuple(shares[1].tolist()))


def _labels(features: Features) -> np.ndarray:
    if features.labels is None:
        raise InputError("known images need labels")
    return features.labels


_QUESTIONS: Mapping[str, Callable[[Material, OutlierPlan], Iterator[OutlierRecord]]] = {
    "detectors": _detectors,
    "temperature": _temperature,
    "identity": _identity,
    "threshold": _threshold,
}
