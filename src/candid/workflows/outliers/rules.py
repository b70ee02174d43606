"""The claims of the energy paper (E1 to E3), by rules with fixed bounds: docs/studies/energy_ood.md."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log10

from candid.types import Estimate
from candid.workflows.claimed import Claim, Condition, decided, interval
from candid.workflows.outliers.plan import PLAIN
from candid.workflows.outliers.record import OutlierRecord

__all__ = ["FPR", "claims", "gap", "of", "over_sets"]

Records = Sequence[OutlierRecord]
FPR = "fpr_known_positive_first"
DIGITS = 9.0  # to which a float64 identity must hold
TINY = 1e-17
LITTLE = 0.01  # accuracy, as a share of images
TEXTS = {
    "E1": "log max-softmax is energy plus highest logit; the parts pull apart, so the softmax score is a biased one.",
    "E2": "Energy separates unknown images better than the softmax score on the same network.",
    "E3": "Energy-bounded fine-tuning improves it further, at little cost in accuracy.",
    "E3b": "What it improves is owed to the outliers, not to training on.",
}


def claims(records: Records) -> tuple[Claim, ...]:
    """Every claim with its outcome; each number is a mean over models and unknown sets."""
    return tuple(decided(number, text, list(_RULES[number](records))) for number, text in TEXTS.items())


def of(records: Records, question: str, state: str, detector: str, metric: str) -> dict[tuple[str, str, str], float]:
    """One number by model, known set and unknown set."""
    return {
        (each.model, each.known, each.set): each.numbers[metric]
        for each in records
        if (each.question, each.state, each.detector) == (question, state, detector) and metric in each.numbers
    }


def over_sets(values: Mapping[tuple[str, str, str], float]) -> Estimate | None:
    """Mean over models and sets; the 95 % t interval takes the pairs as independent."""
    return interval(list(values.values()))


def gap(first: Mapping[tuple[str, str, str], float], second: Mapping[tuple[str, str, str], float]) -> Estimate | None:
    """Mean of first - second over the pairs that both have."""
    return interval([first[pair] - second[pair] for pair in first if pair in second])


def _identity(records: Records) -> Iterable[Condition]:
    error = of(records, "identity", PLAIN, "msp", "error")
    digits = [-log10(max(each, TINY)) for each in error.values()]
    yield Condition(f"decimal digits to which the identity holds, against {DIGITS:g}", interval(digits), DIGITS)
    energy, top, both = (of(records, "identity", PLAIN, "msp", f"auroc_{part}") for part in ("energy", "top", "sum"))
    yield Condition("AUROC of the energy alone minus that of their sum", gap(energy, both))
    yield Condition("AUROC of the highest logit alone minus that of their sum", gap(top, both))


def _energy(records: Records) -> Iterable[Condition]:
    yield Condition("FPR95 (known positive) of msp minus energy", _better(records, PLAIN, "msp", PLAIN, "energy"))
    auroc = [of(records, "detectors", PLAIN, name, "auroc") for name in ("energy", "msp")]
    yield Condition("AUROC of energy minus msp", gap(*auroc))


def _bounded(records: Records) -> Iterable[Condition]:
    yield Condition("FPR95 (known positive) of the energy before minus after energy-bounded fine-tuning",
                    _better(records, PLAIN, "energy", "energy", "energy"))  # fmt: skip
    accuracy = [of(records, "detectors", state, "", "accuracy") for state in ("energy", PLAIN)]
    yield Condition(f"accuracy after minus before, against -{LITTLE}", gap(*accuracy), -LITTLE)


def _owed(records: Records) -> Iterable[Condition]:
    yield Condition("FPR95 (known positive) of the energy after training on without outliers minus energy-bounded",
                    _better(records, "ce", "energy", "energy", "energy"))  # fmt: skip


def _better(records: Records, worse: str, first: str, better: str, second: str) -> Estimate | None:
    return gap(of(records, "detectors", worse, first, FPR), of(records, "detectors", better, second, FPR))


_RULES: Mapping[str, Callable[[Records], Iterable[Condition]]] = {
    "E1": _identity,
    "E2": _energy,
    "E3": _bounded,
    "E3b": _owed,
}
