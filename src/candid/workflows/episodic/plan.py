"""What the study asks, as data. A plan is JSON (format candid-c-tpt), so a report repeats its run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from candid import data, models
from candid.errors import InputError, nearest
from candid.types import ImageSet

__all__ = [
    "ENSEMBLE",
    "PROMPTS",
    "QUESTIONS",
    "TEMPLATE",
    "Source",
    "TuningPlan",
    "TuningSet",
    "Unit",
    "plan_of",
    "units",
]

SAMPLE = "embedded"
TEMPLATE = models.PLAIN[0]  # the start of the papers, for every set
QUESTIONS: dict[str, str] = {
    "methods": "accuracy and calibration of every way to tune at test time",
    "starts": "where the prompt starts from",
    "prompts": "whether prompts whose class features are spread out are calibrated better",
    "lambda": "how strong the regulariser is, and how much of the step it decides",
}
PROMPTS: tuple[str, ...] = tuple(  # ways to say the same: what differs between them is little else than the features
    f"{article} {kind} of {one} {{}}."
    for article in ("a", "the")
    for kind in ("photo", "picture", "image", "snapshot")
    for one in ("a", "the", "one")
)
ENSEMBLE: tuple[str, ...] = ("a photo of a {}.", "a photo of the {}.", "a picture of a {}.", "a picture of the {}.")


@dataclass(frozen=True)
class TuningSet:
    """Labelled images to predict. `template` is the set's own hand prompt; `augmix` mixes views; `imagenet` takes the
    regularisers' weights for ImageNet. `published` are accuracy and ECE in percent by model and method.
    `questions` asks this set for less than the plan does.
    """

    name: str
    images: ImageSet
    template: str = TEMPLATE
    augmix: bool = True
    imagenet: bool = False
    published: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    questions: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Source:
    """Labelled images of other classes that a prompt is tuned on beforehand."""

    name: str
    images: ImageSet


@dataclass(frozen=True)
class TuningPlan:
    """What is asked of every model: `images` judge a set (None: all), drawn by `seed`; of the others `labels` fit the
    temperature, `draws` times. `coefficients` are those of c-tpt; `random` contexts are drawn; prompts beside the hand
    prompt are tuned on `prompt_images`.
    """

    sets: tuple[TuningSet, ...]
    questions: tuple[str, ...] = tuple(QUESTIONS)
    images: int | None = None
    views: int = 64
    labels: int = 50
    draws: int = 20
    random: int = 3
    coefficients: tuple[float, ...] = (0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0)
    prompts: tuple[str, ...] = PROMPTS
    prompt_images: int = 200
    source: Source | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sets:
            raise InputError("a study needs at least one set")
        if unknown := [each for each in self.questions if each not in QUESTIONS]:
            raise InputError(f"no question named {unknown[0]!r}; {nearest(unknown[0], QUESTIONS)}")
        if min(self.labels, self.draws, self.random, self.prompt_images, self.images or 1) < 1 or self.views < 10:
            raise InputError("labels, draws, random and images must be 1 or more, views 10 or more")
        names = [each.name for each in self.sets]
        if twice := {name for name in names if names.count(name) > 1}:
            raise InputError(f"sets need different names, {sorted(twice)[0]!r} appears more than once")


@dataclass(frozen=True)
class Unit:
    """One question of one set."""

    question: str
    found: TuningSet


def units(plan: TuningPlan) -> Iterator[Unit]:
    """Everything that the plan asks of a model, set by set."""
    for found in plan.sets:
        for question in plan.questions:
            if found.questions is None or question in found.questions:
                yield Unit(question, found)


def plan_of(job: Mapping[str, Any], *, sets: Sequence[TuningSet] | None = None) -> TuningPlan:
    """The plan of a job, with every set read; `sets` that are at hand are not read again."""
    known = {each.name for each in fields(TuningPlan)} - {"sets", "source"}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in job.items() if name in known
    }
    if "coefficients" in given:
        given["coefficients"] = tuple(map(float, given["coefficients"]))
    try:
        found = tuple(map(_set, job["sets"])) if sets is None else tuple(sets)
        source = None if job.get("source") is None else _source(job["source"])
    except KeyError as error:
        raise InputError(f"a plan needs {error}; expected sets, each with name and test") from error
    return TuningPlan(found, source=source, **given)


def _source(described: Mapping[str, Any]) -> Source:
    return Source(described["name"], data.read(described["train"], split=described.get("split")))


def _set(described: Mapping[str, Any]) -> TuningSet:
    """One set, read: `test` as `candid audit` reads it."""
    if described.get("test") == SAMPLE:
        return TuningSet("groceries", data.sample().known)
    images = data.read(described["test"], split=described.get("test_split"), classes=described.get("classes"))
    if images.labels is None or images.classes is None:
        raise InputError(f"set {described['name']} needs labels with class names")
    published = {
        model: {method: (float(right), float(error)) for method, (right, error) in found.items()}
        for model, found in described.get("published", {}).items()
    }
    own = {name: described[name] for name in ("template", "augmix", "imagenet") if name in described}
    if "questions" in described:
        own["questions"] = tuple(described["questions"])
    return TuningSet(described["name"], images, published=published, **own)
