"""Prompt templates as data; `{}` is the class name."""

__all__ = ["PLAIN", "TEMPLATES"]

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
