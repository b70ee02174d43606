"""A tuned head as a folder people keep and hand on: weights in head.safetensors, where they came from in head.json."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from candid import __version__
from candid.errors import InputError
from candid.files import atomic, fresh_folder, read_json, write_json
from candid.types import Head, ImageEncoder

__all__ = ["SavedHead", "load_head", "located", "save_head"]

KIND, VERSION = "candid-head", 1
ARRAYS, FACTS = "head.safetensors", "head.json"


@dataclass(frozen=True)
class SavedHead:
    """A head with the model it belongs to and everything needed to make it again.

    `members` are the heads of single seeds that `head` is the mean of, so that their spread can be told. `recipe` is
    how it was tuned, `data` on which images (source, digests, ids, labels used), both as JSON can hold them.
    """

    head: Head
    model: str
    revision: str
    preprocessing: str
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    members: tuple[Head, ...] = ()
    packages: dict[str, str] = field(default_factory=dict)
    created: str = ""  # ISO 8601, UTC

    @property
    def learnt_from(self) -> frozenset[str]:
        """Digests of the images whose labels it was trained on; empty where it learned without labels."""
        return frozenset(self.data.get("trained_digests", ()) if self.data.get("labels_used") else ())

    def save(self, folder: str | Path, *, exist_ok: bool = False) -> Path:
        """The folder, now holding head.json and head.safetensors."""
        return save_head(folder, self, exist_ok=exist_ok)

    def refuse_other(self, model: ImageEncoder) -> None:
        """Nothing, or an `InputError` where this is not the model the head was tuned for."""
        tuned, found = (self.revision, self.preprocessing), (model.revision, model.preprocessing)
        if tuned != found:
            raise InputError(
                f"this head was tuned for {self.model} at revision {tuned[0]}, preprocessing {tuned[1]}; "
                f"got {model.id} at {found[0]}, {found[1]}; load that revision or run candid adapt again"
            )


def save_head(folder: str | Path, saved: SavedHead, *, exist_ok: bool = False) -> Path:
    """The folder, now holding the head; head.json is written last, so a folder that has one is complete."""
    folder = fresh_folder(Path(folder), exist_ok=exist_ok)
    head = saved.head
    arrays = {"weights": np.ascontiguousarray(head.weights), "bias": np.atleast_1d(np.asarray(head.bias))}
    if saved.members:
        arrays["members"] = np.stack([member.weights for member in saved.members])
        arrays["member_biases"] = np.stack([np.atleast_1d(np.asarray(member.bias)) for member in saved.members])
    with atomic(folder / ARRAYS) as part:
        save_file(arrays, part)
    content = {
        "candid": __version__,
        "created": saved.created,
        "model": {"id": saved.model, "revision": saved.revision, "preprocessing": saved.preprocessing},
        "classes": list(head.classes),
        "scale": float(head.scale),
        "activation": head.activation,
        "recipe": saved.recipe,
        "data": saved.data,
        "packages": saved.packages,
    }
    write_json(folder / FACTS, content, kind=KIND, version=VERSION)
    return folder


def load_head(folder: str | Path, *, model: ImageEncoder | None = None) -> SavedHead:
    """The head that `save_head` wrote; refused where `model` is given and is not the one it was tuned for."""
    folder = Path(folder)
    content = read_json(folder / FACTS, kind=KIND, version=VERSION)
    try:
        saved = _from(content, load_file(folder / ARRAYS))
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise InputError(f"{folder} is not a whole head ({error}); write it again by candid adapt") from error
    if model is not None:
        saved.refuse_other(model)
    return saved


def located(name: str) -> str:
    """A local checkpoint by its full path, for what is saved is loaded from other folders; other names as they are."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if (folder / "config.json").is_file() else name


def _from(content: dict[str, Any], arrays: dict[str, np.ndarray]) -> SavedHead:
    classes = tuple(content["classes"])

    def head(weights: np.ndarray, bias: np.ndarray) -> Head:
        own = bias if len(bias) > 1 else float(bias[0])
        return Head(weights, classes, content["scale"], own, content["activation"])

    members = zip(arrays.get("members", ()), arrays.get("member_biases", ()), strict=True)
    return SavedHead(
        head=head(arrays["weights"], arrays["bias"]),
        model=content["model"]["id"],
        revision=content["model"]["revision"],
        preprocessing=content["model"]["preprocessing"],
        recipe=content["recipe"],
        data=content["data"],
        members=tuple(head(*each) for each in members),
        packages=content["packages"],
        created=content["created"],
    )
