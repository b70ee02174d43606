"""What the study asks, as data. A plan is JSON (format candid-energy), so a report repeats its run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from candid import data, tune
from candid.errors import InputError, nearest
from candid.tune.outlier_steps import Objective
from candid.types import ImageSet
from candid.workflows.detectors import DETECTORS
from candid.workflows.outliers.deep import DEEP

__all__ = ["PLAIN", "QUESTIONS", "OutlierPlan", "OutlierSet", "Unit", "Unknown", "plan_of", "units"]

SAMPLE = "embedded"
PLAIN = "as it is"
QUESTIONS: dict[str, str] = {
    "detectors": "how well each detector tells unknown images, set by set",
    "temperature": "what a temperature does to the energy",
    "identity": "what the softmax score says that the energy does not",
    "threshold": "what a threshold from known images keeps and lets in",
}
TEMPERATURES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)  # those of the energy paper


@dataclass(frozen=True)
class Unknown:
    """Images of none of the classes, and how near to them: "near", "far", or any other kind."""

    name: str
    images: ImageSet
    kind: str = ""


@dataclass(frozen=True)
class OutlierSet:
    """Known images to judge by (`test`), unknown sets, and what only some questions need: `train` images for detectors
    that learn and for fine-tuning, auxiliary `outliers` for fine-tuning. `published` are FPR95 (known positive) and
    AUROC in percent by model, score and unknown set."""

    name: str
    test: ImageSet
    unknown: tuple[Unknown, ...]
    train: ImageSet | None = None
    outliers: ImageSet | None = None
    published: Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]] = field(default_factory=dict)


@dataclass(frozen=True)
class OutlierPlan:
    """What is asked of every model: `images` of the test set judge (None: all), `fit_images` of the training set teach
    the detectors that learn; "odin" and "gl-mcm" look again at `deep_images` of every set, of models as they are. Each
    of `objectives` fine-tunes a copy of every classifier, `epochs` or `steps` long; `tuned` names copies that are there
    already, by model and objective.
    """

    sets: tuple[OutlierSet, ...]
    questions: tuple[str, ...] = tuple(QUESTIONS)
    detectors: tuple[str, ...] = DETECTORS
    temperatures: tuple[float, ...] = TEMPERATURES
    objectives: tuple[str, ...] = ()
    tuned: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    images: int | None = None
    fit_images: int | None = 5000
    deep_images: int | None = 2000
    epochs: int = 10
    steps: int | None = None
    rate: float = 1e-3
    keep: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sets:
            raise InputError("a study needs at least one set")
        for given, allowed, word in (
            (self.questions, QUESTIONS, "question"),
            (self.detectors, (*DETECTORS, *DEEP), "detector"),
            (self.objectives, get_args(Objective), "objective"),
        ):
            if unknown := [each for each in given if each not in allowed]:
                raise InputError(f"no {word} named {unknown[0]!r}; {nearest(unknown[0], allowed)}")
        if min(self.images or 1, self.fit_images or 1, self.deep_images or 1, self.epochs, self.steps or 1) < 1:
            raise InputError("images, fit_images, deep_images, epochs and steps must be 1 or more")
        for each in self.sets:
            if self.objectives and each.train is None:
                raise InputError(
                    f"set {each.name} has no training images to fine-tune on; give train, or no objectives"
                )
            if {"energy", "outlier-exposure"} & {*self.objectives} and each.outliers is None:
                raise InputError(f"set {each.name} has no outliers to fine-tune with; give outliers")

    def recipe(self, objective: str) -> tune.OutlierRecipe:
        """How a copy is fine-tuned."""
        chosen: Any = objective
        return tune.OutlierRecipe(chosen, epochs=self.epochs, steps=self.steps, rate=self.rate, seed=self.seed)


@dataclass(frozen=True)
class Unit:
    """One state of a model, as it is or fine-tuned, on one set: all questions are asked of the same features."""

    found: OutlierSet
    state: str


def units(plan: OutlierPlan, model: str) -> Iterator[Unit]:
    """Every set in every state of a model."""
    for found in plan.sets:
        for state in dict.fromkeys((PLAIN, *plan.objectives, *plan.tuned.get(model, {}))):
            yield Unit(found, state)


def plan_of(job: Mapping[str, Any]) -> OutlierPlan:
    """The plan of a job, with every set read."""
    known = {each.name for each in fields(OutlierPlan)} - {"sets"}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in job.items() if name in known
    }
    if "temperatures" in given:
        given["temperatures"] = tuple(map(float, given["temperatures"]))
    try:
        sets = tuple(map(_set, job["sets"]))
    except KeyError as error:
        raise InputError(f"a plan needs {error}; expected sets, each with name, test and ood") from error
    return OutlierPlan(sets, **given)


def _set(described: Mapping[str, Any]) -> OutlierSet:
    if described.get("test") == SAMPLE:
        return _sample(described.get("name", "groceries"))
    classes = described.get("classes")
    test = data.read(described["test"], split=described.get("test_split"), classes=classes)
    if test.labels is None or test.classes is None:
        raise InputError(f"set {described['name']} needs test images with labels and class names")
    unknown = tuple(Unknown(each["name"], data.read(each["path"]), each.get("kind", "")) for each in described["ood"])
    if not unknown:
        raise InputError(f"set {described['name']} needs at least one set of unknown images (ood)")
    train = None if "train" not in described else data.read(described["train"], classes=test.classes)
    outliers = None if "outliers" not in described else data.read(described["outliers"])
    published = {
        model: {score: {name: (float(rate), float(area)) for name, (rate, area) in rows.items()}
                for score, rows in scores.items()}
        for model, scores in described.get("published", {}).items()
    }  # fmt: skip
    return OutlierSet(described["name"], test, unknown, train, outliers, published)


def _sample(name: str) -> OutlierSet:
    """The embedded photos: every second teaches, the others judge."""
    photos = data.sample()
    count = len(photos.known)
    test, train = (data.subset(photos.known, list(range(start, count, 2))) for start in (0, 1))
    kinds = {"new products": "near"}
    unknown = tuple(Unknown(each, images, kinds.get(each, "far")) for each, images in photos.ood.items())
    return OutlierSet(name, test, unknown, train)
