"""Groups from a class and an attribute: what last layers are balanced over."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from candid.errors import InputError
from candid.types import Groups, Labels

__all__ = ["Crossed", "cross"]


class Crossed(NamedTuple):
    """`groups` as numbers into `names`, and the `absent` combinations of class and attribute that no row has."""

    groups: Groups
    names: tuple[str, ...]
    absent: tuple[str, ...]


def cross(labels: Labels, attributes: Groups, classes: Sequence[str], attribute_names: Sequence[str]) -> Crossed:
    """Class times attribute, counted over the combinations that occur; attributes of one class each are groups already.

    >>> cross(np.array([0, 0, 1]), np.array([0, 1, 1]), ["cow", "camel"], ["grass", "sand"])
    Crossed(groups=array([0, 1, 2]), names=('cow, grass', 'cow, sand', 'camel, sand'), absent=('camel, grass',))
    """
    labels, attributes = np.asarray(labels), np.asarray(attributes)
    m = len(attribute_names)
    if len(labels) != len(attributes) or not len(labels):
        raise InputError(f"expected one label and one attribute a row, got {len(labels)} and {len(attributes)}")
    if attributes.min() < 0 or attributes.max() >= m or labels.min() < 0 or labels.max() >= len(classes):
        raise InputError(f"expected labels below {len(classes)} and attributes below {m}")
    own = [attribute_names[i] for i in range(m)]
    cells = labels * m + attributes
    if len(np.unique(cells)) == len(np.unique(attributes)):  # each attribute is of one class
        present, groups = np.unique(attributes, return_inverse=True)
        return Crossed(groups.astype(np.int64), tuple(own[i] for i in present), ())
    present, groups = np.unique(cells, return_inverse=True)
    named = {cell: f"{classes[cell // m]}, {own[cell % m]}" for cell in range(len(classes) * m)}
    seen = set(np.unique(attributes).tolist())
    absent = tuple(name for cell, name in named.items() if cell not in set(present.tolist()) and cell % m in seen)
    return Crossed(groups.astype(np.int64), tuple(named[int(cell)] for cell in present), absent)
