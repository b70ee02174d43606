"""Prompt tuning against a dense implementation: a training step, a run with its images, and runs stacked in one batch.

`scripts/bench benchmarks/prompt_tuning.py` prints ratios; `--quick` takes two minutes on two cores, the whole about 20.
Towers are those of CLIP ViT-B/32 in size (text 512 wide, 12 blocks, 77 positions; image 768 wide, 12 blocks, 224 px),
random weights, and of the embedded model. Every contender runs in a process of its own; seconds are CPU seconds, so
that other work on the machine counts for little.
"""

import argparse
import json
import os

import torch
from against.dense_coop import Dense
from against.processes import arguments, asked, peak, timed
from against.random_towers import SIZES, candid_prompts, lengths_of, tower

CHUNK = 100  # classes that the dense way holds at once: all of 1,000 would need some 40 GB
LENGTH, BATCH, EPOCHS, SHOTS = 16, 32, 50, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    args = arguments(parser)
    if args.contender:
        print(json.dumps(contend(json.loads(args.contender), args.device)))
        return
    print(f"{args.device}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads, torch {torch.__version__}\n")
    steps(args)
    runs(args)
    stacks(args)


def steps(args: argparse.Namespace) -> None:
    print("One training step of the text side, forward and backward to 16 context vectors\n")
    print(
        "| tower | classes | names | dense, s | candid, s | times | FLOPs, times | dense, MB | candid, MB |\n|"
        + "---|" * 9
    )
    asked = [("ViT-B/32", 100, "four"), ("ViT-B/32", 100, "ragged"), ("tiny", 10, "ragged"), ("tiny", 100, "ragged")]
    for size, classes, names in (
        asked if args.quick else [*asked, ("ViT-B/32", 1000, "four"), ("ViT-B/32", 1000, "ragged")]
    ):
        setting = {"size": size, "classes": classes, "names": names}
        dense, ours = (asked(__file__, args.device, what="step", way=way, **setting) for way in ("dense", "candid"))
        assert abs(dense["sum"] - ours["sum"]) < 1e-3 * abs(dense["sum"]), "the two do not agree"
        print(f"| {size} | {classes:,} | {names} | {dense['seconds']:.3g} | {ours['seconds']:.3g} "
              f"| **{dense['seconds'] / ours['seconds']:.1f}** | {flops(size, classes, names):.1f} "
              f"| {dense['megabytes']:,.0f} | {ours['megabytes']:,.0f} |", flush=True)  # fmt: skip
    print("\nMB: peak of the process above what it held before its first step. Dense takes 100 classes at a time.\n")


def runs(args: argparse.Namespace) -> None:
    """A whole run: 50 epochs of 16 shots a class. Dense steps are measured and multiplied."""
    image = asked(__file__, args.device, what="images", way="both")
    print("A run of 50 epochs, 16 shots, batch 32: images in every step, or 50 views of each encoded once\n")
    print("| classes | dense, h | candid, views made for it, h | times | views reused, h | times |\n|" + "---|" * 6)
    for classes in (100,) if args.quick else (100, 1000):
        setting = {"size": "ViT-B/32", "classes": classes, "names": "ragged"}
        dense, ours = (
            asked(__file__, args.device, what="step", way=way, **setting)["seconds"] for way in ("dense", "candid")
        )
        many = EPOCHS * (SHOTS * classes // BATCH)
        theirs = many * (dense + BATCH * (image["augment"] + image["forward"]))
        bank = EPOCHS * SHOTS * classes * (image["augment"] + image["forward"])
        whole = many * ours + bank
        print(f"| {classes:,} | {theirs / 3600:.2f} | {whole / 3600:.2f} | {theirs / whole:.1f} "
              f"| {many * ours / 3600:.2f} | **{theirs / (many * ours):.1f}** |", flush=True)  # fmt: skip
    print(f"\nOne image: augmentation {1000 * image['augment']:.1f} ms, image tower {1000 * image['forward']:.1f} ms. "
          "Both ways encode as many views in one run; a study of 240 runs makes them once.\n")  # fmt: skip


def stacks(args: argparse.Namespace) -> None:
    print(
        "Runs in one batch, seconds a step and run\n\n| tower | classes | alone | 4 | 24 | times |\n"
        "|---|---|---|---|---|---|"
    )
    for size, classes in (("tiny", 10), ("tiny", 43)) if args.quick else (("tiny", 10), ("tiny", 43), ("ViT-B/32", 10)):
        setting = {"way": "candid", "size": size, "classes": classes, "names": "ragged"}
        found = [asked(__file__, args.device, what="step", stacked=r, **setting)["seconds"] / r for r in (1, 4, 24)]
        print(
            f"| {size} | {classes} | {' | '.join(f'{value:.4f}' for value in found)} | {found[0] / found[2]:.1f} |",
            flush=True,
        )


def contend(setting: dict, device: str) -> dict:
    return images(device) if setting["what"] == "images" else step(setting, device)


def step(setting: dict, device: str) -> dict:
    model, ids = tower(setting["size"], setting["classes"], setting["names"], LENGTH, device)
    lengths = lengths_of(setting["classes"], setting["names"])
    stacked = setting.get("stacked", 1)
    random = torch.Generator().manual_seed(1)
    width = model.config.text_config.hidden_size
    start = 0.02 * torch.randn((1, LENGTH, width), generator=random)
    upstream = torch.randn((setting["classes"], model.config.projection_dim), generator=random).to(device)
    context = start.repeat(stacked, 1, 1).to(device).requires_grad_()
    go = dense_way(model, ids, upstream, context) if setting["way"] == "dense" else candid_way(
        model, lengths, upstream, context
    )  # fmt: skip
    before = peak(device)
    seconds = []
    for _ in range(
        5 if setting["way"] == "candid" or setting["size"] == "tiny" else 2 if setting["classes"] <= CHUNK else 1
    ):
        context.grad = None
        seconds.append(timed(go, device))
    return {"seconds": min(seconds), "megabytes": peak(device) - before, "sum": float(context.grad[0].abs().sum())}


def dense_way(model, ids, upstream, context):
    parts = [(Dense(model, ids[at : at + CHUNK], length=LENGTH), upstream[at : at + CHUNK])
             for at in range(0, len(ids), CHUNK)]  # fmt: skip

    def go() -> None:
        for part, up in parts:
            (part(context) * up).sum().backward()

    return go


def candid_way(model, lengths, upstream, context):
    prompts = candid_prompts(model, lengths, LENGTH)

    def go() -> None:
        (prompts(context[:, None]) * upstream).sum().backward()

    return go


def images(device: str) -> dict:
    """Seconds an image: one augmentation, and the image tower in batches of 32."""
    import numpy as np
    import transformers

    from candid.data.views import augment, view_random

    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                                           num_attention_heads=12, image_size=224, patch_size=32)  # fmt: skip
    model = transformers.CLIPVisionModel(config).eval().to(device)
    picture = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    each = timed(lambda: [augment(picture, 224, view_random(0, "0" * 32, view)) for view in range(20)], "cpu") / 20
    batch = torch.randn(BATCH, 3, 224, 224, device=device)
    seconds = []
    with torch.inference_mode():
        for _ in range(3):
            seconds.append(timed(lambda: model(pixel_values=batch), device))
    return {"augment": each, "forward": min(seconds) / BATCH}


def flops(size: str, classes: int, names: str) -> float:
    """Multiplications of the dense way over candid's: linear maps and attention, the last block at end tokens alone."""
    width, layers, _ = SIZES[size]
    lengths = [n + 2 for n in lengths_of(classes, names)]

    def block(rows: float, seen: float) -> float:
        return 12 * width**2 * rows + 2 * seen * width

    dense = classes * layers * block(77, 77 * 77)
    prefix, own = 1 + LENGTH, sum(lengths)
    seen = sum(n * (prefix + n) for n in lengths)
    last = 2 * width**2 * (prefix - 1 + own) + 10 * width**2 * classes + 2 * width * sum(prefix + n for n in lengths)
    shared = (layers - 1) * (block(LENGTH, LENGTH * prefix) + block(own, seen)) + last
    return dense / shared


if __name__ == "__main__":
    main()
