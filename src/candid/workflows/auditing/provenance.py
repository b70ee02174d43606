"""What went into a report, so that a reader can check it and repeat the run: inputs with hashes, model, packages."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Literal

from candid import metrics
from candid.errors import InputError
from candid.files import digest
from candid.report.content import Input, ModelCard, Row, SkippedFile
from candid.types import Classifier, Encoder, Features, ImageSet
from candid.workflows.auditing.part import row

__all__ = ["Role", "content_digest", "describe_input", "describe_model", "package_versions", "unreadable"]

Role = Literal["known", "shift", "ood", "transfer", "generated"]
PACKAGES = ("candid-vision", "torch", "transformers", "numpy", "scipy", "pillow", "safetensors", "pyarrow")


def describe_input(role: Role, name: str, images: ImageSet, features: Features) -> Input:
    """One image set as it was used: how many rows, a hash of their bytes in order, what was skipped and why."""
    return Input(
        role=role,
        name=name,
        path=images.source,
        n=len(features),
        digest=content_digest(features),
        labelled=features.labels is not None,
        skipped=tuple(SkippedFile(id=file.id, reason=file.reason) for file in features.skipped),
    )


def content_digest(features: Features) -> str:
    """Hash of the used images' bytes in their order and of their labels; the same files elsewhere give the same one."""
    if features.digests is None:
        raise InputError("these features do not know which bytes they were made from; encode the images again")
    parts = [content.encode() for content in features.digests]
    if features.labels is not None:
        parts.append(features.labels.astype("<i8").tobytes())
    return digest(b"".join(parts))


def describe_model(model: Encoder | Classifier) -> ModelCard:
    """The model as it was used; a classifier's bias is its head's own, one number a class, and told as 0."""
    told = model.head if isinstance(model, Classifier) else model
    return ModelCard(
        id=model.id,
        revision=model.revision,
        preprocessing=model.preprocessing,
        activation=told.activation,
        scale=told.scale,
        bias=0.0 if isinstance(model, Classifier) else model.bias,
        device=str(getattr(model, "device", "cpu")),
    )


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that can change a number."""
    return dict(chain.from_iterable(_version(name) for name in PACKAGES))


def unreadable(sets: Iterable[Features]) -> Row:
    """Share of all files found that could not be used."""
    skipped, used = 0, 0
    for features in sets:
        skipped += len(features.skipped)
        used += len(features)
    return row("unreadable", "all inputs", metrics.proportion(skipped, skipped + used))


def _version(name: str) -> list[tuple[str, str]]:
    try:
        return [(name, version(name))]
    except PackageNotFoundError:
        return []
