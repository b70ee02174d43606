"""Images -> vectors of many random views of each, once: what training on features needs in place of augmented epochs.

Epoch e of a training takes view e of every image. Views depend on the seed and the bytes of an image alone, so a bank
is a value like features are: kept on disk by content, extended by images or by views, the same bits after a kill.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from candid.data.views import AUGMENTATIONS, Augmentation, view_random
from candid.errors import InputError, UnreadableImage, nearest
from candid.files import atomic, digest
from candid.types import Features, Groups, ImageEncoder, ImageSet, Labels, Skipped, Vectors
from candid.workflows.ahead import Counter, buffered, contents, crew, silent
from candid.workflows.encoding import forward
from candid.workflows.feature_cache import Encoded, FeatureCache, cache_root
from candid.workflows.runs import Run, runs
from candid.workflows.view_files import BankWriter, read_bank

__all__ = ["ViewBank", "view_bank"]

VERSION = 1  # of the views: raise it with any change to their pixels, and every bank is made anew
AHEAD = 1  # batches of pixels made while one is in the model

Base = np.ndarray | str  # what views are cut from, or why there is nothing


@dataclass(frozen=True)
class ViewBank:
    """Vectors of views: float16, n images x v views x d, one unit row a view; read from disk as they are used.

    Rounding to float16 moves each number of a row by at most 1 part in 2048, and a logit at scale 100 by 0.05 at the
    very most. `augment` and `seed` say which views; the rest is as in `Features`.
    """

    vectors: Float16[np.ndarray, "n v d"]
    ids: tuple[str, ...]
    encoder: str
    augment: str
    seed: int
    labels: Labels | None = None
    groups: Groups | None = None
    classes: tuple[str, ...] | None = None
    group_names: tuple[str, ...] | None = None
    skipped: tuple[Skipped, ...] = ()
    digests: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def view(self, number: int) -> Features:
        """The features of one view of every image, float32."""
        if not 0 <= number < self.vectors.shape[1]:
            raise InputError(f"expected a view in [0, {self.vectors.shape[1]}), got {number}")
        return Features(
            vectors=self.vectors[:, number].astype(np.float32),
            ids=self.ids,
            encoder=f"{self.encoder}/{self.augment}-{self.seed}-{number}",
            labels=self.labels,
            groups=self.groups,
            classes=self.classes,
            group_names=self.group_names,
            skipped=self.skipped,
            digests=self.digests,
        )


def view_bank(
    model: ImageEncoder,
    images: ImageSet,
    *,
    views: int = 50,
    augment: str = "dassl2021",
    seed: int = 0,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ViewBank:
    """Vectors of `views` random views of every readable image in the set's order; the others are in `skipped`.

    `augment` names a row of `data.AUGMENTATIONS`. An image is decoded once for all its views. `cache`, `workers` and
    `strict` are as in `encode`: finished batches of images are found again by content, so fewer views of the same seed
    encode nothing, more views or more images only what is new, and a run that was killed goes on with bit-identical
    results. `progress` is called with the number of views done and their total.
    """
    _check(views, augment, seed, batch_size, workers)
    if strict and images.skipped:
        raise UnreadableImage(images.skipped[0].id, images.skipped[0].reason)
    root, pool = cache_root(cache), crew(workers)
    how: dict[str, str | int] = {"augment": augment, "seed": seed, "views": VERSION}
    store = None if root is None else FeatureCache(root, model, room="views", how=how)
    done = Counter(progress or silent, len(images) * views)
    work = _Work(model, images, pool, store, views, AUGMENTATIONS[augment], seed, done)
    try:
        lost: dict[int, str] = {}
        found = runs(contents(images, pool, lost, lambda count: done(count * views)), batch_size=batch_size)
        batches = [batch for run in found for batch in run.batches(batch_size)]
        vectors, kept = _collected(work, batches, lost, strict)
    finally:
        pool.shutdown(cancel_futures=True)  # also when interrupted: finished batches stay, queued decoding does not
    rows = [row for row, _ in kept]
    return ViewBank(
        vectors=vectors,
        ids=tuple(images.ids[row] for row in rows),
        encoder=f"{model.id}@{model.revision}/{model.preprocessing}",
        augment=augment,
        seed=seed,
        labels=None if images.labels is None else images.labels[rows],
        groups=None if images.groups is None else images.groups[rows],
        classes=images.classes,
        group_names=images.group_names,
        skipped=(*images.skipped, *(Skipped(images.ids[row], lost[row]) for row in sorted(lost))),
        digests=tuple(content for _, content in kept),
    )


def _check(views: int, augment: str, seed: int, batch_size: int, workers: int | None) -> None:
    if views < 1 or batch_size < 1 or (workers is not None and workers < 1):
        raise InputError(f"views, batch_size and workers must be 1 or more, got {views}, {batch_size} and {workers}")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    if augment not in AUGMENTATIONS:
        raise InputError(f"no augmentation {augment!r}; {nearest(augment, AUGMENTATIONS)}")


@dataclass(frozen=True)
class _Work:
    model: ImageEncoder
    images: ImageSet
    pool: ThreadPoolExecutor
    store: FeatureCache | None
    views: int
    augmentation: Augmentation
    seed: int
    done: Counter


def _collected(
    work: _Work, batches: Sequence[Run], lost: dict[int, str], strict: bool
) -> tuple[Float16[np.ndarray, "n v d"], list[tuple[int, str]]]:
    """All vectors, and row and digest of the images they belong to; in memory only where there is no cache."""
    kept: list[tuple[int, str]] = []

    def parts() -> Iterator[Vectors]:
        for batch in batches:
            _refuse(work, lost, strict)
            encoded = _encoded(work, batch)
            lost.update({batch.rows[place]: reason for place, reason in encoded.unreadable.items()})
            pairs = enumerate(zip(batch.rows, batch.digests, strict=True))
            kept.extend(pair for place, pair in pairs if place not in encoded.unreadable)
            yield encoded.vectors
        _refuse(work, lost, strict)

    if work.store is None:
        rows = np.concatenate([np.zeros((0, work.model.dim), np.float16), *parts()])
        return rows.reshape(-1, work.views, work.model.dim), kept
    work.store.prepare()
    path = work.store.folder / f"bank-{digest(''.join(b.key for b in batches).encode())}-{work.views:04d}.safetensors"
    if (known := read_bank(path)) is not None:
        for _ in parts():  # which images have no vectors is written beside the batches
            pass
        if len(known) == len(kept):
            return known, kept
        kept.clear()
    with atomic(path) as part, part.open("r+b") as file:
        writer = BankWriter(file, work.views, work.model.dim)
        for vectors in parts():
            writer.write(vectors)
        writer.close()
    written = read_bank(path)
    if written is None:
        raise InputError(f"{path} is not what was written to it; the disk may be damaged, choose another cache")
    return written, kept


def _refuse(work: _Work, lost: dict[int, str], strict: bool) -> None:
    if strict and lost:
        raise UnreadableImage(work.images.ids[min(lost)], lost[min(lost)])


def _encoded(work: _Work, batch: Run) -> Encoded:
    """Every view of the images of a batch, image by image; what the cache lacks is encoded and kept there."""
    blocks = [] if work.store is None else _known(work.store, batch, work.views, work.model.dim)
    have = sum(views for views, _ in blocks)
    work.done(len(batch.rows) * min(have, work.views))
    if have < work.views:
        new = _new(work, batch, range(have, work.views))
        if work.store is not None:
            work.store.put(batch, new, _part(have, work.views))
        blocks.append((work.views - have, new))
    unreadable = blocks[-1][1].unreadable
    cut = [encoded.vectors.reshape(-1, views, work.model.dim) for views, encoded in blocks]
    vectors = np.concatenate(cut, axis=1)[:, : work.views]
    return Encoded(np.ascontiguousarray(vectors).reshape(-1, work.model.dim), unreadable)


def _part(start: int, stop: int) -> str:
    return f"-{start:04d}-{stop:04d}"


def _known(store: FeatureCache, batch: Run, views: int, dim: int) -> list[tuple[int, Encoded]]:
    """Blocks of consecutive views from the cache, from view 0 on, as far as they go."""
    spans = [tuple(int(number) for number in part.split("-")[1:]) for part in store.parts(batch)]
    blocks: list[tuple[int, Encoded]] = []
    have = 0
    for start, stop in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start != have or have >= views:
            continue
        found = store.get(batch, _part(start, stop))
        if found is not None and (not blocks or found.unreadable == blocks[0][1].unreadable):
            blocks.append((stop - start, found))
            have = stop
    return blocks


def _new(work: _Work, batch: Run, numbers: range) -> Encoded:
    bases = [work.pool.submit(_base, work, row) for row in batch.rows]
    vectors = []
    for pending in buffered((_views(work, batch, bases, number) for number in numbers), AHEAD):
        pixels = [view.result() for view in pending]
        vectors.append(forward(work.model, [view for view in pixels if view is not None]).astype(np.float16))
        work.done(len(pixels))
    unreadable = {place: found for place, base in enumerate(bases) if isinstance(found := base.result(), str)}
    stacked = np.stack(vectors, axis=1)
    if not np.isfinite(stacked).all():
        raise InputError(f"{work.model.id} gives vectors beyond the range of float16; use a model with unit rows")
    return Encoded(stacked.reshape(-1, work.model.dim), unreadable)


def _base(work: _Work, row: int) -> Base:
    try:
        return work.augmentation.base(work.images.read(row), work.model.size)
    except UnreadableImage as error:
        return error.reason


def _views(work: _Work, batch: Run, bases: Sequence["Future[Base]"], number: int) -> list["Future[np.ndarray | None]"]:
    """View `number` of every image of the batch, being made; a base is always ahead of its views in the queue."""
    pairs = zip(bases, batch.digests, strict=True)
    return [work.pool.submit(_view, work, base, content, number) for base, content in pairs]


def _view(work: _Work, base: "Future[Base]", content: str, number: int) -> np.ndarray | None:
    image = base.result()
    if isinstance(image, str):
        return None
    random = view_random(work.seed, content, number)
    view = work.augmentation.view(image, work.model.size, random)
    if hasattr(getattr(work.model, "pixels", None), "unpack"):  # a NaFlex model is given patches, not a picture
        return work.model.prepare(np.rint(view).astype(np.uint8).transpose(1, 2, 0))
    return view
