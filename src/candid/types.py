"""The nouns that pass between rooms. n examples, k classes, d feature dimensions; arrays are numpy.

Scores: higher = further from what the model knows. Confidence: higher = surer. Coordinates: x, y in pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from candid.errors import InputError

__all__ = [
    "Activation",
    "Batch",
    "Classifier",
    "Correct",
    "Encoder",
    "Estimate",
    "Features",
    "Groups",
    "Head",
    "Image",
    "ImageEncoder",
    "ImageSet",
    "Labels",
    "Logits",
    "Predictions",
    "Probs",
    "Scores",
    "Skipped",
    "Vectors",
]

Image = UInt8[np.ndarray, "h w 3"]
Batch = UInt8[np.ndarray, "n 3 size size"] | Float32[np.ndarray, "n 3 size size"]  # prepared pixels, 0 to 255
Vectors = Float[np.ndarray, "n d"]  # float32; unit rows, but a `Classifier`'s are its activations as they are
Logits = Float[np.ndarray, "n k"]  # already times the model's own scale
Probs = Float[np.ndarray, "n k"]  # rows sum to 1
Labels = Int[np.ndarray, " n"]
Groups = Int[np.ndarray, " n"]
Scores = Float[np.ndarray, " n"]
Correct = Bool[np.ndarray, " n"]
Activation = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty: `value`, an interval `[low, high]` at `level`, and the `n` rows behind it."""

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95


@dataclass(frozen=True)
class Skipped:
    """A file that was found and not used, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class ImageSet:
    """Images by index, decoded on demand, with what is known about them.

    `read(i)` returns image i as uint8 RGB and raises `UnreadableImage`; `raw(i)` returns the encoded bytes, which the
    feature cache hashes. Both are safe to call from several threads. `labels[i]` indexes `classes`, `groups[i]` indexes
    `group_names`. `skipped` lists files already known not to be images. `source` is what was read, e.g. the folder.
    """

    ids: tuple[str, ...]
    read: Callable[[int], Image]
    raw: Callable[[int], bytes]
    classes: tuple[str, ...] | None = None
    labels: Labels | None = None
    groups: Groups | None = None
    group_names: tuple[str, ...] | None = None
    skipped: tuple[Skipped, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        _same_length("ImageSet", ids=self.ids, labels=self.labels, groups=self.groups)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Features:
    """Image embeddings, one unit row an image, with the encoder that made them (`id@revision/preprocessing`).

    Images that could not be decoded have no row; they are listed in `skipped`. `digests` are hashes of the encoded
    bytes the vectors were made from, where they were made here.
    """

    vectors: Vectors
    ids: tuple[str, ...]
    encoder: str
    labels: Labels | None = None
    groups: Groups | None = None
    classes: tuple[str, ...] | None = None
    group_names: tuple[str, ...] | None = None
    skipped: tuple[Skipped, ...] = ()
    digests: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _same_length(
            "Features", vectors=self.vectors, ids=self.ids, labels=self.labels, groups=self.groups, digests=self.digests
        )

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, rows: Sequence[int] | Int[np.ndarray, " m"]) -> "Features":
        """These rows, in this order, with everything known about them.

        >>> Features(np.eye(3, dtype=np.float32), ("a", "b", "c"), "m").rows([2, 0]).ids
        ('c', 'a')
        """
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            vectors=self.vectors[index],
            ids=tuple(self.ids[row] for row in index),
            labels=None if self.labels is None else self.labels[index],
            groups=None if self.groups is None else self.groups[index],
            digests=None if self.digests is None else tuple(self.digests[row] for row in index),
        )


@dataclass(frozen=True)
class Head:
    """A linear classifier over unit vectors: `logits = scale * vectors @ weights.T + bias`.

    Zero-shot, prompt-tuned, probed and retrained classifiers are all this noun. `activation` states what the scale was
    trained for: "softmax" over classes, or an independent "sigmoid" per class (SigLIP).

    >>> head = Head(np.eye(2, dtype=np.float32), ("cat", "dog"), scale=10.0)
    >>> head(np.array([[0.6, 0.8]], dtype=np.float32)).round(3).tolist()
    [[6.0, 8.0]]
    """

    weights: Float[np.ndarray, "k d"]
    classes: tuple[str, ...]
    scale: float = 1.0
    bias: float | Float[np.ndarray, " k"] = 0.0
    activation: Activation = "softmax"

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.classes):
            raise InputError(f"Head needs one row of weights a class, got {len(self.weights)} for {len(self.classes)}")

    def __call__(self, vectors: Vectors) -> Logits:
        if vectors.shape[1] != self.weights.shape[1]:
            raise InputError(
                f"expected vectors of {self.weights.shape[1]} dimensions, got {vectors.shape[1]}; "
                "encode the images with the model that made this head"
            )
        return np.asarray(self.scale * (vectors @ self.weights.T) + self.bias, dtype=np.float32)


@dataclass(frozen=True)
class Predictions:
    """What production acts on: `labels` into `classes`, calibrated `confidence`, outlier `scores`, `accepted`.

    `sets`, where there are prediction sets, says which classes each image may be; a row of only False is an empty set.
    """

    labels: Labels
    confidence: Scores
    scores: Scores
    accepted: Correct
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    sets: Bool[np.ndarray, "n k"] | None = None


@runtime_checkable
class ImageEncoder(Protocol):
    """Anything that turns images into vectors; all that `workflows.encode` asks for."""

    id: str
    revision: str  # commit of the Hub snapshot, or a hash of the local weights
    preprocessing: str  # short hash of resize, crop, resample, mean and std
    size: int  # side of the square the images are prepared to, in pixels
    dim: int

    def prepare(self, image: Image) -> UInt8[np.ndarray, "3 size size"]:
        """Resized and cropped pixels, still uint8. Thread-safe; touches no accelerator."""
        ...

    def encode_prepared(self, pixels: Batch) -> Vectors:
        """float32 rows of already prepared images, 8 bits or mixtures of such."""
        ...

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """float32 rows of RGB images of any size."""
        ...


@runtime_checkable
class Encoder(ImageEncoder, Protocol):
    """A vision-language model as the workflows see it: unit rows for images and texts. Adapters in `candid.models`."""

    scale: float
    bias: float
    activation: Activation

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit float32 rows of texts, each one cut at the model's context length."""
        ...


@runtime_checkable
class Classifier(ImageEncoder, Protocol):
    """A supervised network as the workflows see it: penultimate activations, and the head it was trained with."""

    head: Head


def _same_length(noun: str, **fields: Sequence[object] | np.ndarray | None) -> None:
    lengths = {name: len(value) for name, value in fields.items() if value is not None}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{noun} needs fields of one length, got {lengths}")
