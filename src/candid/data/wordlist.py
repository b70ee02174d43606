"""Words that people use, to ask a vision-language model what an image is if it is none of the classes."""

import gzip
from functools import cache
from pathlib import Path
from typing import Literal

__all__ = ["words"]

FILE = Path(__file__).with_name("words") / "wordnet.txt.gz"


def words(kind: Literal["noun", "adjective"] | None = None) -> tuple[str, ...]:
    """Nouns, adjectives or both, without repeats, from WordNet 3.0 (licence beside the file).

    Those that occur in its sense-tagged texts: `recipes/words.py` makes the list.

    >>> "dog" in words("noun"), "zodiacal" in words("noun"), len(words()) > 15_000
    (True, False, True)
    """
    return tuple(dict.fromkeys(word for each, word in _lines() if kind in (None, each)))


@cache
def _lines() -> tuple[tuple[str, str], ...]:
    pairs = (line.split("\t") for line in gzip.decompress(FILE.read_bytes()).decode().splitlines())
    return tuple((kind, word) for kind, word in pairs)
