"""What production uses: a head, its temperature and its outlier threshold, on disk as JSON and safetensors.

The label is the largest logit, the confidence its softmax probability at the fitted temperature, the score that of one
named detector on the raw logits. An image is accepted when its score lies within the threshold.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from candid import __version__, data, metrics, models
from candid.errors import InputError
from candid.files import atomic, fresh_folder, read_json, write_json
from candid.types import Encoder, Estimate, Features, Head, Image, ImageSet, Predictions
from candid.workflows.detectors import outlier_scores
from candid.workflows.encoding import encode

__all__ = ["Predictor"]

KIND, VERSION = "candid-predictor", 1


@dataclass(frozen=True)
class Predictor:
    """A classifier that states a calibrated confidence or abstains; calling it on images returns `Predictions`.

    `temperature` is None where none could be fitted: the confidence is then the model's own. `threshold` keeps the
    share `keep` of the known rows it was taken from. `minimum_confidence` is a second, optional reason to abstain.
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

    def decide(self, features: Features) -> Predictions:
        """Predictions for images that are already encoded by the same model."""
        confidence, labels = np.empty(0), np.empty(0, dtype=np.int64)
        scores = np.empty(0)
        if len(features):
            temperature = 1.0 if self.temperature is None else self.temperature.value
            labels, confidence = metrics.top_scores(self.head(features.vectors), temperature=temperature)
            scores = outlier_scores(self.head, features.vectors, self.detector)
        accepted = (scores <= self.threshold) & (confidence >= self.minimum_confidence)
        return Predictions(labels, confidence, scores, accepted, self.head.classes, features.ids, features.skipped)

    def __call__(
        self,
        images: ImageSet | Sequence[str | Path] | Sequence[Image],
        *,
        batch_size: int = 64,
        cache: bool | Path = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Predictions:
        """Predictions for an image set, for files, or for RGB arrays. Unreadable files are listed in `skipped`."""
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
        return self.decide(encode(self.encoder, found, cache=cache, batch_size=batch_size, progress=progress))

    def save(self, folder: str | Path, *, exist_ok: bool = False) -> Path:
        """The folder, now holding predictor.json and head.safetensors."""
        folder = fresh_folder(Path(folder), exist_ok=exist_ok)
        head = {"weights": np.ascontiguousarray(self.head.weights), "bias": np.atleast_1d(self.head.bias)}
        with atomic(folder / "head.safetensors") as part:
            save_file(head, part)
        content = {
            "candid": __version__,
            "model": {"id": self.model, "revision": self.revision, "preprocessing": self.preprocessing},
            "classes": list(self.head.classes),
            "scale": float(self.head.scale),
            "activation": self.head.activation,
            "temperature": None if self.temperature is None else asdict(self.temperature),
            "detector": self.detector,
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
            arrays = load_file(folder / "head.safetensors")
            return cls._from(content, arrays)
        except (OSError, SafetensorError, KeyError, TypeError) as error:
            raise InputError(f"{folder} is not a whole predictor ({error}); write it again by candid audit") from error

    @classmethod
    def _from(cls, content: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Predictor":
        bias = arrays["bias"]
        head = Head(
            arrays["weights"],
            tuple(content["classes"]),
            content["scale"],
            bias if len(bias) > 1 else float(bias[0]),
            content["activation"],
        )
        temperature = content["temperature"]
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
        )

    def _refuse_other(self, encoder: Encoder) -> None:
        fitted, found = (self.revision, self.preprocessing), (encoder.revision, encoder.preprocessing)
        if fitted != found:
            raise InputError(
                f"this predictor was fitted for {self.model} at revision {fitted[0]}, preprocessing {fitted[1]}; "
                f"got {encoder.id} at {found[0]}, {found[1]}; load that revision or run candid audit again"
            )


def _in_memory(images: list[Image]) -> ImageSet:
    def raw(index: int) -> bytes:
        image = images[index]
        return str(image.shape).encode() + image.tobytes()

    return ImageSet(tuple(str(i) for i in range(len(images))), images.__getitem__, raw)
