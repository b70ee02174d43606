"""Class hierarchies as facts: CIFAR-10's two kinds, CIFAR-100's published superclasses, WordNet's hypernyms."""

from functools import cache
from pathlib import Path

WORDNET = Path("/usr/share/wordnet/data.noun")  # apt install wordnet-base (WordNet 3.0)
ROOTS = ("animal", "vehicle", "instrumentality", "food", "structure", "clothing", "geological formation", "plant",
         "natural object", "artifact", "matter", "person")  # fmt: skip

CIFAR10_KINDS = {
    **dict.fromkeys(("airplane", "automobile", "ship", "truck"), "vehicle"),
    **dict.fromkeys(("bird", "cat", "deer", "dog", "frog", "horse"), "animal"),
}

# Krizhevsky 2009, "Learning multiple layers of features from tiny images", section 3.1
CIFAR100 = {
    "aquatic mammal": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flower": "orchid poppy rose sunflower tulip",
    "food container": "bottle bowl can cup plate",
    "fruit or vegetable": "apple mushroom orange pear sweet_pepper",
    "household electrical device": "clock keyboard lamp telephone television",
    "household furniture": "bed chair couch table wardrobe",
    "insect": "bee beetle butterfly caterpillar cockroach",
    "large carnivore": "bear leopard lion tiger wolf",
    "large man-made outdoor thing": "bridge castle house road skyscraper",
    "large natural outdoor scene": "cloud forest mountain plain sea",
    "large omnivore or herbivore": "camel cattle chimpanzee elephant kangaroo",
    "medium-sized mammal": "fox porcupine possum raccoon skunk",
    "non-insect invertebrate": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptile": "crocodile dinosaur lizard snake turtle",
    "small mammal": "hamster mouse rabbit shrew squirrel",
    "tree": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicle": "bicycle bus motorcycle pickup_truck train",
    "other vehicle": "lawn_mower rocket streetcar tank tractor",
}


def cifar100_levels() -> dict[str, list[str]]:
    """Each of the 100 classes with its superclass."""
    return {name: [above] for above, names in CIFAR100.items() for name in names.split()}


def wordnet_levels(wnid: str) -> list[str]:
    """Two coarser names of a synset: the hypernym two steps up, and the first of a dozen broad roots above it."""
    chain = _chain(int(wnid[1:]))
    broad = next((name for name in chain if name in ROOTS), chain[-1])
    near = chain[min(1, len(chain) - 1)]
    return [broad if near in ROOTS else near, broad]


def _chain(offset: int) -> list[str]:
    """Names of all hypernyms, nearest first."""
    names = []
    while (above := _nouns()[offset][1]) is not None:
        offset = above
        names.append(_nouns()[offset][0])
    return names


@cache
def _nouns() -> dict[int, tuple[str, int | None]]:
    """First word and first hypernym of every noun synset."""
    found = {}
    for line in WORDNET.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue
        fields = line.split(" | ")[0].split(" ")
        words = int(fields[3], 16)
        pointers = fields[5 + 2 * words :]
        above = next((int(pointers[i + 1]) for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")), None)
        found[int(fields[0])] = (fields[4].replace("_", " "), above)
    return found
