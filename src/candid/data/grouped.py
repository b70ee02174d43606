"""Data sets of the literature on groups, in the layouts they are handed out in: classes, and an attribute as groups.

Groups here are the attribute (place, sex, variant, hospital); `candid.groups.cross` makes class times attribute of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from candid.data.folders import from_folder
from candid.data.found import Found, file_bytes, image_set, missing
from candid.data.manifests import NUMBERED, split_name
from candid.data.sheets import Sheet, read_sheet
from candid.errors import InputError, nearest
from candid.types import Groups, ImageSet, Labels, Skipped

__all__ = ["GROUPED", "GroupTable", "read_group_table", "read_grouped"]

ATTRIBUTES = ("list_attr_celeba.csv", "list_attr_celeba.txt")
PARTITION = ("list_eval_partition.csv", "list_eval_partition.txt")
FACES = "img_align_celeba"
VARIANTS = ("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "no_fg", "only_bg_b", "only_bg_t", "fg")


class GroupTable(NamedTuple):
    """Labels and groups of rows that are no images (texts), for vectors that were made elsewhere in the same order."""

    ids: tuple[str, ...]
    labels: Labels
    groups: Groups
    classes: tuple[str, ...]
    group_names: tuple[str, ...]


@dataclass(frozen=True)
class _Sheet:
    """How a metadata table says what a row is: `path` from its cells, label and attribute as indices into names."""

    needs: tuple[str, ...]  # columns that tell it from other tables
    label: Callable[[dict[str, Any]], int]
    classes: tuple[str, ...]
    attribute: Callable[[dict[str, Any]], int]
    attributes: tuple[str, ...]
    path: Callable[[dict[str, Any]], str] | None  # None: rows are texts
    files: tuple[str, ...] = ("metadata.csv",)


def read_grouped(
    path: str | Path, *, layout: str | None = None, split: str | None = None, target: str = "Blond_Hair",
    attribute: str = "Male",
) -> ImageSet:  # fmt: skip
    """The images of a Waterbirds, CelebA, ImageNet-9 (backgrounds challenge) or WILDS Camelyon17 folder.

    `layout` is one of `GROUPED`, recognised by its files where it is not given. `split` is train, val or test; without
    it every row counts. `target` and `attribute` are CelebA's columns. ImageNet-9's groups are its variants: give the
    folder that holds original/, mixed_rand/ and so on. For any other table of images, `data.read(path, labels=COLUMN,
    groups=COLUMN)` does.
    """
    root = Path(path).expanduser()
    name = _recognised(root) if layout is None else layout
    if name not in GROUPED:
        raise InputError(f"no layout named {name}; {nearest(name, GROUPED)}")
    if name == "celeba":
        return image_set(_celeba(root, split, target, attribute), None)
    if name == "imagenet-9":
        return image_set(_backgrounds(root, split), None)
    kind = SHEETS[name]
    if kind.path is None:
        raise InputError(f"{name} holds texts; read_group_table reads their labels and groups")
    return _images(root, kind, split)


def read_group_table(path: str | Path, *, layout: str | None = None, split: str | None = None) -> GroupTable:
    """Labels and groups of MultiNLI (`metadata_random.csv` of group DRO) or WILDS CivilComments, row by row.

    For last layers on vectors of a language model that was run elsewhere. CivilComments' groups are coarse: whether any
    of eight identities is mentioned.
    """
    root = Path(path).expanduser()
    name = _recognised(root) if layout is None else layout
    if name not in SHEETS:
        raise InputError(f"no table of groups named {name}; {nearest(name, SHEETS)}")
    sheet, _ = _sheet(root, SHEETS[name])
    rows, cells = _rows(sheet, SHEETS[name], split)
    labels, groups = _indices(cells, SHEETS[name], sheet.where)
    return GroupTable(
        tuple(str(row) for row in rows), np.array(labels), np.array(groups), SHEETS[name].classes,
        SHEETS[name].attributes,
    )  # fmt: skip


def _number(column: str) -> Callable[[dict[str, Any]], int]:
    return lambda row: int(float(row[column]))


def _over_half(*columns: str) -> Callable[[dict[str, Any]], int]:
    return lambda row: int(any(float(row[column] or 0) >= 0.5 for column in columns))


def _camelyon_path(row: dict[str, Any]) -> str:
    patient, node = f"{int(float(row['patient'])):03d}", int(float(row["node"]))
    at = f"x_{int(float(row['x_coord']))}_y_{int(float(row['y_coord']))}"
    return f"patches/patient_{patient}_node_{node}/patch_patient_{patient}_node_{node}_{at}.png"


IDENTITIES = ("male", "female", "LGBTQ", "christian", "muslim", "other_religions", "black", "white")
NEGATION = ("no negation", "negation")
SHEETS: dict[str, _Sheet] = {
    "camelyon17": _Sheet(
        ("patient", "node", "x_coord", "y_coord", "tumor", "center"), _number("tumor"), ("normal", "tumor"),
        _number("center"), tuple(f"hospital {i}" for i in range(5)), _camelyon_path,
    ),
    "civilcomments": _Sheet(
        ("comment_text", "toxicity", *IDENTITIES), _over_half("toxicity"), ("not toxic", "toxic"),
        _over_half(*IDENTITIES), ("no identity", "an identity"), None, ("all_data_with_identities.csv",),
    ),
    "multinli": _Sheet(
        ("gold_label", "sentence2_has_negation"), _number("gold_label"), ("contradiction", "entailment", "neutral"),
        _number("sentence2_has_negation"), NEGATION, None, ("metadata_random.csv", "metadata_multinli.csv"),
    ),
    "waterbirds": _Sheet(
        ("img_filename", "y", "place"), _number("y"), ("landbird", "waterbird"), _number("place"), ("land", "water"),
        lambda row: str(row["img_filename"]),
    ),
}  # fmt: skip
GROUPED: tuple[str, ...] = tuple(sorted(["celeba", "imagenet-9", *SHEETS]))


def _recognised(root: Path) -> str:
    if any((root / name).is_file() for name in ATTRIBUTES):
        return "celeba"
    if sum((root / name).is_dir() for name in VARIANTS) >= 2:
        return "imagenet-9"
    for name, kind in SHEETS.items():
        if (file := _file(root, kind)) is not None:
            header = set(read_sheet([file], where=str(file)).header)
            if set(kind.needs) <= header:
                return name
    raise InputError(f"{root} is none of {', '.join(GROUPED)} by its files; name a layout, or read it by data.read")


def _file(root: Path, kind: _Sheet) -> Path | None:
    if root.is_file():
        return root if root.suffix.lower() == ".csv" else None
    return next((root / name for name in kind.files if (root / name).is_file()), None)


def _sheet(root: Path, kind: _Sheet) -> tuple[Sheet, Path]:
    file = _file(root, kind)
    if file is None:
        raise InputError(f"expected {' or '.join(kind.files)} in {root}, found none")
    sheet = read_sheet([file], where=str(file))
    if lacking := [column for column in kind.needs if column not in sheet.header]:
        raise InputError(f"{file} has no column {lacking[0]!r}; it has {', '.join(sheet.header)}")
    return sheet, file.parent


def _rows(sheet: Sheet, kind: _Sheet, split: str | None) -> tuple[list[int], list[dict[str, Any]]]:
    used = [*kind.needs, *(["split"] if "split" in sheet.header else [])]
    columns = {name: sheet.column(name) for name in used}
    rows = list(range(sheet.rows))
    if split is not None:
        if "split" not in columns:
            raise InputError(f"{sheet.where} has no split column; leave split out")
        named = [NUMBERED.get(str(cell), split_name(str(cell))) for cell in columns["split"]]
        rows = [row for row in rows if named[row] == split_name(split)]
        if not rows:
            raise InputError(f"{sheet.where} has no rows of split {split!r}; it has {', '.join(sorted(set(named)))}")
    return rows, [{name: cells[row] for name, cells in columns.items()} for row in rows]


def _indices(cells: Sequence[dict[str, Any]], kind: _Sheet, where: str) -> tuple[list[int], list[int]]:
    found: tuple[list[int], list[int]] = ([], [])
    for place, row in enumerate(cells):
        for name, of, names, into in (
            ("label", kind.label, kind.classes, found[0]),
            ("group", kind.attribute, kind.attributes, found[1]),
        ):
            try:
                index = of(row)
            except (TypeError, ValueError) as error:
                raise InputError(f"{where}: row {place + 1} has no {name} that is a number ({error})") from error
            if not 0 <= index < len(names):
                raise InputError(f"{where}: row {place + 1} has {name} {index}, of {len(names)}: {', '.join(names)}")
            into.append(index)
    return found


def _images(root: Path, kind: _Sheet, split: str | None) -> ImageSet:
    sheet, folder = _sheet(root, kind)
    assert kind.path is not None
    _, cells = _rows(sheet, kind, split)
    ids = [kind.path(row) for row in cells]
    labels, groups = _indices(cells, kind, sheet.where)
    return _set(sheet.where, folder, ids, labels, kind.classes, groups, kind.attributes)


def _set(
    where: str, folder: Path, ids: Sequence[str], labels: Sequence[int], classes: tuple[str, ...],
    groups: Sequence[int], attributes: tuple[str, ...],
) -> ImageSet:  # fmt: skip
    """The image set of files that are there; absent ones are listed as skipped. Group numbers are kept."""
    reasons = [missing(folder / name) for name in ids]
    kept = [place for place, reason in enumerate(reasons) if reason is None]
    names = [ids[place] for place in kept]
    found = Found(
        where=where,
        ids=names,
        raw=partial(file_bytes, [folder / name for name in names], names),
        labels=[labels[place] for place in kept],
        names=classes,
        skipped=[Skipped(name, reason) for name, reason in zip(ids, reasons, strict=True) if reason is not None],
    )
    numbers = np.array([groups[place] for place in kept], dtype=np.int64)
    return replace(image_set(found, None), groups=numbers, group_names=attributes)


def _celeba(root: Path, split: str | None, target: str, attribute: str) -> Found:
    attributes = _celeba_table(root, ATTRIBUTES)
    for column in (target, attribute):
        if column not in attributes.header:
            raise InputError(f"{attributes.where} has no column {column!r}; {nearest(column, attributes.header)}")
    names = [str(cell) for cell in attributes.column(attributes.header[0])]
    keep = list(range(len(names)))
    if split is not None:
        partition = _celeba_table(root, PARTITION)
        parts = dict(zip(partition.column(partition.header[0]), partition.column(partition.header[1]), strict=True))
        keep = [i for i in keep if NUMBERED.get(str(parts.get(names[i]))) == split_name(split)]
        if not keep:
            raise InputError(f"{partition.where} has no images of split {split!r}; it has train, val, test")
    folder = next((each for each in (root / FACES / FACES, root / FACES) if each.is_dir()), root / FACES)
    reasons = {i: missing(folder / names[i]) for i in keep}
    kept = [i for i in keep if reasons[i] is None]
    values = {column: attributes.column(column) for column in (target, attribute)}
    spoken = {column: column.replace("_", " ").lower() for column in (target, attribute)}
    ids = [names[i] for i in kept]

    def said(column: str) -> list[str]:
        return [("" if int(values[column][i]) == 1 else "not ") + spoken[column] for i in kept]

    return Found(
        where=attributes.where,
        ids=ids,
        raw=partial(file_bytes, [folder / name for name in ids], ids),
        labels=list(said(target)),
        names=[f"not {spoken[target]}", spoken[target]],
        groups=list(said(attribute)),
        skipped=[Skipped(names[i], reason) for i, reason in reasons.items() if reason is not None],
    )


def _celeba_table(root: Path, names: Sequence[str]) -> Sheet:
    """A table as Kaggle and WILDS hand it out (CSV), or as its authors do (columns between spaces)."""
    file = next((root / name for name in names if (root / name).is_file()), None)
    if file is None:
        raise InputError(f"expected {' or '.join(names)} in {root}, found none")
    if file.suffix == ".csv":
        return read_sheet([file], where=str(file))
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(lines[0]) == 1:  # the number of images, then the names of the attributes
        header, lines = ("image_id", *lines[1]), lines[2:]
    else:
        header = ("image_id", "partition")
    wrong = next((i for i, line in enumerate(lines) if len(line) != len(header)), None)
    if wrong is not None:
        raise InputError(f"{file}: image {wrong + 1} has {len(lines[wrong])} columns, {len(header)} are named")
    columns = {name: [line[i] for line in lines] for i, name in enumerate(header)}
    return Sheet(str(file), header, len(lines), columns.__getitem__)


def _backgrounds(root: Path, split: str | None) -> Found:
    """ImageNet-9: VARIANT/val/00_dog/FILE; an image is called by its variant and file."""
    parts = []
    for variant in sorted(each.name for each in root.iterdir() if each.is_dir() and each.name in VARIANTS):
        inside = {split_name(each.name): each for each in (root / variant).iterdir() if each.is_dir()}
        wanted = inside.get(split_name(split or "val"))
        if wanted is not None:
            parts.append((variant, wanted, from_folder(wanted)))
    if not parts:
        raise InputError(f"{root} has no variant with a split {split or 'val'!r}; expected original/val/00_dog/...")
    ids = [f"{variant}/{name}" for variant, _, found in parts for name in found.ids]
    paths = [folder / name for _, folder, found in parts for name in found.ids]
    labels = [str(label).partition("_")[2] or str(label) for _, _, found in parts for label in found.labels or ()]
    return Found(
        where=str(root),
        ids=ids,
        raw=partial(file_bytes, paths, ids),
        labels=list(labels),
        groups=[variant for variant, _, found in parts for _ in found.ids],
        skipped=[Skipped(f"{variant}/{each.id}", each.reason) for variant, _, found in parts for each in found.skipped],
    )
