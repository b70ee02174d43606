"""Images -> features, once: threads decode ahead, the model runs batch after batch, finished runs are kept on disk."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from candid.errors import InputError, UnreadableImage
from candid.types import Features, ImageEncoder, ImageSet, Skipped, Vectors
from candid.workflows.ahead import Counter, buffered, contents, crew, silent
from candid.workflows.feature_cache import Encoded, FeatureCache, cache_root
from candid.workflows.runs import Run, runs

__all__ = ["encode", "forward"]

AHEAD = 3  # batches decoded while one is in the model
Prepared = UInt8[np.ndarray, "3 size size"] | str  # pixels, or why there are none


def encode(
    model: ImageEncoder,
    images: ImageSet,
    *,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Vectors of every readable image in the set's order; the others are listed in `skipped`.

    `cache` is True for the default folder, False for none, or a folder. Vectors are found there by the bytes of the
    images and by model, revision, preprocessing and precision, so renamed files are not encoded again, and a run that
    was killed goes on after its last finished run of images with bit-identical results. `workers` decode (one a core
    by default). `strict` raises `UnreadableImage` for the first file that cannot be used. `progress` is called with
    the number of images done and their total.
    """
    if batch_size < 1 or (workers is not None and workers < 1):
        raise InputError(f"batch_size and workers must be 1 or more, got {batch_size} and {workers}")
    if strict and images.skipped:
        raise UnreadableImage(images.skipped[0].id, images.skipped[0].reason)
    pool = crew(workers)
    root = cache_root(cache)
    work = _Work(model, images, pool, None if root is None else FeatureCache(root, model), batch_size)
    try:
        return _collected(work, strict, progress or silent)
    finally:
        pool.shutdown(cancel_futures=True)  # also when interrupted: finished runs stay, queued decoding does not


@dataclass(frozen=True)
class _Work:
    model: ImageEncoder
    images: ImageSet
    pool: ThreadPoolExecutor
    store: FeatureCache | None
    batch_size: int


@dataclass(frozen=True)
class _Step:
    """One batch being decoded, `last` of its run or not; or a whole run that the cache knew."""

    run: Run
    pending: Sequence["Future[Prepared]"] = ()
    known: Encoded | None = None
    last: bool = False


def _collected(work: _Work, strict: bool, progress: Callable[[int, int], None]) -> Features:
    images, vectors = work.images, [np.zeros((0, work.model.dim), np.float32)]
    kept: list[tuple[int, str]] = []
    lost: dict[int, str] = {}
    done = Counter(progress, len(images))
    for run, encoded in _in_order(work, lost, done):
        lost |= {run.rows[place]: reason for place, reason in encoded.unreadable.items()}
        if strict and lost:
            raise UnreadableImage(images.ids[min(lost)], lost[min(lost)])
        pairs = enumerate(zip(run.rows, run.digests, strict=True))
        kept += [pair for place, pair in pairs if place not in encoded.unreadable]
        vectors.append(encoded.vectors)
    rows = [row for row, _ in kept]
    return Features(
        vectors=np.concatenate(vectors),
        ids=tuple(images.ids[row] for row in rows),
        encoder=f"{work.model.id}@{work.model.revision}/{work.model.preprocessing}",
        labels=None if images.labels is None else images.labels[rows],
        groups=None if images.groups is None else images.groups[rows],
        classes=images.classes,
        group_names=images.group_names,
        skipped=(*images.skipped, *(Skipped(images.ids[row], lost[row]) for row in sorted(lost))),
        digests=tuple(content for _, content in kept),
    )


def _in_order(work: _Work, lost: dict[int, str], done: Counter) -> Iterator[tuple[Run, Encoded]]:
    """Every run with its vectors, from the cache or from the model; new ones are cached before they are yielded."""
    vectors: list[Vectors] = []
    reasons: list[str | None] = []
    for step in buffered(_steps(work, lost, done), AHEAD):
        if step.known is not None:
            done(len(step.run.rows))
            yield step.run, step.known
            continue
        prepared = [future.result() for future in step.pending]
        reasons += [pixels if isinstance(pixels, str) else None for pixels in prepared]
        vectors.append(forward(work.model, [pixels for pixels in prepared if not isinstance(pixels, str)]))
        done(len(prepared))
        if step.last:
            unreadable = {place: reason for place, reason in enumerate(reasons) if reason is not None}
            encoded = Encoded(np.concatenate(vectors), unreadable)
            if work.store is not None:
                work.store.put(step.run, encoded)
            yield step.run, encoded
            vectors, reasons = [], []


def _steps(work: _Work, lost: dict[int, str], done: Counter) -> Iterator[_Step]:
    for run in runs(contents(work.images, work.pool, lost, done), batch_size=work.batch_size):
        known = work.store.get(run) if work.store is not None else None
        if known is not None:
            yield _Step(run, known=known)
            continue
        if work.store is not None:
            work.store.prepare()
        for start in range(0, len(run.rows), work.batch_size):
            batch = run.rows[start : start + work.batch_size]
            pending = [work.pool.submit(_prepared, work.model, work.images, row) for row in batch]
            yield _Step(run, pending=pending, last=start + work.batch_size >= len(run.rows))


def _prepared(model: ImageEncoder, images: ImageSet, row: int) -> Prepared:
    try:
        return model.prepare(images.read(row))
    except UnreadableImage as error:
        return error.reason


def forward(model: ImageEncoder, pixels: Sequence[np.ndarray]) -> Vectors:
    """float32 rows of one batch of prepared images, none where there are none; all finite, or an `InputError`."""
    if not pixels:
        return np.zeros((0, model.dim), np.float32)
    vectors = model.encode_prepared(np.stack(pixels))
    if not np.isfinite(vectors).all():
        raise InputError(f"{model.id} gave vectors that are not finite; load it with dtype='float32'")
    return vectors.astype(np.float32, copy=False)
