"""The study, run for real on small models: `python -m recipes.test_time.small SETS OUT [-m NAME=PLACE ...]`.

SETS is what recipes.test_time.sets wrote. Writes OUT/plan.json and runs it as `candid reproduce c-tpt --config` does; a
stopped run goes on. `--num-shards 2 --shard-index 0` and 1, side by side, share the work.
"""

import argparse
import json
import time
from pathlib import Path

from candid import workflows
from candid.workflows.episodic.plan import QUESTIONS, plan_of

IMAGES = 400  # that judge a set, 64 views each
FEWER = dict.fromkeys(("cifar100", "tiny-imagenet"), ("starts", "prompts"))  # what many classes are not asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("-m", "--model", action="append", metavar="NAME=PLACE", default=[])
    parser.add_argument("--only", nargs="+", metavar="SET", help="some of the sets")
    parser.add_argument("--num-shards", type=int, default=1)
    parser.add_argument("--shard-index", type=int, default=0)
    args = parser.parse_args()
    job = {
        **asked(json.loads((args.sets / "sets.json").read_text()), args.only),
        "models": dict(each.split("=", 1) for each in args.model or ["tiny=tiny"]),
        "images": IMAGES,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "plan.json").write_text(json.dumps({"format": "candid-c-tpt", "version": 1, **job}, indent=1) + "\n")
    report = workflows.test_time_study(
        job["models"], plan_of(job), args.out, shard=(args.shard_index, args.num_shards), progress=say,
        command="recipes.test_time.small", config=job,
    )  # fmt: skip
    print(report.save(args.out, exist_ok=True))


def asked(job: dict, only: list[str] | None) -> dict:
    """What each set is asked, of all sets or of some."""
    job["sets"] = [each for each in job["sets"] if only is None or each["name"] in only]
    for each in job["sets"]:
        if each["name"] in FEWER:
            each["questions"] = [question for question in QUESTIONS if question not in FEWER[each["name"]]]
    return job


def say(label: str, done: int, total: int) -> None:
    if done == total:
        print(f"{time.strftime('%H:%M:%S')}  {label}", flush=True)


if __name__ == "__main__":
    main()
