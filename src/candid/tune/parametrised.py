"""The six ways to parametrise class vectors: what is trained in each, how it starts, and the rows it gives.

Wu et al. 2023, arxiv.org/abs/2307.11978, section 3. What starts at random does so from the run's own seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from candid.errors import InputError
from candid.tune.prompts import Prompts
from candid.tune.recipe import Recipe
from candid.tune.towers import Inside, text_tower

__all__ = ["NAME_SPREAD", "Parameters", "Parametrised", "parametrised", "random_names"]

Tensor = torch.Tensor
Parameters = dict[str, Tensor]
NAME_SPREAD = 0.02  # standard deviation of random context and name vectors, that of CLIP's own initialisation


@dataclass(frozen=True, eq=False)
class Parametrised:
    """`start(seeds)` gives float32 (or float64) parameters, runs in front; `rows` makes them class vectors (r, k, d).

    `stacks` is False where the runs cannot share a batch. Rows of `raw` classifiers are not unit; they have a bias.
    """

    start: Callable[[Sequence[int]], Parameters]
    rows: Callable[[Parameters], Tensor]
    note: str = ""
    stacks: bool = True
    raw: bool = False


def parametrised(model: Inside, classes: Sequence[str], recipe: Recipe, *, names: Tensor | None = None) -> Parametrised:
    """The parametrisation that the recipe asks for. `names` (T, w) stand in for the token vectors of all names."""
    spoken = classes if recipe.words is None else recipe.words
    if len(spoken) != len(classes):
        raise InputError(f"expected a word for each of {len(classes)} classes, got {len(spoken)}")
    if names is not None and recipe.variant != "prompt":
        raise InputError(f"vectors in place of names are for the variant prompt, got {recipe.variant}")
    makers = {
        "classifier-random": _classifier,
        "classifier-text": _classifier,
        "text-encoder": _text_encoder,
        "cls": _names,
    }
    if recipe.variant in makers:
        return makers[recipe.variant](model, spoken, recipe)
    return _context(model, spoken, recipe, names)


def random_names(model: Inside, classes: Sequence[str], *, seed: int = 0) -> Tensor:
    """Gaussian vectors (T, w) in place of the token vectors of all names, each of the names' mean norm: a control."""
    own = Prompts.learned(model, classes, length=1).name_vectors
    drawn = torch.randn(own.shape, generator=_generator(seed, 1)).to(own)
    scaled: Tensor = drawn * own.norm(dim=1).mean() / drawn.norm(dim=1, keepdim=True)
    return scaled


def _classifier(model: Inside, classes: Sequence[str], recipe: Recipe) -> Parametrised:
    raw = recipe.logit == "raw"

    def start(seeds: Sequence[int]) -> Parameters:
        if recipe.variant == "classifier-text":
            with torch.no_grad():
                rows = Prompts.written(model, classes, template=recipe.template)()
            weights = rows.repeat(len(seeds), 1, 1) * (model.scale if raw else 1)
        else:
            drawn = [torch.randn((len(classes), model.dim), generator=_generator(seed)) for seed in seeds]
            weights = torch.stack(drawn).to(_wide(model).device)
            weights = weights * model.dim**-0.5 if raw else weights / weights.norm(dim=-1, keepdim=True)
        weights = weights.to(_wide(model).dtype)
        return {"weights": weights, "bias": weights.new_zeros(weights.shape[:2])} if raw else {"weights": weights}

    def rows(parameters: Parameters) -> Tensor:
        weights = parameters["weights"]
        return weights if raw else weights / weights.norm(dim=-1, keepdim=True)

    return Parametrised(start, rows, raw=raw)


def _context(model: Inside, classes: Sequence[str], recipe: Recipe, names: Tensor | None) -> Parametrised:
    """Learnt context, with or without learnt names."""
    words = None if recipe.context_words is None else _words(model, recipe.context_words)
    length = recipe.context if words is None else len(words)
    prompts = Prompts.learned(model, classes, length=length, position=recipe.position, distinct=recipe.words is None)
    if names is not None and names.shape != prompts.name_vectors.shape:
        raise InputError(f"expected name vectors {tuple(prompts.name_vectors.shape)}, got {tuple(names.shape)}")

    def start(seeds: Sequence[int]) -> Parameters:
        shape = (len(classes) if recipe.per_class else 1, length, prompts.width)
        if words is None:
            drawn = [NAME_SPREAD * torch.randn(shape, generator=_generator(seed)) for seed in seeds]
            found = {"context": torch.stack(drawn).to(_wide(model))}
        else:
            found = {"context": words.to(_wide(model)).repeat(len(seeds), shape[0], 1, 1)}
        if recipe.variant == "full-prompt":
            found["names"] = _start_names(prompts, recipe, seeds)
        return found

    def rows(parameters: Parameters) -> Tensor:
        context = parameters["context"]
        fixed = None if names is None else names.to(context).expand(len(context), -1, -1)
        return prompts(context, parameters.get("names", fixed))

    return Parametrised(start, rows, prompts.tower.note)


def _names(model: Inside, classes: Sequence[str], recipe: Recipe) -> Parametrised:
    prompts = Prompts.written(model, classes, template=recipe.template)
    return Parametrised(
        lambda seeds: {"names": _start_names(prompts, recipe, seeds)},
        lambda parameters: prompts(None, parameters["names"]),
        prompts.tower.note,
    )


def _start_names(prompts: Prompts, recipe: Recipe, seeds: Sequence[int]) -> Tensor:
    like = _wide(prompts.tower.model)
    own = prompts.name_vectors.to(like)
    if recipe.cls_init == "name":
        return own.repeat(len(seeds), 1, 1)
    return torch.stack([NAME_SPREAD * torch.randn(own.shape, generator=_generator(seed, 1)) for seed in seeds]).to(like)


def _text_encoder(model: Inside, classes: Sequence[str], recipe: Recipe) -> Parametrised:
    """All text weights; every run trains a copy of its own."""
    tower = text_tower(model).trainable()
    prompts = Prompts.written(tower, classes, template=recipe.template)
    own = {name: parameter.detach().clone() for name, parameter in tower.parameters().items()}

    def start(seeds: Sequence[int]) -> Parameters:
        if len(seeds) != 1:
            raise InputError(f"the text encoder trains one run at a time, got {len(seeds)}")
        parameters: Parameters = dict(tower.parameters())
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(own[name])
        return parameters

    return Parametrised(start, lambda _: prompts(), tower.note, stacks=False)


def _words(model: Inside, text: str) -> Tensor:
    tower = text_tower(model)
    prompts = Prompts.written(tower, ["x"], template=f"{text.strip()} {{}}")
    words = (prompts.wording.context or ())[: prompts.wording.before]
    if not words:
        raise InputError(f"expected words for the context to start from, got {text!r}")
    return tower.look_up(words)


def _wide(model: Inside) -> Tensor:
    """An empty tensor of the device and precision that parameters are kept in: float32, or float64 with the model."""
    table = text_tower(model).table
    return table.new_empty(0, dtype=torch.promote_types(table.dtype, torch.float32))


def _generator(seed: int, stream: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(2 * seed + stream)
