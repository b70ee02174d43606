"""What one model sees of one set: views of the images that judge, and centre crops of those that fit a temperature."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from candid import tune
from candid.errors import InputError
from candid.types import Features, Labels
from candid.workflows.episodic.plan import ENSEMBLE, TEMPLATE, TuningPlan, TuningSet
from candid.workflows.views_for_tuning import TuningViews

__all__ = ["Material", "split"]

LENGTH = 4  # tokens of a random or tuned context, as many as "a photo of a" has


@dataclass(frozen=True, eq=False)
class Material:
    """One model's side of a set. `rest` are images that judge nothing; `tuned` makes the context tuned beforehand."""

    model: Any
    plan: TuningPlan
    found: TuningSet
    views: TuningViews
    rest: Features | None
    tuned: Callable[[], Float[np.ndarray, "m w"]] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        if self.found.images.classes is None:
            raise InputError(f"set {self.found.name} brings no class names")
        return self.found.images.classes

    @property
    def labels(self) -> Labels:
        """Labels of the images that judge."""
        if self.views.centre.labels is None:
            raise InputError(f"set {self.found.name} brings no labels")
        return self.views.centre.labels

    @property
    def centre(self) -> Float[np.ndarray, "n d"]:
        """Centre crops of the images that judge."""
        return self.views.centre.vectors

    @cached_property
    def start(self) -> tune.Episodes:
        """The start of the papers."""
        return self.written(TEMPLATE)

    def written(self, template: str) -> tune.Episodes:
        """A start at the words of a template."""
        return tune.starting_points(self.model, self.classes, template=template)[0]

    def starts(self) -> Iterator[tuple[str, int, list[tune.Episodes]]]:
        """Every start by name, its draw, and the starts whose logits are averaged."""
        yield TEMPLATE, 0, [self.start]
        if self.found.template != TEMPLATE:
            yield f"own: {self.found.template}", 0, [self.written(self.found.template)]
        for draw in range(self.plan.random):
            context = tune.random_context(self.model, length=LENGTH, seed=self.plan.seed + draw)
            yield "random", draw, tune.starting_points(self.model, self.classes, context=context)
        if self.tuned is not None and self.plan.source is not None:
            away = self.plan.source.name != self.found.name
            yield (
                "tuned on another set" if away else "tuned on the same set",
                0,
                tune.starting_points(self.model, self.classes, context=self.tuned()),
            )
        yield "four prompts averaged", 0, tune.starting_points(self.model, self.classes, template=ENSEMBLE)

    def parts(self, images: int | None = None) -> Iterator[Float[np.ndarray, "n v d"]]:
        """Views of the images that judge, or of the first of them, a few at a time."""
        left = len(self.views) if images is None else min(images, len(self.views))
        for part in self.views.parts():
            if left > 0:
                yield part[:left]
            left -= len(part)


def split(count: int, images: int | None, seed: int) -> tuple[list[int], list[int]]:
    """Rows that judge, drawn at random and put in order, and the other rows.

    >>> judged, rest = split(5, 3, 0)
    >>> len(judged), sorted(judged + rest)
    (3, [0, 1, 2, 3, 4])
    """
    order = np.random.default_rng(seed).permutation(count)
    cut = count if images is None else min(images, count)
    return np.sort(order[:cut]).tolist(), np.sort(order[cut:]).tolist()
