"""Test-time prompt tuning against a loop over single images: views, image tower and text, seconds an image.

`scripts/bench benchmarks/tuning_at_test_time.py` prints ratios; `--quick` leaves out 1,000 classes. Towers are those of
CLIP ViT-B/16 in size, random weights. The loop is the public code's way: AugMix in Pillow, every class through all 77
positions of the text tower, autograd and an optimiser object an image, the centre crop encoded twice. C-TPT, 64 views,
four context tokens. Every contender runs in a process of its own; seconds are CPU seconds.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from against.dense_coop import Dense
from against.per_image_tuning import REGULARISERS, entropy_of_mean
from against.pillow_views import centre, view
from against.processes import arguments, asked, peak, timed
from against.random_towers import candid_prompts, lengths_of, tower
from PIL import Image

SIZE, LENGTH, VIEWS = "ViT-B/16", 4, 64
CHUNK = 100  # classes that the dense way holds at once: all of 1,000 would need some 40 GB
MADE, ENCODED = 63, 20  # views that are made, and views that are encoded, to time one
COEFFICIENT, RATE, SCALE = 50.0, 0.005, 100.0
TOGETHER = {47: 32, 200: 16, 1000: 6}  # images that candid is given at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    args = arguments(parser)
    if args.contender:
        print(json.dumps(contend(json.loads(args.contender), args.device)))
        return
    print(f"{args.device}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads, torch {torch.__version__}\n")
    views = {way: asked(__file__, args.device, what="views", way=way)["seconds"] for way in ("loop", "candid")}
    image = asked(__file__, args.device, what="image")["seconds"]
    print(
        "| classes | way | views, s | image tower, s | text, s | whole image, s | MB of the text side |\n|" + "---|" * 7
    )
    ratios = []
    for classes in (47, 200) if args.quick else (47, 200, 1000):
        with tempfile.TemporaryDirectory() as folder:
            made = str(Path(folder) / "views.npy")
            asked(__file__, args.device, what="make", classes=classes, made=made)
            found = {
                way: asked(__file__, args.device, what="text", way=way, classes=classes, made=made)
                for way in ("loop", "candid")
            }
        gap = np.abs(np.array(found["loop"]["logits"]) - np.array(found["candid"]["logits"])).max()
        assert gap < 0.05, f"the two do not agree: {gap}"  # of logits at scale 100, float32
        rows = {"loop": (VIEWS - 1) * views["loop"], "candid": (VIEWS - 1) * views["candid"]}
        towers = {"loop": (VIEWS + 1) * image, "candid": VIEWS * image}
        whole = {way: rows[way] + towers[way] + found[way]["seconds"] for way in rows}
        for way in ("loop", "candid"):
            print(f"| {classes:,} | {way} | {rows[way]:.3g} | {towers[way]:.3g} | {found[way]['seconds']:.3g} "
                  f"| {whole[way]:.3g} | {found[way]['megabytes']:,.0f} |", flush=True)  # fmt: skip
        text = found["loop"]["seconds"] / found["candid"]["seconds"]
        ratios.append((classes, rows["loop"] / rows["candid"], text, whole["loop"] / whole["candid"], gap))
    print("\n| classes | views, times | text, times | whole image, times | greatest gap of logits |\n|" + "---|" * 5)
    for classes, *numbers, gap in ratios:
        print(f"| {classes:,} | " + " | ".join(f"**{number:.1f}**" for number in numbers) + f" | {gap:.1e} |")
    print("\nMB: peak of the process above what it held before. The loop's text side is measured on 100 classes at a "
          "time and added up. With features of views at hand, what is left of an image is its text side.")  # fmt: skip


def contend(setting: dict, device: str) -> dict:
    if setting["what"] == "views":
        return {"seconds": views(setting["way"])}
    if setting["what"] == "image":
        return {"seconds": image_tower(device)}
    if setting["what"] == "make":
        np.save(setting["made"], made_views(setting["classes"]).numpy())
        return {}
    return text(setting["way"], setting["classes"], setting["made"], device)


def views(way: str) -> float:
    """Seconds of one view of a photo of 375 x 500 pixels."""
    coarse = np.random.default_rng(0).integers(0, 256, (32, 42, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((500, 375), Image.BICUBIC)
    if way == "loop":

        def go() -> None:
            random = np.random.default_rng(0)
            torch.stack([centre(photo), *(view(photo, random) for _ in range(MADE))])
    else:
        from candid.data.views import AUGMENTATIONS, view_random

        kind = AUGMENTATIONS["tpt-augmix"]

        def go() -> None:
            base = kind.base(np.asarray(photo), 224)
            np.stack([kind.view(base, 224, view_random(0, "ab", i)) for i in range(MADE)])

    go()
    return min(timed(go, "cpu") for _ in range(5)) / MADE


def image_tower(device: str) -> float:
    """Seconds of one view."""
    import transformers

    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                                           num_attention_heads=12, image_size=224, patch_size=16)  # fmt: skip
    model = transformers.CLIPVisionModel(config).eval().to(device)
    batch = torch.randn(ENCODED, 3, 224, 224, device=device)
    with torch.inference_mode():
        return min(timed(lambda: model(pixel_values=batch), device) for _ in range(2)) / ENCODED


def text(way: str, classes: int, made: str, device: str) -> dict:
    model, ids = tower(SIZE, classes, "ragged", LENGTH, device)
    seen, start = torch.from_numpy(np.load(made)).to(device), context().to(device)
    before = peak(device)
    logits, seconds = (loop if way == "loop" else candid)(model, ids, classes, start, seen, device)
    return {"seconds": seconds, "megabytes": peak(device) - before, "logits": logits[:1].tolist()}


def context() -> torch.Tensor:
    return 0.02 * torch.randn((LENGTH, 512), generator=torch.Generator().manual_seed(1))


def made_views(classes: int) -> torch.Tensor:
    """Unit vectors near some class of the start, nearer in some views than in others."""
    model, ids = tower(SIZE, classes, "ragged", LENGTH, "cpu")
    with torch.no_grad():
        rows = torch.cat([Dense(model, part, length=LENGTH)(context()) for part in ids.split(CHUNK)])
    random = torch.Generator().manual_seed(2)
    own = rows[torch.randint(len(rows), (TOGETHER[classes], 1), generator=random)] - rows.mean(dim=0)
    noise = torch.randn((len(own), VIEWS, rows.shape[1]), generator=random) * own.norm(dim=-1, keepdim=True) / 16
    return torch.nn.functional.normalize(own + noise, dim=-1)


def loop(model, ids, classes: int, start, seen, device: str):
    """One image. Classes in chunks: the slope of the loss by their rows first, which is not timed, for what is timed is
    the forward and backward of each chunk with it, the step, and the forward of each chunk after it.
    """
    chunks = [Dense(model, part, length=LENGTH) for part in ids.split(CHUNK)]
    with torch.no_grad():
        rows = torch.cat([chunk(start) for chunk in chunks])
    upstream = rows.clone().requires_grad_()
    logits = SCALE * seen[0] @ upstream.T
    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
    loss = entropy_of_mean(logits[entropy.argsort()[: int(0.1 * VIEWS)]])
    (loss + COEFFICIENT * REGULARISERS["c-tpt"](upstream)).backward()
    own = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.AdamW([own], RATE)

    def go() -> torch.Tensor:
        optimiser.zero_grad()
        for chunk, slope in zip(chunks, upstream.grad.split(CHUNK), strict=True):
            (chunk(own) * slope).sum().backward()
        optimiser.step()
        with torch.no_grad():
            return torch.cat([SCALE * seen[0, :1] @ chunk(own).T for chunk in chunks], dim=1)

    found: list[torch.Tensor] = []
    seconds = timed(lambda: found.append(go()), device)
    return found[0], seconds


def candid(model, ids, classes: int, start, seen, device: str):
    from candid.tune import TEST_TIME, Episodes, outcomes

    found: list[torch.Tensor] = []

    def go() -> None:
        episodes = Episodes(candid_prompts(model, lengths_of(classes, "ragged"), LENGTH), start)
        way = TEST_TIME["c-tpt"]
        found.append(torch.cat([each.logits for each in outcomes(episodes, episodes.see(seen, 0.1), way)]))

    seconds = timed(go, device)
    return found[0], seconds / len(seen)


if __name__ == "__main__":
    main()
