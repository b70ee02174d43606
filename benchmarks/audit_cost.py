"""What the audit costs beyond encoding: CPU seconds after the features, beside encoding the same number of images."""

import argparse
import time

import numpy as np

from candid import data, models, workflows
from candid.types import Features, Head
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.findings import audit_features


def made_up(n: int, k: int, d: int, seed: int) -> tuple[Head, Features, dict[str, Features]]:
    """A head, labelled features around its directions, and one unknown set."""
    random = np.random.default_rng(seed)
    unit = lambda x: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)  # noqa: E731
    classes = tuple(f"class {i}" for i in range(k))
    head = Head(unit(random.normal(size=(k, d))), classes, scale=50.0)
    labels = random.integers(0, k, n)
    vectors = unit(head.weights[labels] + 1.6 / np.sqrt(d) * 3 * random.normal(size=(n, d)))
    known = Features(vectors, tuple(map(str, range(n))), "made up", labels, labels % 3, classes, ("a", "b", "c"))
    unknown = Features(unit(random.normal(size=(n // 4, d))), tuple(map(str, range(n // 4))), "made up")
    return head, known, {"noise": unknown}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["1000x10", "5000x100", "10000x1000"])
    args = parser.parse_args()
    photos = data.sample().known
    model = models.load("tiny", device="cpu")
    workflows.encode(model, photos, cache=False)  # warm
    before = time.process_time()
    workflows.encode(model, photos, cache=False)
    each = (time.process_time() - before) / len(photos)
    print(f"encoding with tiny (64 px): {1e3 * each:.2f} CPU ms an image\n")
    print(f"{'n x k':>12}  {'audit, CPU s':>12}  {'encoding, CPU s':>15}  {'audit / encoding':>16}")
    for size in args.sizes:
        n, k = map(int, size.split("x"))
        head, known, ood = made_up(n, k, 256, seed=0)
        before = time.process_time()
        audit_features(Evidence(head=head, known=known, ood=ood))
        spent = time.process_time() - before
        encoding = each * (n + n // 4)
        print(f"{size:>12}  {spent:>12.2f}  {encoding:>15.2f}  {spent / encoding:>16.2f}")


if __name__ == "__main__":
    main()
