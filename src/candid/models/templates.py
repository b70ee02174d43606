"""Prompt templates as data; `{}` is the class name."""

from candid.errors import InputError, nearest

__all__ = ["HAND_TEMPLATES", "PLAIN", "TEMPLATES", "template_for"]

PLAIN: tuple[str, ...] = ("a photo of a {}.",)

# The seven that forward selection kept of CLIP's eighty for ImageNet: Radford et al. 2021, arxiv.org/abs/2103.00020,
# as published in the notebook beside the authors' code. "a origami" is theirs.
TEMPLATES: tuple[str, ...] = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

# The hand-written prompt of each data set, as in the code of CoOp (Zhou et al. 2022, arxiv.org/abs/2109.01134), UPL and
# PTNL. Keys are the folders of CoOp's layout.
HAND_TEMPLATES: dict[str, str] = {
    "caltech-101": "a photo of a {}.",
    "dtd": "{} texture.",
    "eurosat": "a centered satellite photo of {}.",
    "fgvc_aircraft": "a photo of a {}, a type of aircraft.",
    "food-101": "a photo of {}, a type of food.",
    "imagenet": "a photo of a {}.",
    "imagenet-adversarial": "a photo of a {}.",
    "imagenet-rendition": "a photo of a {}.",
    "imagenet-sketch": "a photo of a {}.",
    "imagenetv2": "a photo of a {}.",
    "oxford_flowers": "a photo of a {}, a type of flower.",
    "oxford_pets": "a photo of a {}, a type of pet.",
    "stanford_cars": "a photo of a {}.",
    "sun397": "a photo of a {}.",
    "ucf101": "a photo of a person doing {}.",
}
OTHER_NAMES = {
    "describabletextures": "dtd",
    "flowers102": "oxford_flowers",
    "imageneta": "imagenet-adversarial",
    "imagenetr": "imagenet-rendition",
}


def template_for(name: str) -> str:
    """The hand-written template of a data set, by its folder in CoOp's layout or by its name there, in any spelling.

    >>> template_for("OxfordPets")
    'a photo of a {}, a type of pet.'
    """
    known = {_spelling(folder): folder for folder in HAND_TEMPLATES} | OTHER_NAMES
    folder = known.get(_spelling(name))
    if folder is None:
        raise InputError(f"no hand-written template for {name!r}; {nearest(name, HAND_TEMPLATES)}, or write your own")
    return HAND_TEMPLATES[folder]


def _spelling(name: str) -> str:
    return name.casefold().translate({ord(mark): None for mark in " _-"})
