"""Tuning the prompt to each image at test time, as an audit judges it and a predictor keeps it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from candid import data, tune
from candid.arrays import softmax
from candid.calibrate import ConformalSet
from candid.errors import InputError, nearest
from candid.types import Estimate, ImageSet, Logits, Probs
from candid.workflows.views_for_tuning import TuningViews, tuned_logits, tuning_views

__all__ = ["TuningAtTestTime", "check_method", "seconds_an_image"]

TIMED = 4  # images that are tuned to tell what one costs


@dataclass(frozen=True)
class TuningAtTestTime:
    """How every image tunes the prompt, the temperature and sets fitted to what comes out, and what an image costs.

    `seconds` is what one image took where this was fitted, on `device`: its views, their vectors, and the prompt.
    """

    method: str
    template: str
    views: int
    augmix: bool
    seed: int
    seconds: float
    device: str
    temperature: Estimate | None = None
    sets: ConformalSet | None = field(default=None, compare=False)

    def see(self, model: Any, images: ImageSet, **how: Any) -> TuningViews:
        """The views that this method looks at."""
        return tuning_views(model, images, views=self.views, augmix=self.augmix, seed=self.seed, **how)

    def logits(
        self, model: Any, views: TuningViews, classes: Sequence[str],
        progress: Callable[[int, int], None] | None = None,
    ) -> Float[np.ndarray, "n k"]:  # fmt: skip
        """Logits after tuning, image by image."""
        return tuned_logits(model, views, classes, method=self.method, template=self.template, progress=progress)

    def probs(self, logits: Logits) -> Probs:
        """Calibrated probabilities, where a temperature could be fitted."""
        return softmax(logits, temperature=1.0 if self.temperature is None else self.temperature.value)

    def plain(self) -> dict[str, Any]:
        """What JSON can hold of it; the sets are kept apart."""
        kept = asdict(self)
        kept.pop("sets")
        return kept

    @classmethod
    def of(cls, stored: Mapping[str, Any], sets: ConformalSet | None) -> "TuningAtTestTime":
        """The one that `plain` described."""
        temperature = stored["temperature"]
        return cls(**{**stored, "temperature": None if temperature is None else Estimate(**temperature)}, sets=sets)


def check_method(method: str) -> str:
    """The method, refused where there is none of this name that tunes."""
    known = [name for name in tune.TEST_TIME if name != "zero-shot"]
    if method not in known:
        raise InputError(f"no test-time method {method!r}; {nearest(method, known)}")
    return method


def seconds_an_image(model: Any, images: ImageSet, classes: Sequence[str], tuning: TuningAtTestTime) -> float:
    """Wall time of one image from its bytes to its logits, over a few of them, after one that warms up."""
    few = data.subset(images, range(min(TIMED, len(images))))
    tuner = tune.TestTimeTuner(model, classes, method=tuning.method, template=tuning.template)
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        for part in tuning.see(model, few, cache=False).parts():
            tuner(part)
        taken.append((time.perf_counter() - started) / len(few))
    return taken[-1]
