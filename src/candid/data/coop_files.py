"""What the readers of CoOp's layouts share: lists in text files, names that must differ, the choice of a split."""

from collections.abc import Sequence
from pathlib import Path

from candid.data.manifests import split_name
from candid.errors import InputError

__all__ = ["chosen_split", "distinct", "lines_of"]


def lines_of(file: Path) -> list[str]:
    """The lines of a text file that hold something."""
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {file}: {error}") from error


def distinct(names: Sequence[str], file: Path) -> None:
    """Refuse a name of two classes."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{file} gives {twice[0]!r} to more than one class; make the names differ")


def chosen_split(split: str | None, known: Sequence[str], where: Path) -> str:
    """The split that was asked for, one of those known."""
    if split is None:
        raise InputError(f"{where} has the splits {', '.join(known)}; pass split=")
    if split_name(split) not in known:
        raise InputError(f"{where} has no split {split!r}; it has {', '.join(known)}")
    return split_name(split)
