"""What is measured of one set of fakes: every number with its interval, and what is known of single samples."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from candid import generative
from candid.errors import InputError, nearest
from candid.files import digest
from candid.metrics import proportion
from candid.metrics.streaming import VectorRows
from candid.types import Estimate, Vectors

__all__ = ["CHOICES", "NEIGHBOURS", "Asked", "Measured", "known", "measure"]

PARTS = 5  # sizes that an interval of the extrapolated distance rests on
UNIT = 1e-3
FEWEST = 100  # fakes to extrapolate from
SCALES, KS = (1.0, 1.1, 1.2, 1.3, 1.4), (2, 3, 4, 5, 6)

# the metric's name in a report, by method and field of its result
NEIGHBOURS: dict[str, dict[str, str]] = {
    "alpha_beta": {"alpha_precision": "alpha_precision", "beta_recall": "beta_recall"},
    "authenticity": {"share": "authentic"},
    "clipped": {"density": "clipped_density", "coverage": "clipped_coverage"},
    "cover": {"precision": "precision_cover", "recall": "recall_cover"},
    "density_coverage": {"density": "density", "coverage": "coverage"},
    "precision_recall": {"precision": "precision", "recall": "recall"},
    "probabilistic": {"precision": "p_precision", "recall": "p_recall", "saturation": "saturation"},
    "realism": {"share": "realistic"},
    "symmetric": {"precision": "symmetric_precision", "recall": "symmetric_recall"},
}
WHOLE: dict[str, tuple[str, Callable[[Vectors, Vectors], float]]] = {
    "cmmd": ("cmmd", generative.cmmd),
    "frechet": ("frechet", generative.frechet),
    "frechet_extrapolated": (
        "frechet_extrapolated",
        lambda real, fake: generative.frechet_extrapolated(real, fake, sizes=PARTS).value,
    ),
    "kernel": ("kernel_distance", generative.kernel),
    "vendi": ("vendi", lambda _, fake: generative.vendi(fake)),
}
CHOICES = (*sorted(NEIGHBOURS), "calibrated", *sorted(WHOLE))
ALWAYS = ("probabilistic", "authenticity", "density_coverage")  # samples are shown by them

UNBOUNDED = {"cmmd", "density", "frechet", "frechet_extrapolated", "kernel_distance", "vendi"}


class Asked(NamedTuple):
    """Which metrics, with which settings."""

    metrics: tuple[str, ...]
    k: int = 5
    p_k: int = 4
    p_scale: float = 1.2
    repeats: int = 20
    seed: int = 0
    memory: int = 512
    device: str | None = None

    def at(self, name: str) -> generative.NeighbourMetric[Any]:
        """The settings of a neighbour metric: k where it has one, its own otherwise."""
        if name == "probabilistic":
            return generative.ProbabilisticPrecisionRecallAt(self.p_k, self.p_scale)
        kind = generative.METHODS[name].at
        found: generative.NeighbourMetric[Any] = kind(self.k) if name in TAKES_K else kind()
        return found

    def check(self) -> None:
        """Refuses a metric that does not exist."""
        for name in self.metrics:
            if name not in CHOICES:
                raise InputError(f"no metric named {name}; {nearest(name, CHOICES)}")

    @property
    def neighbours(self) -> list[str]:
        """The metrics that look at neighbours, those that show samples among them."""
        return [name for name in NEIGHBOURS if name in self.metrics or name in ALWAYS]

    @property
    def engine(self) -> dict[str, Any]:
        """Options of `generative.compare`."""
        return {"memory": self.memory, "device": self.device}


TAKES_K = {"clipped", "density_coverage", "precision_recall", "symmetric"}


@dataclass(frozen=True)
class Measured:
    """All of one comparison: `numbers` by their names in a report, `results` with samples in them, settings tried.

    `skipped` says which metrics were left out, and why. `by_setting` is P-precision and P-recall by (k, scale).
    """

    numbers: Mapping[str, Estimate]
    results: Mapping[str, Any]
    calibrated: generative.Calibrated | None
    by_setting: Mapping[tuple[int, float], tuple[float, float]]
    extrapolated: generative.Extrapolated | None
    skipped: Mapping[str, str]
    n: int
    m: int

    @property
    def soft(self) -> generative.ProbabilisticPrecisionRecall:
        found: generative.ProbabilisticPrecisionRecall = self.results["probabilistic"]
        return found

    @property
    def authenticity(self) -> generative.Authenticity:
        found: generative.Authenticity = self.results["authenticity"]
        return found

    @property
    def covered(self) -> generative.DensityCoverage:
        found: generative.DensityCoverage = self.results["density_coverage"]
        return found


def known(real: Vectors, asked: Asked, tell: Callable[[str, int, int], None]) -> generative.Reference:
    """The reals with as many neighbours as the metrics ask for: made once, whatever the number of fakes."""
    reach = max(min(max(KS), len(real) - 1), *(asked.at(name).reach for name in asked.neighbours))
    return generative.Reference.of(
        real, reach=reach, **asked.engine, progress=lambda done, total: tell("reals", done, total)
    )


def measure(
    reference: generative.Reference, fake: Vectors, asked: Asked, tell: Callable[[str, int, int], None]
) -> Measured:
    """Everything asked for, once for the whole sets and again for halves of them."""
    real, neighbours = np.asarray(reference.vectors), asked.neighbours
    skipped = _unfit(real, fake, asked.metrics)
    metrics = [asked.at(name) for name in neighbours]
    grid = [(k, scale) for k in KS for scale in SCALES if k < min(len(real), len(fake))]
    every = [*metrics, *(generative.ProbabilisticPrecisionRecallAt(k, scale) for k, scale in grid)]
    found = generative.compare(
        reference, fake, every, **asked.engine, progress=lambda done, total: tell("distances", done, total)
    )
    results = dict(zip(neighbours, found, strict=False))
    whole = [name for name in WHOLE if name in asked.metrics and name not in skipped]
    line = generative.frechet_extrapolated(real, fake, seed=asked.seed) if "frechet_extrapolated" in whole else None
    values = _numbers(neighbours, found)
    for name in whole:
        shown, of = WHOLE[name]
        values[shown] = line.value if line is not None and shown == "frechet_extrapolated" else of(real, fake)

    def again(reals: VectorRows, fakes: VectorRows) -> dict[str, float]:
        reals, fakes = np.asarray(reals), np.asarray(fakes)
        part = generative.compare(reals, fakes, metrics, **asked.engine)
        return {**_numbers(neighbours, part), **{WHOLE[name][0]: WHOLE[name][1](reals, fakes) for name in whole}}

    numbers = generative.estimated(
        real, fake, again, values, repeats=asked.repeats, seed=asked.seed,
        progress=lambda done, total: tell("intervals", done, total),
    )  # fmt: skip
    numbers = {name: each if name in UNBOUNDED else _within(each) for name, each in numbers.items()}
    calibrated = _calibrated(real, fake, asked, skipped, tell)
    if calibrated is not None:
        numbers |= {"calibrated_p_precision": calibrated.precision, "calibrated_p_recall": calibrated.recall}
    copied = results["authenticity"].distances == 0
    numbers["copies"] = proportion(int(copied.sum()), len(copied))
    numbers["repeats"] = proportion(_repeats(fake), len(fake))
    return Measured(
        numbers=numbers,
        results=results,
        calibrated=calibrated,
        by_setting={key: (each.precision, each.recall) for key, each in zip(grid, found[len(metrics) :], strict=True)},
        extrapolated=line,
        skipped=skipped,
        n=len(real),
        m=len(fake),
    )


def _numbers(neighbours: Sequence[str], results: Sequence[Any]) -> dict[str, float]:
    return {
        shown: float(getattr(result, name))
        for method, result in zip(neighbours, results, strict=False)
        for name, shown in NEIGHBOURS[method].items()
    }


def _unfit(real: Vectors, fake: Vectors, metrics: Sequence[str]) -> dict[str, str]:
    """Metrics that these vectors do not allow."""
    found = {}
    lengths = np.concatenate([np.linalg.norm(each, axis=1) for each in (real, fake)])
    if "cmmd" in metrics and np.abs(lengths - 1).max() > UNIT:
        found["cmmd"] = "it is for unit rows, these vectors have other lengths"
    if "vendi" in metrics and not lengths.all():
        found["vendi"] = "a row of zeros has no direction"
    if "frechet_extrapolated" in metrics and len(fake) < FEWEST:
        found["frechet_extrapolated"] = f"it needs {FEWEST} fakes"
    return found


def _calibrated(
    real: Vectors, fake: Vectors, asked: Asked, skipped: dict[str, str], tell: Callable[[str, int, int], None]
) -> generative.Calibrated | None:
    if "calibrated" not in asked.metrics:
        return None
    at = generative.ProbabilisticPrecisionRecallAt(asked.p_k, asked.p_scale)
    try:
        return generative.calibrated_precision_recall(
            real, fake, at=at, splits=asked.repeats, seed=asked.seed, **asked.engine,
            progress=lambda done, total: tell("calibration", done, total),
        )  # fmt: skip
    except InputError as error:
        skipped["calibrated"] = str(error)
        return None


def _repeats(vectors: Vectors) -> int:
    """How many rows have the same vector as another."""
    counts = Counter(digest(np.ascontiguousarray(row).tobytes()) for row in vectors)
    return sum(count for count in counts.values() if count > 1)


def _within(each: Estimate) -> Estimate:
    """An interval cut to what a share can be."""
    return Estimate(each.value, min(each.value, max(0.0, each.low)), max(each.value, min(1.0, each.high)), each.n)
