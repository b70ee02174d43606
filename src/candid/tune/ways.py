"""Many ways of tuning on the same images: what each predicts, and how much of each step the regulariser decides.

The slope of an image's entropy at a start is the same for every method and coefficient, so it is computed once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from candid.errors import InputError
from candid.tune.at_test_time import Outcome, Way, outcomes
from candid.tune.dispersion import atfd
from candid.tune.episodes import Episodes, Seen

__all__ = ["Compared", "compare_ways", "step_shares"]

Tensor = torch.Tensor


@dataclass(frozen=True, eq=False)
class Compared:
    """Logits (n, k) of the centre crops, and by name one number an image.

    "atfd" is the dispersion of the class rows after tuning (of the first start). Where images and a regulariser both
    have a say, "decided" is the share of the context's coordinates on which the regulariser's pull is the larger, so
    that no image could turn the sign of the step, and "same_sign" the share on which the step has the pull's sign.
    """

    logits: Float[np.ndarray, "n k"]
    numbers: Mapping[str, Float[np.ndarray, " n"]]

    def means(self) -> dict[str, float]:
        """The mean over images of every number."""
        return {name: float(values.mean()) for name, values in self.numbers.items()}


def compare_ways(
    starts: Sequence[Episodes],
    parts: Iterable[Float[np.ndarray, "n v d"]],
    ways: Mapping[str, Way],
    *,
    select: float = 0.1,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Compared]:
    """What every way makes of the images, which come a few at a time; logits of several starts are averaged.

    `progress` is called with the number of images done.

    >>> from candid import models, tune
    >>> tiny = models.load("tiny")
    >>> starts = tune.starting_points(tiny, ["cat", "dog"])
    >>> views = np.eye(10, tiny.dim, dtype=np.float32)[None]
    >>> found = compare_ways(starts, [views], {"c-tpt": tune.TEST_TIME["c-tpt"]})["c-tpt"]
    >>> found.logits.shape, sorted(found.numbers)
    ((1, 2), ['atfd', 'decided', 'same_sign'])
    """
    logits: dict[str, list[Tensor]] = {label: [] for label in ways}
    numbers: dict[str, dict[str, list[Tensor]]] = {label: {} for label in ways}
    done = 0
    for part in parts:
        seen = [start.see(start.own(part), select) for start in starts]
        for label, way in ways.items():
            every = [list(outcomes(start, each, way, select=select)) for start, each in zip(starts, seen, strict=True)]
            mean = torch.stack([torch.cat([one.logits for one in found]) for found in every]).mean(dim=0)
            logits[label].append(mean.cpu())  # an accelerator's memory is for what is computed next
            for name, values in _look(starts[0], seen[0], way, every[0]).items():
                numbers[label].setdefault(name, []).append(values.cpu())
        done += len(part)
        if progress is not None:
            progress(done)
    if not done:
        raise InputError("expected at least one image to compare ways of tuning on, got none")
    return {
        label: Compared(_array(logits[label]), {name: _array(found) for name, found in numbers[label].items()})
        for label in ways
    }


def step_shares(gradients: Float[Tensor, "n m w"], pull: Float[Tensor, "m w"]) -> tuple[Tensor, Tensor]:
    """Shares of coordinates that the pull decides, and on which the step has its sign, one of each an image.

    >>> decided, same = step_shares(torch.tensor([[[3.0, -3.0, 0.5, -0.5]]]), torch.ones(1, 4))
    >>> float(decided), float(same)
    (0.5, 0.75)
    """
    decided = (pull.abs() > gradients.abs()).double().mean(dim=(1, 2))
    same = ((gradients + pull).sign() == pull.sign()).double().mean(dim=(1, 2))
    return decided, same


def _look(start: Episodes, seen: Seen, way: Way, found: Sequence[Outcome]) -> dict[str, Tensor]:
    rows = [each for outcome in found for each in outcome.rows.reshape(-1, *outcome.rows.shape[-2:])]
    spread = torch.stack([atfd(each) for each in rows])
    numbers = {"atfd": spread.expand(len(seen.views)) if len(spread) == 1 else spread}
    if way.entropy and way.regulariser is not None:
        pull = way.coefficient * start.dispersion_gradient(way.regulariser)
        numbers["decided"], numbers["same_sign"] = step_shares(seen.gradients, pull)
    return numbers


def _array(parts: Sequence[Tensor]) -> np.ndarray:
    found: np.ndarray = torch.cat(list(parts)).numpy()
    return found
