"""Teach one model for a stated time, then ask it about test images."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recipes.tiny.training import schedule, wording_of
from recipes.vlm_study.zoo.lessons import Labels, Lesson
from recipes.vlm_study.zoo.views import Views, still

__all__ = ["Taught", "check", "teach", "warm_up"]

MATRICES, REST = 3e-3, 1.5e-3  # peak rates, those that `tiny` was trained with
SCALARS = {1: 2e-3, 2: 1e-2}  # of a scale alone, and of a scale with a bias that has to travel some ten units
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
LAG = 3  # steps that the host may be ahead of the device, so that the clock tells the truth


@dataclass
class Taught:
    """What the training came to: `loss` is the mean of the last tenth of the steps."""

    steps: int
    views: int
    seconds: float
    loss: float


def optimisers(lesson: Lesson) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks (Jordan et al. 2024), AdamW for everything else."""
    inner, others = [], []
    for part in lesson.taught():
        for name, parameter in part.named_parameters():
            (inner if parameter.ndim == 2 and "encoder." in name else others).append(parameter)
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=REST, weight_decay=0.05, betas=(0.9, 0.98))]
    if inner:
        made.append(torch.optim.Muon(inner, lr=MATRICES, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"))
    if scalars := lesson.scalars():
        made.append(torch.optim.AdamW(scalars, lr=SCALARS[len(scalars)], weight_decay=0.0))
    return made


def teach(lesson: Lesson, views: Views, *, seconds: float, log: Callable[[int, float, float], None]) -> Taught:
    """Train until the seconds are spent; another machine takes another number of steps."""
    module, device = lesson.module, views.album.device
    module.train()
    frozen(module, lesson)
    tools = optimisers(lesson)
    peak = [[group["lr"] for group in tool.param_groups] for tool in tools]
    parameters = [p for p in module.parameters() if p.requires_grad]
    losses: list[Tensor] = []
    ahead: deque[Any] = deque()
    started, step = time.monotonic(), 0
    while (spent := time.monotonic() - started) < seconds:
        for tool, rates in zip(tools, peak, strict=True):
            for group, rate in zip(tool.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(spent / seconds)
        batch = views.draw()  # outside autocast: sampling places in bfloat16 are off by tenths of a pixel
        with torch.autocast(device.type, torch.bfloat16):
            loss = lesson.loss(batch, wording_of(step))
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for tool in tools:
            tool.step()
            tool.zero_grad()
        losses.append(loss.detach())
        if step % 50 == 0:
            log(step, spent / seconds, finite(losses[-1]))
        step += 1
        wait(ahead, device)
    tail = torch.stack(losses[-max(1, step // 10) :]).mean()  # reading it waits for the device
    taught = Taught(step, step * views.size, 0.0, finite(tail))
    taught.seconds = time.monotonic() - started
    lesson.finish()
    return taught


def frozen(module: nn.Module, lesson: Lesson) -> None:
    """Gradients for what is taught, and for nothing else."""
    module.requires_grad_(False)
    for part in lesson.taught():
        part.requires_grad_(True)
    for scalar in lesson.scalars():
        scalar.requires_grad_(True)


def finite(loss: Tensor) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss is {value}")
    return value


def wait(ahead: deque[Any], device: torch.device) -> None:
    """Hold the host until the device has done all but the last few steps."""
    if device.type != "cuda":
        return
    event = torch.cuda.Event()
    event.record()
    ahead.append(event)
    if len(ahead) > LAG:
        ahead.popleft().synchronize()


def warm_up(lesson: Lesson, views: Views, layout: str | None) -> str:
    """Set the memory layout and compile what compiles at first use, outside the clock; the layout.

    Where none is given and convolutions run on a GPU, the faster of the two: for depthwise ones it is hard to foretell.
    """
    module, device = lesson.module, views.album.device
    module.train()
    frozen(module, lesson)
    if device.type != "cuda":
        return "contiguous"
    if layout is None and sum(isinstance(part, nn.Conv2d) for part in module.modules()) > 1:
        took = {name: _seconds(lesson, views, name) for name in LAYOUTS}
        layout = min(took, key=lambda name: took[name])
    layout = layout or "contiguous"
    _seconds(lesson, views, layout)
    return layout


def _seconds(lesson: Lesson, views: Views, layout: str) -> float:
    """Of three steps without a change, after two that are not counted."""
    device, started = views.album.device, 0.0
    lesson.module.to(memory_format=LAYOUTS[layout])
    for step in range(5):
        if step == 2:
            torch.cuda.synchronize()
            started = time.monotonic()
        batch = views.draw()
        with torch.autocast(device.type, torch.bfloat16):
            loss = lesson.loss(batch, step % 2)
        loss.backward()
        lesson.module.zero_grad()
    torch.cuda.synchronize()
    return time.monotonic() - started


@torch.no_grad()
def check(lesson: Lesson, pixels: Tensor, labels: Tensor, side: int) -> dict[str, float]:
    """Accuracy, mean confidence and mean log loss on test images, classes in the order of the labels."""
    lesson.module.eval()
    logits = torch.cat([lesson.logits(still(part, side)) for part in pixels.split(500)]).double()
    logp = logits.log_softmax(1)
    confidence, found = logp.exp().max(1)
    return {
        "n": len(labels),
        "accuracy": (found == labels).double().mean().item(),
        "confidence": confidence.mean().item(),
        "nll": -logp.gather(1, labels[:, None]).mean().item(),
        "softmax_over": "logits" if isinstance(lesson, Labels) else "scaled cosines of one prompt a class",
    }
