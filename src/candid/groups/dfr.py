"""Deep feature reweighting: the last layer retrained on as many rows of each group (Kirichenko, Izmailov, Wilson 2023).

https://arxiv.org/abs/2204.02937, section 5 and appendix: L1 logistic regression on standardised features of balanced
subsets, C by the worst group of a held-out half, coefficients averaged over redrawn subsets.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from candid.errors import InputError
from candid.groups.balance import balanced
from candid.groups.choosing import HeldOut, Retrained, Rows, search
from candid.groups.linear import Linear, Scaler, paths
from candid.types import Groups, Labels, Logits, Vectors

__all__ = ["CLASS_WEIGHTS", "C_GRID", "retrain_last_layer"]

C_GRID = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
CLASS_WEIGHTS = tuple((1.0, w) for w in (1.0, 2.0, 3.0, 10.0, 100.0, 300.0, 1000.0)) + tuple(
    (w, 1.0) for w in (2.0, 3.0, 10.0, 100.0, 300.0, 1000.0)
)
FINAL = 2  # stream of the seed


def retrain_last_layer(
    vectors: Vectors,
    labels: Labels,
    groups: Groups,
    *,
    seed: int = 0,
    held_out: HeldOut | None = None,
    scale_by: Float[np.ndarray, "m e"] | None = None,
    c_grid: Sequence[float] = C_GRID,
    class_weights: Sequence[Sequence[float]] | None = None,
    tuning_splits: int = 1,
    redraws: int = 20,
    penalise_intercept: bool = False,
    classes: Sequence[str] | None = None,
    group_names: Sequence[str] | None = None,
    exclude: Sequence[int | str] = (),
) -> Retrained:
    """A head whose worst group is as good as these rows can make it: DFR.

    Without `held_out` these are validation rows (DFR Tr-Val): one half of every group trains while settings are tried
    and the other scores, then all of them retrain. With it these are training rows (Tr-Tr) and `held_out` scores.
    Groups are any partition, usually class times attribute; each is cut to the smallest one's size, anew `redraws`
    times, and the solutions are averaged. Standard scaling is by `scale_by` (the published code: all training vectors)
    or all rows here, and while validation rows are tuned on, by the rows that train. `class_weights` are tuples of a
    weight a class to try beside each C (`CLASS_WEIGHTS`, the published ones for two classes). `tuning_splits` above 1
    average the choice over several halvings, for a single one leaves it to chance. `penalise_intercept` is liblinear's
    objective, which the published numbers were made with. Three or more classes are one against the rest each.

    >>> from candid import groups
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 400); a = np.where(rng.random(400) < 0.9, y, 1 - y)
    >>> x = np.stack([y + rng.normal(0, 0.5, 400), a + rng.normal(0, 0.1, 400)], axis=1).astype(np.float32)
    >>> found = groups.retrain_last_layer(x, y, 2 * y + a, tuning_splits=5)
    >>> core, spurious = np.abs(found.head.weights[1] - found.head.weights[0])
    >>> bool(core > 5 * spurious), len(found.tried), found.counts["1"] == int(((y == 0) & (a == 1)).sum())
    (True, 7, True)
    """
    options: dict[str, Any] = {"classes": classes, "group_names": group_names, "exclude": exclude}
    rows = Rows.checked(vectors, labels, groups, **options, smallest=2 if held_out is None else 1)
    k = len(rows.classes)
    judge = None if held_out is None else Rows.checked(*held_out, **(options | {"classes": rows.classes}), smallest=1)
    weights = _class_weights(class_weights, k)
    if redraws < 1:
        raise InputError(f"expected one or more redraws, got {redraws}")
    d = rows.vectors.shape[1]
    for name, other in (("held_out", None if judge is None else judge.vectors), ("scale_by", scale_by)):
        if other is not None and (other.ndim != 2 or other.shape[1] != d or not np.isfinite(other).all()):
            raise InputError(f"expected {name} vectors of {d} finite dimensions, got shape {other.shape}")
    final = Scaler.fit(rows.vectors if scale_by is None else scale_by)
    by_c = [float(c) for c in c_grid]
    settings = [{"c": c, "class_weights": each} for c in by_c for each in weights]

    def fit(own: Rows, random: np.random.Generator) -> list[Callable[[Vectors], Logits]]:
        own = own.part(balanced(own.groups, random))
        scaler = Scaler.fit(own.vectors) if judge is None else final
        z = scaler(own.vectors)
        by_weights = [
            paths(z, own.labels, k, by_c, row_weights=_row_weights(each, own.labels),
                  penalise_intercept=penalise_intercept)
            for each in weights
        ]  # fmt: skip
        return [found[i][0].on(scaler) for i in range(len(by_c)) for found in by_weights]

    setting, tried = search(rows, judge, settings, fit, seed=seed, splits=tuning_splits)
    columns, starts, legs = np.ascontiguousarray(final(rows.vectors).T), None, []
    for redraw in range(redraws):
        picked = balanced(rows.groups, np.random.default_rng([seed, FINAL, redraw]))
        ((linear, starts),) = paths(
            columns.take(picked, axis=1).T,  # by column, as the solver wants it
            rows.labels[picked], k, [setting["c"]], starts=starts, penalise_intercept=penalise_intercept,
            row_weights=_row_weights(setting["class_weights"], rows.labels[picked]),
        )  # fmt: skip
        legs.append(linear)
    head = Linear.mean(legs).head(final, rows.classes)
    return Retrained(head, tried, setting, rows.counts, "dfr", rows.excluded)


def _class_weights(given: Sequence[Sequence[float]] | None, k: int) -> list[tuple[float, ...]]:
    if given is None:
        return [(1.0,) * k]
    found = list(dict.fromkeys(tuple(float(w) for w in each) for each in given))
    if not found or any(len(each) != k or min(each) <= 0 for each in found):
        raise InputError(f"expected class_weights of {k} positive numbers each, got {list(given)}")
    return found


def _row_weights(weights: Sequence[float], labels: Labels) -> np.ndarray | None:
    return None if set(weights) == {1.0} else np.asarray(weights)[labels]
