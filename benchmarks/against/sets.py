"""Contenders that return prediction sets: the threshold from n rows, then the sets of the same rows.

Sets are judged by their mean size. Everyone draws differently, so that of randomised sets is right within 5 %.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from against import packages
from against.inputs import Data
from against.tasks import Call, Contender, Task, mean_size

COVERAGE, PENALTY, RANK = 0.9, 0.01, 5


def candid(method: str, *, randomised: bool = False, **options: Any) -> Contender:
    def contender(data: Data) -> Call:
        from candid.calibrate import ConformalSet

        probs, labels = data.probs, data.labels
        options["randomised"] = randomised
        return lambda: ConformalSet.fit(probs, labels, COVERAGE, method, **options)(probs)

    return contender


def torchcp(score: str, **options: Any) -> Contender:
    def contender(data: Data) -> Call:
        make = getattr(packages.torchcp("score"), score)
        predictor_of = packages.torchcp("predictor").SplitPredictor
        probs, labels = data.tensors("probs", "labels")

        def call() -> Any:
            predictor = predictor_of(make(score_type="identity", **options), alpha=1 - COVERAGE)
            predictor.calculate_threshold(probs, labels)
            return predictor.predict_with_logits(probs)

        return call

    return contender


def mapie(method: str) -> Contender:
    def contender(data: Data) -> Call:
        from mapie.classification import SplitConformalClassifier
        from sklearn.base import BaseEstimator, ClassifierMixin

        probs, labels = data.probs, data.labels

        class Through(ClassifierMixin, BaseEstimator):
            classes_ = np.arange(probs.shape[1])
            n_features_in_ = probs.shape[1]

            def fit(self, x: np.ndarray, y: np.ndarray) -> "Through":
                return self

            def predict_proba(self, x: np.ndarray) -> np.ndarray:
                return x

            def predict(self, x: np.ndarray) -> np.ndarray:
                return x.argmax(axis=1)

            def __sklearn_is_fitted__(self) -> bool:
                return True

        def call() -> np.ndarray:
            model = SplitConformalClassifier(Through(), COVERAGE, conformity_score=method, prefit=True, random_state=0)
            model.conformalize(probs, labels)
            extra = {} if method == "lac" else {"conformity_score_params": {"include_last_label": "randomized"}}
            return model.predict_set(probs, **extra)[1][:, :, 0]

        return call

    return contender


def by_hand(score: Callable[[np.ndarray], np.ndarray]) -> Contender:
    """The reference: scores of all labels in float64, the ceil((n + 1) coverage)-th smallest of the right ones."""

    def contender(data: Data) -> Call:
        def call() -> np.ndarray:
            parts = np.array_split(np.arange(len(data.probs)), max(1, data.probs.size // 5_000_000))
            right = [score(data.probs[part])[np.arange(len(part)), data.labels[part]] for part in parts]
            cut = np.sort(np.concatenate(right))[int(np.ceil((len(data.probs) + 1) * COVERAGE)) - 1]
            return np.concatenate([score(data.probs[part]) <= cut for part in parts])

        return call

    return contender


def lac(probs: np.ndarray) -> np.ndarray:
    return -probs.astype(np.float64)


def randomised_aps(probs: np.ndarray) -> np.ndarray:
    """One U a row; the same rows get the same U in the second pass."""
    uniform = np.random.default_rng(int(probs[0].view(np.uint32)[0])).random((len(probs), 1))
    return aps(probs) - uniform * probs


def aps(probs: np.ndarray) -> np.ndarray:
    return _cumulated(probs, 0.0)


def raps(probs: np.ndarray) -> np.ndarray:
    return _cumulated(probs, PENALTY)


def _cumulated(probs: np.ndarray, penalty: float) -> np.ndarray:
    exact = probs.astype(np.float64)
    order = np.argsort(-exact, axis=1, kind="stable")
    places = penalty * np.maximum(np.arange(1, exact.shape[1] + 1) - RANK, 0)
    scores = np.empty_like(exact)
    np.put_along_axis(scores, order, np.take_along_axis(exact, order, 1).cumsum(axis=1) + places, 1)
    return scores


TASKS: Mapping[str, Task] = {
    "LAC sets": Task(
        {"candid": candid("lac"), "TorchCP": torchcp("LAC"), "MAPIE": mapie("lac")},
        mean_size,
        1e-4,
        by_hand(lac),
        grows=True,
    ),
    "APS sets": Task(
        {"candid": candid("aps"), "TorchCP": torchcp("APS", randomized=False)},
        mean_size,
        1e-3,
        by_hand(aps),
        grows=True,
    ),
    "APS sets, randomised": Task(
        {
            "candid": candid("aps", randomised=True),
            "TorchCP": torchcp("APS", randomized=True),
            "MAPIE": mapie("aps"),
        },
        mean_size,
        0.05,
        by_hand(randomised_aps),
    ),
    "RAPS sets": Task(
        {
            "candid": candid("raps", penalty=PENALTY, rank=RANK),
            "TorchCP": torchcp("RAPS", randomized=False, penalty=PENALTY, kreg=RANK),
        },
        mean_size,
        1e-3,
        by_hand(raps),
    ),
}
