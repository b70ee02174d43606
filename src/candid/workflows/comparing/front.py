"""The front door of comparisons: real and generated images, or features, in; a report and every sample's score out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from candid.data import as_jpeg
from candid.errors import InputError
from candid.files import digest, fresh_folder
from candid.report import Report
from candid.report.content import Content, Input, SkippedFile
from candid.report.tables import write_csv
from candid.types import Classifier, Encoder, Estimate, Features, ImageEncoder, ImageSet
from candid.workflows.adapting.preparing import encoded
from candid.workflows.auditing.provenance import content_digest, describe_model, package_versions, unreadable
from candid.workflows.comparing import samples
from candid.workflows.comparing.compared import Compared
from candid.workflows.comparing.measured import CHOICES, Asked, Measured, known, measure
from candid.workflows.comparing.rules import verdict_of
from candid.workflows.comparing.samples import Side
from candid.workflows.comparing.shown import rows_of, sections_of
from candid.workflows.comparing.storage import Stored, stored

__all__ = ["Comparison", "compare"]

Progress = Callable[[str, int, int], None]
Given = ImageSet | Features
EMBEDDED = "tiny"
CUT = 7  # stream of the seed
NORMAL = 1.959964
FEWEST_OF_A_CLASS = 10


@dataclass(frozen=True)
class Comparison:
    """The `report`, and what was `found` of each set of fakes, by its name."""

    report: Report
    found: Mapping[str, Compared]

    def save(self, folder: str | Path, *, exist_ok: bool = False) -> Path:
        """Path of the index.html written, beside report.json and two tables of samples for every set of fakes."""
        folder = fresh_folder(Path(folder), exist_ok=exist_ok)
        for place, each in enumerate(self.found.values()):
            suffix = f"-{place + 1}" if len(self.found) > 1 else ""
            real, fake = each.real.features, each.fake.features
            write_csv(folder / f"fakes{suffix}.csv", samples.fake_rows(real, fake, each.found))
            write_csv(folder / f"reals{suffix}.csv", samples.real_rows(real, each.found))
        rows = [each.model_dump(include={"metric", "slice", "value", "low", "high", "n"})
                for each in self.report.content.rows]  # fmt: skip
        write_csv(folder / "numbers.csv", rows)
        return self.report.save(folder, exist_ok=True)


def compare(
    model: ImageEncoder | None,
    real: Given,
    fakes: Mapping[str, Given],
    *,
    metrics: Sequence[str] = CHOICES,
    k: int = 5,
    p_k: int = 4,
    p_scale: float = 1.2,
    repeats: int = 20,
    equal: bool = True,
    memory: int = 512,
    engine_device: str | None = None,
    seed: int = 0,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    command: str = "workflows.compare",
) -> Comparison:
    """How real generated images are, what they lack, and whether they are copies, with intervals.

    Each set is images or `Features`; only images need a `model`, and all sets have to come from the same. With `equal`
    every set is cut to the size of the smallest by rows drawn at random, since values at different sizes do not
    compare. `metrics` are of `measured.CHOICES`; `k` is that of the ball metrics, `p_k` and `p_scale` of P-precision.
    Intervals rest on `repeats` halves of both sets. `memory` (MB) bounds the distances, `engine_device` has torch
    compute them. Where both sets are images stored differently, they are measured again as JPEG of one quality.
    docs/generated.md.
    """
    if not fakes:
        raise InputError("expected at least one set of fakes")
    tell: Progress = progress or (lambda *_: None)
    asked = Asked(tuple(metrics), k, p_k, p_scale, repeats, seed, memory, engine_device)
    asked.check()  # before anything is encoded
    encoding: dict[str, Any] = {"cache": cache, "batch_size": batch_size, "workers": workers, "strict": strict}

    def features(name: str, given: Given) -> Features:
        if isinstance(given, Features):
            return given
        if model is None:
            raise InputError(f"{name} is images, which need a model; pass -m HUB_ID, -m FOLDER or -m tiny")
        return encoded(model, given, name=name, progress=tell, **encoding)

    whole = {name: features(name, given) for name, given in (("reals", real), *fakes.items())}
    _one_encoder(whole)
    size = min(len(each) for each in whole.values()) if equal else None
    reals = _cut(whole["reals"], size, seed, 0)
    reference = known(reals.vectors, asked, tell)
    found: dict[str, Compared] = {}
    for name, given in fakes.items():
        fake, sizes = _cut(whole[name], size, seed, 1), (len(whole["reals"]), len(whole[name]))
        measured = measure(reference, fake.vectors, asked, tell)
        found[name] = Compared(
            real=Side("reals", reals, _reader(real, reals)),
            fake=Side(name, fake, _reader(given, fake)),
            found=measured,
            storage=_storage(model, real, given, reals, fake, asked, encoding, tell),
            cut=sizes if (len(reals), len(fake)) != sizes else None,
            by_class=_by_class(reals, measured),
        )
    content = _content(model, {"reals": real, **fakes}, whole, found, asked, equal, command)
    return Comparison(Report(content), found)


def _content(
    model: ImageEncoder | None, given: Mapping[str, Given], whole: Mapping[str, Features],
    found: Mapping[str, Compared], asked: Asked, equal: bool, command: str,
) -> Content:  # fmt: skip
    every = list(found.values())
    rows = [row for each in every for row in rows_of(each)] + [unreadable(whole.values())]
    config = {**asked._asdict(), "metrics": list(asked.metrics), "equal": equal, "encoder": whole["reals"].encoder}
    cannot_say = ["Whether the features see what matters here: another encoder may judge otherwise."]
    if model is not None and model.id == EMBEDDED:
        cannot_say.append("What a large encoder sees: the embedded one is small; pass a CLIP or DINOv2 model with -m.")
    return Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        title="How far can these generated images stand in for real ones?",
        again="",
        config=config,
        inputs=tuple(_input(name, given[name], each) for name, each in whole.items()),
        model=describe_model(model) if isinstance(model, Encoder | Classifier) else None,
        packages=package_versions(),
        seed=asked.seed,
        verdict=verdict_of(every),
        rows=tuple(rows),
        sections=tuple(sections_of(every, seed=asked.seed)),
        cannot_say=tuple(cannot_say),
    )


def _input(name: str, given: Given, features: Features) -> Input:
    """One set as it was used; features without the bytes they came from are known by themselves."""
    known = features.digests is not None
    return Input(
        role="known" if name == "reals" else "generated",
        name=name,
        path=given.source if isinstance(given, ImageSet) else features.encoder,
        n=len(features),
        digest=content_digest(features) if known else digest(np.ascontiguousarray(features.vectors).tobytes()),
        labelled=features.labels is not None,
        skipped=tuple(SkippedFile(id=file.id, reason=file.reason) for file in features.skipped),
    )


def _one_encoder(sets: Mapping[str, Features]) -> None:
    """Distances between vectors of different models mean nothing."""
    encoders = {each.encoder for each in sets.values()}
    if len(encoders) > 1:
        raise InputError(f"all sets need features of one model, got {', '.join(sorted(encoders))}")


def _cut(features: Features, size: int | None, seed: int, place: int) -> Features:
    if size is None or len(features) <= size:
        return features
    picked = np.random.default_rng([seed, CUT, place]).choice(len(features), size, replace=False)
    return features.rows(np.sort(picked))


def _reader(given: Given, features: Features) -> samples.Read | None:
    """How to read the image of a row of features."""
    if isinstance(given, Features):
        return None
    places = {name: place for place, name in enumerate(given.ids)}
    return lambda row: given.read(places[features.ids[row]])


def _storage(
    model: ImageEncoder | None, real: Given, fake: Given, reals: Features, fakes: Features, asked: Asked,
    encoding: dict[str, Any], tell: Progress,
) -> Stored | None:  # fmt: skip
    if isinstance(real, Features) or isinstance(fake, Features) or model is None:
        return None

    def alike(quality: int) -> dict[str, Estimate]:
        again = [
            _kept(encoded(model, as_jpeg(images, quality), name="as JPEG", progress=tell, **encoding), kept)
            for images, kept in ((real, reals), (fake, fakes))
        ]
        return dict(measure(known(again[0].vectors, asked, tell), again[1].vectors, asked, tell).numbers)

    return stored(real, fake, alike, seed=asked.seed)


def _kept(features: Features, like: Features) -> Features:
    places = {name: place for place, name in enumerate(features.ids)}
    return features.rows([places[name] for name in like.ids])


def _by_class(reals: Features, found: Measured) -> dict[str, Estimate]:
    """Mean P-recall score of the reals of each class that has enough of them."""
    if reals.labels is None or reals.classes is None:
        return {}
    result = {}
    for label in np.unique(reals.labels).tolist():
        scores = found.soft.real_scores[reals.labels == label]
        if len(scores) >= FEWEST_OF_A_CLASS:
            value, half = float(scores.mean()), NORMAL * float(scores.std(ddof=1)) / len(scores) ** 0.5
            result[reals.classes[label]] = Estimate(value, max(0.0, value - half), min(1.0, value + half), len(scores))
    return result
