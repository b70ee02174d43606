"""Prompts through the framework's own text tower: exact for every tower, at the full cost of every position."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch

from candid.errors import InputError
from candid.tune.wording import Wording

__all__ = ["TEXTS_AT_ONCE", "Ordinary", "Readable"]

TEXTS_AT_ONCE = 128
Tensor = torch.Tensor


@runtime_checkable
class Readable(Protocol):
    """A vision-language model that can be gone into: what `candid.models` loads."""

    id: str
    module: Any

    @property
    def text_tower(self) -> Callable[..., Tensor]: ...
    def token_table(self, module: Any) -> torch.nn.Embedding: ...


class Ordinary:
    """Raw rows of prompts from `model.text_tower` of `module`; learnt vectors take the places of its token vectors."""

    def __init__(self, model: Readable, module: Any) -> None:
        self.model, self.module = model, module
        self.table = model.token_table(module)

    def rows(self, wording: Wording, context: Tensor | None, names: Tensor | None) -> Tensor:
        """Rows (r, k, d), before they are made unit, for context (r, 1 or k, M, w) and names (r, T, w)."""
        runs = max(1 if part is None else len(part) for part in (context, names))
        prompts = [self._prompt(wording, c, run, context, names) for run in range(runs)
                   for c in range(len(wording.classes))]  # fmt: skip
        texts = [*wording.texts] * runs
        found = [self._encoded(texts[at : at + TEXTS_AT_ONCE], prompts[at : at + TEXTS_AT_ONCE])
                 for at in range(0, len(texts), TEXTS_AT_ONCE)]  # fmt: skip
        return torch.unflatten(torch.cat(found), 0, (runs, len(wording.classes)))

    def _prompt(self, wording: Wording, c: int, run: int, context: Tensor | None, names: Tensor | None) -> Tensor:
        """Token vectors (n, w) of one class in one run."""
        if context is not None:
            words = context[run, c if context.shape[1] > 1 else 0]
        else:
            words = self._look_up(wording.context or ())
        start = sum(map(len, wording.names[:c]))
        name = self._look_up(wording.names[c]) if names is None else names[run, start : start + len(wording.names[c])]
        parts = (self._look_up(wording.head), words[: wording.before], name, words[wording.before :],
                 self._look_up(wording.tails[c]))  # fmt: skip
        return torch.cat([part.to(self.table.weight.dtype) for part in parts])

    def _look_up(self, ids: tuple[int, ...]) -> Tensor:
        return self.table.weight[torch.tensor(ids, dtype=torch.long, device=self.table.weight.device)]

    def _encoded(self, texts: list[str], prompts: list[Tensor]) -> Tensor:
        longest = max(map(len, prompts))

        def put(_: Any, inputs: tuple[Tensor, ...], looked_up: Tensor) -> Tensor:
            if looked_up.shape[0] != len(prompts) or looked_up.shape[1] < longest:
                raise InputError(
                    f"the text tower of {self.model.id} sees other tokens than its tokenizer gives; "
                    "prompts cannot be put into it"
                )
            rows = [torch.cat((prompt, row[len(prompt) :])) for prompt, row in zip(prompts, looked_up, strict=True)]
            return torch.stack(rows)

        hook = self.table.register_forward_hook(put)
        try:
            return self.model.text_tower(texts, self.module)
        finally:
            hook.remove()
