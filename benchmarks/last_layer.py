"""Retraining a last layer against the published procedure: `python benchmarks/last_layer.py [--quick]`.

Both sides solve the same objective (L1, penalised intercept) on the same balanced subsets: the seven C's on one half of
the rows, then averaged retrainings on all of them at the C in the middle. The reference is scikit-learn's liblinear at
its published settings (tol 1e-4). Sizes are those of Waterbirds' validation half, one leg of MultiNLI, and CelebA's
balanced training set; the vectors are synthetic: non-negative and correlated, as pooled features are. CPU seconds.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from candid.groups import C_GRID, l1_logistic_path
from candid.groups.linear import ENOUGH

SIZES = ((532, 2048, 20), (9126, 768, 10), (5548, 2048, 10))
MIDDLE = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest size alone")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        "rows x dimensions    grid: ours  liblinear  ratio   redraws: ours  liblinear  ratio   whole   objective, worst"
    )
    for n, d, redraws in SIZES[: 1 if args.quick else None]:
        measure(n, d, redraws)


def measure(n: int, d: int, redraws: int) -> None:
    x, y = features(2 * n, d)
    half, whole = StandardScaler().fit_transform(x[:n]), StandardScaler().fit_transform(x)
    ours, found = timed(lambda: l1_logistic_path(half, y[:n], C_GRID, penalise_intercept=True, tolerance=ENOUGH))
    theirs, peers = timed(lambda: [liblinear(half, y[:n], c) for c in C_GRID])
    best = [objective(half, y[:n], *peer.values(), c) for peer, c in zip(peers, C_GRID, strict=True)]
    ratios = [each.objective / peer - 1 for each, peer in zip(found, best, strict=True)]
    random = np.random.default_rng(1)
    draws = [random.choice(2 * n, n, replace=False) for _ in range(redraws)]
    again, _ = timed(lambda: retrain(whole, y, draws))
    theirs_again, _ = timed(lambda: [liblinear(whole[rows], y[rows], MIDDLE) for rows in draws])
    cells = [f"{n:5} x {d:4}", f"{ours:10.2f}", f"{theirs:9.2f}", f"{theirs / ours:5.1f}", f"{again:13.2f}"]
    cells += [f"{theirs_again:9.2f}", f"{theirs_again / again:5.1f}"]
    cells += [f"{(theirs + theirs_again) / (ours + again):5.1f}", f"{min(ratios):+.0e} to {max(ratios):+.0e}"]
    print("  ".join(cells), flush=True)


def features(n: int, d: int, seed: int = 0, rank: int = 60):
    """Rectified mixtures of a few factors and noise; the class is a noisy half-space of some of the factors."""
    random = np.random.default_rng(seed)
    factors = random.normal(size=(n, rank))
    x = factors @ random.normal(size=(rank, d)) / rank**0.5 + 0.6 * random.normal(size=(n, d))
    y = factors[:, :8] @ random.normal(size=8) + random.normal(size=n) > 0
    return np.maximum(x, 0), y.astype(np.int64)


def retrain(x, y, draws):
    columns, start = np.ascontiguousarray(x.T), None
    for rows in draws:
        (start,) = l1_logistic_path(
            columns.take(rows, axis=1).T, y[rows], [MIDDLE], penalise_intercept=True, start=start, tolerance=ENOUGH
        )


def liblinear(x, y, c):
    model = LogisticRegression(penalty="l1", solver="liblinear", C=c, tol=1e-4).fit(x, y)
    return {"w": model.coef_[0], "b": float(model.intercept_[0])}


def objective(x, y, w, b, c):
    return np.abs(w).sum() + abs(b) + c * np.logaddexp(0, -(2 * y - 1) * (x @ w + b)).sum()


def timed(work):
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


if __name__ == "__main__":
    main()
