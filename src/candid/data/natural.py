"""The order people number files in: img2 before img10, the same on every machine."""

import re

__all__ = ["natural"]


def natural(text: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key that reads runs of digits as numbers and ignores case; the text itself breaks ties.

    >>> sorted(["img10", "img2", "Img1"], key=natural)
    ['Img1', 'img2', 'img10']
    """
    parts = re.split(r"([0-9]+)", text.casefold())
    return [(int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts], text
