"""Ranking numbers, Mahalanobis and nearest neighbours against pytorch-ood, scikit-learn, faiss and the usual loops.

`scripts/bench benchmarks/unknown.py` takes about 20 minutes and 6 GB; `--quick` a minute, `--largest` adds a bank of a
million. Every contender runs in a process of its own on the same float32 arrays, on one thread. Seconds are of the CPU,
memory is the peak above the process that holds the arrays. Answers are held against a reference in float64.

* metrics: known and unknown scores, 10^6 each with ties (rounded to 1/1000) and without; AUROC, AUPR both ways, FPR95
  both ways. scikit-learn is what the energy paper's code and OpenOOD call.
* streaming: 10^7 scores in blocks of 10^5, exact.
* Mahalanobis: 20,000 vectors of 1,000 classes, 2,048 dimensions, 2,048 queries: fit, and score. The loop over classes
  with its B x B product is the energy paper's and OpenOOD's; its time is that of 20 classes times 50.
* neighbours: k = 50, unit vectors of 512 dimensions; the bound is the float32 product alone, queries by bank.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from against.processes import arguments, asked, peak

K = 50
REPEATS = {"metrics": 5}  # the best of them counts; the others are asked once
WIDTH = 512
DEVICE = "cpu"


def scores(n: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(0, 1, n), rng.normal(1, 1.2, n)
    return (known, unknown) if not step else (np.round(known / step) * step, np.round(unknown / step) * step)


def classes(n: int, k: int, d: int, queries: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors around class means, with a spectrum that falls as networks' do."""
    rng = np.random.default_rng(0)
    spread = (1 + np.arange(d)) ** -0.4
    means = rng.normal(size=(k, d)) * spread
    labels = np.arange(n) % k
    known = (means[labels] + rng.normal(size=(n, d)) * spread).astype(np.float32)
    return known, labels, (1.5 * rng.normal(size=(queries, d)) * spread).astype(np.float32)


def bank(n: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    found = []
    for count in (n, queries):
        rows = rng.standard_normal((count, WIDTH), dtype=np.float32)
        rows[:, :32] *= 4
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        found.append(rows)
    return found[0], found[1]


def contend(task: str, who: str, **size) -> dict:
    made = {"metrics": scores, "streaming": scores, "mahalanobis": classes, "neighbours": bank}[task](**size)
    go = CONTENDERS[task][who](*made)
    go("warm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = []
    for _ in range(REPEATS.get(task, 1)):
        began = time.process_time()
        found = go("")
        seconds.append(time.process_time() - began)
    return {"seconds": min(seconds), "memory": peak(DEVICE) - before, "answer": found}


def metrics_candid(known, unknown):
    from candid import metrics
    from candid.metrics.ranked import Ranked

    def go(warm):
        ranked = Ranked.of(known[:1000] if warm else known, unknown)
        return [ranked.auroc()] + [
            value
            for positive in ("known", "unknown")
            for value in (ranked.aupr(positive=positive, interpolation="step"),
                          ranked.fpr_at_tpr(0.95, positive=positive, rule="first"))
        ]  # fmt: skip

    assert metrics.Ranked is Ranked
    return go


def metrics_whole(known, unknown):
    from candid import metrics

    def go(warm):
        found = metrics.separation(known[:1000] if warm else known, unknown)
        return [found.auroc.value, found.aupr_known_positive.value, found.fpr_known_positive_first.value,
                found.aupr_unknown_positive.value, found.fpr_unknown_positive_first.value]  # fmt: skip

    return go


def metrics_scikit(known, unknown):
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    def go(warm):
        inside = known[:1000] if warm else known
        values = np.concatenate([inside, unknown])
        truth = np.concatenate([np.zeros(len(inside), int), np.ones(len(unknown), int)])
        found = [roc_auc_score(truth, values)]
        for label, score in ((1 - truth, -values), (truth, values)):
            rate, hit, _ = roc_curve(label, score, drop_intermediate=False)
            found += [average_precision_score(label, score), rate[np.argmax(hit >= 0.95)]]
        return list(map(float, found))

    return go


def metrics_pytorch_ood(known, unknown):
    import torch
    from against.packages import pytorch_ood

    module = pytorch_ood("metrics")

    def go(warm):
        inside = known[:1000] if warm else known
        values = torch.from_numpy(np.concatenate([inside, unknown]))
        truth = torch.cat([torch.zeros(len(inside), dtype=torch.long), -torch.ones(len(unknown), dtype=torch.long)])
        found = module.OODMetrics().update(values, truth).compute()
        return {name: float(value) for name, value in found.items()}

    return go


def streaming_candid(known, unknown):
    from candid.metrics import Ranked

    def go(warm):
        inside = known[:200_000] if warm else known
        blocks = ((inside[i : i + 100_000], unknown[i : i + 100_000]) for i in range(0, len(inside), 100_000))
        return [Ranked.of_blocks(blocks).auroc()]

    return go


def streaming_scikit(known, unknown):
    from sklearn.metrics import roc_auc_score

    def go(warm):
        inside = known[:1000] if warm else known
        truth = np.concatenate([np.zeros(len(inside), int), np.ones(len(unknown), int)])
        return [float(roc_auc_score(truth, np.concatenate([inside, unknown])))]

    return go


def mahalanobis_candid(known, labels, queries):
    from candid import detect

    def go(warm):
        few = slice(0, 64 if warm else None)
        began = time.process_time()
        found = detect.Mahalanobis.fit(known[:4000] if warm else known, labels[:4000] if warm else labels)
        fitted = time.process_time()
        answer = found(queries[few])
        return {"fit": fitted - began, "score": time.process_time() - fitted, "answer": answer[:50].tolist()}

    return go


def mahalanobis_pytorch_ood(known, labels, queries):
    import torch
    from against.packages import pytorch_ood

    kind = pytorch_ood("detector.mahalanobis").Mahalanobis

    def go(warm):
        few = slice(0, 64 if warm else None)
        began = time.process_time()
        found = kind(None).fit_features(torch.from_numpy(known), torch.from_numpy(labels))
        fitted = time.process_time()
        answer = found.predict_features(torch.from_numpy(queries[few]))
        scored = time.process_time() - fitted
        return {"fit": fitted - began, "score": scored, "answer": (2 * len(known) * answer[:50]).tolist()}

    return go


def mahalanobis_loop(known, labels, queries):
    """The published loop: a B x B product a class, of which the diagonal is read; 20 classes stand for all."""
    from sklearn.covariance import EmpiricalCovariance

    k, some = int(labels.max()) + 1, 20

    def go(warm):
        few = queries[: 64 if warm else None]
        began = time.process_time()
        means = np.stack([known[labels == c].mean(0) for c in range(k)])
        precision = EmpiricalCovariance(assume_centered=True).fit(known - means[labels]).precision_.astype(np.float32)
        fitted = time.process_time()
        best = np.full(len(few), np.inf)
        for c in range(some):
            away = few - means[c]
            best = np.minimum(best, np.diag(away @ precision @ away.T))
        return {"fit": fitted - began, "score": (time.process_time() - fitted) * k / some, "answer": None}

    return go


def neighbours_candid(known, queries):
    from candid import detect

    def go(warm):
        found = detect.Knn.fit(known[:20_000] if warm else known, k=K)
        return found(queries[: 64 if warm else None])[:200].tolist()

    return go


def neighbours_scikit(known, queries):
    from sklearn.neighbors import NearestNeighbors

    def go(warm):
        found = NearestNeighbors(n_neighbors=K, algorithm="brute", n_jobs=1).fit(known[:20_000] if warm else known)
        return found.kneighbors(queries[: 64 if warm else None])[0][:, -1][:200].tolist()

    return go


def neighbours_faiss(known, queries):
    import faiss

    faiss.omp_set_num_threads(1)

    def go(warm):
        index = faiss.IndexFlatL2(WIDTH)
        index.add(known[:20_000] if warm else known)
        return np.sqrt(index.search(queries[: 64 if warm else None], K)[0][:, -1][:200]).tolist()

    return go


def neighbours_bound(known, queries):
    """The products alone, in the blocks that candid takes."""

    def go(warm):
        for i in range(0, 64 if warm else len(queries), 512):
            for j in range(0, len(known), 8192):
                queries[i : i + 512] @ known[j : j + 8192].T

    return go


CONTENDERS = {
    "metrics": {"candid": metrics_candid, "candid, all with intervals": metrics_whole, "scikit-learn": metrics_scikit,
                "pytorch-ood": metrics_pytorch_ood},
    "streaming": {"candid": streaming_candid, "scikit-learn, all at once": streaming_scikit},
    "mahalanobis": {"candid": mahalanobis_candid, "pytorch-ood": mahalanobis_pytorch_ood, "loop": mahalanobis_loop},
    "neighbours": {"candid": neighbours_candid, "scikit-learn": neighbours_scikit, "faiss": neighbours_faiss,
                   "products alone": neighbours_bound},
}  # fmt: skip


def show(task: str, **size) -> None:
    print(f"\n{task}: {', '.join(f'{name} {value:,}' for name, value in size.items())}")
    own = None
    for who in CONTENDERS[task]:
        found = asked(__file__, DEVICE, task=task, who=who, **size)
        seconds = found["seconds"]
        if task == "mahalanobis":
            seconds = found["answer"]["score"]
        own = seconds if own is None else own
        more = f", fit {found['answer']['fit']:.2f} s" if task == "mahalanobis" else ""
        print(f"  {who:28} {seconds:9.3f} s  {seconds / own:7.1f} times candid  {found['memory']:7.0f} MB{more}  "
              f"{_head(found['answer'])}", flush=True)  # fmt: skip


def _head(answer) -> str:
    if isinstance(answer, dict) and "answer" in answer:
        answer = answer["answer"]
    if isinstance(answer, dict):
        return " ".join(f"{name} {value:.6f}" for name, value in answer.items())
    return "" if answer is None else " ".join(f"{value:.6f}" for value in answer[:5])


def main(args: argparse.Namespace) -> None:
    full = [
        ("metrics", {"n": 1_000_000, "step": 0.0}),
        ("metrics", {"n": 1_000_000, "step": 0.001}),
        ("streaming", {"n": 10_000_000, "step": 0.0}),
        ("mahalanobis", {"n": 20_000, "k": 1_000, "d": 2_048, "queries": 2_048}),
        ("neighbours", {"n": 100_000, "queries": 2_048}),
        *([("neighbours", {"n": 1_000_000, "queries": 1_024})] if args.largest else []),
    ]
    quick = [
        ("metrics", {"n": 10_000, "step": 0.0}),
        ("streaming", {"n": 200_000, "step": 0.0}),
        ("mahalanobis", {"n": 2_000, "k": 50, "d": 256, "queries": 256}),
        ("neighbours", {"n": 20_000, "queries": 512}),
    ]
    for task, size in quick if args.quick else full:
        if args.only in (None, task):
            show(task, **size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", action="store_true", help="also a bank of a million: 5 GB")
    parser.add_argument("--only", choices=tuple(CONTENDERS), help="one task")
    parsed = arguments(parser)
    if parsed.contender:
        import json

        print(json.dumps(contend(**json.loads(parsed.contender))))
    else:
        main(parsed)
