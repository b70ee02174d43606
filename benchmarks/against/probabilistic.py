"""The cost of P-precision and P-recall as published: whole distance matrices, partitions, whole matrices of weights.

Not the authors' code; the same steps with the same libraries, so that the same work is paid for. One job instead of
eight, since CPU seconds are compared.
"""

import numpy as np


def dense(real, fake, scale=1.2, k=4):
    """Three matrices by scikit-learn, the k-th of each row by partition, the complements multiplied."""
    from sklearn.metrics import pairwise_distances

    def radius(vectors):
        apart = pairwise_distances(vectors, metric="euclidean", n_jobs=1)
        kept = np.argpartition(apart, k + 1, axis=-1)[..., : k + 1]
        return scale * np.take_along_axis(apart, kept, axis=-1).max(axis=-1).mean()

    real_radius, fake_radius = radius(real), radius(fake)
    apart = pairwise_distances(real, fake, metric="euclidean", n_jobs=1)
    scores = []
    for size, axis in ((real_radius, 0), (fake_radius, 1)):
        inside = apart < size
        weight = np.where(inside, 1 - apart / size, 0)
        scores.append((1 - np.prod(1 - weight, axis=axis)).mean())
    return scores


def dense_on_device(real, fake, device, scale=1.2, k=4):
    """The path on a device: float32, three whole `cdist`, whole rows sorted."""
    import torch

    first, second = (torch.from_numpy(each).float().to(device) for each in (real, fake))

    def radius(vectors):
        return scale * torch.cdist(vectors, vectors).sort(dim=-1).values[:, k].mean()

    real_radius, fake_radius = radius(first), radius(second)
    apart = torch.cdist(first, second)
    scores = []
    for size, axis in ((real_radius, 0), (fake_radius, 1)):
        weight = torch.where(apart < size, 1 - apart / size, torch.zeros_like(apart))
        scores.append(float((1 - torch.prod(1 - weight, dim=axis)).mean()))
    return scores
