"""One training step of a promptable segmenter: a person clicking, simulated. Kirillov et al., ICCV 2023, appendix A.

First a point, a box or an embedding, then points in the error of the previous mask, which comes back as a prompt.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

__all__ = ["Batch", "Losses", "boxes_of", "interact", "mask_losses", "overlap", "sample_points"]

FOCAL_WEIGHT, FOCAL_ALPHA, FOCAL_GAMMA = 20.0, 0.25, 2.0  # the paper states the 20; alpha and gamma are MaskFormer's
BOX_NOISE, BOX_NOISE_MOST = 0.1, 20.0  # share of the side, and pixels of an input of 1,024
INSIDE, CORNERS, NOTHING = 1, (2, 3), -1  # labels of points; 0 is outside
TEXTS = 0.15  # share of first prompts that are embeddings of the crop, where there are any


@dataclass(frozen=True)
class Batch:
    """n images and b masks on them.

    `pixels` n 3 size size, normalised and padded; `image` b, the row of each mask's image; `masks` b l l, 0 or 1, at
    the side of the decoder's logits; `valid` b l l, 1 where there is image and 0 in the padding; `texts` b d, unit
    embeddings of each object's crop, where some prompts are to be those.
    """

    pixels: Tensor
    image: Tensor
    masks: Tensor
    valid: Tensor
    texts: Tensor | None = None


@dataclass(frozen=True)
class Losses:
    """Means over the masks: at the first prompt, at the last, of the IoU prediction; and the last IoU."""

    first: float
    last: float
    quality: float
    iou: float


def mask_losses(logits: Tensor, masks: Tensor, valid: Tensor) -> Tensor:
    """20 focal + dice b m of logits b m l l against masks b l l, over the valid pixels."""
    target = masks[:, None].expand_as(logits)
    inside = valid[:, None]
    probability = torch.sigmoid(logits)
    hit = torch.where(target > 0.5, probability, 1 - probability)
    weight = torch.where(target > 0.5, FOCAL_ALPHA, 1 - FOCAL_ALPHA)
    entropy = binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (weight * (1 - hit) ** FOCAL_GAMMA * entropy * inside).sum((2, 3)) / inside.sum((2, 3))
    shared = (probability * target * inside).sum((2, 3))
    both = (probability * inside).sum((2, 3)) + (target * inside).sum((2, 3))
    dice = 1 - (2 * shared + 1) / (both + 1)
    return FOCAL_WEIGHT * focal + dice


def overlap(logits: Tensor, masks: Tensor, valid: Tensor) -> Tensor:
    """IoU b m of logits above 0 with masks; two empty masks agree."""
    predicted, target = (logits > 0) & (valid[:, None] > 0), (masks[:, None] > 0.5) & (valid[:, None] > 0)
    union = (predicted | target).sum((2, 3))
    return torch.where(union > 0, (predicted & target).sum((2, 3)) / union.clamp(min=1), 1.0)


def sample_points(where: Tensor, random: torch.Generator) -> Tensor:
    """One cell (x, y) drawn uniformly from each map b l l that is True where a point may fall."""
    flat = where.flatten(1).float()
    drawn = torch.multinomial(flat, 1, generator=random)[:, 0]
    side = where.shape[-1]
    return torch.stack([drawn % side, drawn // side], dim=1)


def interact(network: Any, batch: Batch, *, clicks: int = 8, random: torch.Generator) -> Losses:
    """Adds the gradients of all prompts' losses to the network's parameters; the losses of the first and last.

    The image is encoded once. Each prompt's loss runs backward at once to a copy of the embedding, so memory does not
    grow with the number of clicks. The encoder takes part if its parameters require gradients. With one prompt there
    are three answers and only the lowest loss counts; the quality of all three is learned, or they could not be
    ranked. A first box trains the single mask too, which is the one asked for with boxes.
    """
    embedding = network.encode(batch.pixels)
    leaf = embedding.detach().requires_grad_(embedding.requires_grad)
    person = _Person(network, batch, random)
    b = len(batch.masks)
    rows, places = torch.arange(b, device=batch.masks.device), network.places().detach()
    plan = [False, *_clicks(clicks, random)]
    first = iou = torch.zeros(())
    previous: Tensor | None = None
    for step, click in enumerate(plan):
        if click and previous is not None:
            person.click(previous[:, 0])
        decoded = network.decode(leaf[batch.image], person.tokens(), network.dense(previous), places)
        found, predicted = decoded.logits().float(), decoded.quality().float()
        each = mask_losses(found, batch.masks, batch.valid)
        iou = overlap(found.detach(), batch.masks, batch.valid)
        if step == 0:
            lowest = each[:, 1:].min(1).values
            mask_loss = torch.where(person.boxed, lowest + each[:, 0], lowest)
            quality_loss = mse_loss(predicted, iou)
            chosen = 1 + predicted[:, 1:].argmax(1)
        else:
            mask_loss = each[:, 0]
            quality_loss = mse_loss(predicted[:, 0], iou[:, 0])
            chosen = torch.zeros_like(rows)
        total = (mask_loss.mean() + quality_loss) / len(plan)
        total.backward()  # type: ignore[no-untyped-call]
        previous, iou = found.detach()[rows, chosen][:, None], iou[rows, chosen]
        if step == 0:
            first = mask_loss.detach().mean()
    last, quality = mask_loss.detach().mean(), quality_loss.detach()
    if leaf.grad is not None:
        embedding.backward(leaf.grad)
    return Losses(float(first), float(last), float(quality), float(iou.mean()))


def _clicks(count: int, random: torch.Generator) -> list[bool]:
    """Which prompts after the first add a point: `count` do, and two do not, one among them and the last."""
    if not count:
        return []
    blank = int(torch.randint(1, count + 1, (), generator=random, device=random.device))
    return [True] * blank + [False] + [True] * (count - blank) + [False]


class _Person:
    """The prompts so far: a first point, box or text, then clicks."""

    def __init__(self, network: Any, batch: Batch, random: torch.Generator) -> None:
        self.network, self.batch, self.random = network, batch, random
        masks = batch.masks > 0.5
        b, side = len(masks), masks.shape[-1]
        self.scale = network.image_size / side
        kind = torch.rand(b, generator=random, device=masks.device)
        texts = 0.0 if batch.texts is None else TEXTS
        self.told = kind < texts
        self.boxed = (kind >= texts) & (kind < texts + (1 - texts) / 2)
        cell = self._pixels(sample_points(masks, random))
        corners = boxes_of(masks) * self.scale - 0.5
        corners = _noisy(corners, network.image_size, random)
        nothing = torch.zeros_like(cell)
        one = torch.where(self.boxed[:, None], corners[:, :2], cell)
        two = torch.where(self.boxed[:, None], corners[:, 2:], nothing)
        self.points = torch.stack([one, two], dim=1)
        label_one = torch.where(self.boxed, CORNERS[0], torch.where(self.told, NOTHING, INSIDE))
        label_two = torch.where(self.boxed, CORNERS[1], NOTHING)
        self.labels = torch.stack([label_one, label_two], dim=1)

    def tokens(self) -> Tensor:
        """Tokens of all prompts; the embedding of a crop stands where a first point would."""
        tokens: Tensor = self.network.tokens(self.points, self.labels)
        if self.batch.texts is None:
            return tokens
        told = self.network.text(self.batch.texts)
        return torch.cat([torch.where(self.told[:, None], told, tokens[:, 0])[:, None], tokens[:, 1:]], dim=1)

    def click(self, logits: Tensor) -> None:
        """A point in the error of logits b l l: inside on a miss, outside on an excess."""
        target = self.batch.masks > 0.5
        wrong = ((logits > 0) != target) & (self.batch.valid > 0)
        wrong = torch.where(wrong.any((1, 2))[:, None, None], wrong, target)  # nothing left to mend: confirm the object
        cell = sample_points(wrong, self.random)
        rows = torch.arange(len(target), device=target.device)
        inside = target[rows, cell[:, 1], cell[:, 0]].long()
        self.points = torch.cat([self.points, self._pixels(cell)[:, None]], dim=1)
        self.labels = torch.cat([self.labels, inside[:, None]], dim=1)

    def _pixels(self, cells: Tensor) -> Tensor:
        pixels: Tensor = (cells.float() + 0.5) * self.scale - 0.5
        return pixels


def boxes_of(masks: Tensor) -> Tensor:
    """Boxes x0 y0 x1 y1, the last two one past the end, b 4, of masks b l l."""
    side = masks.shape[-1]
    steps = torch.arange(side, device=masks.device)
    found = []
    for axis in (1, 2):
        there = masks.any(axis)
        low = torch.where(there, steps, side).min(1).values
        high = torch.where(there, steps + 1, 0).max(1).values
        found += [low, high]
    return torch.stack([found[0], found[2], found[1], found[3]], dim=1).float()


def _noisy(boxes: Tensor, image_size: int, random: torch.Generator) -> Tensor:
    """Corners moved by a Gaussian of a tenth of the side, at most 20 pixels of 1,024."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    most = BOX_NOISE_MOST * image_size / 1024
    moved = torch.randn(boxes.shape, generator=random, device=boxes.device) * sides * BOX_NOISE
    return (boxes + moved.clamp(-most, most)).clamp(-0.5, image_size - 0.5)
