"""The flags of `candid study` as a study in JSON."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from candid.cli.options import lines, named
from candid.errors import InputError
from candid.workflows.studying.job import SAMPLE
from candid.workflows.studying.plan import PROMPTS

__all__ = ["EMBEDDED", "models_of_names", "prompts_of", "sets_of"]

EMBEDDED = "tiny"


def models_of_names(names: Iterable[str]) -> list[dict[str, str]]:
    """Models by id; local folders go by their short names."""
    folders = {whole: short for short, whole in named(tuple(Path(n) for n in names if Path(n).is_dir())).items()}
    return [{"name": folders.get(Path(name), name), "load": _whole(name)} for name in names]


def sets_of(
    sources: tuple[Path, ...], beside: Mapping[str, tuple[str, ...]], levels: tuple[str, ...], split: str | None
) -> list[dict[str, Any]]:
    """The sets of the flags: sources, what stands beside them by role, and their hierarchies."""
    found: list[dict[str, Any]] = [
        {"name": name, "path": _whole(str(path)), "role": "source", "of": ""} for name, path in named(sources).items()
    ] or [{"name": "groceries", "path": f"{SAMPLE}known", "role": "source", "of": ""}]
    homes = [each["name"] for each in found]
    if not sources:
        found.append({"name": "bad camera", "path": f"{SAMPLE}shift", "role": "shift", "of": homes[0]})
    for role, given in beside.items():
        pairs = [_pair(text, homes) for text in given]
        short = {whole: name for name, whole in named(tuple(Path(path) for _, path in pairs)).items()}
        found += [{"name": short[Path(path)], "path": _whole(path), "role": role, "of": home} for home, path in pairs]
    for text in levels:
        home, path = _pair(text, homes)
        next(each for each in found if each["name"] == home)["levels"] = _levels(Path(path))
    return [each if split is None else each | {"split": split} for each in found]


def prompts_of(given: tuple[str, ...]) -> dict[str, list[str]]:
    """Prompt sets by name from NAME=FILE; the study's own where none is given."""
    if not given:
        return {name: list(templates) for name, templates in PROMPTS.items()}
    found = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not name:
            raise InputError(f"expected --prompts NAME=FILE, got {text!r}")
        found[name] = lines(Path(path))
    return found


def _pair(text: str, homes: list[str]) -> tuple[str, str]:
    """SET=PATH, or PATH for the first set; a path may hold "=" itself."""
    name, equals, path = text.partition("=")
    return (name, path) if equals and name in homes else (homes[0], text)


def _levels(path: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the hierarchy {path}: {error}") from error
    whole = isinstance(found, dict) and all(isinstance(above, list) and above for above in found.values())
    if not whole or not found:
        raise InputError(f'expected JSON like {{"trout": ["fish", "animal"]}} in {path}: each class, its coarser names')
    return {str(name): [str(each) for each in above] for name, above in found.items()}


def _whole(place: str) -> str:
    """Full path of what exists here, so that the run can be repeated from any folder; other names as they are."""
    path = Path(place).expanduser()
    return str(path.absolute()) if place != EMBEDDED and path.exists() else place
