"""The word list of `data.words`: `python -m recipes.words WORDNET OUT`.

WORDNET is the folder of WordNet 3.0's database files (index.noun, index.adj; Debian: package wordnet-base). Kept are
nouns and adjectives of three letters or more that occur at least once in its sense-tagged texts, for these are
words that people use; the whole list is mostly Latin names of species.
"""

import argparse
import gzip
import re
from pathlib import Path

KINDS = {"noun": "index.noun", "adjective": "index.adj"}
PLAIN = re.compile(r"[a-z]+( [a-z]+)*")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wordnet", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    lines = [f"{kind}\t{word}" for kind, name in KINDS.items() for word in words(args.wordnet / name)]
    args.out.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", mtime=0))
    print(len(lines), args.out.stat().st_size)


def words(path: Path) -> list[str]:
    """Lemmas in order; of a line's fields the last but the synset offsets is how many senses are tagged."""
    found = set()
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith(" "):  # the licence
            continue
        fields = line.split()
        tagged = int(fields[-1 - int(fields[2])])  # lemma pos synsets pointers... senses tagged offset...
        word = fields[0].replace("_", " ")
        if tagged and len(word) > 2 and PLAIN.fullmatch(word):
            found.add(word)
    return sorted(found)


if __name__ == "__main__":
    main()
