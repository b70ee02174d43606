"""Ways in which labels are made wrong, by name: "symmetric noise" means three of them in the literature.

Each takes checked clean labels, the share to make wrong and its own random generator, and returns rows and their given
labels. docs/noise.md says who uses which.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from candid.errors import InputError
from candid.types import Labels, Probs

__all__ = ["PROTOCOLS", "Protocol", "few_shot"]

Rows = Int[np.ndarray, " m"]
Made = tuple[Rows, Rows]


@dataclass(frozen=True)
class Asked:
    """What a protocol is asked for."""

    labels: Labels
    classes: int
    rate: float
    random: np.random.Generator
    shots: int
    probs: Probs | None


@dataclass(frozen=True)
class Protocol:
    """A row of `PROTOCOLS`: `make` labels wrong; whether it selects the images itself, and needs probabilities."""

    make: Callable[[Asked], Made]
    says: str
    selects: bool = False
    needs_probs: bool = False


def ptnl(asked: Asked) -> Made:
    """Rows class by class: K images, the first of them replaced by donors of other classes.

    Of each class's images, in file order, the first half (rounded up) is its clean pool, the second half its donors. K
    are drawn from the clean pool, without replacement where it has K, else with. The first floor(rate K) are
    overwritten by images drawn, with replacement, from the donors of all other classes that no class before has used;
    so every class has exactly so many wrong images, and large classes donate more. Repeats are kept, so that counts
    are exact; the reference keeps labels in a dictionary by path, where repeats collapse.
    """
    wrong = int(asked.rate * asked.shots)
    places = [np.flatnonzero(asked.labels == c) for c in range(asked.classes)]
    halves = [(len(found) + 1) // 2 for found in places]
    donors = [found[half:] for found, half in zip(places, halves, strict=True)]
    used: set[int] = set()
    rows, given = [], []
    for c, (found, half) in enumerate(zip(places, halves, strict=True)):
        kept = asked.random.choice(found[:half], asked.shots, replace=half < asked.shots)
        if wrong:
            pool = np.concatenate([d for other, d in enumerate(donors) if other != c])
            pool = pool[~np.isin(pool, list(used))]
            if not len(pool):
                raise InputError(f"no unused images of other classes are left to mislabel as class {c}; lower the rate")
            kept[:wrong] = asked.random.choice(pool, wrong, replace=True)
            used |= set(kept[:wrong].tolist())
        rows.append(kept)
        given.append(np.full(asked.shots, c))
    return np.concatenate(rows), np.concatenate(given)


def flip_exact(asked: Asked) -> Made:
    """int(rate n) labels, chosen among all, each become another class, all others alike."""
    rows = np.arange(len(asked.labels))
    chosen = asked.random.choice(len(rows), int(asked.rate * len(rows)), replace=False)
    return rows, _others(asked, np.sort(chosen))


def flip_iid(asked: Asked) -> Made:
    """Each label, independently with probability rate, becomes another class, all others alike."""
    rows = np.arange(len(asked.labels))
    return rows, _others(asked, np.flatnonzero(asked.random.random(len(rows)) < asked.rate))


def pair(asked: Asked) -> Made:
    """floor(rate n_c) labels of every class c become c + 1, the last class's become 0."""
    given = asked.labels.copy()
    for c, chosen in _of_each_class(asked):
        given[chosen] = (c + 1) % asked.classes
    return np.arange(len(given)), given


def confusion(asked: Asked) -> Made:
    """floor(rate n_c) labels of every class c become the wrong class that a model finds likeliest for the image."""
    if asked.probs is None:
        raise InputError("protocol confusion needs probs (n, k) of a model, e.g. zero-shot ones; pass probs=")
    given = asked.labels.copy()
    wrong = asked.probs.astype(np.float64).copy()
    wrong[np.arange(len(given)), asked.labels] = -np.inf
    for _, chosen in _of_each_class(asked):
        given[chosen] = wrong[chosen].argmax(axis=1)
    return np.arange(len(given)), given


PROTOCOLS: dict[str, Protocol] = {
    "confusion": Protocol(confusion, "the wrong class a model favours, so many of each class", needs_probs=True),
    "flip-exact": Protocol(flip_exact, "an exact number over all classes, to any other class"),
    "flip-iid": Protocol(flip_iid, "each label by chance, to any other class"),
    "pair": Protocol(pair, "so many of each class, to the next class"),
    "ptnl": Protocol(ptnl, "few shots of each class, so many of them images of other classes", selects=True),
}


def few_shot(labels: Labels, *, classes: int, shots: int = 16, seed: int = 0) -> Int[np.ndarray, " m"]:
    """Rows of `shots` images of every class, class by class, fewer where a class has fewer; seeded per class.

    >>> few_shot(np.array([0, 1, 0, 1, 1]), classes=2, shots=2).tolist()
    [0, 2, 3, 4]
    """
    if shots < 1:
        raise InputError(f"shots must be 1 or more, got {shots}")
    found = []
    for c in range(classes):
        rows = np.flatnonzero(np.asarray(labels) == c)
        random = np.random.default_rng([seed, c, 2])
        found.append(np.sort(random.choice(rows, min(shots, len(rows)), replace=False)))
    if not sum(map(len, found)):
        raise InputError("no image has a label of these classes; nothing can be drawn")
    return np.concatenate(found)


def _others(asked: Asked, chosen: Int[np.ndarray, " changed"]) -> Rows:
    """The labels with those at `chosen` moved to another class, each as likely as any."""
    given = asked.labels.copy()
    given[chosen] = (given[chosen] + asked.random.integers(1, asked.classes, len(chosen))) % asked.classes
    return given


def _of_each_class(asked: Asked) -> list[tuple[int, Rows]]:
    found = []
    for c in range(asked.classes):
        places = np.flatnonzero(asked.labels == c)
        chosen = asked.random.choice(places, int(asked.rate * len(places)), replace=False) if len(places) else places
        found.append((c, np.sort(chosen)))
    return found
