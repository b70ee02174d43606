"""The folders of CoOp's data sets, as its DATASETS.md lays them out (github.com/KaiyangZhou/CoOp) and later work keeps.

Nine sets have a split file `split_zhou_<Name>.json` beside their images, FGVC-Aircraft has lists of its variants, and
ImageNet and its variants have folders and `classnames.txt`. Class names are as these files have them.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from candid.data.coop_files import chosen_split, distinct, lines_of
from candid.data.found import Found, file_bytes, missing
from candid.data.imagenet import from_imagenet, is_imagenet
from candid.errors import InputError
from candid.types import Skipped

__all__ = ["IMAGES", "from_coop", "from_split_file", "is_coop", "refuse_pickle"]

SPLITS = ("train", "val", "test")
IMAGES = {  # where the paths in split_zhou_<key>.json start, from the folder it lies in
    "Caltech101": "101_ObjectCategories",
    "DescribableTextures": "images",
    "EuroSAT": "2750",
    "Food101": "images",
    "OxfordFlowers": "jpg",
    "OxfordPets": "images",
    "StanfordCars": ".",
    "SUN397": "SUN397",
    "UCF101": "UCF-101-midframes",
}
PREFIX = "split_zhou_"

Row = tuple[str, int, str]  # path, label, class name


def is_coop(root: Path) -> bool:
    """Whether the folder is laid out like one of CoOp's data sets."""
    return _split_file(root) is not None or _is_aircraft(root) or is_imagenet(root)


def from_coop(root: Path, split: str | None) -> Found:
    """The rows of one split of such a folder."""
    if (file := _split_file(root)) is not None:
        return from_split_file(file, split)
    return _aircraft(root, split) if _is_aircraft(root) else from_imagenet(root, split)


def from_split_file(file: Path, split: str | None) -> Found:
    """The rows of one split of a `split_zhou_*.json`; those whose file is absent are listed as skipped.

    Classes are those of all three splits: label i is number i of them.
    """
    parts = _parts(file)
    names = _class_names([row for rows in parts.values() for row in rows], file)
    rows = parts[chosen_split(split, SPLITS, file)]
    return _found(f"{file}:{split}", _images_folder(file, rows), rows, names)


def refuse_pickle(file: Path) -> NoReturn:
    """Say why a pickled subset is not read, and what to do instead."""
    raise InputError(
        f"{file.name} is a pickle, which can run code as it is read, and is never opened; "
        "write its rows as a CSV manifest with columns path,label, or draw a subset with noise.few_shot"
    )


def _split_file(root: Path) -> Path | None:
    files = sorted(root.glob(f"{PREFIX}*.json"))
    if len(files) > 1:
        raise InputError(f"{root} holds {len(files)} split files, {files[0].name} among them; pass the path of one")
    return files[0] if files else None


def _parts(file: Path) -> dict[str, list[Row]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{file} is not JSON: {error}") from error
    lists = isinstance(content, dict) and all(isinstance(content.get(split), list) for split in SPLITS)
    if not lists:
        raise InputError(f"expected lists train, val and test of [path, label, class name] in {file}")
    return {split: [_row(row, split, number, file) for number, row in enumerate(content[split])] for split in SPLITS}


def _row(row: Any, split: str, number: int, file: Path) -> Row:
    if isinstance(row, list) and len(row) == 3:
        path, label, name = row
        whole = isinstance(label, int) and not isinstance(label, bool) and label >= 0
        if isinstance(path, str) and path and whole and isinstance(name, str) and name:
            return path, label, name
    raise InputError(f"expected [path, label, class name] in {file}, {split} row {number + 1} is {str(row)[:80]}")


def _class_names(rows: Sequence[Row], file: Path) -> list[str]:
    by_label: dict[int, str] = {}
    for path, label, name in rows:
        if by_label.setdefault(label, name) != name:
            raise InputError(f"{file} calls label {label} {by_label[label]!r} and, at {path}, {name!r}; mend the file")
    if absent := sorted(set(range(max(by_label, default=0) + 1)) - set(by_label)):
        raise InputError(f"{file} has no image of label {absent[0]}; labels must count classes from 0 without a gap")
    names = [by_label[label] for label in sorted(by_label)]
    distinct(names, file)
    return names


def _images_folder(file: Path, rows: Sequence[Row]) -> Path:
    name = file.stem.removeprefix(PREFIX)
    if name in IMAGES:
        folder = file.parent / IMAGES[name]
        if not folder.is_dir():
            raise InputError(f"expected the images of {name} in {folder}, there is no such folder; unpack them there")
        return folder
    nested = file.parent / "images"
    return nested if rows and any((nested / path).is_file() for path, _, _ in rows) else file.parent


def _found(where: str, folder: Path, rows: Sequence[Row], names: Sequence[str]) -> Found:
    for path, _, _ in rows:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise InputError(f"{where} names {path!r}, which lies outside {folder}; paths must be relative to it")
    lost = [missing(folder / path) for path, _, _ in rows]
    kept = [row for row, reason in zip(rows, lost, strict=True) if reason is None]
    ids = [path for path, _, _ in kept]
    return Found(
        where=where,
        ids=ids,
        raw=partial(file_bytes, [folder / path for path in ids], ids),
        labels=[label for _, label, _ in kept],
        names=names,
        skipped=[Skipped(row[0], why) for row, why in zip(rows, lost, strict=True) if why is not None],
    )


def _is_aircraft(root: Path) -> bool:
    return (root / "variants.txt").is_file() and any(root.glob("images_variant_*.txt"))


def _aircraft(root: Path, split: str | None) -> Found:
    names = [line.strip() for line in lines_of(root / "variants.txt")]
    distinct(names, root / "variants.txt")
    places = {name: label for label, name in enumerate(names)}
    chosen = chosen_split(split, [name for name in SPLITS if (root / f"images_variant_{name}.txt").is_file()], root)
    file, rows = root / f"images_variant_{chosen}.txt", []
    for line in lines_of(file):
        number, _, name = line.strip().partition(" ")
        if name not in places:
            raise InputError(f"{file} gives image {number} the variant {name!r}, which variants.txt does not list")
        rows.append((f"{number}.jpg", places[name], name))
    return _found(str(file), root / "images", rows, names)
