"""ImageNet and its four variants, as CoOp lays them out: folders of images ImageNet's `classnames.txt` beside them.

ImageNet-A and ImageNet-R hold 200 of the classes: models choose among these alone, as their authors score them
(Hendrycks et al. 2021, arxiv.org/abs/1907.07174 and arxiv.org/abs/2006.16241). ImageNet-V2 numbers its folders 0 to
999; read as text they would come in another order than the classes.
"""

from dataclasses import replace
from pathlib import Path

from candid.data.coop_files import chosen_split, distinct, lines_of
from candid.data.folders import from_folder
from candid.data.found import Found
from candid.errors import InputError

__all__ = ["from_imagenet", "is_imagenet"]

NAMES = "classnames.txt"  # a folder of ImageNet, a space, and its name
SUBSETS = ("imagenet-a", "imagenet-r")  # of 200 classes
NUMBERED = "imagenetv2-matched-frequency-format-val"


def is_imagenet(root: Path) -> bool:
    """Whether the folder is laid out like ImageNet or one of its variants."""
    return (root / NAMES).is_file() and (bool(_splits(root)) or _variant(root) is not None)


def from_imagenet(root: Path, split: str | None) -> Found:
    """The rows of a split of ImageNet, or of a variant, which has the one split "test".

    CoOp tests on ImageNet's validation images, so there "test" means them too.
    """
    known = {line.split(" ")[0]: line.strip().partition(" ")[2] for line in lines_of(root / NAMES)}
    if splits := _splits(root):
        folder = root / "images" / splits[chosen_split(split, list(splits), root)]
    else:
        folder = _variant(root) or root
        chosen_split(split or "test", ("test",), root)
    found = from_folder(folder)
    places = [str(label) for label in found.labels or ()]
    if folder.name == NUMBERED:
        ordered = sorted(known)
        if wrong := sorted({place for place in places if not place.isdecimal() or int(place) >= len(ordered)}):
            raise InputError(f"{folder} holds {wrong[0]}; expected folders numbered 0 to {len(ordered) - 1}")
        places = [ordered[int(place)] for place in places]
    if unknown := sorted(set(places) - set(known)):
        raise InputError(
            f"{root / NAMES} has no name for the folder {unknown[0]}; each line is a folder, a space and its name"
        )
    masked = folder.name in SUBSETS
    names = [known[place] for place in sorted(set(places) if masked else known)]
    distinct(names, root / NAMES)
    return replace(found, labels=[known[place] for place in places] or None, names=names)


def _splits(root: Path) -> dict[str, str]:
    """Folder of every split of ImageNet itself."""
    found = {name: name for name in ("train", "val") if (root / "images" / name).is_dir()}
    return found | ({"test": "val"} if "val" in found else {})


def _variant(root: Path) -> Path | None:
    """The folder of images of a variant; that of ImageNet-Sketch is called "images"."""
    for name in (*SUBSETS, NUMBERED, "images"):
        if (root / name).is_dir():
            return root / name
    return None
