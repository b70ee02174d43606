"""One model on the sets of a plan: features once, heads per prompt and level, and from them logits with labels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Int

from candid import models
from candid.arrays import check_logits
from candid.errors import InputError
from candid.types import Classifier, Encoder, Features, Head, ImageEncoder, Labels, Logits
from candid.workflows.auditing.calibration import Fitted, fit_temperature
from candid.workflows.auditing.split import stratified_order
from candid.workflows.studying.plan import Plan, StudySet

__all__ = ["Answers", "Cell"]

KEPT = 1 << 30  # bytes of logits held at a time
Encode = Callable[[ImageEncoder, StudySet], Features]


@dataclass(frozen=True)
class Cell:
    """A model's logits on the rows of one set, with labels; one half of the rows fits, the other judges."""

    logits: Logits
    labels: Labels
    seed: int

    @cached_property
    def _order(self) -> Int[np.ndarray, " n"]:
        return stratified_order(len(self.labels), self.labels, seed=self.seed)

    @property
    def fits(self) -> Int[np.ndarray, " m"]:
        """Rows that may fit, in random order: a prefix is a smaller stratified sample."""
        return self._order[: len(self.labels) // 2]

    @property
    def judges(self) -> Int[np.ndarray, " m"]:
        """Rows that judge and have fitted nothing."""
        return self._order[len(self.labels) // 2 :]

    def fitting(self) -> tuple[Logits, Labels]:
        """Logits and labels of the fitting half."""
        return self.logits[self.fits], self.labels[self.fits]

    def judging(self) -> tuple[Logits, Labels]:
        """Logits and labels of the judging half."""
        return self.logits[self.judges], self.labels[self.judges]


@dataclass
class Answers:
    """One model's answers to a plan; features are made, or found in the cache, when a question first needs them."""

    model: ImageEncoder
    plan: Plan
    encode: Encode
    _features: dict[str, Features] = field(default_factory=dict)
    _heads: dict[tuple[tuple[str, ...], str], Head] = field(default_factory=dict)
    _cells: dict[tuple[str, str, int], Cell] = field(default_factory=dict)
    _fitted: dict[tuple[str, str, int], Fitted] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """ "vlm" where class names can be asked for in words, "supervised" where the classes were trained."""
        return "vlm" if isinstance(self.model, Encoder) else "supervised"

    def features(self, found: StudySet) -> Features:
        """Vectors of the set's readable images, with their labels."""
        if found.name not in self._features:
            self._features[found.name] = self.encode(self.model, found)
        return self._features[found.name]

    @cached_property
    def refusals(self) -> dict[str, str]:
        """Why this model cannot be asked about a set, by the set's name; empty where it can."""
        return {found.name: self._refusal(found) for found in self.plan.sets}

    @property
    def sets(self) -> list[StudySet]:
        """The plan's sets that this model can be asked about."""
        return [found for found in self.plan.sets if not self.refusals[found.name]]

    def cell(self, found: StudySet, *, prompt: str = "", level: int = 0) -> Cell:
        """Logits over the classes of the set, or of the source it stands beside, at a level of the hierarchy."""
        prompt = prompt or self.plan.prompt
        key = (found.name, prompt, level)
        if key not in self._cells:
            names = self._names(found, level)
            features = self.features(found)
            if features.labels is None:
                raise InputError(f"set {found.name} lost its labels")
            place = {name: index for index, name in enumerate(names)}
            own = np.array([place[name] for name in found.named(level)])
            logits = check_logits(self._head(names, prompt)(features.vectors), name=f"logits of {found.name}")
            self._keep(key, Cell(logits, own[features.labels], self.plan.seed))
        return self._cells[key]

    def _keep(self, key: tuple[str, str, int], cell: Cell) -> None:
        """Remember the cell; the oldest ones are forgotten, and made again from features when asked for again."""
        while self._cells and sum(each.logits.nbytes for each in self._cells.values()) + cell.logits.nbytes > KEPT:
            del self._cells[next(iter(self._cells))]
        self._cells[key] = cell

    def temperature(self, found: StudySet, *, prompt: str = "", level: int = 0) -> Fitted:
        """The temperature of the fitting half, or why it has none; of all rows where the set only fits."""
        key = (found.name, prompt or self.plan.prompt, level)
        if key not in self._fitted:
            cell = self.cell(found, prompt=prompt, level=level)
            rows = (cell.logits, cell.labels) if found.role == "generated" else cell.fitting()
            self._fitted[key] = fit_temperature(*rows)
        return self._fitted[key]

    def _refusal(self, found: StudySet) -> str:
        try:
            self._head(self._names(found, 0), self.plan.prompt)
        except InputError as error:
            return str(error)
        return ""

    def _names(self, found: StudySet, level: int) -> tuple[str, ...]:
        """The classes to choose from, each once: the set's own, or those of the source it stands beside."""
        home = found if found.own_classes else self.plan.home(found)
        return tuple(dict.fromkeys(home.named(level)))

    def _head(self, names: tuple[str, ...], prompt: str) -> Head:
        if (names, prompt) not in self._heads:
            self._heads[names, prompt] = self._made(names, prompt)
        return self._heads[names, prompt]

    def _made(self, names: tuple[str, ...], prompt: str) -> Head:
        if isinstance(self.model, Encoder):
            return models.zero_shot(self.model, names, templates=self.plan.prompts[prompt])
        if isinstance(self.model, Classifier):
            return models.restrict(self.model.head, names)
        raise InputError(f"{self.model.id} neither reads texts nor has classes of its own")
