"""The last layer as plain arrays, for detectors that keep it: logits = vectors @ weights.T + bias."""

import numpy as np
from jaxtyping import Float

from candid.detect.moments import VectorRows, check_rows
from candid.errors import InputError
from candid.types import Head, Vectors

__all__ = ["bias_of", "refuse_signed", "weights_of"]

Weights = Float[np.ndarray, "k d"]


def weights_of(head: Head, vectors: VectorRows) -> Weights:
    """float32 weights with the scale folded in, after refusing vectors of another width."""
    check_rows(vectors, width=head.weights.shape[1])
    return np.asarray(head.scale * head.weights, dtype=np.float32)


def bias_of(head: Head) -> Float[np.ndarray, " k"]:
    """float32 bias, one number a class."""
    return np.broadcast_to(np.asarray(head.bias, dtype=np.float32), (len(head.weights),)).copy()


def refuse_signed(vectors: Vectors, method: str) -> None:
    """Nothing, or an `InputError` for vectors with negative entries."""
    if vectors.size and vectors.min() < 0:
        row = int(np.argmax(vectors.min(axis=1) < 0))
        raise InputError(
            f"{method} shapes activations behind a rectifier, which are not negative; row {row} holds "
            f"{float(vectors[row].min()):.4g}. For signed vectors, as CLIP's are, take energy, knn or mahalanobis"
        )
