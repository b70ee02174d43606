"""Judging generated sets against prdc and the published P-precision: `python benchmarks/generated.py`.

Each line is measured in a process of its own, on one thread: CPU seconds, and the peak of memory above the vectors.
"bound" is what the matrix products alone take in float32 (one of real x fake, half of each set with itself).
"family" is candid's P-precision and P-recall, precision, recall, density, coverage, the symmetric variants and
authenticity in one call; "P only" its P-precision and P-recall alone. The reference of P-precision is its cost model,
step by step as published (`against/probabilistic.py`); prdc is the package. Vectors are float32 of 12 true dimensions
with noise; `--noise` takes white noise, where nothing can be left out. `--device cuda` compares with the reference's
own path on a device instead; there seconds are wall seconds.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SIZES = ("10000x512", "10000x2048")
PEERS_UP_TO = 20_000  # rows; beyond it the peers' matrices do not fit into the memory of most machines
BLOCK = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="rows of each set x dimensions")
    parser.add_argument("--noise", action="store_true", help="white noise instead of few true dimensions")
    parser.add_argument("--device", help="a torch device, e.g. cuda")
    parser.add_argument("--memory", type=int, default=512, help="megabytes that candid may use")
    parser.add_argument("--only", nargs="+", help="which lines")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.one, args.sizes[0], args.noise, args.device, args.memory)
        return
    for size in args.sizes:
        rows = int(size.split("x")[0])
        print(f"{size}{', noise' if args.noise else ''}, {args.device or 'one thread'}", flush=True)
        for name in args.only or lines(rows, args.device):
            command = [sys.executable, __file__, "--one", name, "--sizes", size, "--memory", str(args.memory)]
            command += ["--noise"] * args.noise + (["--device", args.device] if args.device else [])
            subprocess.run(command, check=True, env={**os.environ, **({} if args.device else ONE_THREAD)})


def lines(rows: int, device: str | None) -> list[str]:
    if device is not None:
        return ["bound", "family", "P only"] + ["reference"] * (rows <= PEERS_UP_TO)
    return ["bound", "family", "P only"] + ["reference", "reference in float64", "prdc", "prdc in float64"] * (
        rows <= PEERS_UP_TO
    )


def measure(name: str, size: str, noise: bool, device: str | None, memory: int) -> None:
    rows, width = (int(part) for part in size.split("x"))
    real, fake = sets(rows, width, noise)
    work = WORK[name.removesuffix(" in float64")]
    if name.endswith("float64"):
        real, fake = real.astype("float64"), fake.astype("float64")
    work(real[:300], fake[:300], device, memory)  # imports, compilation and the device's start do not count
    Path("/proc/self/clear_refs").write_text("5")  # the peak of making the vectors does not count
    before, clock = peak(), time.perf_counter if device else time.process_time
    start = clock()
    found = work(real, fake, device, memory)
    took = clock() - start
    print(f"  {name:22} {took:8.2f} s  {max(0.0, peak() - before):8.0f} MB  {found}", flush=True)


def sets(rows: int, width: int, noise: bool):
    import numpy as np

    random = np.random.default_rng(0)
    if noise:
        return tuple(random.standard_normal((rows, width), dtype=np.float32) for _ in range(2))
    sheet = random.standard_normal((12, width), dtype=np.float32)
    return tuple(
        random.standard_normal((rows, 12), dtype=np.float32) @ sheet
        + 0.1 * random.standard_normal((rows, width), dtype=np.float32)
        for _ in range(2)
    )


def peak() -> float:
    """Highest resident memory of this process so far, MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def bound(real, fake, device, memory):
    """The products that no exact method can do without, block by block."""
    import numpy as np

    if device:
        return _bound_on_device(real, fake, device)
    out = np.empty((BLOCK, BLOCK), np.float32)
    for first, second, halved in ((real, real, True), (fake, fake, True), (real, fake, False)):
        for start in range(0, len(first), BLOCK):
            for other in range(start if halved else 0, len(second), BLOCK):
                a, b = first[start : start + BLOCK], second[other : other + BLOCK]
                np.matmul(a, b.T, out=out[: len(a), : len(b)])
    return ""


def _bound_on_device(real, fake, device):
    import torch

    block = 8192
    first, second = (torch.from_numpy(each).to(device) for each in (real, fake))
    for a, b, halved in ((first, first, True), (second, second, True), (first, second, False)):
        for start in range(0, len(a), block):
            for other in range(start if halved else 0, len(b), block):
                _ = a[start : start + block] @ b[other : other + block].T
    torch.cuda.synchronize()
    return torch.cuda.get_device_name()


def family(real, fake, device, memory):
    from candid import generative as g

    asked = [g.ProbabilisticPrecisionRecallAt(), g.PrecisionRecallAt(), g.DensityCoverageAt()]
    asked += [g.SymmetricPrecisionRecallAt(), g.AuthenticityAt()]
    soft, pairs, balls, *_ = g.compare(real, fake, asked, memory=memory, threads=None if device else 1, device=device)
    return " ".join(
        f"{number:.6f}"
        for number in (soft.precision, soft.recall, pairs.precision, pairs.recall, balls.density, balls.coverage)
    )


def p_only(real, fake, device, memory):
    from candid import generative as g

    soft = g.probabilistic_precision_recall(real, fake, memory=memory, threads=None if device else 1, device=device)
    return f"{soft.precision:.6f} {soft.recall:.6f}"


def reference(real, fake, device, memory):
    from against.probabilistic import dense, dense_on_device

    found = dense_on_device(real, fake, device) if device else dense(real, fake)
    return f"{found[0]:.6f} {found[1]:.6f}"


def prdc(real, fake, device, memory):
    import contextlib
    import io

    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        found = compute_prdc(real, fake, nearest_k=5)
    return " ".join(f"{found[name]:.6f}" for name in ("precision", "recall", "density", "coverage"))


WORK = {"bound": bound, "family": family, "P only": p_only, "reference": reference, "prdc": prdc}


if __name__ == "__main__":
    main()
