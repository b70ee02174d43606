"""Single samples as pictures and as rows of a table: most and least realistic, missing and invented modes, copies."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from candid import generative
from candid.report.content import Thumbnail, Thumbnails
from candid.types import Features, Image
from candid.workflows.auditing.part import percent
from candid.workflows.auditing.thumbnails import thumbnail_uri
from candid.workflows.comparing.measured import Measured

__all__ = ["Side", "fake_rows", "missing_modes", "pairs", "ranked", "real_rows"]

SHOWN = 12  # pictures of a figure
MODES, EACH = 4, 3  # lowest clusters shown, pictures of each
LOW = 0.8  # of the typical score: a cluster below it counts as missing or invented
ROWS_A_MODE = 40  # of a set, for every cluster that is looked for
MOST_MODES = 20

Read = Callable[[int], Image]


class Side(NamedTuple):
    """One set: its features, and how to read the image of a row, where there are images."""

    name: str
    features: Features
    read: Read | None


def ranked(side: Side, found: Measured, *, best: bool, key: str) -> tuple[Thumbnails, ...]:
    """The fakes that lie deepest in the reals' support, or farthest from it."""
    order = np.argsort(found.soft.fake_log_miss, kind="stable")
    rows = (order if best else order[::-1])[:SHOWN]
    texts = [
        f"P-precision {found.soft.fake_scores[row]:.2f}, density {found.covered.fake_density[row]:.1f}" for row in rows
    ]
    title = "Most realistic fakes" if best else "Least realistic fakes"
    caption = "By P-precision score, ties by its logarithm; density says in how many real balls a fake lies, over k."
    return _grid(side, rows, texts, f"{key}-{'most' if best else 'least'}", f"{title} of {side.name}", caption)


def pairs(real: Side, fake: Side, found: Measured, *, key: str) -> tuple[Thumbnails, ...]:
    """The fakes that are nearest to a real, each beside it."""
    if real.read is None or fake.read is None:
        return ()
    near, own = found.authenticity, fake.features
    rows = np.argsort(near.distances, kind="stable")[: SHOWN // 2]
    items = []
    for row in rows.tolist():
        match = int(near.nearest_real[row])
        same = "the same vector" if near.distances[row] == 0 else f"distance {near.distances[row]:.3g}"
        items += [
            Thumbnail(uri=thumbnail_uri(fake.read(row)), alt=own.ids[row], text=f"fake, {same}"),
            Thumbnail(uri=thumbnail_uri(real.read(match)), alt=real.features.ids[match], text="its nearest real"),
        ]
    caption = "Fakes in pairs with the real nearest to them, nearest first. Look for copies."
    return (
        Thumbnails(
            id=f"{key}-pairs", title=f"{fake.name} beside the nearest reals", caption=caption, items=tuple(items)
        ),
    )


def missing_modes(
    side: Side, scores: np.ndarray, typical: float, *, key: str, word: str, seed: int
) -> tuple[list[generative.Mode], tuple[Thumbnails, ...]]:
    """Clusters of a set whose mean score lies surely below what is typical, and pictures of the lowest."""
    count = min(MOST_MODES, len(scores) // ROWS_A_MODE)
    if count < 2:
        return [], ()
    every = generative.modes(side.features.vectors, scores, count=count, seed=seed)
    low = [mode for mode in every if mode.score.high < LOW * typical]
    shown = low[:MODES]
    rows = [int(row) for mode in shown for row in mode.rows[:EACH]]
    texts = [
        f"{word} {number}: {percent(mode.share)} of the set, mean score {mode.score.value:.2f}"
        for number, mode in enumerate(shown, start=1)
        for _ in mode.rows[:EACH]
    ]
    caption = (
        f"Up to {EACH} of the most typical of each cluster whose mean score lies surely below {LOW:g} of the typical "
        f"one; {count} clusters were looked at."
    )
    return low, _grid(side, np.array(rows, np.int64), texts, key, f"{word.capitalize()}s of {side.name}", caption)


def fake_rows(real: Features, fake: Features, found: Measured) -> list[dict[str, Any]]:
    """Every fake as a row of a table."""
    near = found.authenticity
    return [
        {
            "id": fake.ids[row],
            "p_precision": float(found.soft.fake_scores[row]),
            "log_miss": _finite(found.soft.fake_log_miss[row]),
            "density": float(found.covered.fake_density[row]),
            "nearest_real": real.ids[near.nearest_real[row]],
            "distance": float(near.distances[row]),
            "authentic": bool(near.authentic[row]),
        }
        for row in range(len(fake))
    ]


def real_rows(real: Features, found: Measured) -> list[dict[str, Any]]:
    """Every real as a row of a table."""
    return [
        {
            "id": real.ids[row],
            "p_recall": float(found.soft.real_scores[row]),
            "log_miss": _finite(found.soft.real_log_miss[row]),
            "covered": bool(found.covered.reals_covered[row]),
        }
        for row in range(len(real))
    ]


def _finite(value: float) -> float | str:
    return float(value) if np.isfinite(value) else "-inf"


def _grid(
    side: Side, rows: np.ndarray, texts: Sequence[str], key: str, title: str, caption: str
) -> tuple[Thumbnails, ...]:
    if side.read is None or not len(rows):
        return ()
    items = tuple(
        Thumbnail(uri=thumbnail_uri(side.read(row)), alt=side.features.ids[row], text=text)
        for row, text in zip(rows.tolist(), texts, strict=True)
    )
    return (Thumbnails(id=key, title=title, caption=caption, items=items),)
