"""Labels made wrong by a named protocol, with a manifest."""

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Int

from candid.arrays import check_labels, check_probs
from candid.errors import InputError, nearest
from candid.noise.manifest import Manifest
from candid.noise.protocols import PROTOCOLS, Asked
from candid.types import Labels, Probs

__all__ = ["Injected", "inject"]


class Injected(NamedTuple):
    """Given `labels`, which of them are wrong (`flipped`), and the `manifest`, whose `rows` say of which images."""

    labels: Int[np.ndarray, " m"]
    flipped: Bool[np.ndarray, " m"]
    manifest: Manifest


def inject(
    labels: Labels,
    *,
    classes: int,
    protocol: str = "flip-exact",
    rate: float = 0.25,
    seed: int = 0,
    probs: Probs | None = None,
    shots: int = 16,
    ids: Sequence[str] | None = None,
) -> Injected:
    """The labels after a share `rate` was made wrong; the same for the same seed on every platform.

    Protocols: "flip-exact", "flip-iid", "pair", "confusion" (needs `probs` of a model) keep all images in order; "ptnl"
    selects `shots` images a class itself, so its labels belong to `manifest.rows`. What each does, and who uses it:
    docs/noise.md. Wu et al. 2023, arxiv.org/abs/2307.11978 (ptnl, confusion); Pan et al. 2025, arxiv.org/abs/2412.01256
    (flip-exact).

    >>> found = inject(np.zeros(8, np.int64), classes=3, protocol="flip-exact", rate=0.25)
    >>> int(found.flipped.sum()), found.manifest.realised
    (2, 0.25)
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"no noise protocol named {protocol!r}; {nearest(protocol, PROTOCOLS)}")
    clean = _checked(labels, classes, rate, shots)
    if probs is not None and check_probs(probs).shape != (len(clean), classes):
        raise InputError(f"expected probs of shape ({len(clean)}, {classes}), got {probs.shape}")
    if PROTOCOLS[protocol].selects and (empty := [c for c in range(classes) if not (clean == c).any()]):
        raise InputError(f"protocol {protocol} draws images of every class, class {empty[0]} has none")
    random = np.random.default_rng([seed, crc32(protocol.encode())])
    rows, given = PROTOCOLS[protocol].make(Asked(clean, classes, rate, random, shots, probs))
    manifest = Manifest.between(
        clean, given, classes=classes, protocol=protocol, rate=rate, seed=seed, rows=rows, ids=ids
    )
    return Injected(given, manifest.flipped, manifest)


def _checked(labels: Labels, classes: int, rate: float, shots: int) -> Labels:
    if not 0 <= rate <= 1:
        raise InputError(f"rate is a share of the labels, 0 to 1, got {rate}")
    if classes < 2:
        raise InputError(f"labels can be wrong where there are 2 classes or more, got {classes}")
    if shots < 1:
        raise InputError(f"shots must be 1 or more, got {shots}")
    if not len(labels):
        raise InputError("expected labels to make wrong, got none")
    return check_labels(labels, classes=classes, rows=len(labels))
