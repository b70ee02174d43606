"""Folders of image files -> a data set: sub-folders are classes, everything that is no image is named."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from candid.data.found import Found, file_bytes, missing
from candid.data.natural import natural
from candid.errors import InputError
from candid.types import Skipped

__all__ = ["EXTENSIONS", "from_files", "from_folder", "listing"]

JPEGS = (".jfif", ".jpe", ".jpeg", ".jpg", ".j2k", ".jp2")
NETPBM = (".pbm", ".pgm", ".pnm", ".ppm")
EXTENSIONS = (*JPEGS, *NETPBM, ".avif", ".bmp", ".dib", ".gif", ".ico", ".png", ".tif", ".tiff", ".webp")
SIDECARS = ("readme", "license", "licence", "metadata", "dataset_info", "thumbs.db", "desktop.ini")


def from_folder(root: Path) -> Found:
    """Every image below `root`; its class is the first sub-folder on the way, none where all lie in `root` itself.

    Where some lie in sub-folders and some beside them, the ones beside have no class and are skipped. A sub-folder
    without a single candidate for an image is no class.
    """
    names, skipped = _sorted_out(root, listing(root))
    inside = [name for name in names if "/" in name]
    if inside:
        skipped += [Skipped(name, "lies beside the class folders") for name in names if "/" not in name]
        names = inside
    labels = [name.split("/")[0] for name in inside]
    return Found(
        where=str(root),
        ids=[_readable(name) for name in names],
        raw=partial(file_bytes, [root / name for name in names], names),
        labels=[_readable(label) for label in labels] or None,
        names=[_readable(label) for label in dict.fromkeys(labels)] or None,
        skipped=sorted(skipped, key=lambda file: natural(file.id)),
    )


def from_files(paths: Sequence[Path]) -> Found:
    """The named files in the order given, each once, folders replaced by the images below; absent ones skipped."""
    files: list[Path] = []
    skipped: list[Skipped] = []
    for path in paths:
        if path.is_dir():
            names, others = _sorted_out(path, listing(path))
            files += [path / name for name in names]
            skipped += [Skipped(str(path / file.id), file.reason) for file in others]
        elif (reason := missing(path)) is not None:
            skipped.append(Skipped(str(path), reason))
        else:
            files.append(path)
    files = list(dict.fromkeys(files))
    ids = [_readable(path.as_posix()) for path in files]
    where = str(paths[0]) if len(paths) == 1 else f"the list of {len(paths)} paths"
    return Found(where=where, ids=ids, raw=partial(file_bytes, files, ids), skipped=skipped)


def listing(root: Path) -> list[str]:
    """Every file below `root` as a relative path with "/", in natural order; hidden files and folders are left out."""
    return sorted(_walk(root), key=lambda name: [natural(part) for part in PurePosixPath(name).parts])


def _walk(root: Path) -> Iterator[str]:
    def failed(error: OSError) -> None:
        raise InputError(f"cannot list {error.filename}: {error.strerror}") from error

    for folder, below, files in os.walk(root, followlinks=True, onerror=failed):
        here = Path(folder)
        below[:] = [name for name in below if not _hidden(name) and not _loops(here / name)]
        for name in files:
            if not _hidden(name):
                yield (here / name).relative_to(root).as_posix()


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def _loops(folder: Path) -> bool:
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _sorted_out(root: Path, names: Sequence[str]) -> tuple[list[str], list[Skipped]]:
    images: list[str] = []
    skipped: list[Skipped] = []
    for name in names:
        extension = PurePosixPath(name).suffix.lower()
        if (reason := missing(root / name)) is not None:
            skipped.append(Skipped(_readable(name), "broken link" if reason == "no such file" else reason))
        elif extension in EXTENSIONS:
            images.append(name)
        elif "/" not in name and name.lower().startswith(SIDECARS):
            continue
        elif not extension:
            images.append(name)  # the decoder finds out
        else:
            skipped.append(Skipped(_readable(name), f"not an image file ({extension})"))
    return images, skipped


def _readable(name: str) -> str:
    """File names that are not UTF-8 spelt with escapes, so that every report can hold them."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
