"""Images a second through `workflows.encode`, against the model's bare forward on batches decoded beforehand.

The goal is 0.9 of the bare forward where decoding is not the bound. The line "decode" says whether it was: images a
second that decoding and resizing alone reach on the same threads. On a machine without an accelerator both share the
cores, so the best ratio to hope for is printed too: 1 / (1 + decoding's share of CPU time).
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from candid import data, models, workflows
from candid.errors import CandidError
from candid.types import Encoder, ImageSet


@dataclass(frozen=True)
class Timing:
    """The best of several rounds: seconds by the clock and seconds of CPU."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", default="tiny")
    parser.add_argument("--images", help="a data set; the embedded sample photos by default")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    try:
        model = models.load(options.model)
        images = data.read(options.images) if options.images else data.sample().known
    except CandidError as error:
        raise SystemExit(f"encoding: skipped, {error}") from error
    print_table(model, images, measured(model, images, options))


def measured(model: Encoder, images: ImageSet, options: argparse.Namespace) -> dict[str, Timing]:
    rows = range(len(images))
    pixels = np.stack([model.prepare(images.read(row)) for row in rows])
    size = options.batch_size

    def bare() -> None:
        for start in range(0, len(pixels), size):
            model.encode_prepared(pixels[start : start + size])

    def decode() -> None:
        with ThreadPoolExecutor(options.workers) as pool:
            list(pool.map(lambda row: model.prepare(images.read(row)), rows))

    def encode(cache: bool | Path) -> None:
        workflows.encode(model, images, cache=cache, batch_size=size, workers=options.workers)

    def fresh_cache() -> None:
        with tempfile.TemporaryDirectory() as folder:
            encode(Path(folder))

    with tempfile.TemporaryDirectory() as folder:
        encode(Path(folder))
        tasks: dict[str, Callable[[], None]] = {
            "bare forward": bare,
            "decode": decode,
            "encode, no cache": lambda: encode(False),
            "encode, empty cache": fresh_cache,
            "encode, full cache": lambda: encode(Path(folder)),
        }
        return best(tasks, options.rounds)


def best(tasks: dict[str, Callable[[], None]], rounds: int) -> dict[str, Timing]:
    """Every task once a round, so that a busy moment does not fall on one task alone."""
    found: dict[str, list[Timing]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            wall, cpu = time.perf_counter(), time.process_time()
            task()
            found[name].append(Timing(time.perf_counter() - wall, time.process_time() - cpu))
    return {name: Timing(min(t.wall for t in rows), min(t.cpu for t in rows)) for name, rows in found.items()}


def print_table(model: Encoder, images: ImageSet, found: dict[str, Timing]) -> None:
    bare, share = found["bare forward"], found["decode"].cpu / found["bare forward"].cpu
    print(f"{len(images)} images, {model.id}, {model.size} px, on {getattr(model, 'device', 'cpu')}")
    print(f"{'':22} {'images/s':>9} {'to bare':>8} {'CPU s':>7} {'to bare':>8}")
    for name, timing in found.items():
        rate, wall, cpu = len(images) / timing.wall, bare.wall / timing.wall, bare.cpu / timing.cpu
        print(f"{name:22} {rate:9.0f} {wall:8.2f} {timing.cpu:7.2f} {cpu:8.2f}")
    print(f"decoding costs {share:.2f} of the forward's CPU; the bound on shared cores is {1 / (1 + share):.2f}")


if __name__ == "__main__":
    main()
