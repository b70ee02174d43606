"""Last layers retrained without group labels, from what a head gets wrong: AFR, SELF and JTT on frozen features.

Errors only say something on rows that the head was not fitted to: give held-out ones. Where groups are given they only
choose the setting; without them the worst class does.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from candid.errors import InputError
from candid.groups.choosing import HeldOut, Retrained, Rows, search
from candid.groups.linear import Linear, Scaler, paths
from candid.types import Groups, Head, Labels, Logits, Vectors

__all__ = ["reweight_by_confidence", "upweight_errors", "use_hardest"]

GAMMAS = (0.0, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0)
PULLS = (1.0, 0.1, 0.01, 0.001)
TIMES = (1.0, 4.0, 6.0, 20.0, 50.0, 100.0)
SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
C_GRID = (1.0, 0.1, 0.03, 0.01)

Fitted = Callable[[Rows, Scaler], list[Linear]]


def reweight_by_confidence(
    vectors: Vectors, labels: Labels, groups: Groups | None = None, *, head: Head, seed: int = 0,
    held_out: HeldOut | None = None, gammas: Sequence[float] = GAMMAS, pulls: Sequence[float] = PULLS,
    tuning_splits: int = 1, **names: Any,
) -> Retrained:  # fmt: skip
    """A head retrained on rows weighted by exp(-gamma p), p its own confidence in the label: AFR.

    Qiu, Potapczynski, Izmailov, Wilson 2023, https://arxiv.org/abs/2306.11074, eq. 3: weights are evened out over
    classes, and `pulls` hold the new layer to the old one. The paper stops gradient descent early; here the minimum is
    found, with the pull on standardised vectors, so that no step size depends on the scale of the features.
    """
    rows, judge = _rows(vectors, labels, groups, held_out, head, names)
    settings = [{"gamma": float(gamma), "pull": float(pull)} for gamma in gammas for pull in pulls]

    def fit(own: Rows, scaler: Scaler) -> list[Linear]:
        z, old = scaler(own.vectors), _as_linear(head, scaler)
        sure = softmax(_logits(head, own.vectors), axis=1)[np.arange(len(own.labels)), own.labels]
        return [
            _pulled(z, own.labels, _evened(np.exp(-each["gamma"] * sure), own.labels), old, each["pull"])
            for each in settings
        ]

    return _retrained("afr", rows, judge, settings, fit, seed, tuning_splits)


def upweight_errors(
    vectors: Vectors, labels: Labels, groups: Groups | None = None, *, head: Head, seed: int = 0,
    held_out: HeldOut | None = None, times: Sequence[float] = TIMES, c_grid: Sequence[float] = C_GRID,
    tuning_splits: int = 1, **names: Any,
) -> Retrained:  # fmt: skip
    """A head retrained with the rows that the given one gets wrong counted `times` as much: JTT on frozen features.

    Liu, Haghgoo et al. 2021, https://arxiv.org/abs/2107.09044, section 4; they retrain the whole network.
    """
    rows, judge = _rows(vectors, labels, groups, held_out, head, names)
    settings = [{"times": float(each), "c": float(c)} for each in times for c in c_grid]

    def fit(own: Rows, scaler: Scaler) -> list[Linear]:
        wrong = _wrong(head, own)
        z, k = scaler(own.vectors), len(own.classes)
        found = []
        for each in times:
            weights = np.where(wrong, float(each), 1.0)
            found += [linear for linear, _ in paths(z, own.labels, k, c_grid, row_weights=weights,
                                                    penalise_intercept=False)]  # fmt: skip
        return found

    return _retrained("jtt", rows, judge, settings, fit, seed, tuning_splits)


def use_hardest(
    vectors: Vectors, labels: Labels, groups: Groups | None = None, *, head: Head, seed: int = 0,
    held_out: HeldOut | None = None, shares: Sequence[float] = SHARES, c_grid: Sequence[float] = C_GRID,
    tuning_splits: int = 1, **names: Any,
) -> Retrained:  # fmt: skip
    """A head retrained on the rows of each class that the given one likes least: misclassification SELF.

    LaBonte, Muthukumar, Kumar 2023, https://arxiv.org/abs/2309.08534, section 4; they fine-tune the old layer by
    gradient steps, here it is solved anew. `shares` are of the smallest class's rows, as many from every class: a
    number of rows that is right for half of them is not right for all.
    """
    rows, judge = _rows(vectors, labels, groups, held_out, head, names)
    if not shares or any(not 0 < share <= 1 for share in shares):
        raise InputError(f"expected shares above 0 and up to 1, got {list(shares)}")
    settings = [{"share": float(share), "c": float(c)} for share in shares for c in c_grid]

    def fit(own: Rows, scaler: Scaler) -> list[Linear]:
        _wrong(head, own)
        loss = -log_softmax(_logits(head, own.vectors), axis=1)[np.arange(len(own.labels)), own.labels]
        order, k = np.argsort(-loss, kind="stable"), len(own.classes)
        hardest = [order[own.labels[order] == label] for label in range(k)]
        least = min(len(each) for each in hardest)
        found = []
        for share in shares:
            picked = np.concatenate([each[: max(1, round(share * least))] for each in hardest])
            z = scaler(own.vectors[picked])
            found += [linear for linear, _ in paths(z, own.labels[picked], k, c_grid, penalise_intercept=False)]
        return found

    return _retrained("self", rows, judge, settings, fit, seed, tuning_splits)


def _rows(
    vectors: Vectors, labels: Labels, groups: Groups | None, held_out: HeldOut | None, head: Head, names: dict[str, Any]
) -> tuple[Rows, Rows | None]:
    """Checked rows; without groups the classes are the groups."""
    names = {"classes": head.classes, "group_names": None, "exclude": ()} | names
    strange = set(names) - {"classes", "group_names", "exclude"}
    if strange:
        raise InputError(f"unexpected {', '.join(sorted(strange))}; expected group_names or exclude")
    if tuple(names["classes"]) != head.classes:
        raise InputError("classes are those of the head; leave them out")
    if vectors.ndim == 2 and vectors.shape[1] != head.weights.shape[1]:
        raise InputError(f"this head takes vectors of {head.weights.shape[1]} dimensions, got {vectors.shape[1]}")
    if groups is None and names["group_names"] is None:
        names["group_names"] = head.classes
    rows = Rows.checked(
        vectors,
        labels,
        np.asarray(labels) if groups is None else groups,
        smallest=2 if held_out is None else 1,
        **names,
    )
    return rows, None if held_out is None else Rows.checked(*held_out, smallest=1, **names)


def _retrained(
    method: str, rows: Rows, judge: Rows | None, settings: Sequence[dict[str, Any]], fit: Fitted, seed: int, splits: int
) -> Retrained:
    def heads(own: Rows, random: np.random.Generator) -> list[Callable[[Vectors], Logits]]:
        scaler = Scaler.fit(own.vectors)
        return [linear.on(scaler) for linear in fit(own, scaler)]

    setting, tried = search(rows, judge, settings, heads, seed=seed, splits=splits)
    scaler = Scaler.fit(rows.vectors)
    linear = fit(rows, scaler)[list(settings).index(dict(setting))]
    return Retrained(linear.head(scaler, rows.classes), tried, setting, rows.counts, method, rows.excluded)


def _logits(head: Head, vectors: Vectors) -> Float[np.ndarray, "n k"]:
    logits: np.ndarray = head(np.asarray(vectors, np.float32)).astype(np.float64)
    return logits


def _wrong(head: Head, rows: Rows) -> np.ndarray:
    wrong: np.ndarray = _logits(head, rows.vectors).argmax(axis=1) != rows.labels
    if not wrong.any():
        raise InputError(
            f"the head makes no mistake on these {len(wrong):,} rows, so they cannot tell what it leans on; "
            "pass rows that it was not fitted to"
        )
    return wrong


def _evened(weights: Float[np.ndarray, " n"], labels: Labels) -> Float[np.ndarray, " n"]:
    """As much weight for every class, 1 in all."""
    totals = np.bincount(labels, weights)
    evened: np.ndarray = weights / totals[labels] / len(totals)
    return evened


def _as_linear(head: Head, scaler: Scaler) -> Linear:
    """The head as a classifier of standardised rows."""
    weights = head.scale * np.asarray(head.weights, np.float64)
    bias = np.broadcast_to(np.asarray(head.bias, np.float64), len(weights)) + weights @ scaler.mean
    return Linear(weights * scaler.deviation, bias)


def _pulled(
    z: Float[np.ndarray, "n d"], labels: Labels, weights: Float[np.ndarray, " n"], old: Linear, pull: float
) -> Linear:
    """The minimum of weighted cross-entropy + pull |W - W_old|^2."""
    k, d = old.weights.shape
    rows = np.arange(len(z))
    start = np.column_stack([old.weights, old.bias]).ravel()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        new = flat.reshape(k, d + 1)
        logs = log_softmax(z @ new[:, :d].T + new[:, d], axis=1)
        slope = np.exp(logs)
        slope[rows, labels] -= 1
        slope *= weights[:, None]
        away = new[:, :d] - old.weights
        gradient = np.column_stack([slope.T @ z + 2 * pull * away, slope.sum(axis=0)])
        return float(-weights @ logs[rows, labels] + pull * (away**2).sum()), gradient.ravel()

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-13, "gtol": 1e-8})
    new = found.x.reshape(k, d + 1)
    return Linear(new[:, :d], new[:, d])
