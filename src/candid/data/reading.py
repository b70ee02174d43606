"""`read`: one door for every format a data set of images comes in."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from candid.data.coop import from_coop, from_split_file, is_coop, refuse_pickle
from candid.data.folders import EXTENSIONS, from_files, from_folder, listing
from candid.data.found import Found, image_set
from candid.data.manifests import SPLITS, from_sheet, path_column, split_name
from candid.data.natural import natural
from candid.data.sheets import Sheet, read_sheet
from candid.errors import InputError
from candid.types import ImageSet, Skipped

__all__ = ["read"]

MANIFESTS = (".csv", ".tsv", ".jsonl", ".parquet")
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SPLIT_FOLDERS = frozenset({"train", "val", "test", *SPLITS})


def read(
    path: str | Path | Sequence[str | Path],
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    labels: str | None = None,
    groups: str | None = None,
) -> ImageSet:
    """The images at `path`, in a fixed order, nothing decoded yet.

    * a folder: sub-folders are classes; `metadata.csv` or `.jsonl` in it is read as a manifest; folders named train,
      val, test need `split`
    * `.csv`, `.tsv`, `.jsonl`, `.parquet`: a manifest with a column `path` (or file_name, ...), relative to its own
      folder, or `image` (encoded bytes); and `label`, `group`, `split` where it has them. `labels` and `groups` name
      other columns; without `split` every row counts
    * a folder of Parquet shards, or one saved by Hugging Face datasets
    * a folder laid out as CoOp's data sets are, or its `split_zhou_*.json`; `split` says which part
    * one image file, or a list of files and folders

    `classes` fixes the class names and their order; label names match them without regard to case, spaces, hyphens
    and underscores. Integer labels index the format's own class names, else `classes`, else `classes` stays None.
    Files that are no images, and rows whose file is absent, are listed in `skipped`.
    """
    if not isinstance(path, str | Path):
        return image_set(from_files([Path(item) for item in _some(path)]), classes)
    return image_set(_found(Path(path).expanduser(), split, labels, groups), classes)


def _some(paths: Sequence[str | Path]) -> Sequence[str | Path]:
    if not paths:
        raise InputError("the list of paths is empty; expected image files or folders")
    return paths


def _found(path: Path, split: str | None, labels: str | None, groups: str | None) -> Found:
    if path.is_dir() and is_coop(path):
        _no_columns(path, labels, groups)
        return from_coop(path, split)
    if path.is_dir():
        return _folder(path, split, labels, groups)
    if not path.is_file():
        raise InputError(f"no such file or folder: {path}")
    if path.suffix.lower() in MANIFESTS:
        sheet = read_sheet([path], where=str(path))
        return from_sheet(sheet, path.parent, split=split, labels=labels, groups=groups)
    if path.suffix.lower() == ".json":
        _no_columns(path, labels, groups)
        return from_split_file(path, split)
    if path.suffix.lower() in (".pkl", ".pickle"):
        refuse_pickle(path)
    if path.suffix.lower() in EXTENSIONS or not path.suffix:
        return from_files([path])
    raise InputError(
        f"cannot read {path.name} as a data set; expected a folder, an image, or a manifest ({', '.join(MANIFESTS)})"
    )


def _folder(root: Path, split: str | None, labels: str | None, groups: str | None) -> Found:
    chosen = _split_folder(root, split)
    if chosen is not None:
        return _folder(chosen, None, labels, groups)
    if (shards := _shards(root, split)) is not None:
        return from_sheet(read_sheet(shards, where=str(root)), root, labels=labels, groups=groups)
    sheet = _metadata(root)
    if sheet is not None:
        return _with_metadata(sheet, root, split, labels, groups)
    if split is not None:
        raise InputError(f"{root} has no split {split!r}; it holds {_contents(root)}")
    if labels is not None or groups is not None:
        raise InputError(f"{root} has no manifest, so no column {labels or groups!r}; it holds {_contents(root)}")
    return from_folder(root)


def _no_columns(path: Path, labels: str | None, groups: str | None) -> None:
    if labels is not None or groups is not None:
        raise InputError(f"{path} is read as CoOp's layout, which has no column {labels or groups!r}; leave it out")


def _split_folder(root: Path, split: str | None) -> Path | None:
    folders = {p.name: p for p in sorted(root.iterdir()) if p.is_dir() and not p.name.startswith(".")}
    if split is not None:
        return next((path for name, path in folders.items() if split_name(name) == split_name(split)), None)
    if not folders or not {name.lower() for name in folders} <= SPLIT_FOLDERS or _metadata(root) is not None:
        return None
    raise InputError(f"{root} has the splits {', '.join(folders)}; pass split=, or the folder of one of them")


def _shards(root: Path, split: str | None) -> list[Path] | None:
    """The Arrow or Parquet files that make up a saved or downloaded Hugging Face dataset, or None."""
    state = root / "state.json"
    if state.is_file():
        return [root / file["filename"] for file in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
    found = sorted((*root.glob("*.parquet"), *root.glob("data/*.parquet")), key=lambda p: natural(p.name))
    found = [path for path in found if path.name not in METADATA]
    if not found:
        return None
    by_split: dict[str, list[Path]] = {}
    for path in found:
        by_split.setdefault(split_name(path.stem.split("-")[0]), []).append(path)
    if split is None and len(by_split) > 1:
        raise InputError(f"{root} holds the splits {', '.join(by_split)}; pass split=")
    if split is not None and split_name(split) not in by_split:
        raise InputError(f"{root} has no split {split!r}; it has {', '.join(by_split)}")
    return by_split[split_name(split)] if split is not None else found


def _metadata(root: Path) -> Sheet | None:
    for name in METADATA:
        if (root / name).is_file():
            sheet = read_sheet([root / name], where=str(root / name))
            return sheet if path_column(sheet) is not None else None
    return None


def _with_metadata(sheet: Sheet, root: Path, split: str | None, labels: str | None, groups: str | None) -> Found:
    found = from_sheet(sheet, root, split=split, labels=labels, groups=groups)
    listed = set(sheet.column(path_column(sheet) or ""))
    others = [name for name in listing(root) if name not in listed and name not in METADATA]
    unlisted = [Skipped(name, f"not listed in {Path(sheet.where).name}") for name in others]
    if found.labels is None and all("/" in name for name in found.ids):  # images in class folders, groups in a table
        found = replace(found, labels=[name.split("/")[0] for name in found.ids])
    return replace(found, skipped=[*found.skipped, *unlisted])


def _contents(root: Path) -> str:
    names = sorted((p.name + "/" if p.is_dir() else p.name for p in root.iterdir()), key=natural)
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "") if names else "nothing"
