"""The study, run for real on small models: `python -m recipes.noisy_prompts.small SETS OUT [-m NAME=PLACE ...]`.

SETS is what recipes.noisy_prompts.sets wrote. Writes OUT/plan.json and runs it as `candid reproduce ptnl --config`
does; a stopped run goes on. `--num-shards 2 --shard-index 0` and 1, side by side, share the work. Banks of 16 views,
where the paper's recipe would draw 50, make this affordable on two cores.
"""

import argparse
import json
import time
from pathlib import Path

from candid import workflows
from candid.workflows.prompting.plan import QUESTIONS, plan_of

FEWER = {"emoji": ("losses", "gradients", "context")}  # what a set is not asked, and which noise it is
PROTOCOLS = {"emoji": ["flip-exact", "confusion"], "groceries": ["flip-exact", "confusion"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("-m", "--model", action="append", metavar="NAME=PLACE", default=[])
    parser.add_argument("--questions", nargs="+")
    parser.add_argument("--protocols", nargs="+")
    parser.add_argument("--variants", nargs="+")
    parser.add_argument("--only", nargs="+", metavar="SET", help="some of the sets")
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--peaks", action="append", metavar="VARIANT=RATE", default=[], help="learning rates")
    parser.add_argument("--num-shards", type=int, default=1)
    parser.add_argument("--shard-index", type=int, default=0)
    args = parser.parse_args()
    job = {
        "sets": [each for each in sets(args.sets) if each["name"] in (args.only or [each["name"]])],
        "models": dict(each.split("=", 1) for each in args.model or ["tiny=tiny"]),
    }
    job |= {"views": args.views, "rates": [0.0, 0.25, 0.5]}
    job |= {name: getattr(args, name) for name in ("questions", "protocols", "variants") if getattr(args, name)}
    job |= {"peaks": {name: float(rate) for name, rate in (each.split("=") for each in args.peaks)}}
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "plan.json").write_text(json.dumps({"format": "candid-ptnl", "version": 1, **job}, indent=1) + "\n")
    report = workflows.prompt_study(
        job["models"], plan_of(job), args.out, shard=(args.shard_index, args.num_shards), progress=say,
        command="recipes.noisy_prompts.small", config=job,
    )  # fmt: skip
    print(report.save(args.out, exist_ok=True))


def sets(folder: Path) -> list[dict]:
    """What each set is asked: labels that people gave are asked about for themselves."""
    found = []
    for each in json.loads((folder / "sets.json").read_text()):
        if each["given"]:
            each |= {"questions": ["noise"], "protocols": []}
        if each["name"] in FEWER:
            each |= {"questions": [question for question in QUESTIONS if question not in FEWER[each["name"]]]}
        if each["name"] in PROTOCOLS:
            each |= {"protocols": PROTOCOLS[each["name"]]}
        found.append({name: value for name, value in each.items() if name not in ("classes", "n_train", "n_test")})
    return found


def say(label: str, done: int, total: int) -> None:
    if done == total:
        print(f"{time.strftime('%H:%M:%S')}  {label}", flush=True)


if __name__ == "__main__":
    main()
