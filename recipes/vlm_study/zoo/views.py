"""Batches of augmented views made where the pixels lie, and the texts that name them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from recipes.tiny.training import MEAN, STD
from recipes.vlm_study.zoo.pools import CAPTIONED, Pool

__all__ = ["Album", "Batch", "Views", "still"]

SHRUNK = 40  # pixels a side from which 32 px views are cut, so that nothing is skipped when they are sampled


@dataclass
class Batch:
    """`pixels` n 3 side side; `concept[i]` the row of image i in the names, or len(names) + row in the captions.

    The last `captioned` rows, and no others, have captions.
    """

    pixels: Tensor
    concept: Tensor
    captioned: int


class Album:
    """The pixels of every source on one device, n 3 side side uint8, and the texts of each image."""

    def __init__(self, pools: list[Pool], device: torch.device) -> None:
        self.device = device
        self.texts = {pool.source: pool.texts for pool in pools}
        stored = {pool.source: torch.from_numpy(pool.pixels).permute(0, 3, 1, 2).contiguous() for pool in pools}
        self.whole = {source: pixels.to(device) for source, pixels in stored.items()}
        self.small = {s: p if p.shape[-1] <= SHRUNK else _shrunk(p) for s, p in self.whole.items()}

    def pixels(self, source: str, side: int) -> Tensor:
        """Those that views of `side` pixels are cut from."""
        return self.small[source] if side <= SHRUNK else self.whole[source]


def _shrunk(pixels: Tensor) -> Tensor:
    parts = [interpolate(p.float(), size=(SHRUNK, SHRUNK), mode="bilinear", antialias=True) for p in pixels.split(512)]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])


class Views:
    """Mixed batches of a fixed make-up. `names` lists every concept once, `captions` every whole sentence."""

    def __init__(self, album: Album, shares: dict[str, float], *, side: int, size: int, seed: int) -> None:
        self.album, self.side = album, side
        self.generator = torch.Generator(album.device).manual_seed(seed)
        named = [source for source in shares if source not in CAPTIONED]
        self.sources = named + [source for source in shares if source in CAPTIONED]
        self.counts = {source: max(1, round(shares[source] * size)) for source in self.sources}
        self.size = sum(self.counts.values())
        self.captioned = sum(self.counts[source] for source in self.sources if source in CAPTIONED)
        self.names = sorted({name for source in named for texts in album.texts[source] for name in texts})
        self.captions: list[str] = []
        index = {name: i for i, name in enumerate(self.names)}
        self.rows = {source: self._rows(source, index) for source in self.sources}

    def _rows(self, source: str, index: dict[str, int]) -> Tensor:
        texts = self.album.texts[source]
        if source in CAPTIONED:
            start = len(self.names) + len(self.captions)
            self.captions += [text for row in texts for text in row]
            rows = start + torch.arange(len(self.captions) + len(self.names) - start).view(len(texts), -1)
        else:
            rows = torch.tensor([[index[name] for name in row] for row in texts])
        return rows.to(self.album.device)

    def draw(self) -> Batch:
        pixels, concept = [], []
        for source in self.sources:
            stored, rows = self.album.pixels(source, self.side), self.rows[source]
            drawn = self._whole_numbers(len(stored), self.counts[source])
            pixels.append(self._augmented(stored[drawn], flip=source != "emoji"))
            concept.append(rows[drawn, self._whole_numbers(rows.shape[1], len(drawn))])
        return Batch(torch.cat(pixels), torch.cat(concept), self.captioned)

    def _whole_numbers(self, below: int, n: int) -> Tensor:
        return torch.randint(below, (n,), generator=self.generator, device=self.album.device)

    def _augmented(self, pixels: Tensor, *, flip: bool) -> Tensor:
        """Random crop, aspect, flip, brightness and contrast in one resampling, as for `tiny`."""
        n, device = len(pixels), self.album.device

        def between(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(n, generator=self.generator, device=device)

        side, aspect = between(0.35, 1.0).sqrt(), between(-0.25, 0.25).exp()
        width, height = (side * aspect).clamp(max=1), (side / aspect).clamp(max=1)
        mirror = torch.where(between(0, 1) < 0.5, -1.0, 1.0) if flip else torch.ones(n, device=device)
        theta = torch.zeros(n, 2, 3, device=device)
        theta[:, 0, 0], theta[:, 0, 2] = width * mirror, between(-1, 1) * (1 - width)
        theta[:, 1, 1], theta[:, 1, 2] = height, between(-1, 1) * (1 - height)
        grid = affine_grid(theta, [n, 3, self.side, self.side], align_corners=False)
        x = grid_sample(pixels.float() / 255, grid, padding_mode="reflection", align_corners=False)
        mean = x.mean((1, 2, 3), keepdim=True)
        contrast, brightness = (between(0.7, 1.3)[:, None, None, None] for _ in range(2))
        return _normalised(((x - mean) * contrast + mean * brightness).clamp(0, 1))


def still(pixels: Tensor, side: int) -> Tensor:
    """Whole images of uint8 n 3 h h as the tower takes them, n 3 side side."""
    x = pixels.float() / 255
    if pixels.shape[-1] != side:
        x = interpolate(x, size=(side, side), mode="bilinear", antialias=True)
    return _normalised(x)


def _normalised(x: Tensor) -> Tensor:
    mean, std = (torch.tensor(v, device=x.device)[:, None, None] for v in (MEAN, STD))
    return (x - mean) / std
