"""What one model sees of one set: views to train on, vectors to judge on, and the noisy labels of every draw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from candid import data, detect, metrics, models, noise, tune
from candid.arrays import softmax
from candid.errors import InputError
from candid.types import Features, Head, ImageSet
from candid.workflows.prompting.plan import Case, Plan, PromptSet, cases
from candid.workflows.view_banks import ViewBank

__all__ = ["Drawn", "Material"]

SCORES = {"msp": detect.msp, "energy": detect.energy}


class Drawn(NamedTuple):
    """Images of one draw with the labels they were given, which of these are wrong, and what is known of the choice."""

    rows: Int[np.ndarray, " m"]
    labels: Int[np.ndarray, " m"]
    wrong: Bool[np.ndarray, " m"]
    facts: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Material:
    """One model's side of a set; `views` makes the bank of the training images that some draw uses."""

    model: Any
    plan: Plan
    found: PromptSet
    train: Features
    test: Features
    ood: Mapping[str, Features]
    views: Callable[[ImageSet], ViewBank]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        if self.train.classes is None:
            raise InputError(f"the training images of {self.found.name} bring no class names")
        return self.train.classes

    @cached_property
    def zero_shot(self) -> Head:
        """The head of the hand prompt."""
        return models.zero_shot(self.model, self.classes, templates=[self.found.template])

    @property
    def truth(self) -> Int[np.ndarray, " n"]:
        """True labels of the training images."""
        if self.train.labels is None:
            raise InputError(f"the training images of {self.found.name} bring no labels")
        return self.train.labels

    @cached_property
    def bank(self) -> tuple[ViewBank, Int[np.ndarray, " n"]]:
        """Views of the training images that the plan draws, and each training image's place among them (-1: none).

        A pool may be large; few of its images are ever trained on.
        """
        used: set[int] = set()
        for case in cases(self.plan, self.found):
            for rate in case.rates:
                for number in range(self.plan.draws):
                    used |= set(self.draw(case, self.plan, rate, number).rows.tolist())
        rows = np.array(sorted(used))
        bank = self.views(data.subset(self.found.train, rows.tolist()))
        if len(bank) != len(rows):
            raise InputError(f"some training images of {self.found.name} cannot be read; leave them out of the set")
        places = np.full(len(self.train), -1)
        places[rows] = np.arange(len(rows))
        return bank, places

    def draw(self, case: Case, plan: Plan, rate: float, number: int) -> Drawn:
        """Images and labels of one draw."""
        k, seed = len(self.classes), plan.seed + number
        if case.select:
            return self._pseudo(case, plan, seed)
        if case.protocol.startswith("people: "):
            given = self.found.given[case.protocol.removeprefix("people: ")]
            rows = noise.few_shot(given, classes=k, shots=plan.shots, seed=seed)
            return _drawn(rows, given[rows], self.truth)
        if case.protocol == "ptnl":
            made = noise.inject(self.truth, classes=k, protocol="ptnl", rate=rate, seed=seed, shots=plan.shots)
            return _drawn(made.manifest.rows, made.labels, self.truth)
        rows = noise.few_shot(self.truth, classes=k, shots=plan.shots, seed=seed)
        probs = softmax(self.zero_shot(self.train.vectors[rows]))
        made = noise.inject(self.truth[rows], classes=k, protocol=case.protocol, rate=rate, seed=seed, probs=probs)
        return _drawn(rows, made.labels, self.truth)

    def _pseudo(self, case: Case, plan: Plan, seed: int) -> Drawn:
        select: Any = case.select
        found = tune.pseudo_label(self.zero_shot(self.train.vectors), per_class=plan.shots, select=select, seed=seed)
        seen = [float(np.mean(found.predicted[self.truth == c] == c)) for c in np.unique(self.truth)]
        facts = {
            "pseudo_label_accuracy": float(np.mean(self.truth[found.rows] == found.labels)),
            "pseudo_label_coverage": float(np.mean(seen)),
            "classes_without": float(len(self.classes) - len(np.unique(found.labels))),
        }
        return Drawn(found.rows, found.labels, self.truth[found.rows] != found.labels, facts)

    def judged(self, head: Head) -> dict[str, float]:
        """Accuracy, ECE and NLL on the test images, AUROC against the unknown ones (mean over their sets)."""
        logits, labels = head(self.test.vectors), self.test.labels
        if labels is None:
            raise InputError(f"the test images of {self.found.name} bring no labels")
        probs = softmax(logits)
        numbers = {
            "accuracy": float((logits.argmax(axis=1) == labels).mean()),
            "ece": float(metrics.ece(probs, labels)),
            "nll": float(metrics.nll(probs, labels)),
        }
        for name, score in SCORES.items() if self.ood else ():
            known = score(logits)
            values = [metrics.auroc(known, score(head(each.vectors))) for each in self.ood.values()]
            numbers[f"auroc_{name}"] = float(np.mean(values))
        return numbers


def _drawn(rows: Int[np.ndarray, " m"], given: Int[np.ndarray, " m"], truth: Int[np.ndarray, " n"]) -> Drawn:
    return Drawn(rows, given, given != truth[rows], {})
