"""What a model is taught by: images against texts with a softmax or a sigmoid loss, or against class labels."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, normalize
from transformers import CLIPModel, CLIPTokenizer

from recipes.tiny.texts import TEMPLATES
from recipes.vlm_study.zoo.plan import CLASSES, Spec
from recipes.vlm_study.zoo.towers import CONTEXT
from recipes.vlm_study.zoo.views import Batch, Views

__all__ = ["Bank", "Labels", "Lesson", "Sigmoid", "Softmax", "lesson"]


class Bank:
    """Pooled features of the frozen text tower, each text read once."""

    def __init__(self, tiny: CLIPModel, tokens: CLIPTokenizer, device: torch.device) -> None:
        self.tower, self.tokens, self.device = tiny.text_model.eval().to(device), tokens, device
        self.known: dict[str, int] = {}
        self.features = torch.zeros(0, tiny.config.text_config.hidden_size, device=device)

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> Tensor:
        """float32 n width."""
        new = sorted({text for text in texts if text not in self.known}, key=len)
        parts = [self._pooled(new[i : i + 1024]) for i in range(0, len(new), 1024)]
        self.known |= {text: len(self.known) + i for i, text in enumerate(new)}
        self.features = torch.cat([self.features, *parts])
        return self.features[torch.tensor([self.known[text] for text in texts], device=self.device)]

    def _pooled(self, texts: list[str]) -> Tensor:
        out = self.tokens(texts, padding=True, truncation=True, return_tensors="pt").to(self.device)
        return self.tower(input_ids=out["input_ids"], attention_mask=out["attention_mask"]).pooler_output.float()


@dataclass
class Softmax:
    """Each image against all names in one wording and the captions of its batch; the text tower stays as it is."""

    module: Any
    names: Tensor  # wordings n width
    captions: Tensor
    classes: Tensor

    @classmethod
    def of(cls, module: nn.Module, views: Views, bank: Bank) -> "Softmax":
        names = torch.stack([bank([wording.format(name) for name in views.names]) for wording in TEMPLATES])
        classes = bank([TEMPLATES[0].format(name) for name in CLASSES])
        return cls(module, names, bank(views.captions) if views.captions else names[0, :0], classes)

    def taught(self) -> list[nn.Module]:
        return [self.module.vision_model, self.module.visual_projection, self.module.text_projection]

    def scalars(self) -> list[nn.Parameter]:
        return [self.module.logit_scale]

    def loss(self, batch: Batch, wording: int) -> Tensor:
        names = self.names[wording]
        tail = len(batch.concept) - batch.captioned
        texts = torch.cat([names, self.captions[batch.concept[tail:] - len(names)]])
        own = len(names) + torch.arange(batch.captioned, device=texts.device)
        target = torch.cat([batch.concept[:tail], own])
        images = self.module.get_image_features(pixel_values=batch.pixels).pooler_output.float()
        return cross_entropy(self._logits(images, texts), target)

    def logits(self, pixels: Tensor) -> Tensor:
        """Zero-shot logits of CIFAR-10's classes, one prompt."""
        return self._logits(self.vectors(pixels), self.classes)

    def vectors(self, pixels: Tensor) -> Tensor:
        return normalize(self.module.get_image_features(pixel_values=pixels).pooler_output.float(), dim=1)

    def _logits(self, images: Tensor, texts: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            rows = normalize(self.module.text_projection(texts), dim=1)
            return self.module.logit_scale.clamp(max=math.log(100)).exp() * normalize(images, dim=1) @ rows.T

    def finish(self) -> None:
        """The learnt scale as it was used."""
        self.module.logit_scale.data.clamp_(max=math.log(100))


@dataclass
class Sigmoid:
    """One yes-or-no question a pair, scale and bias learnt, both towers taught. Zhai et al. 2023, eq. 1."""

    module: Any
    names: Tensor  # wordings n context, token ids
    captions: Tensor
    classes: Tensor

    @classmethod
    def of(cls, module: nn.Module, views: Views, tokens: CLIPTokenizer) -> "Sigmoid":
        def ids(texts: list[str]) -> Tensor:
            out = tokens(texts, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt")
            return out["input_ids"].to(views.album.device)

        names = torch.stack([ids([wording.format(name) for name in views.names]) for wording in TEMPLATES])
        classes = ids([TEMPLATES[0].format(name) for name in CLASSES])
        return cls(module, names, ids(views.captions) if views.captions else names[0, :0], classes)

    def taught(self) -> list[nn.Module]:
        return [self.module.vision_model, self.module.text_model]

    def scalars(self) -> list[nn.Parameter]:
        return [self.module.logit_scale, self.module.logit_bias]

    def loss(self, batch: Batch, wording: int) -> Tensor:
        drawn = torch.unique(batch.concept)
        same = batch.concept[:, None] == drawn
        ids = torch.cat([self.names[wording], self.captions])[drawn]
        images = self.module.get_image_features(pixel_values=batch.pixels).pooler_output.float()
        texts = self.module.get_text_features(input_ids=ids).pooler_output.float()
        return -logsigmoid(torch.where(same, 1.0, -1.0) * self._logits(images, texts)).sum(1).mean()

    def logits(self, pixels: Tensor) -> Tensor:
        """Zero-shot logits of CIFAR-10's classes, one prompt; each is a yes-or-no of its own."""
        texts = self.module.get_text_features(input_ids=self.classes).pooler_output.float()
        return self._logits(self.vectors(pixels), texts)

    def vectors(self, pixels: Tensor) -> Tensor:
        return normalize(self.module.get_image_features(pixel_values=pixels).pooler_output.float(), dim=1)

    def _logits(self, images: Tensor, texts: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            cosines = normalize(images, dim=1) @ normalize(texts, dim=1).T
            return self.module.logit_scale.exp() * cosines + self.module.logit_bias

    def finish(self) -> None:
        """Nothing is left to do."""


@dataclass
class Labels:
    """Plain cross-entropy on class labels: a supervised network of the same make."""

    module: Any
    order: Tensor  # row of the class by row of the name

    @classmethod
    def of(cls, module: nn.Module, views: Views) -> "Labels":
        order = [CLASSES.index(name) for name in views.names]
        return cls(module, torch.tensor(order, device=views.album.device))

    def taught(self) -> list[nn.Module]:
        return [self.module]

    def scalars(self) -> list[nn.Parameter]:
        return []

    def loss(self, batch: Batch, wording: int) -> Tensor:  # names have no wording here
        return cross_entropy(self.logits(batch.pixels), self.order[batch.concept])

    def logits(self, pixels: Tensor) -> Tensor:
        return self.module(pixel_values=pixels).logits.float()

    def vectors(self, pixels: Tensor) -> Tensor:
        """The logits: what stands for the tower's output where there is no embedding."""
        return self.logits(pixels)

    def finish(self) -> None:
        """Nothing is left to do."""


Lesson = Softmax | Sigmoid | Labels


def lesson(spec: Spec, module: nn.Module, views: Views, bank: Bank) -> Lesson:
    """The lesson that `spec` names, ready to start."""
    if spec.loss == "labels":
        return Labels.of(module, views)
    if spec.loss == "sigmoid":
        return Sigmoid.of(module, views, bank.tokens)
    return Softmax.of(module, views, bank)
