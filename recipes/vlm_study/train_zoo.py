"""Train the study's small models in one go: `python -m recipes.vlm_study.train_zoo --data PACKED --out FOLDER`.

PACKED is the folder that recipes.vlm_study.pack_data writes. FOLDER receives models-*.safetensors (several models a
file: recipes.vlm_study.unpack), zoo.json (what each model is and how it was made) and progress.json, all of them
rewritten after every model. A model that fails is noted and the next one starts.
"""

import argparse
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from recipes.vlm_study.zoo import plan, pools

STARTED = time.monotonic()
SEED = 0
RESERVE = 4.0  # seconds a model for everything but its training
TINY = Path(__file__).parents[2] / "src" / "candid" / "models" / "tiny"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds-per-model", type=float, default=32.0, help="of a model of ordinary length")
    parser.add_argument("--deadline", type=float, default=405.0, help="seconds from the start; what is left is shared")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="models of the plan to train; all by default")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=int, help="images a source, to try the recipe out")
    args = parser.parse_args()
    known = {spec.name for spec in plan.PLAN}
    if unknown := sorted(set(args.only or ()) - known):
        parser.error(f"no model {', '.join(unknown)} in the plan; it has {', '.join(sorted(known))}")
    return args


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


def write(path: Path, content: dict[str, Any]) -> None:
    path.with_suffix(".part").write_text(json.dumps(content, indent=2) + "\n")
    path.with_suffix(".part").replace(path)


def seconds_of(spec: plan.Spec, left: list[plan.Spec], args: argparse.Namespace) -> float:
    """The time for `spec`, first of those `left`: the ordinary one, or its fair part of what the deadline allows."""
    free = args.deadline - (time.monotonic() - STARTED) - RESERVE * len(left)
    return min(spec.time * args.seconds_per_model, spec.time * free / sum(other.time for other in left))


def run(args: argparse.Namespace) -> int:
    """Train the plan's models; the number of those that failed."""
    decoding = pools.decoding(args.data, workers=args.workers, limit=args.limit)  # starts now, while torch is loaded
    from recipes.vlm_study.zoo.workshop import Workshop

    say("framework loaded")
    args.out.mkdir(parents=True, exist_ok=True)
    workshop = Workshop(list(decoding), args.out, tiny=TINY, device=args.device, batch=args.batch, seed=SEED, say=say)
    specs = [spec for spec in plan.PLAN if not args.only or spec.name in args.only]
    record: dict[str, Any] = {"format": "candid.zoo", "version": 1, "seed": SEED, "machine": workshop.machine()}
    record |= {"arguments": {k: v for k, v in vars(args).items() if not isinstance(v, Path)}}
    record |= {"models": {}, "failed": {}}
    for i, spec in enumerate(specs):
        seconds = seconds_of(spec, specs[i:], args)
        write(args.out / "progress.json", progress(record, spec.name, [s.name for s in specs[i + 1 :]]))
        try:
            if seconds < 1:
                raise TimeoutError(f"{seconds:.1f} s were left for it before the deadline")
            record["models"][spec.name] = workshop.make(spec, seconds=seconds)
        except Exception as error:  # whatever befalls one model, the others are still worth having
            traceback.print_exc()
            say(f"FAILED {spec.name}: {error!r}")
            record["failed"][spec.name] = repr(error)[:500]
        record["seconds"] = round(time.monotonic() - STARTED, 1)
        write(args.out / "zoo.json", record)
    write(args.out / "progress.json", progress(record, None, []))
    say(f"{len(record['models'])} models made, {len(record['failed'])} failed")
    return len(record["failed"])


def progress(record: dict[str, Any], now: str | None, waiting: list[str]) -> dict[str, Any]:
    return {
        "seconds": round(time.monotonic() - STARTED, 1), "done": list(record["models"]), "now": now,
        "waiting": waiting, "failed": record["failed"],
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(1 if run(arguments()) else 0)
