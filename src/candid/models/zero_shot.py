"""A classifier from class names alone: the mean of each name's text vectors over templates.

Radford et al. 2021, arxiv.org/abs/2103.00020, section 3.1.4 (ensembling in embedding space).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from candid.errors import InputError
from candid.models.templates import PLAIN
from candid.types import Classifier, Encoder, Head

__all__ = ["ensemble", "with_texts", "zero_shot", "zero_shot_each"]


def with_texts(model: Encoder | Classifier) -> Encoder:
    """The same model, where it can be asked for classes in words; an InputError where it is a supervised classifier.

    >>> from candid import models
    >>> with_texts(models.load("tiny")).activation
    'softmax'
    """
    if isinstance(model, Encoder):
        return model
    raise InputError(f"{model.id} is a supervised classifier with its own classes; it cannot be asked for others")


def zero_shot(model: Encoder | Classifier, classes: Sequence[str], *, templates: Sequence[str] = PLAIN) -> Head:
    """The Head whose row for a class is the unit mean of the class's unit text vectors, one a template.

    Scale, bias and activation are the model's own. Underscores in a name are spoken as spaces ("maine_coon" is asked
    for as "maine coon"); the Head keeps the name as given.

    >>> from candid import models
    >>> models.zero_shot(models.load("tiny"), ["cat", "dog"]).classes
    ('cat', 'dog')
    """
    return ensemble(list(zero_shot_each(model, classes, templates=templates).values()))


def ensemble(heads: Sequence[Head]) -> Head:
    """The Head whose rows are the unit means of these heads' rows: one classifier from several wordings."""
    if not heads or any(head.classes != heads[0].classes for head in heads):
        raise InputError(f"expected heads of the same classes, got {len(heads)} that differ")
    means = np.mean([head.weights for head in heads], axis=0, dtype=np.float64)
    weights = means / np.linalg.norm(means, axis=1, keepdims=True)
    return replace(heads[0], weights=weights.astype(np.float32))


def zero_shot_each(model: Encoder | Classifier, classes: Sequence[str], *, templates: Sequence[str]) -> dict[str, Head]:
    """One Head a template, in their order: how much the wording alone moves the answers."""
    model = with_texts(model)
    vectors = _vectors(model, classes, templates)
    return {
        template: Head(vectors[:, i], tuple(classes), model.scale, model.bias, model.activation)
        for i, template in enumerate(templates)
    }


def _vectors(model: Encoder, classes: Sequence[str], templates: Sequence[str]) -> np.ndarray:
    _check(classes, templates)
    texts = [template.replace("{}", name.replace("_", " ")) for name in classes for template in templates]
    vectors = model.encode_texts(texts).reshape(len(classes), len(templates), -1)
    if len(classes) > 1 and (vectors == vectors[:1]).all():
        raise InputError(
            "every class name got the same text vector; the checkpoint's tokenizer and eos_token_id do not fit together"
        )
    return vectors


def _check(classes: Sequence[str], templates: Sequence[str]) -> None:
    if isinstance(classes, str) or isinstance(templates, str):
        raise InputError("expected sequences of class names and templates, got one string; put it in a list")
    if not classes or not templates:
        raise InputError(f"expected at least one class and one template, got {len(classes)} and {len(templates)}")
    if empty := [i for i, name in enumerate(classes) if not name.strip()]:
        raise InputError(f"class names must not be empty, number {empty[0]} is {classes[empty[0]]!r}; name every class")
    if twice := [name for name, n in Counter(classes).items() if n > 1]:
        raise InputError(f"class names must differ, {twice[0]!r} appears more than once; merge or rename it")
    if twice := [template for template, n in Counter(templates).items() if n > 1]:
        raise InputError(f"templates must differ, {twice[0]!r} appears more than once; remove one")
    if plain := [template for template in templates if "{}" not in template]:
        raise InputError(f"a template needs {{}} where the class name goes, got {plain[0]!r}")
