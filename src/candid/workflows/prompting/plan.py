"""What the study asks, as data: sets, and a `Case` for every stack of trainings that differ in loss, rate and draw.

A plan is JSON (format candid-ptnl), so a report repeats its run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from candid import data
from candid.errors import InputError, nearest
from candid.noise import PROTOCOLS
from candid.tune import LOSSES, VARIANTS
from candid.types import ImageSet, Labels

__all__ = ["QUESTIONS", "TRUE", "Case", "Plan", "PromptSet", "cases", "plan_of", "set_of"]

TRUE = "true"  # the class names as they are
WORDS = ("swapped", "random words", "random vectors", "one word")
SAMPLE = "embedded"

QUESTIONS: dict[str, str] = {
    "noise": "accuracy, calibration and telling unknown images apart, by the share of wrong labels",
    "losses": "which loss withstands wrong labels",
    "gradients": "whether right and wrong labels pull the same way",
    "context": "how many context tokens",
    "names": "what the words of the class names do",
    "epochs": "epoch by epoch, and one prompt against the average of several",
    "unlabelled": "no labels at all",
}


@dataclass(frozen=True)
class PromptSet:
    """Images to learn from and to judge on, with the same classes; `ood` are of none of them.

    `given` are labels that people gave to the training images, by name; `template` is the hand prompt. `questions` and
    `protocols` ask this set for less than the plan does.
    """

    name: str
    train: ImageSet
    test: ImageSet
    ood: Mapping[str, ImageSet] = field(default_factory=dict)
    template: str = "a photo of a {}."
    given: Mapping[str, Labels] = field(default_factory=dict)
    questions: tuple[str, ...] | None = None
    protocols: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Plan:
    """What is asked of every model. A draw is a choice of images, noise, initial values and order, from its number.

    `peaks` are learning rates by variant where they are not the variants' own.
    """

    sets: tuple[PromptSet, ...]
    questions: tuple[str, ...] = tuple(QUESTIONS)
    variants: tuple[str, ...] = tuple(VARIANTS)
    losses: tuple[str, ...] = ("ce", "gce")
    protocols: tuple[str, ...] = ("ptnl", "flip-exact", "confusion")
    rates: tuple[float, ...] = (0.0, 0.125, 0.25, 0.5)
    shots: int = 16
    views: int = 50
    augment: str = "dassl2021"
    epochs: int = 50
    long: int = 200
    context: int = 16
    contexts: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    draws: int = 3
    prompts: int = 4
    peaks: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("questions", QUESTIONS), ("variants", VARIANTS), ("losses", LOSSES),
                            ("protocols", PROTOCOLS)):  # fmt: skip
            if unknown := [each for each in getattr(self, name) if each not in known]:
                raise InputError(f"no {name[:-1]} named {unknown[0]!r}; {nearest(unknown[0], known)}")
        if not self.sets:
            raise InputError("a study needs at least one set")
        if min(self.draws, self.prompts, self.shots, self.epochs) < 1:
            raise InputError("draws, prompts, shots and epochs must be 1 or more")
        if unknown := sorted(set(self.peaks) - set(VARIANTS)):
            raise InputError(
                f"peaks holds learning rates by variant, got {unknown[0]!r}; {nearest(unknown[0], VARIANTS)}"
            )
        if any(not 0 <= rate < 1 for rate in self.rates):
            raise InputError(f"noise rates are shares of the labels, 0 to below 1, got {self.rates}")


@dataclass(frozen=True)
class Case:
    """One question's stack: a variant and how it is set, trained with every loss, rate and draw in one batch.

    `setting` says in words what is special. `members` prompts a draw are also averaged. `watch` are the numbers of
    epochs after which the heads are judged; empty is the end alone.
    """

    question: str
    variant: str
    protocol: str
    losses: tuple[str, ...]
    rates: tuple[float, ...]
    epochs: int
    context: int = 16
    setting: str = ""
    words: str = TRUE
    per_class: bool = False
    cls_init: str = "name"
    members: int = 1
    watch: tuple[int, ...] = ()
    select: str = ""
    gradients: bool = False


def cases(plan: Plan, found: PromptSet) -> Iterator[Case]:
    """Every case that the plan asks of a set."""
    for question in plan.questions:
        if found.questions is None or question in found.questions:
            yield from _ASKED[question](plan, found)


def _noise(plan: Plan, found: PromptSet) -> Iterator[Case]:
    protocols = plan.protocols if found.protocols is None else found.protocols
    for protocol in (*protocols, *(f"people: {name}" for name in found.given)):
        for variant in plan.variants:
            rates = (0.0,) if protocol.startswith("people") else plan.rates
            # Text encoders are trained one after the other: they are asked with the first loss alone.
            losses = plan.losses[:1] if variant == "text-encoder" else plan.losses
            yield Case("noise", variant, protocol, losses, rates, plan.epochs, plan.context)


def _losses(plan: Plan, found: PromptSet) -> Iterator[Case]:
    if "prompt" in plan.variants:
        rates = (0.0, max(plan.rates))
        yield Case("losses", "prompt", "flip-exact", tuple(LOSSES), rates, plan.epochs, plan.context)


def _gradients(plan: Plan, found: PromptSet) -> Iterator[Case]:
    watch = tuple(at for at in (0, 1, 5, 10, 25, plan.epochs) if at <= plan.epochs)
    for variant in plan.variants:
        if variant != "text-encoder":  # its gradients are as large as the tower, for every example
            yield Case("gradients", variant, "flip-exact", plan.losses, (max(plan.rates),), plan.epochs, plan.context,
                       watch=watch, gradients=True)  # fmt: skip


def _context(plan: Plan, found: PromptSet) -> Iterator[Case]:
    for length in plan.contexts:
        yield Case("context", "prompt", "flip-exact", ("ce",), _ends(plan), plan.epochs, length,
                   setting=f"{length} tokens")  # fmt: skip


def _names(plan: Plan, found: PromptSet) -> Iterator[Case]:
    base = Case("names", "prompt", "flip-exact", ("ce",), _ends(plan), plan.epochs, plan.context, "true names")
    yield base
    for words in WORDS:
        yield replace(base, setting=words, words=words)
    yield replace(base, setting="true names, a context each", per_class=True)
    for variant in ("full-prompt", "cls"):
        yield replace(base, variant=variant, setting=f"{variant} from names")
        yield replace(base, variant=variant, setting=f"{variant} from random vectors", cls_init="random")


def _epochs(plan: Plan, found: PromptSet) -> Iterator[Case]:
    """The plan's training with every loss and several prompts, and a long one with the first loss and one prompt."""
    short, long = (plan.epochs, plan.losses, plan.prompts), (plan.long, plan.losses[:1], 1)
    for epochs, losses, members in dict.fromkeys((short, long) if plan.long != plan.epochs else (short,)):
        watch = {0, 1, 2, 5, *range(0, epochs + 1, max(1, epochs // 10)), epochs}
        for variant in ("prompt", "classifier-text"):
            yield Case("epochs", variant, "flip-exact", losses, _ends(plan), epochs, plan.context,
                       setting=f"{epochs} epochs", members=members if variant == "prompt" else 1,
                       watch=tuple(sorted(at for at in watch if at <= epochs)))  # fmt: skip


def _unlabelled(plan: Plan, found: PromptSet) -> Iterator[Case]:
    for select in ("top", "random"):
        yield Case("unlabelled", "prompt", "pseudo-labels", plan.losses, (0.0,), plan.epochs, plan.context,
                   setting=select, select=select, members=plan.prompts)  # fmt: skip


def _ends(plan: Plan) -> tuple[float, ...]:
    return tuple(dict.fromkeys((0.0, max(plan.rates))))


_ASKED = {
    "noise": _noise,
    "losses": _losses,
    "gradients": _gradients,
    "context": _context,
    "names": _names,
    "epochs": _epochs,
    "unlabelled": _unlabelled,
}


def plan_of(job: Mapping[str, Any], *, sets: Sequence[PromptSet] | None = None) -> Plan:
    """The plan of a job, with every set read; `sets` that are at hand are not read again."""
    known = {each.name for each in fields(Plan)} - {"sets"}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in job.items() if name in known
    }
    try:
        return Plan(tuple(map(set_of, job["sets"])) if sets is None else tuple(sets), **given)
    except KeyError as error:
        raise InputError(f"a plan needs {error}; expected sets, each with name, train and test") from error


def set_of(described: Mapping[str, Any]) -> PromptSet:
    """One set, read: `train` and `test` as `candid audit` reads them, `given` columns of `train`."""
    if described.get("train") == SAMPLE:
        return _sample()
    train = data.read(described["train"], split=described.get("train_split"))
    test = data.read(described["test"], split=described.get("test_split"), classes=train.classes)
    ood = dict(map(_unknown, described.get("ood", ())))
    given = {}
    for column in described.get("given", ()):
        said = data.read(described["train"], labels=column, classes=train.classes).labels
        if said is None or len(said) != len(train):
            raise InputError(f"column {column} of {described['train']} does not label every image")
        given[column] = said
    template = described.get("template", "a photo of a {}.")
    less = {name: tuple(described[name]) for name in ("questions", "protocols") if name in described}
    return PromptSet(described["name"], train, test, ood, template, given, **less)


def _unknown(described: str | Mapping[str, str]) -> tuple[str, ImageSet]:
    """A set of unknown images by its path, or by path and split."""
    path = Path(described if isinstance(described, str) else described["path"])
    split = None if isinstance(described, str) else described.get("split")
    return f"{path.parent.name}/{path.stem}", data.read(path, split=split)


def _sample() -> PromptSet:
    """The embedded photos, every second one to learn from."""
    known = data.sample().known
    if known.labels is None:
        raise InputError("the embedded photos have lost their labels")
    halves = [data.subset(known, range(start, len(known), 2)) for start in (0, 1)]
    return PromptSet("groceries", halves[0], halves[1], dict(data.sample().ood))
