"""What was done to labels, written down so that it can be done again and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from candid.errors import InputError
from candid.files import digest, read_json, write_json
from candid.types import Labels

__all__ = ["Manifest", "label_digest"]

KIND, VERSION = "candid-label-noise", 1


@dataclass(frozen=True)
class Manifest:
    """Which labels were changed, how, and to what.

    `rows` are the images that are used, in order, perhaps one of them twice; `given[i]` is the label of `rows[i]`, and
    `true[i]` what it was. `digest` is that of all clean labels, so that a manifest is not applied to others. `ids`,
    where known, are the names of the images at `rows`.
    """

    protocol: str
    rate: float
    seed: int
    classes: int
    n: int
    digest: str
    rows: Int[np.ndarray, " m"]
    true: Int[np.ndarray, " m"]
    given: Int[np.ndarray, " m"]
    ids: tuple[str, ...] | None = None

    @classmethod
    def between(
        cls,
        true: Labels,
        given: Int[np.ndarray, " m"],
        *,
        classes: int,
        protocol: str = "given",
        rate: float | None = None,
        seed: int = 0,
        rows: Int[np.ndarray, " m"] | None = None,
        ids: Sequence[str] | None = None,
    ) -> "Manifest":
        """The manifest of labels that came from elsewhere, e.g. from people; `given` is of the images at `rows`."""
        chosen = np.arange(len(true)) if rows is None else np.asarray(rows)
        if len(given) != len(chosen):
            raise InputError(f"expected a given label for each of {len(chosen)} images, got {len(given)}")
        before = np.asarray(true)[chosen]
        wrong = float((before != given).mean()) if len(given) else 0.0
        return cls(
            protocol, wrong if rate is None else rate, seed, classes, len(true), label_digest(true), chosen, before,
            np.asarray(given), None if ids is None else tuple(ids[int(i)] for i in chosen),
        )  # fmt: skip

    @property
    def flipped(self) -> Bool[np.ndarray, " m"]:
        """Which of the used labels are wrong."""
        wrong: Bool[np.ndarray, " m"] = self.true != self.given
        return wrong

    @property
    def realised(self) -> float:
        """Share of the used labels that are wrong."""
        return float(self.flipped.mean())

    @property
    def counts(self) -> Int[np.ndarray, "k k"]:
        """Number of used images by true class (rows) and given class (columns)."""
        table = np.zeros((self.classes, self.classes), dtype=np.int64)
        np.add.at(table, (self.true, self.given), 1)
        return table

    def apply(self, labels: Labels, *, ids: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Rows and given labels for these clean labels, refused where they are not those the manifest was made for.

        With `ids` the images are found by name, so their order may have changed.
        """
        if ids is not None and self.ids is not None:
            places = {name: i for i, name in enumerate(ids)}
            if missing := [name for name in self.ids if name not in places]:
                raise InputError(f"{len(missing)} images of the manifest are not in this set, {missing[0]} first")
            rows = np.array([places[name] for name in self.ids], dtype=np.int64)
            if (np.asarray(labels)[rows] != self.true).any():
                raise InputError("labels of this set differ from those the manifest was made for; use the same set")
            return rows, self.given.copy()
        if label_digest(labels) != self.digest:
            raise InputError(
                f"these {len(labels)} labels are not the {self.n} the manifest was made for (digest "
                f"{label_digest(labels)}, expected {self.digest}); use the same set in the same order, or pass ids"
            )
        return self.rows.copy(), self.given.copy()

    def save(self, path: str | Path) -> Path:
        """The path, now holding the manifest as JSON."""
        content: dict[str, Any] = {
            "protocol": self.protocol, "rate": self.rate, "realised": self.realised, "seed": self.seed,
            "classes": self.classes, "n": self.n, "digest": self.digest, "rows": self.rows.tolist(),
            "true": self.true.tolist(), "given": self.given.tolist(),
            "ids": None if self.ids is None else list(self.ids), "counts": self.counts.tolist(),
        }  # fmt: skip
        write_json(Path(path), content, kind=KIND, version=VERSION)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "Manifest":
        """The manifest that `save` wrote."""
        content = read_json(Path(path), kind=KIND, version=VERSION)
        try:
            rows, true, given = (np.array(content[name], dtype=np.int64) for name in ("rows", "true", "given"))
            ids = None if content["ids"] is None else tuple(content["ids"])
            found = cls(
                content["protocol"], content["rate"], content["seed"], content["classes"], content["n"],
                content["digest"], rows, true, given, ids,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a whole manifest of label noise ({error})") from error
        if not len(found.rows) == len(found.true) == len(found.given) or found.counts.tolist() != content.get("counts"):
            raise InputError(f"{path} contradicts itself: its rows, labels and counts do not fit together")
        return found


def label_digest(labels: Labels) -> str:
    """Hash of labels, the same on every platform."""
    return digest(np.ascontiguousarray(labels, dtype="<i8").tobytes())
