"""The plan of the paper's CIFAR-10 experiment: `python -m recipes.energy.paper DATA NETS plan.json`.

DATA and NETS are laid out as the README says. The numbers beside each set are FPR95 (known positive) and AUROC of
table 2 of Liu et al. 2020 as they are cited elsewhere: their means reproduce the averages that the repository prints
(51.04 for the softmax score, 33.01 for the energy, 3.32 after fine-tuning); they were not checked against the paper.
"""

import argparse
import json
from pathlib import Path

UNKNOWN = ("textures", "svhn", "places365", "lsun-c", "lsun-r", "isun")
PUBLISHED = {
    "msp": ((59.28, 88.50), (48.49, 91.89), (59.48, 88.20), (30.83, 95.65), (52.15, 91.37), (56.03, 89.83)),
    "energy": ((52.79, 85.22), (35.59, 90.96), (40.14, 89.89), (8.26, 98.35), (27.58, 94.24), (33.68, 92.62)),
}
TUNED = (5.34, 1.04, 9.00, 1.67, 1.27, 1.59)  # FPR95 of the energy after energy-bounded fine-tuning


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("nets", type=Path)
    parser.add_argument("plan", type=Path)
    args = parser.parse_args()
    data, nets = args.data.absolute(), args.nets.absolute()
    beside = {score: dict(zip(UNKNOWN, rows, strict=True)) for score, rows in PUBLISHED.items()}
    tuned = {"energy": str(nets / "wrn-40-2-energy")} if (nets / "wrn-40-2-energy").is_dir() else {}
    job = {
        "format": "candid-energy", "version": 1,
        "about": f"FPR95 of the energy after fine-tuning, published: {dict(zip(UNKNOWN, TUNED, strict=True))}",
        "models": {"wrn-40-2": str(nets / "wrn-40-2")},
        "tuned": {"wrn-40-2": tuned},
        "objectives": ["ce", "outlier-exposure"] if tuned else ["energy", "ce", "outlier-exposure"],
        "epochs": 10,
        "sets": [{
            "name": "cifar10", "train": str(data / "cifar10" / "train"), "test": str(data / "cifar10" / "test"),
            "outliers": str(data / "outliers"),
            "ood": [{"name": name, "path": str(data / name), "kind": "far"} for name in UNKNOWN],
            "published": {"wrn-40-2": beside},
        }],
    }  # fmt: skip
    args.plan.write_text(json.dumps(job, indent=1) + "\n")
    print(args.plan)


if __name__ == "__main__":
    main()
