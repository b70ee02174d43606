"""What production uses: a head, its calibrator and its outlier threshold, on disk as JSON and safetensors.

The label is the most probable class, the confidence its calibrated probability, the score that of one named detector on
the raw logits. An image is accepted when its score lies within the threshold. With prediction sets it also gets the
classes it may be, at the coverage they were fitted for.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from candid import __version__, data, metrics, models
from candid.arrays import softmax
from candid.calibrate import ConformalSet
from candid.detect import METHODS, Detector
from candid.errors import InputError
from candid.files import atomic, fresh_folder, read_json, write_json
from candid.types import Encoder, Estimate, Features, Head, Image, ImageSet, Logits, Predictions, Probs
from candid.workflows.calibrators import CALIBRATORS, calibrator_named, pack, probabilities, unpack
from candid.workflows.detectors import DETECTORS
from candid.workflows.encoding import encode
from candid.workflows.tuning import TuningAtTestTime

__all__ = ["Predictor"]

KIND, VERSION = "candid-predictor", 2  # 1 had neither calibrator nor sets; it is still read. "tuning" is optional
HEAD, FITTED = "head.safetensors", "fitted.safetensors"
DETECTING = "detecting"  # what the detector learnt, in FITTED and predictor.json


@dataclass(frozen=True)
class Predictor:
    """A classifier that states a calibrated confidence or abstains; calling it on images returns `Predictions`.

    `calibrator` is a fitted one of `calibrate.METHODS`; where it is None the logits are divided by the `temperature`,
    and where that is None too the confidence is the model's own. With another calibrator the temperature is kept as the
    reference. `sets` are prediction sets over the calibrated probabilities. `threshold` keeps the share `keep` of the
    known rows it was taken from. `minimum_confidence` is a second, optional reason to abstain. `tuning` tunes the
    prompt to each image where that is asked for, with a temperature and sets of its own; scores and threshold stay the
    head's. `detector_fitted` is what the detector learnt, where it learns.
    """

    head: Head
    temperature: Estimate | None
    detector: str
    threshold: float
    keep: float
    model: str
    revision: str
    preprocessing: str
    minimum_confidence: float = 0.0
    encoder: Encoder | None = field(default=None, repr=False, compare=False)
    calibrator: Any | None = field(default=None, compare=False)
    sets: ConformalSet | None = field(default=None, compare=False)
    tuning: TuningAtTestTime | None = None
    detector_fitted: Any | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS or bool(METHODS[self.detector].fits) == (self.detector_fitted is None):
            raise InputError(
                f"expected a detector of {', '.join(DETECTORS)}, fitted where it learns, got {self.detector}"
            )
        if self.calibrator is not None and not _names(self.calibrator):
            raise InputError(f"expected a calibrator of {', '.join(CALIBRATORS)}, got {type(self.calibrator).__name__}")
        if self.sets is not None and (self.sets.per == "group" or self.sets.classes != len(self.head.classes)):
            raise InputError(
                f"expected prediction sets over the {len(self.head.classes)} classes that ask for no group, "
                f'got {self.sets.classes} classes and per="{self.sets.per}"'
            )

    @property
    def calibrated_by(self) -> str | None:
        """Name of the calibrator in use, "temperature" for the temperature, None for the model's own confidence."""
        if self.calibrator is None:
            return None if self.temperature is None else "temperature"
        return _names(self.calibrator)[0]

    def decide(self, features: Features) -> Predictions:
        """Predictions for images that are already encoded by the same model."""
        classes = len(self.head.classes)
        confidence, labels = np.empty(0), np.empty(0, dtype=np.int64)
        scores, inside = np.empty(0), None if self.sets is None else np.empty((0, classes), dtype=bool)
        if len(features):
            logits = self.head(features.vectors)
            scores = Detector(self.detector, self.head, self.detector_fitted)(features.vectors)
            if self.calibrator is None:
                labels, confidence = metrics.top_scores(logits, temperature=self._divisor)
            if self.calibrator is not None or self.sets is not None:
                probs = self._probs(logits)
                inside = None if self.sets is None else self.sets(probs)
                if self.calibrator is not None:
                    labels = probs.argmax(axis=1)
                    confidence = np.minimum(probs.max(axis=1).astype(np.float64), 1.0)
        accepted = (scores <= self.threshold) & (confidence >= self.minimum_confidence)
        return Predictions(
            labels, confidence, scores, accepted, self.head.classes, features.ids, features.skipped, inside
        )

    @property
    def _divisor(self) -> float:
        return 1.0 if self.temperature is None else self.temperature.value

    def _probs(self, logits: Logits) -> Probs:
        if self.calibrator is None:
            return softmax(logits, temperature=self._divisor)
        return probabilities(self.calibrator, logits)

    def why_refused(self, predictions: Predictions, row: int) -> str:
        """Why an image was not accepted, in a sentence; empty where it was."""
        if predictions.accepted[row]:
            return ""
        score, label = float(predictions.scores[row]), predictions.classes[int(predictions.labels[row])]
        reasons = []
        if not score <= self.threshold:
            reasons.append(
                f"{self.detector} score {score:.4g} above the threshold {self.threshold:.4g}, within which "
                f"{100 * self.keep:g}% of known images lie"
            )
        if predictions.confidence[row] < self.minimum_confidence:
            said = f"{100 * float(predictions.confidence[row]):.1f}%"
            reasons.append(f"confidence {said} below the minimum {100 * self.minimum_confidence:.1f}%")
        return f"{'; '.join(reasons)}; nearest known class: {label}"

    def __call__(
        self,
        images: ImageSet | Sequence[str | Path] | Sequence[Image],
        *,
        batch_size: int = 64,
        cache: bool | Path = False,
        test_time: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Predictions:
        """Predictions for an image set, for files, or for RGB arrays. Unreadable files are listed in `skipped`.

        `test_time` tunes the prompt to each image as the audit did, at `tuning.seconds` an image instead of one view.
        """
        if self.encoder is None:
            raise InputError("this predictor holds no model; get it by Predictor.load(folder) or replace(encoder=...)")
        if not isinstance(images, ImageSet) and len(images) == 0:
            raise InputError("expected at least one image to predict, got none")
        if isinstance(images, ImageSet):
            found = images
        elif isinstance(images[0], np.ndarray):
            found = _in_memory([image for image in images if isinstance(image, np.ndarray)])
        else:
            found = data.read([Path(path) for path in images if isinstance(path, str | Path)])
        if test_time:
            return self._tuned(found, cache=cache, batch_size=batch_size, progress=progress)
        return self.decide(encode(self.encoder, found, cache=cache, batch_size=batch_size, progress=progress))

    def _tuned(self, images: ImageSet, **how: Any) -> Predictions:
        if self.tuning is None:
            raise InputError("this predictor does not tune at test time; make one by candid audit --test-time c-tpt")
        views = self.tuning.see(self.encoder, images, **how)
        plain = self.decide(views.centre)
        if not len(views):
            return plain
        probs = self.tuning.probs(self.tuning.logits(self.encoder, views, self.head.classes))
        confidence = np.minimum(probs.max(axis=1).astype(np.float64), 1.0)
        accepted = (plain.scores <= self.threshold) & (confidence >= self.minimum_confidence)
        inside = None if self.tuning.sets is None else self.tuning.sets(probs)
        return replace(plain, labels=probs.argmax(axis=1), confidence=confidence, accepted=accepted, sets=inside)

    def save(self, folder: str | Path, *, exist_ok: bool = False) -> Path:
        """The folder, now holding predictor.json, head.safetensors and the fitted arrays in fitted.safetensors."""
        folder = fresh_folder(Path(folder), exist_ok=exist_ok)
        head = {"weights": np.ascontiguousarray(self.head.weights), "bias": np.atleast_1d(self.head.bias)}
        tuned = None if self.tuning is None else self.tuning.sets
        parts = {"calibrator": self.calibrator, "sets": self.sets, "tuned_sets": tuned, DETECTING: self.detector_fitted}
        packed = {name: pack(part) for name, part in parts.items() if part is not None}
        arrays = {f"{name}.{key}": value for name, (_, found) in packed.items() for key, value in found.items()}
        for name, tensors in {HEAD: head, FITTED: arrays}.items():
            with atomic(folder / name) as part:
                save_file(tensors, part)
        content = {
            "candid": __version__,
            "model": {"id": self.model, "revision": self.revision, "preprocessing": self.preprocessing},
            "classes": list(self.head.classes),
            "scale": float(self.head.scale),
            "activation": self.head.activation,
            "temperature": None if self.temperature is None else asdict(self.temperature),
            "calibrator": {"method": self.calibrated_by, **_values(packed, "calibrator")},
            "sets": _values(packed, "sets") or None,
            "tuning": None if self.tuning is None else self.tuning.plain(),
            "tuned_sets": _values(packed, "tuned_sets") or None,
            "detector": self.detector,
            DETECTING: _values(packed, DETECTING) or None,
            "threshold": self.threshold,
            "keep": self.keep,
            "minimum_confidence": self.minimum_confidence,
        }
        write_json(folder / "predictor.json", content, kind=KIND, version=VERSION)
        return folder

    @classmethod
    def load(cls, folder: str | Path, *, model: Encoder | str | None = None, device: str = "auto") -> "Predictor":
        """The predictor of a folder with its model, refused when that is not the model it was fitted for.

        `model` says where the model lies now, or is the loaded model; by default it is where it was.
        """
        predictor = cls.read(folder)
        if model is None or isinstance(model, str):
            name = model or predictor.model
            # An OpenCLIP tag names its weights; every other name takes a revision and refuses another.
            revision = None if name.startswith("open_clip:") else predictor.revision
            encoder = models.with_texts(models.load(name, revision=revision, device=device))
        else:
            encoder = model
        predictor._refuse_other(encoder)
        return replace(predictor, encoder=encoder)

    @classmethod
    def read(cls, folder: str | Path) -> "Predictor":
        """The predictor of a folder without its model: it can `decide` on features."""
        folder = Path(folder)
        content = read_json(folder / "predictor.json", kind=KIND, version=VERSION)
        try:
            arrays = load_file(folder / HEAD)
            fitted = load_file(folder / FITTED) if content["version"] > 1 else {}
            return cls._from(content, arrays, fitted)
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            raise InputError(f"{folder} is not a whole predictor ({error}); write it again by candid audit") from error

    @classmethod
    def _from(
        cls, content: dict[str, Any], arrays: dict[str, np.ndarray], fitted: dict[str, np.ndarray]
    ) -> "Predictor":
        bias = arrays["bias"]
        head = Head(
            arrays["weights"],
            tuple(content["classes"]),
            content["scale"],
            bias if len(bias) > 1 else float(bias[0]),
            content["activation"],
        )
        temperature, tuning = content["temperature"], content.get("tuning")
        tuned_sets = _fitted(ConformalSet, content.get("tuned_sets"), fitted, "tuned_sets.")
        return cls(
            head,
            None if temperature is None else Estimate(**temperature),
            content["detector"],
            content["threshold"],
            content["keep"],
            content["model"]["id"],
            content["model"]["revision"],
            content["model"]["preprocessing"],
            content["minimum_confidence"],
            None,
            _calibrator(content.get("calibrator"), fitted),
            _fitted(ConformalSet, content.get("sets"), fitted, "sets."),
            None if tuning is None else TuningAtTestTime.of(tuning, tuned_sets),
            _detecting(content["detector"], content.get(DETECTING), fitted),
        )

    def _refuse_other(self, encoder: Encoder) -> None:
        fitted, found = (self.revision, self.preprocessing), (encoder.revision, encoder.preprocessing)
        if fitted != found:
            raise InputError(
                f"this predictor was fitted for {self.model} at revision {fitted[0]}, preprocessing {fitted[1]}; "
                f"got {encoder.id} at {found[0]}, {found[1]}; load that revision or run candid audit again"
            )


def _names(calibrator: Any) -> list[str]:
    return [name for name in CALIBRATORS if type(calibrator) is calibrator_named(name)]


def _values(packed: dict[str, tuple[dict[str, Any], dict[str, np.ndarray]]], name: str) -> dict[str, Any]:
    return {"values": packed[name][0]} if name in packed else {}


def _calibrator(stored: dict[str, Any] | None, arrays: dict[str, np.ndarray]) -> Any | None:
    if stored is None or "values" not in stored:
        return None
    return _fitted(calibrator_named(stored["method"]), stored, arrays, "calibrator.")


def _detecting(name: str, stored: dict[str, Any] | None, arrays: dict[str, np.ndarray]) -> Any | None:
    if name not in DETECTORS:
        raise KeyError(f"detector {name}")
    return _fitted(METHODS[name].score, stored, arrays, f"{DETECTING}.")


def _fitted(kind: Any, stored: dict[str, Any] | None, arrays: dict[str, np.ndarray], prefix: str) -> Any | None:
    if stored is None:
        return None
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return unpack(kind, stored["values"], own)


def _in_memory(images: list[Image]) -> ImageSet:
    def raw(index: int) -> bytes:
        image = images[index]
        return str(image.shape).encode() + image.tobytes()

    return ImageSet(tuple(str(i) for i in range(len(images))), images.__getitem__, raw)
