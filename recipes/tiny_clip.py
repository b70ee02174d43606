"""Train, measure and export the embedded model: `python -m recipes.tiny_clip DATA WORK [STAGE...]`.

DATA is the folder of the training sets (what and under which licence: src/candid/models/tiny/README.md), WORK keeps
checkpoints; a stopped run goes on where it was. Stages: text, teacher, student, export, evaluate.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import torch
from torch import nn

from recipes.tiny import images, texts, towers, training

MINUTES = {"text": 9.0, "teacher": 17.0, "student": 48.0}
SEED = 0


def log(stage: str, step: int, progress: float, **values: torch.Tensor) -> None:
    if step % 20 == 0:
        shown = "  ".join(f"{name} {value.detach().item():.3f}" for name, value in values.items())
        print(f"{time.strftime('%H:%M:%S')}  {stage} {step:5d}  {progress:6.1%}  {shown}", flush=True)


def prepare(data: Path, work: Path):
    """(pools, sampler, texts, sentence vectors, tokenizer), the slow parts cached in `work`."""
    pools = images.training_pools(data)
    sampler = training.Sampler(pools, size=256, seed=SEED)
    corpus = texts.corpus(sampler.names, sampler.captions, nouns=24000, seed=SEED)
    vectors = texts.sentence_vectors(corpus, work / "texts.npz")
    return pools, sampler, corpus, vectors, towers.tokenizer(corpus)


def restore(part: nn.Module, work: Path, stage: str, key: str) -> None:
    part.load_state_dict(torch.load(work / f"{stage}.pt", weights_only=True)["parts"][key])


def run(data: Path, work: Path, stages: list[str], minutes: dict[str, float], threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)  # initial weights; everything drawn later has a generator of its own
    work.mkdir(parents=True, exist_ok=True)
    _, sampler, corpus, vectors, tokens = prepare(data, work)
    model, teacher = towers.clip(len(tokens)), towers.teacher()
    head = nn.Linear(towers.WIDTH, vectors.shape[1])
    print({k: sum(p.numel() for p in m.parameters()) for k, m in (("clip", model), ("teacher", teacher))}, flush=True)
    for stage in stages:
        sampler.size = 512 if stage == "teacher" else 256
        shared = {"minutes": minutes.get(stage, 0.0), "folder": work, "seed": SEED, "log": log}
        if stage == "text":
            training.train_text(model, head, tokens, corpus, vectors, **shared)
        elif stage == "teacher":
            restore(model.text_model, work, "text", "text")
            training.train_teacher(model, tokens, teacher, sampler, **shared)
        elif stage == "student":
            from_teacher(model, teacher, work)
            average = averaged(model)
            training.train_student(model, tokens, teacher, sampler, average=average, **shared)
        elif stage == "export":
            from recipes.tiny import export

            from_teacher(model, teacher, work)
            average = averaged(model)
            restore(average, work, "student", "average")
            state = torch.load(work / "student.pt", weights_only=True)
            model.logit_scale.data.copy_(state["parts"]["scale"]["log"])
            model.vision_model, model.visual_projection = average["tower"], average["projection"]
            export.save(model, tokens, work / "tiny")
            facts = {
                s: {k: torch.load(work / f"{s}.pt", weights_only=True)[k] for k in ("spent", "step")} for s in MINUTES
            }
            (work / "training.json").write_text(json.dumps({"seed": SEED, "stages": facts}, indent=2))
        elif stage == "evaluate":
            from recipes.tiny import evaluation

            (work / "evaluation.json").write_text(json.dumps(evaluation.run(work / "tiny", data), indent=2))


def from_teacher(model: nn.Module, teacher: nn.Module, work: Path) -> None:
    restore(model.text_model, work, "text", "text")
    restore(model.text_projection, work, "teacher", "projection")
    restore(teacher, work, "teacher", "teacher")
    with torch.no_grad():
        model.logit_scale.copy_(torch.load(work / "teacher.pt", weights_only=True)["parts"]["scale"]["log"])


def averaged(model: nn.Module) -> nn.ModuleDict:
    parts = nn.ModuleDict({"tower": model.vision_model, "projection": model.visual_projection})
    return copy.deepcopy(parts).requires_grad_(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("stages", nargs="*", default=["text", "teacher", "student", "export"])
    parser.add_argument("--threads", type=int, default=1)
    for stage, default in MINUTES.items():
        parser.add_argument(f"--{stage}-minutes", type=float, default=default)
    args = parser.parse_args()
    minutes = {stage: getattr(args, f"{stage}_minutes") for stage in MINUTES}
    run(args.data, args.work, args.stages, minutes, args.threads)


if __name__ == "__main__":
    main()
