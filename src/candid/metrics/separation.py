"""Every number by which the field says how well scores separate, named by its direction, each with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtri

from candid.errors import InputError
from candid.metrics.intervals import clopper_pearson
from candid.metrics.ranked import Interpolation, Known, Ranked, Unknown, area, cut
from candid.types import Estimate

__all__ = ["Separation", "Separations", "separation", "separations"]

RESAMPLES = 200
CELLS = 4096  # distinct scores that a resample tells apart; more are joined to cells of equal mass
DRAWN = 1 << 22  # row numbers drawn at a time

Draws = Float[np.ndarray, "b levels"]


@dataclass(frozen=True)
class Separation:
    """AUROC, AUPR and FPR at a TPR, which class is positive in the name; `n` of an estimate counts both sides.

    `*_first` takes the strictest threshold that reaches the rate, `*_nearest` the recall nearest to it (the energy
    paper). AUPR depends on the mix of known and unknown; `*_even` is what it would be at one to one. `tied` counts
    inputs that share their score with another.
    """

    auroc: Estimate
    aupr_known_positive: Estimate
    aupr_unknown_positive: Estimate
    aupr_known_positive_trapezoid: Estimate
    aupr_unknown_positive_trapezoid: Estimate
    aupr_known_positive_even: Estimate
    aupr_unknown_positive_even: Estimate
    fpr_known_positive_first: Estimate
    fpr_unknown_positive_first: Estimate
    fpr_known_positive_nearest: Estimate
    fpr_unknown_positive_nearest: Estimate
    n_known: int
    n_unknown: int
    tied: int
    tpr: float = 0.95

    def estimates(self) -> dict[str, Estimate]:
        """The numbers by name."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Estimate)}


@dataclass(frozen=True)
class Separations:
    """One `Separation` a set of unknown inputs, and means over the sets of each kind ("near", "far") and over all."""

    sets: Mapping[str, Separation]
    means: Mapping[str, Mapping[str, Estimate]]


def separation(
    known: Known | Ranked, unknown: Unknown | None = None, *, tpr: float = 0.95, level: float = 0.95, seed: int = 0
) -> Separation:
    """All numbers of two samples of scores (higher = further from known), from one sort.

    Intervals: of AUROC by DeLong et al. 1988 (https://doi.org/10.2307/2531595) on the logit scale; of the others by
    200 resamples of each side, which beyond 4,096 distinct scores are of cells of equal mass; that of a rate is never
    narrower than the exact one at a fixed threshold, and an area that no resample changes gets that of a share. A
    `Ranked` may stand for both samples.

    >>> found = separation(np.arange(20.0), np.array([17.5, 18.5, 30.0, 40.0]))
    >>> found.fpr_known_positive_first.value, found.fpr_unknown_positive_first.value, found.auroc.value
    (0.25, 0.1, 0.9625)
    """
    if isinstance(known, Ranked):
        ranked = known
    elif unknown is None:
        raise InputError("expected scores of unknown inputs beside the known ones, got none")
    else:
        ranked = Ranked.of(known, unknown)
    values = _values(ranked, tpr)
    cells = _cells(ranked)
    centre, draws = _drawn(cells, tpr, seed)
    total = ranked.n_known + ranked.n_unknown
    found = {"auroc": Estimate(values["auroc"], *delong(ranked, level), total, level)}
    for name, value in values.items():
        if name != "auroc":
            shift = _shift(name, centre, draws, value)
            low, high = (float(np.quantile(draws[name], (1 + sign * level) / 2)) - shift for sign in (-1, 1))
            sides = (ranked.n_known, ranked.n_unknown)
            positives, negatives = sides if "_known_positive" in name else sides[::-1]
            if name.startswith("fpr"):
                exact = clopper_pearson(np.array([round(value * negatives)], float), np.array([negatives]), level)
                low, high = min(low, float(exact[0][0])), max(high, float(exact[1][0]))
            elif low == high:  # no resample differs: as sure as so many inputs of the positive class can make one
                exact = clopper_pearson(np.array([value * positives]), np.array([positives]), level)
                low, high = float(exact[0][0]), float(exact[1][0])
            found[name] = Estimate(value, max(0.0, min(low, value)), min(1.0, max(high, value)), total, level)
    return Separation(**found, n_known=ranked.n_known, n_unknown=ranked.n_unknown, tied=ranked.tied, tpr=tpr)


def separations(
    known: Known, unknown: Mapping[str, Unknown], *, kinds: Mapping[str, str] | None = None, tpr: float = 0.95,
    level: float = 0.95, seed: int = 0,
) -> Separations:  # fmt: skip
    """One set of known scores against several sets of unknown ones, and the means over sets.

    `kinds` names each set's kind, "near" or "far" or any other; a mean is over the sets of one kind, "all" over all.
    Its interval treats the sets as given and their numbers as independent; they share the known scores, so the means'
    intervals are of the images, not of what other sets would give.

    >>> known = np.arange(20.0)
    >>> table = separations(known, {"a": known + 9, "b": known + 30}, kinds={"a": "near", "b": "far"})
    >>> [round(table.means[kind]["auroc"].value, 3) for kind in ("near", "far", "all")]
    [0.849, 1.0, 0.924]
    """
    if not unknown:
        raise InputError("expected at least one set of unknown scores, got none")
    kinds = kinds or {}
    sets = {name: separation(known, scores, tpr=tpr, level=level, seed=seed) for name, scores in unknown.items()}
    groups = {kind: [name for name in sets if kinds.get(name) == kind] for kind in dict.fromkeys(kinds.values())}
    groups["all"] = list(sets)
    means = {kind: _means([sets[name] for name in names], level) for kind, names in groups.items() if names}
    return Separations(sets, means)


def delong(ranked: Ranked, level: float) -> tuple[float, float]:
    """Interval of the AUROC; where it is 0 or 1, the exact one of as many pairs as the smaller side has inputs."""
    n, m = ranked.n_known, ranked.n_unknown
    at_known, at_unknown = np.diff(ranked.known, prepend=0), np.diff(ranked.unknown, prepend=0)
    share = ranked.auroc()
    if share in (0.0, 1.0) or min(n, m) < 2:
        pairs = min(n, m)
        low, high = clopper_pearson(np.array([share * pairs]), np.array([pairs]), level)
        return float(low[0]), float(high[0])
    above = 1 - (ranked.unknown - at_unknown / 2) / m  # of unknown, for each known
    below = (ranked.known - at_known / 2) / n
    spread = at_known @ (above - share) ** 2 / ((n - 1) * n) + at_unknown @ (below - share) ** 2 / ((m - 1) * m)
    half = float(ndtri((1 + level) / 2)) * spread**0.5 / (share * (1 - share))
    centre = np.log(share / (1 - share))
    return float(1 / (1 + np.exp(half - centre))), float(1 / (1 + np.exp(-half - centre)))


def _values(ranked: Ranked, tpr: float) -> dict[str, float]:
    counts = (ranked.known[None], ranked.unknown[None])
    found = {name: float(value[0]) for name, value in _numbers(*counts, tpr).items()}
    return {"auroc": ranked.auroc()} | found


def _cells(ranked: Ranked) -> tuple[Int[np.ndarray, " levels"], Int[np.ndarray, " levels"]]:
    """Counts at or below each distinct score, of at most `CELLS` of them."""
    if len(ranked.values) <= CELLS:
        return ranked.known, ranked.unknown
    mass = ranked.known / ranked.n_known + ranked.unknown / ranked.n_unknown
    kept = np.unique(np.append(np.searchsorted(mass, np.linspace(0, 2, CELLS, endpoint=False)[1:]), len(mass) - 1))
    return ranked.known[kept], ranked.unknown[kept]


def _drawn(
    cells: tuple[np.ndarray, np.ndarray], tpr: float, seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    known, unknown = (_resampled(rng, side) for side in cells)
    centre = {name: float(value[0]) for name, value in _numbers(cells[0][None], cells[1][None], tpr).items()}
    return centre, _numbers(known, unknown, tpr)


def _resampled(rng: np.random.Generator, upto: Int[np.ndarray, " levels"]) -> Int[np.ndarray, "b levels"]:
    """Resamples of one side as counts at or below each cell."""
    n, at = int(upto[-1]), np.diff(upto, prepend=0)
    if n * RESAMPLES > DRAWN:
        return np.cumsum(rng.multinomial(n, at / n, size=RESAMPLES), axis=1)
    cell = np.repeat(np.arange(len(upto)), at)
    places = cell[rng.integers(0, n, (RESAMPLES, n))] + len(upto) * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(places.ravel(), minlength=RESAMPLES * len(upto)).reshape(RESAMPLES, len(upto))
    return np.cumsum(counts, axis=1)


def _numbers(known: np.ndarray, unknown: np.ndarray, tpr: float) -> dict[str, np.ndarray]:
    """The numbers but AUROC of many samples at once, from counts at or below each score (b, levels)."""
    n, m = known[:, -1:], unknown[:, -1:]
    caught, thrown_out = (
        total - np.pad(count, ((0, 0), (1, 0)))[:, :-1] for total, count in ((m, unknown), (n, known))
    )
    found = {}
    for positive, true, false in (("known", known, unknown), ("unknown", caught[:, ::-1], thrown_out[:, ::-1])):
        for part in ("", "_trapezoid", "_even"):
            weight = true[:, -1:] / false[:, -1:] if part == "_even" else 1.0
            interpolation: Interpolation = "trapezoid" if part == "_trapezoid" else "step"
            found[f"aupr_{positive}_positive{part}"] = area(true, false * weight, interpolation)
        for rule in ("first", "nearest"):
            found[f"fpr_{positive}_positive_{rule}"] = _rate(true, false, tpr, nearest=rule == "nearest")
    return found


def _rate(true: np.ndarray, false: np.ndarray, tpr: float, *, nearest: bool) -> np.ndarray:
    found = np.empty(len(true))
    for i, (hits, misses) in enumerate(zip(true, false, strict=True)):
        place = cut(hits, tpr, "nearest" if nearest else "first")
        found[i] = misses[place] / misses[-1]
    return found


def _shift(name: str, centre: dict[str, float], draws: dict[str, np.ndarray], value: float) -> float:
    """How far the draws lie off: of an area by the bias of resampling, of a rate by the joining of scores to cells."""
    return float(draws[name].mean()) - value if name.startswith("aupr") else centre[name] - value


def _means(parts: list[Separation], level: float) -> dict[str, Estimate]:
    found = {}
    for name in parts[0].estimates():
        each = [part.estimates()[name] for part in parts]
        value = float(np.mean([one.value for one in each]))
        below = float(np.sqrt(np.sum([(one.value - one.low) ** 2 for one in each]))) / len(each)
        above = float(np.sqrt(np.sum([(one.high - one.value) ** 2 for one in each]))) / len(each)
        total = sum(part.n_unknown for part in parts) + parts[0].n_known
        found[name] = Estimate(value, max(0.0, value - below), min(1.0, value + above), total, level)
    return found
