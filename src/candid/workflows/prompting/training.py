"""A case becomes records: draw, train every run of it in one batch, judge."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple, cast

import numpy as np

from candid import tune
from candid.errors import InputError
from candid.tune import Run, Tuned
from candid.tune.recipe import ClsInit, Variant
from candid.types import Head
from candid.workflows.prompting.material import Drawn, Material
from candid.workflows.prompting.plan import TRUE, Case, Plan
from candid.workflows.prompting.record import Record

__all__ = ["records", "words_for", "zero_shot_record"]

OTHER_WORDS = (  # of none of the sets
    *("table", "cloud", "river", "engine", "paper", "winter", "sugar", "bridge", "letter", "silver", "window"),
    *("shadow", "market", "planet", "button", "basket", "thunder", "pencil", "garden", "blanket", "copper", "island"),
    *("ladder", "mirror", "needle", "pocket", "ribbon", "saddle", "candle", "harbour"),
)


class _Which(NamedTuple):
    """Which run of a case a training is."""

    loss: str
    rate: float
    draw: int
    member: int
    drawn: Drawn


def zero_shot_record(material: Material, name: str) -> Record:
    """The head of the hand prompt, which nothing was trained for."""
    n = len(material.test)
    return Record("zero-shot", name, material.found.name, "zero-shot", "", "", 0.0, 0.0, "", 0, 0, "one", 0, n,
                  material.judged(material.zero_shot))  # fmt: skip


def records(
    material: Material, case: Case, plan: Plan, name: str, *, progress: Callable[[int, int], None]
) -> list[Record]:
    """Every number of this case for the model called `name`."""
    which = list(_runs(material, case, plan))
    recipe = tune.Recipe(
        variant=cast(Variant, case.variant), epochs=case.epochs, context=case.context, per_class=case.per_class,
        template=material.found.template, cls_init=cast(ClsInit, case.cls_init),
        words=words_for(material.classes, case.words, seed=plan.seed), rate=plan.peaks.get(case.variant),
    )  # fmt: skip
    bank, places = material.bank
    runs = [
        Run(each.drawn.labels, places[each.drawn.rows], each.loss, {}, _seed(plan, each.draw, each.member))
        for each in which
    ]
    names = (
        tune.random_names(material.model, material.classes, seed=plan.seed) if case.words == "random vectors" else None
    )
    found = tune.fit_many(
        material.model, bank.vectors, runs, material.classes, recipe=recipe, names=names, watch=case.watch,
        progress=progress,
    )  # fmt: skip
    if case.gradients:
        return list(_gradients(material, case, recipe, which, found, name))
    return list(_judged(material, case, which, found, name))


def _runs(material: Material, case: Case, plan: Plan) -> Iterator[_Which]:
    for rate in case.rates:
        for draw in range(plan.draws):
            drawn = material.draw(case, plan, rate, draw)
            for loss in case.losses:
                for member in range(case.members):
                    yield _Which(loss, rate, draw, member, drawn)


def _seed(plan: Plan, draw: int, member: int) -> int:
    return plan.seed + draw + 1000 * member


def words_for(classes: Sequence[str], words: str, *, seed: int) -> tuple[str, ...] | None:
    """What stands in place of the class names: these in another order, as many random words, or one word for all."""
    random = np.random.default_rng([seed, 3])
    if words == "swapped":
        order = random.permutation(len(classes))
        other = dict(zip(order, np.roll(order, -1), strict=True))
        return tuple(classes[other[i]] for i in range(len(classes)))
    if words == "random words":
        lengths = [len(name.replace("_", " ").split()) for name in classes]
        rounds = range(1 + sum(lengths) // len(OTHER_WORDS))
        pool = [f"{word}{i or ''}" for i in rounds for word in random.permutation(OTHER_WORDS)]
        return tuple(" ".join(pool[sum(lengths[:i]) :][:n]) for i, n in enumerate(lengths))
    return ("thing",) * len(classes) if words == "one word" else None


def _judged(
    material: Material, case: Case, which: Sequence[_Which], found: Sequence[Tuned | InputError], name: str
) -> Iterator[Record]:
    together: dict[tuple[str, float, int], list[Tuned]] = {}
    for each, tuned in zip(which, found, strict=True):
        if isinstance(tuned, InputError):
            yield _record(material, case, each, name, case.epochs, "one", {}, str(tuned))
            continue
        together.setdefault((each.loss, each.rate, each.draw), []).append(tuned)
        for epoch, head in _heads(tuned, case.epochs):
            yield _record(material, case, each, name, epoch, "one", material.judged(head), tuned.warning)
    for key, members in together.items():
        if len(members) > 1:
            each = next(one for one in which if (one.loss, one.rate, one.draw) == key)
            for epoch, head in _heads(tune.averaged(members), case.epochs):
                yield _record(material, case, each, name, epoch, "average", material.judged(head), "")


def _heads(tuned: Tuned, epochs: int) -> Iterator[tuple[int, Head]]:
    """Heads by number of epochs; of several members their average."""
    for epoch, members in tuned.watched.items():
        if epoch != epochs:
            yield epoch, tune.mean_head(members)
    yield epochs, tuned.head


def _gradients(
    material: Material, case: Case, recipe: tune.Recipe, which: Sequence[_Which],
    found: Sequence[Tuned | InputError], name: str,
) -> Iterator[Record]:  # fmt: skip
    bank, places = material.bank
    for each, tuned in zip(which, found, strict=True):
        if isinstance(tuned, InputError) or not each.drawn.wrong.any():
            continue
        for epoch in case.watch:
            features = np.asarray(bank.vectors[places[each.drawn.rows], epoch % bank.vectors.shape[1]], np.float32)
            spaces = tune.agreement_at(
                material.model, material.classes, recipe, tuned.parameters[epoch][0], features, each.drawn.labels,
                each.drawn.wrong, loss=each.loss,
            )  # fmt: skip
            for space, agreement in spaces.items():
                numbers = asdict(agreement)
                yield _record(material, replace(case, setting=space), each, name, epoch, "one", numbers, "")


def _record(
    material: Material, case: Case, each: _Which, name: str, epoch: int, member: str, numbers: dict[str, float],
    note: str,
) -> Record:  # fmt: skip
    drawn = each.drawn
    return Record(
        case.question, name, material.found.name, case.variant, each.loss, case.protocol, each.rate,
        float(drawn.wrong.mean()), case.setting if case.words == TRUE or case.setting else case.words, epoch, each.draw,
        member, len(drawn.rows), len(material.test), {**numbers, **drawn.facts}, note,
    )  # fmt: skip
