"""The paper's findings held against what was measured, by stated rules.

Claims A1 to A5 and the sixth finding of Tu et al. 2024 (arxiv.org/abs/2402.07417). A rule compares a median over all
model-set pairs with a bound. Its 95 % interval resamples models, since the sets of one model are not independent; only
an interval that lies wholly on one side of the bound decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from candid.report.wording import with_interval
from candid.types import Estimate
from candid.workflows.claimed import Claim, Outcome, decided
from candid.workflows.studying.finding import Finding
from candid.workflows.studying.questions import FEW, OWN, SHIPPED

__all__ = ["CLAIMS", "KINDS", "Values", "claims", "median_over_models"]

FEW_MARGIN = 0.01  # of ECE: what few labels may cost against all of them
NEAR = 0.02  # of ECE: what "nearly as well" may cost
FEWEST_MODELS = 3  # of a kind, to speak of that kind
RESAMPLES = 1000
KINDS = ("vlm", "supervised")

CLAIMS: dict[str, str] = {
    "A1": "Out of the box a VLM's ECE is higher than a supervised network's; after one temperature it is lower.",
    "A2": f"About {FEW} labelled images find a good temperature; they need not cover all classes.",
    "A3": "A temperature found on another data set, even another label set, works nearly as well.",
    "A4": "It stays calibrated under covariate shift, where a supervised network does not.",
    "A5": "It carries over between prompts, and between levels of a class hierarchy.",
    "A6": "Generated, labelled images can stand in for real ones.",
}

Values = dict[str, list[float]]  # by model
Keep = Callable[[Finding], bool]


def claims(findings: Sequence[Finding], *, seed: int = 0) -> tuple[Claim, ...]:
    """Every claim with its outcome on these findings."""
    table = _Table(findings, seed)
    rules: dict[str, Callable[[], list[_Condition]]] = {
        "A1": table.raw_and_after,
        "A2": table.few_labels,
        "A3": table.elsewhere,
        "A4": table.shifted,
        "A5": table.prompts_and_levels,
        "A6": table.generated,
    }
    return tuple(decided(number, CLAIMS[number], rule()) for number, rule in rules.items())


@dataclass(frozen=True)
class _Condition:
    """`words`: `found` must lie below `bound`. No `found`: the data do not hold what it takes, `words` says what."""

    words: str
    found: Estimate | None
    bound: float = 0.0

    @property
    def outcome(self) -> Outcome:
        if self.found is None:
            return "cannot be tested here"
        if self.found.high <= self.bound:
            return "holds"
        return "does not hold" if self.found.low > self.bound else "not settled"

    def __str__(self) -> str:
        if self.found is None:
            return self.words
        shown = with_interval(self.found.value, self.found.low, self.found.high)
        return f"{self.words}: median {shown}, bound {self.bound:g}, n = {self.found.n}"


@dataclass(frozen=True)
class _Table:
    findings: Sequence[Finding]
    seed: int

    def raw_and_after(self) -> list[_Condition]:
        own = self._of("T1", "ece", lambda found: found.method == OWN)
        still = {each.used_on for each in own if each.used_on == each.fitted_on}
        return [
            self._between("supervised ECE minus VLM ECE as shipped", SHIPPED, still, sign=-1),
            self._between("VLM ECE minus supervised ECE after one temperature", OWN, still, sign=1),
        ]

    def few_labels(self) -> list[_Condition]:
        most: dict[tuple[str, str], Finding] = {}
        few: dict[tuple[str, str], Finding] = {}
        for each in self._of("F2", "ece", lambda found: found.kind == "vlm"):
            pair = (each.model, each.used_on)
            if each.n_fit == FEW:
                few[pair] = each
            if pair not in most or each.n_fit > most[pair].n_fit:
                most[pair] = each
        gaps = _by_model({pair: few[pair].value - most[pair].value for pair in few if most[pair].n_fit > FEW})
        return [self._median(f"ECE with {FEW} labels minus ECE with all", gaps, FEW_MARGIN)]

    def elsewhere(self) -> list[_Condition]:
        sources = {each.fitted_on for each in self._of("T2", "ece", lambda _: True)}
        gaps = self._values(
            "T2",
            "ece_gap",
            lambda found: found.kind == "vlm" and found.used_on in sources and found.used_on != found.fitted_on,
        )
        return [self._median("ECE with another set's temperature minus ECE with the own", gaps, NEAR)]

    def shifted(self) -> list[_Condition]:
        own = self._of("T1", "ece", lambda found: found.method == OWN)
        moved = {each.used_on for each in own if each.used_on != each.fitted_on}
        after = self._pairs("T1", "ece", lambda found: found.used_on in moved and found.method == OWN)
        raw = self._pairs("T1", "ece", lambda found: found.used_on in moved and found.method == SHIPPED)
        kinds = {each.model: each.kind for each in self.findings}
        change = _by_model({p: after[p] - raw[p] for p in after if p in raw and kinds[p[0]] == "vlm"})
        return [
            self._median("VLM ECE under shift with the unshifted temperature minus as shipped", change, 0.0),
            self._between("VLM ECE minus supervised ECE under shift, both after one temperature", OWN, moved, sign=1),
        ]

    def prompts_and_levels(self) -> list[_Condition]:
        return [
            self._median("ECE with another prompt's temperature minus the own", self._crossed("T4"), NEAR),
            self._median("ECE with another level's temperature minus the own", self._crossed("T3"), NEAR),
        ]

    def generated(self) -> list[_Condition]:
        own = self._pairs("T5", "ece", lambda found: found.method == "own labels" and found.kind == "vlm")
        made = self._pairs("T5", "ece", lambda found: found.method.startswith("generated"))
        gaps = _by_model({pair: made[pair] - own[pair] for pair in made if pair in own})
        return [self._median("ECE with labels of generated images minus with own labels", gaps, NEAR)]

    def _crossed(self, question: str) -> Values:
        """For methods "p -> q": ECE with p's temperature minus ECE with q's own, where p is not q."""
        cells: dict[tuple[str, str, str, str], float] = {}
        for each in self._of(question, "ece", lambda found: found.kind == "vlm" and " -> " in found.method):
            p, q = each.method.split(" -> ")
            cells[each.model, each.used_on, p, q] = each.value
        gaps: Values = {}
        for (model, used_on, p, q), value in cells.items():
            if p not in (q, "none") and (model, used_on, q, q) in cells:
                gaps.setdefault(model, []).append(value - cells[model, used_on, q, q])
        return gaps

    def _between(self, words: str, state: str, sets: set[str], *, sign: int) -> _Condition:
        """Median of the VLMs minus median of the supervised networks (times `sign`), below 0, over sets both judged."""
        found = self._of("T1", "ece", lambda each: each.method == state and each.used_on in sets)
        shared = set.intersection(*({each.used_on for each in found if each.kind == kind} for kind in KINDS))
        values: dict[str, Values] = {kind: {} for kind in KINDS}
        for each in found:
            if each.used_on in shared:
                values[each.kind].setdefault(each.model, []).append(each.value)
        if any(len(models) < FEWEST_MODELS for models in values.values()):
            counts = f"{len(values['vlm'])} vision-language and {len(values['supervised'])} supervised"
            return _Condition(f"it takes {FEWEST_MODELS} models of each kind on shared sets, there are {counts}", None)
        first, second = (medians(values[kind], self.seed, salt) for salt, kind in enumerate(KINDS))
        drawn = sign * (first - second)
        n = sum(len(each) for models in values.values() for each in models.values())
        return _Condition(words, interval(float(drawn[0]), drawn[1:], n))

    def _median(self, words: str, found: Values, bound: float) -> _Condition:
        if len(found) < FEWEST_MODELS:
            return _Condition(f"{words}: it takes {FEWEST_MODELS} VLMs, {len(found)} could be asked", None)
        return _Condition(words, median_over_models(found, seed=self.seed), bound)

    def _of(self, question: str, metric: str, keep: Keep) -> list[Finding]:
        return [each for each in self.findings if each.question == question and each.metric == metric and keep(each)]

    def _values(self, question: str, metric: str, keep: Keep) -> Values:
        found: Values = {}
        for each in self._of(question, metric, keep):
            found.setdefault(each.model, []).append(each.value)
        return found

    def _pairs(self, question: str, metric: str, keep: Keep) -> dict[tuple[str, str], float]:
        return {(each.model, each.used_on): each.value for each in self._of(question, metric, keep)}


def _by_model(pairs: dict[tuple[str, str], float]) -> Values:
    found: Values = {}
    for (model, _), value in pairs.items():
        found.setdefault(model, []).append(value)
    return found


def medians(found: Values, seed: int, salt: int = 0) -> np.ndarray:
    """The median over all values, then over the values of resampled models; another `salt`, independent draws."""
    rng, models = np.random.default_rng([seed, salt]), [np.array(found[name]) for name in sorted(found)]
    draws = [np.median(np.concatenate(models))]
    for _ in range(RESAMPLES):
        draws.append(np.median(np.concatenate([models[i] for i in rng.integers(len(models), size=len(models))])))
    return np.array(draws)


def median_over_models(found: Values, *, seed: int) -> Estimate:
    """The median over all values of all models, with its interval over resampled models."""
    drawn = medians(found, seed)
    return interval(float(drawn[0]), drawn[1:], sum(map(len, found.values())))


def interval(value: float, draws: np.ndarray, n: int) -> Estimate:
    """The value with the central 95 % of its draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, min(float(low), value), max(float(high), value), n)
