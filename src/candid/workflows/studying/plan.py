"""What a study asks of whom: the image sets with their roles, the prompts, the number of draws. No model, no number.

The questions are those of Tu, Deng, Campbell, Gould, Gedeon 2024, "An Empirical Study Into What Matters for Calibrating
Vision-Language Models" (arxiv.org/abs/2402.07417).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from candid import models
from candid.errors import InputError, nearest
from candid.files import digest
from candid.types import ImageEncoder, ImageSet

__all__ = ["PROMPTS", "Plan", "Role", "StudyModel", "StudySet"]

Role = Literal["source", "shift", "generated"]
PROMPTS: dict[str, tuple[str, ...]] = {
    "photo": models.PLAIN,
    "name": ("{}",),
    "seven": models.TEMPLATES,
}
FEWEST = 40  # rows of a set: half of them fits, half judges


@dataclass(frozen=True)
class StudySet:
    """Labelled images and what they are for.

    A "source" set is halved: one half fits, the other judges. A "shift" set shows the classes of the source set `of`
    under other conditions and judges what was fitted there. A "generated" set holds made or composed images of the
    classes of `of` and only fits. `levels` maps each class to its coarser names, finest first (a class hierarchy).

    Beside a source, models choose among the classes of the source, or with `own_classes` among those the set holds, as
    ImageNet-R and ObjectNet are usually scored.
    """

    name: str
    images: ImageSet
    role: Role = "source"
    of: str = ""
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own_classes: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names; `Plan` has checked that there are some."""
        return self.images.classes or ()

    def named(self, level: int) -> tuple[str, ...]:
        """For each class, its name at this level of the hierarchy; 0 is the class itself."""
        return tuple(name if level == 0 else self.levels[name][level - 1] for name in self.classes)

    @property
    def depth(self) -> int:
        """Levels above the classes."""
        return min((len(self.levels[name]) for name in self.classes), default=0) if self.levels else 0


@dataclass(frozen=True)
class StudyModel:
    """A model of the study: `name` in tables, `load` builds it when its turn comes.

    `source` says from where. `revision` tells its revision without building it, so that a finished model is asked again
    when its weights have changed; None where that cannot be told.
    """

    name: str
    load: Callable[[], ImageEncoder]
    source: str = ""
    revision: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Plan:
    """The sets, the prompts by name (the first is used wherever prompts are not the question), and the draws."""

    sets: tuple[StudySet, ...]
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(PROMPTS))
    draws: int = 20
    coverage: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        names = [found.name for found in self.sets]
        if twice := {name for name in names if names.count(name) > 1}:
            raise InputError(f"sets need different names, {sorted(twice)[0]!r} appears more than once")
        if not self.sources:
            raise InputError("a study needs at least one source set: labelled images that fit and judge")
        if not self.prompts or not all(self.prompts.values()):
            raise InputError("a study needs at least one prompt set with at least one template")
        if self.draws < 2:
            raise InputError(f"expected at least 2 draws, got {self.draws}; 20 are the study's own")
        for found in self.sets:
            self._check(found)

    @property
    def sources(self) -> tuple[StudySet, ...]:
        """Sets that fit and judge."""
        return tuple(found for found in self.sets if found.role == "source")

    @property
    def prompt(self) -> str:
        """Name of the prompt set used wherever prompts are not the question."""
        return next(iter(self.prompts))

    def home(self, found: StudySet) -> StudySet:
        """The source set that a set stands beside; a source set itself."""
        return next((each for each in self.sources if each.name == found.of), found)

    def beside(self, source: str, role: Role) -> tuple[StudySet, ...]:
        """Sets of this role that belong to a source set."""
        return tuple(found for found in self.sets if found.role == role and found.of == source)

    @property
    def key(self) -> str:
        """A hash of everything that decides a model's answers; another key is another study."""
        sets = [
            [found.name, found.role, found.of, found.own_classes, found.images.source, len(found.images), found.classes,
             {name: list(above) for name, above in found.levels.items()}]
            for found in self.sets
        ]  # fmt: skip
        asked = [sets, {name: list(each) for name, each in self.prompts.items()}, self.draws, self.coverage, self.seed]
        return digest(json.dumps(asked, sort_keys=True).encode(), length=16)

    def _check(self, found: StudySet) -> None:
        images = found.images
        if images.labels is None or images.classes is None:
            raise InputError(f"set {found.name} has no labels with class names; a study needs them")
        if len(images) < FEWEST:
            raise InputError(f"set {found.name} has {len(images)} images, a study needs at least {FEWEST} of each set")
        if found.role != "source":
            home = [each for each in self.sources if each.name == found.of]
            if not home:
                known = [each.name for each in self.sources]
                raise InputError(f"set {found.name} stands beside {found.of!r}, no source; {nearest(found.of, known)}")
            if other := [name for name in images.classes if name not in home[0].classes]:
                raise InputError(
                    f"set {found.name} has the class {other[0]!r}, which {found.of} has not; "
                    f"{nearest(other[0], home[0].classes)}"
                )
        missing = [name for name in images.classes if found.levels and name not in found.levels]
        if missing:
            raise InputError(f"the hierarchy of {found.name} lacks the class {missing[0]!r}; name its coarser classes")
