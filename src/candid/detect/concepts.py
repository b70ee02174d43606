"""Vision-language detectors that see more than class names: patches (GL-MCM), other words (NegLabel)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from candid.arrays import row_blocks
from candid.detect.moments import VectorRows, blocks, check_rows
from candid.detect.scores import mcm
from candid.errors import InputError
from candid.types import Head, Logits, Scores

__all__ = ["NegLabel", "gl_mcm", "neg_label", "negative_labels"]


def gl_mcm(
    cosines: Logits, patch_cosines: Float[np.ndarray, "n p k"], *, weight: float = 0.5, temperature: float = 1.0
) -> Scores:
    """`mcm` of the image + weight * the lowest `mcm` of its patches, higher = further from known. Miyai et al. 2025.

    https://arxiv.org/abs/2304.04521, eq. 4. An image is known if it, or something in it, is near to one class.
    `patch_cosines` are of projected patch tokens with the class texts (`models` adapters: `encode_patches`).

    >>> gl_mcm(np.array([[0.3, 0.3]]), np.array([[[0.3, 0.3], [1.0, -1.0]]])).round(4).tolist()
    [-0.9404]
    """
    n, patches, k = patch_cosines.shape
    if cosines.shape != (n, k) or not patches:
        raise InputError(f"expected patch cosines n x p x k for cosines {cosines.shape}, got {patch_cosines.shape}")
    local = mcm(patch_cosines.reshape(n * patches, k), temperature=temperature).reshape(n, patches)
    found: Scores = mcm(cosines, temperature=temperature) + weight * local.min(axis=1)
    return found


def neg_label(
    cosines: Logits, negative_cosines: Float[np.ndarray, "n m"], *, groups: int = 100, temperature: float = 0.01,
    seed: int = 0,
) -> Scores:  # fmt: skip
    """-mean over groups of negative words of the share of the softmax that the classes take. Jiang et al. 2024.

    https://arxiv.org/abs/2403.20078, eq. 6 and 8. In [-1, 0], higher = further from known. The m negative words are
    shuffled and cut into `groups`, as equal as can be; in each the softmax runs over classes and group at the
    temperature.

    >>> neg_label(np.array([[0.3, 0.1]]), np.array([[0.3, 0.1]]), groups=1).round(6).tolist()
    [-0.5]
    """
    if cosines.ndim != 2 or negative_cosines.ndim != 2 or len(cosines) != len(negative_cosines):
        raise InputError(f"expected cosines n x k and n x m, got {cosines.shape} and {negative_cosines.shape}")
    if not temperature > 0:
        raise InputError(f"temperature must be positive, got {temperature}")
    m = negative_cosines.shape[1]
    if not 0 < groups <= m:
        raise InputError(f"expected 1 to {m} groups of the {m} negative words, got {groups}")
    order = np.random.default_rng(seed).permutation(m)
    starts = np.concatenate([[0], np.cumsum([len(part) for part in np.array_split(order, groups)])[:-1]])
    scores = np.empty(len(cosines))
    for rows in row_blocks(len(cosines), m + cosines.shape[1]):
        own = cosines[rows].astype(np.float64) / temperature
        other = negative_cosines[rows][:, order].astype(np.float64) / temperature
        top = np.maximum(own.max(axis=1), other.max(axis=1))[:, None]
        mass = np.exp(own - own.max(axis=1, keepdims=True)).sum(axis=1)
        log_own = np.log(mass) + own.max(axis=1) - top[:, 0]
        negative = np.add.reduceat(np.exp(other - top), starts, axis=1)
        with np.errstate(over="ignore"):  # an image far from every class has a share of exactly 0
            scores[rows] = -(1 / (1 + negative * np.exp(-log_own)[:, None])).mean(axis=1)
    return scores


@dataclass(frozen=True, eq=False)
class NegLabel:
    """`neg_label` with the `negative_labels` among some words, on unit vectors of a vision-language model.

    `classes` and `negatives` are unit rows of its text tower.

    >>> head = Head(np.array([[1.0, 0.0]], np.float32), ("cat",))
    >>> found = NegLabel.fit(head, np.array([[0.6, 0.8], [0.0, 1.0]], np.float32), share=0.5)
    >>> found(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)).round(3).tolist()
    [-1.0, -0.0]
    """

    classes: Float[np.ndarray, "k d"]
    negatives: Float[np.ndarray, "m d"]
    groups: int
    temperature: float
    seed: int

    @classmethod
    def fit(
        cls, head: Head, words: Float[np.ndarray, "w d"], *, share: float = 0.15, percentile: float = 95.0,
        groups: int = 100, temperature: float = 0.01, seed: int = 0,
    ) -> "NegLabel":  # fmt: skip
        """From the head's classes and unit text vectors of words, e.g. of `data.words()`; fewer negatives than
        `groups` are groups of one."""
        lengths = np.linalg.norm(head.weights, axis=1, keepdims=True)
        classes = head.weights / np.where(lengths > 0, lengths, 1)
        if words.shape[1] != classes.shape[1]:
            raise InputError(
                f"words have {words.shape[1]} dimensions, classes {classes.shape[1]}; encode with one model"
            )
        negatives = words[negative_labels(classes, words, share=share, percentile=percentile)]
        return cls(classes, negatives, min(groups, len(negatives)), temperature, seed)

    def __call__(self, vectors: VectorRows) -> Scores:
        scores = np.empty(check_rows(vectors, width=self.classes.shape[1])[0])
        for rows, block in blocks(vectors):
            scores[rows] = neg_label(
                block @ self.classes.T, block @ self.negatives.T, groups=self.groups, temperature=self.temperature,
                seed=self.seed,
            )  # fmt: skip
        return scores


def negative_labels(
    class_vectors: Float[np.ndarray, "k d"],
    word_vectors: Float[np.ndarray, "w d"],
    *,
    share: float = 0.15,
    percentile: float = 95.0,
) -> Int[np.ndarray, " m"]:
    """Which words are far from every class: the `share` of least similarity, farthest first. Jiang et al. 2024, eq. 4.

    A word's similarity is the `percentile` of its cosines with the class names, so that a word near to a few of many
    classes still counts as near. Rows are unit vectors of one text tower.

    >>> negative_labels(np.array([[1.0, 0.0]]), np.array([[0.6, 0.8], [0.0, 1.0]]), share=0.5).tolist()
    [1]
    """
    if not 0 < share <= 1:
        raise InputError(f"share must lie in (0, 1], got {share}; 15 % is 0.15")
    near = np.empty(len(word_vectors))
    for rows in row_blocks(len(word_vectors), len(class_vectors), cells=1 << 22):
        near[rows] = np.percentile(word_vectors[rows] @ class_vectors.T, percentile, axis=1)
    count = max(1, round(share * len(near)))
    return np.argsort(near, kind="stable")[:count]
