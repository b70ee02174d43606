"""Trains the embedded SAM: `python -m recipes.tiny_sam.train DATA OUT --minutes 9`.

The loop is the paper's, shorter for most of the time: two clicks instead of eight until the last quarter. One prompt in
seven is the embedded CLIP's embedding of the object's crop (section 7.5 of the paper), so that its embedding of a text
can stand there later.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import grid_sample, normalize
from transformers import CLIPModel, SamConfig, SamModel

from candid.models.sam_network import Network, initialise
from candid.segment.interactive import Batch, boxes_of, interact
from recipes.tiny.training import MEAN as CLIP_MEAN
from recipes.tiny.training import STD as CLIP_STD
from recipes.tiny.training import schedule
from recipes.tiny_sam.scenes import SIDE, Material, material, scene

TINY_CLIP = Path(__file__).parents[2] / "src" / "candid" / "models" / "tiny"
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
PER_IMAGE = 4
RATE = 8e-4  # the paper's


def config() -> SamConfig:
    """256 pixels in, 128 x 128 logits out; `train` prints the number of weights."""
    return SamConfig(
        vision_config={
            "hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "image_size": SIDE, "patch_size": 8,
            "output_channels": 128, "window_size": 8, "global_attn_indexes": [2, 5], "num_pos_feats": 64,
            "initializer_range": 0.02,
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE, "patch_size": 8},
        mask_decoder_config={
            "hidden_size": 128, "mlp_dim": 512, "num_attention_heads": 8, "iou_head_hidden_dim": 128,
            "layer_norm_eps": 1e-5,
        },
    )  # fmt: skip


class Scenes(torch.utils.data.IterableDataset):
    """Endless scenes: pixels uint8, PER_IMAGE masks each at the side of the logits; a worker has its own seed."""

    def __init__(self, stock: Material, images: int, seed: int) -> None:
        self.stock, self.images, self.seed = stock, images, seed

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        worker = torch.utils.data.get_worker_info()
        random = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            pixels, masks = [], []
            while len(pixels) < self.images:
                image, found = scene(self.stock, random)
                halves = [mask.reshape(SIDE // 2, 2, SIDE // 2, 2).mean((1, 3)) >= 0.5 for mask in found]
                halves = [half for half in halves if half.sum() >= 8]
                if halves:
                    chosen = random.permutation(len(halves))[:PER_IMAGE]
                    chosen = np.resize(chosen, PER_IMAGE)
                    pixels.append(image)
                    masks.append(np.stack([halves[i] for i in chosen]))
            yield np.stack(pixels), np.concatenate(masks)


class Crops:
    """Unit CLIP embeddings of objects as the paper crops them: boxes enlarged 1 to 2 times, half without background."""

    def __init__(self, device: str) -> None:
        self.model = CLIPModel.from_pretrained(TINY_CLIP).to(device).eval().requires_grad_(False)
        self.size = self.model.config.vision_config.image_size

    def __call__(self, pixels: torch.Tensor, image: torch.Tensor, masks: torch.Tensor, random: torch.Generator):
        """b d of the objects `masks` b l l on `pixels` n 3 side side of 0 to 1."""
        b, side = len(masks), masks.shape[-1]
        low, high = (boxes_of(masks) * 2 / side - 1).split(2, dim=1)
        grown = 1 + torch.rand(b, generator=random, device=masks.device)
        half = ((high - low).max(1).values / 2 * grown)[:, None, None, None]
        line = (torch.arange(self.size, device=masks.device) + 0.5) * 2 / self.size - 1
        grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)[None] * half
        grid = grid + ((low + high) / 2)[:, None, None, :]
        alone = torch.rand(b, generator=random, device=masks.device) < 0.5
        crop = grid_sample(pixels[image], grid, align_corners=False)
        inside = grid_sample(masks[:, None].float(), grid, mode="nearest", align_corners=False)
        crop = torch.where(alone[:, None, None, None], crop * inside, crop)
        mean, std = (torch.tensor(x, device=crop.device)[:, None, None] for x in (CLIP_MEAN, CLIP_STD))
        return normalize(self.model.get_image_features((crop - mean) / std).pooler_output.float(), dim=1)


def train(data: Path, out: Path, *, minutes: float, images: int, workers: int, device: str, seed: int) -> None:
    """Trains for so many minutes and writes the checkpoint, with a log of the losses."""
    model = SamModel(config())
    initialise(model, seed=seed)
    network = Network(model, text_dim=256).to(device).train()
    print(json.dumps({"weights": sum(p.numel() for p in network.parameters())}), flush=True)
    decay = [p for p in network.parameters() if p.requires_grad and p.ndim >= 2]
    plain = [p for p in network.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), fused=device == "cuda")
    loader = torch.utils.data.DataLoader(
        Scenes(material(data), images, seed),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    crops = Crops(device)
    random = torch.Generator(device).manual_seed(seed)
    mean, std = (torch.tensor(x, device=device)[:, None, None] for x in (MEAN, STD))
    valid = torch.ones(1, SIDE // 2, SIDE // 2, device=device)
    log, start, step = [], time.monotonic(), 0
    for raw, masks in loader:
        progress = (time.monotonic() - start) / (60 * minutes)
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = RATE * schedule(progress)
        raw, masks = torch.as_tensor(raw).to(device), torch.as_tensor(masks).to(device)
        pixels = raw.permute(0, 3, 1, 2).float()
        row = torch.arange(len(pixels), device=device).repeat_interleave(PER_IMAGE)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            texts = crops(pixels / 255, row, masks, random)
            batch = Batch((pixels - mean) / std, row, masks.float(), valid.expand(len(masks), -1, -1), texts)
            losses = interact(network, batch, clicks=8 if progress > 0.75 else 2, random=random)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 25 == 0:
            log.append({"step": step, "progress": round(progress, 4), **losses.__dict__})
            print(json.dumps(log[-1]), flush=True)
        step += 1
    save(network, out)
    (out / "training.json").write_text(
        json.dumps({"seed": seed, "minutes": minutes, "images": images, "steps": step, "log": log})
    )


def save(network: Network, out: Path) -> None:
    """The checkpoint in the Hub's format, half precision, with the text projection beside it."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    network.model.cpu().half().save_pretrained(out)
    if network.text is not None:
        save_file(
            {f"text.{k}": v.cpu().half().contiguous() for k, v in network.text.state_dict().items()},
            out / "text_projection.safetensors",
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args())
    train(options.pop("data"), options.pop("out"), **options)
