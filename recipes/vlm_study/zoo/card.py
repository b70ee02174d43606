"""What a model is and how it was made, in Markdown, from the facts that its training noted."""

from typing import Any

__all__ = ["page", "table"]

TOWERS = {
    "vit-s": "ViT, 64 px, 8 px patches, 6 layers, 192 wide",
    "vit-m": "ViT, 64 px, 8 px patches, 8 layers, 224 wide",
    "convnext-s": "ConvNeXt, 32 px, 2 px patches, 3 x 3 blocks of 56, 112 and 224 channels",
    "convnext-xs": "ConvNeXt, 32 px, 2 px patches, 3 x 2 blocks of 32, 64 and 128 channels",
    "mobilenet-s": "MobileNetV2 (batch norms), 64 px, depth multiplier 0.75, output stride 16",
}
LOSSES = {
    "softmax": "softmax of each image over every name at once; text tower of `tiny`, frozen, its projection learnt",
    "sigmoid": "one sigmoid a pair, scale and bias learnt; a text tower of its own, begun from that of `tiny`",
    "labels": "plain cross-entropy on class labels; no text",
}
COLUMNS = ("model", "parameters (image part)", "trained on", "seed", "steps", "views", "seconds", "right", "confident")


def table(models: dict[str, dict[str, Any]]) -> str:
    """One row a model; `right` and `confident` are the share right and the mean confidence on 2,000 test images."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for name, facts in models.items():
        found = facts["cifar10_test"]
        cells = (
            f"`{name}`", f"{facts['parameters']['vision'] / 1e6:.2f} M", ", ".join(facts["shares"]), facts["seed"],
            f"{facts['steps']:,}", f"{facts['views']:,}", f"{facts['seconds']:.1f}", f"{found['accuracy']:.1%}",
            f"{found['confidence']:.1%}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def page(name: str, facts: dict[str, Any]) -> str:
    """The card of one model."""
    machine, found, views = facts["machine"], facts["cifar10_test"], f"{facts['views']:,} views"
    batch = ", ".join(f"{source} {n}" for source, n in facts["shares"].items())
    rows = {
        "image tower": f"{TOWERS[facts['tower']]}, {facts['parameters']['vision']:,} parameters",
        "loss": LOSSES[facts["loss"]],
        "images of a batch, by source": batch,
        "training": f"{facts['steps']:,} steps, {views}, {facts['seconds']:.1f} s, seed {facts['seed']}",
        "machine": f"{machine['device']}, torch {machine['torch']}, transformers {machine['transformers']}",
        "CIFAR-10 test, first 2,000": f"{found['accuracy']:.1%} right, mean confidence {found['confidence']:.1%}, "
        f"log loss {found['nll']:.3f}, softmax over {found['softmax_over']}",
        "weights": "half precision",
    }
    lines = [
        f"# {name}",
        "",
        "One of the small models of the calibration study: real errors, no use as a classifier.",
        "",
    ]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())]
    return "\n".join(lines) + "\n"
