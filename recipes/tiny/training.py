"""Three stages: the text tower learns words, a convolutional teacher learns images with it, the ViT learns from both.

Each stage runs for a stated number of minutes, keeps a checkpoint, and goes on from it when started again.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cosine_similarity, cross_entropy, grid_sample, normalize
from transformers import CLIPModel, CLIPTokenizer

from recipes.tiny.images import Pool
from recipes.tiny.texts import TEMPLATES
from recipes.tiny.towers import SIDE, encode_patches, encode_text

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SHARES = {"cifar10": 0.44, "tiny_imagenet": 0.24, "grocery": 0.08, "grocery_fine": 0.06, "emoji": 0.12, "flickr": 0.06}


@dataclass
class Batch:
    """`pixels` n 3 side side; `concept[i]` the row of image i in the names, or len(names) + row in the captions."""

    pixels: Tensor
    concept: Tensor


class Sampler:
    """Mixed batches of augmented views. `names` lists every concept once, `captions` every whole sentence."""

    def __init__(self, pools: dict[str, Pool], *, size: int, seed: int) -> None:
        self.pools, self.size = pools, size
        self.random = np.random.default_rng(seed)
        self.names = sorted({name for pool in pools.values() if pool.captions is None for name in pool.names})
        self.captions = [text for pool in pools.values() for row in pool.captions or () for text in row]
        index = {name: i for i, name in enumerate(self.names)}
        self.rows = {
            source: np.array([index[name] for name in pool.names])[pool.concept]
            for source, pool in pools.items()
            if pool.captions is None
        }

    def draw(self) -> Batch:
        pixels, concept = [], []
        for source, share in SHARES.items():
            pool = self.pools[source]
            drawn = self.random.integers(len(pool.pixels), size=round(share * self.size))
            pixels.append(self.views(pool.pixels[drawn], flip=source != "emoji"))
            if pool.captions is None:
                concept.append(self.rows[source][drawn])
            else:
                each = len(pool.captions[0])
                concept.append(len(self.names) + each * drawn + self.random.integers(each, size=len(drawn)))
        return Batch(torch.cat(pixels), torch.from_numpy(np.concatenate(concept)))

    def views(self, pixels: np.ndarray, *, flip: bool) -> Tensor:
        """Random crop, aspect, flip, brightness and contrast in one resampling, then CLIP's normalisation."""
        n = len(pixels)
        draw = lambda low, high: torch.from_numpy(self.random.uniform(low, high, n).astype(np.float32))  # noqa: E731
        side = draw(0.35, 1.0).sqrt()
        aspect = (draw(-0.25, 0.25)).exp()
        width, height = (side * aspect).clamp(max=1), (side / aspect).clamp(max=1)
        mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0) if flip else torch.ones(n)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0], theta[:, 0, 2] = width * mirror, draw(-1, 1) * (1 - width)
        theta[:, 1, 1], theta[:, 1, 2] = height, draw(-1, 1) * (1 - height)
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        grid = affine_grid(theta, [n, 3, SIDE, SIDE], align_corners=False)
        x = grid_sample(x, grid, padding_mode="reflection", align_corners=False)
        mean = x.mean((1, 2, 3), keepdim=True)
        x = ((x - mean) * draw(0.7, 1.3)[:, None, None, None] + mean * draw(0.7, 1.3)[:, None, None, None]).clamp(0, 1)
        return (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def schedule(progress: float) -> float:
    """Share of the peak rate: 4 % of linear warm-up, then a cosine to 1 %."""
    return min(progress / 0.04, 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1))))


def stage(
    name: str, minutes: float, folder: Path, parts: dict[str, nn.Module], optimisers: list[torch.optim.Optimizer]
) -> Iterator[tuple[int, float]]:
    """(step, progress in [0, 1)) until the minutes are spent; sets the rates, saves and resumes all state."""
    path = folder / f"{name}.pt"
    spent, step = 0.0, 0
    peak = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    if path.exists():
        state = torch.load(path, weights_only=True)
        for key, part in parts.items():
            part.load_state_dict(state["parts"][key])
        for optimiser, stored in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        spent, step = state["spent"], state["step"]

    def save() -> None:
        state = {
            "parts": {key: part.state_dict() for key, part in parts.items()},
            "optimisers": [optimiser.state_dict() for optimiser in optimisers],
            "spent": spent,
            "step": step,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    saved = time.monotonic()
    while spent < 60 * minutes:
        before = time.monotonic()
        progress = spent / (60 * minutes)
        for optimiser, rates in zip(optimisers, peak, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(progress)
        yield step, progress
        step += 1
        spent += time.monotonic() - before
        if time.monotonic() - saved > 240:
            save()
            saved = time.monotonic()
    if step:
        save()


def optimisers_for(parts: list[nn.Module], *, matrices: float, rest: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the transformer blocks (Jordan et al. 2024), AdamW for everything else."""
    inner, others = [], []
    for part in parts:
        for name, parameter in part.named_parameters():
            inside = parameter.ndim == 2 and ".layers." in name
            (inner if inside else others).append(parameter)
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=rest, weight_decay=0.05, betas=(0.9, 0.98))]
    if inner:
        made.append(torch.optim.Muon(inner, lr=matrices, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"))
    return made


def tokenised(tokens: CLIPTokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    out = tokens(texts, padding=True, truncation=True, return_tensors="pt")
    return out["input_ids"], out["attention_mask"]


class Neighbours:
    """Draws texts of like length, so that little of a batch is padding."""

    def __init__(self, texts: list[str], *, seed: int) -> None:
        self.order = np.argsort([len(text) for text in texts], kind="stable")
        self.random = np.random.default_rng(seed)

    def draw(self, n: int) -> np.ndarray:
        start = self.random.integers(len(self.order) - 8 * n)
        return self.order[start + self.random.choice(8 * n, n, replace=False)]


def distil_texts(
    model: CLIPModel, head: nn.Linear, tokens: CLIPTokenizer, texts: list[str], vectors: np.ndarray, rows: np.ndarray
) -> Tensor:
    """Cosine distance to the sentence encoder, and telling its 1 of n apart at temperature 0.05."""
    pooled, _ = encode_text(model, *tokenised(tokens, [texts[i] for i in rows]))
    student = normalize(head(pooled).float(), dim=1)
    teacher = torch.from_numpy(vectors[rows])
    return (1 - (student * teacher).sum(1)).mean() + 0.2 * cross_entropy(
        20 * student @ teacher.T, torch.arange(len(rows))
    )


class Bank:
    """Pooled text features, computed once: every name in every wording, and every caption."""

    def __init__(self, model: CLIPModel, tokens: CLIPTokenizer, sampler: Sampler) -> None:
        self.names = [pooled(model, tokens, [wording.format(name) for name in sampler.names]) for wording in TEMPLATES]
        self.captions = pooled(model, tokens, sampler.captions)

    def loss(self, images: Tensor, concept: Tensor, projection: nn.Linear, scale: Tensor, wording: int) -> Tensor:
        """Cross-entropy of each image against all names in one wording and the captions of its batch."""
        names = self.names[wording]
        captioned = concept >= len(names)
        texts = torch.cat([names, self.captions[concept[captioned] - len(names)]])
        target = concept.clone()
        target[captioned] = len(names) + torch.arange(int(captioned.sum()))
        logits = scale * normalize(images, dim=1) @ normalize(projection(texts), dim=1).T
        return cross_entropy(logits, target)


@torch.no_grad()
def pooled(model: CLIPModel, tokens: CLIPTokenizer, texts: list[str]) -> Tensor:
    model.eval()
    parts = [encode_text(model, *tokenised(tokens, texts[i : i + 256]))[0] for i in range(0, len(texts), 256)]
    return torch.cat(parts).float()


def wording_of(step: int) -> int:
    """The plain wording every other step, the others in turn."""
    return 0 if step % 2 else (step // 2) % len(TEMPLATES)


def learn(loss: Tensor, optimisers: list[torch.optim.Optimizer], parameters: list[Tensor]) -> None:
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad()


def train_text(model, head, tokens, texts, vectors, *, minutes: float, folder: Path, seed: int, log: Callable) -> None:
    """Stage 1: the causal text tower imitates the sentence encoder."""
    draws = Neighbours(texts, seed=seed)
    parts = {"text": model.text_model, "head": head}
    optimisers = optimisers_for(list(parts.values()), matrices=4e-3, rest=2e-3)
    parameters = [p for part in parts.values() for p in part.parameters()]
    for step, progress in stage("text", minutes, folder, parts, optimisers):
        with torch.autocast("cpu", torch.bfloat16):
            loss = distil_texts(model, head, tokens, texts, vectors, draws.draw(256))
        learn(loss, optimisers, parameters)
        log("text", step, progress, loss=loss)


def train_teacher(model, tokens, teacher, sampler, *, minutes: float, folder: Path, seed: int, log: Callable) -> None:
    """Stage 2: a convolutional image tower and the text projection; the text tower stays as the sentences made it."""
    bank = Bank(model, tokens, sampler)
    scale = nn.ParameterDict({"log": nn.Parameter(torch.tensor(math.log(1 / 0.07)))})
    parts = {"projection": model.text_projection, "teacher": teacher, "scale": scale}
    parameters = [p for part in parts.values() for p in part.parameters()]
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.05)]
    for step, progress in stage("teacher", minutes, folder, parts, optimisers):
        batch = sampler.draw()
        with torch.autocast("cpu", torch.bfloat16):
            images = teacher(batch.pixels.contiguous(memory_format=torch.channels_last)).float()
        factor = scale["log"].exp().clamp(max=100)
        loss = bank.loss(images, batch.concept, model.text_projection, factor, wording_of(step))
        learn(loss, optimisers, parameters)
        log("teacher", step, progress, loss=loss, scale=factor)


def train_student(
    model, tokens, teacher, sampler, *, minutes: float, folder: Path, seed: int, log: Callable, average: nn.Module
) -> None:
    """Stage 3: the ViT against every name's frozen text, and towards the teacher's embedding of the same view."""
    generator = torch.Generator().manual_seed(seed)
    bank, teacher = Bank(model, tokens, sampler), teacher.eval()
    model.text_projection.requires_grad_(False)
    vision = nn.ModuleDict({"tower": model.vision_model, "projection": model.visual_projection})
    scale = nn.ParameterDict({"log": model.logit_scale})
    parts = {"vision": vision, "scale": scale, "average": average}
    optimisers = optimisers_for([vision], matrices=3e-3, rest=1.5e-3)
    optimisers.append(torch.optim.AdamW(scale.parameters(), lr=2e-3, weight_decay=0.0))
    parameters = [*vision.parameters(), *scale.parameters()]
    for step, progress in stage("student", minutes, folder, parts, optimisers):
        batch = sampler.draw()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            goal = teacher(batch.pixels.contiguous(memory_format=torch.channels_last)).float()
        with torch.autocast("cpu", torch.bfloat16):
            images = encode_patches(model, batch.pixels, 0.5 if progress < 0.82 else 1.0, generator).float()
        factor = model.logit_scale.exp().clamp(max=100)
        named = bank.loss(images, batch.concept, model.text_projection, factor, wording_of(step))
        pulled = (1 - cosine_similarity(images, goal)).mean()
        learn(named + 2.0 * pulled, optimisers, parameters)
        with torch.no_grad():
            keep = min(0.998, (step + 1) / (step + 20))
            for slow, fast in zip(average.parameters(), vision.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        log("student", step, progress, named=named, pulled=pulled, scale=factor)
