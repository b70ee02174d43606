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
SHOWN = "groceries"  # the embedded photos


def models_of_names(names: Iterable[str]) -> list[dict[str, str]]:
    """Models by id; local folders go by their short names."""
    folders = {whole: short for short, whole in named(tuple(Path(n) for n in names if Path(n).is_dir())).items()}
    return [{"name": folders.get(Path(name), name), "load": _whole(name)} for name in names]


def sets_of(
    sources: tuple[Path, ...], beside: Mapping[str, tuple[str, ...]], levels: tuple[str, ...], split: str | None
) -> list[dict[str, Any]]:
    """The sets of the flags: sources, what stands beside them by role, and their hierarchies."""
    given = [(role, *_pair(text, sources)) for role, texts in beside.items() for text in texts]
    names = named(tuple(dict.fromkeys((*sources, *(Path(path) for _, _, path in given)))))
    short = {whole: name for name, whole in names.items()}
    found: list[dict[str, Any]] = [
        {"name": short[path], "path": _whole(str(path)), "role": "source", "of": ""} for path in sources
    ]
    if not sources:
        found = [
            {"name": SHOWN, "path": f"{SAMPLE}known", "role": "source", "of": ""},
            {"name": "bad camera", "path": f"{SAMPLE}shift", "role": "shift", "of": SHOWN},
        ]
    taken = {each["name"] for each in found}
    for role, home, path in given:
        name = short[Path(path)]
        name = f"{name} ({role})" if name in taken else name  # one folder in two roles
        taken.add(name)
        found.append({"name": name, "path": _whole(path), "role": role, "of": found[home]["name"]})
    for text in levels:
        home, path = _pair(text, sources)
        found[home]["levels"] = _levels(Path(path))
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


def _pair(text: str, sources: tuple[Path, ...]) -> tuple[int, str]:
    """Place of SET among the sources, and PATH, of SET=PATH; PATH alone, which may hold "=" itself, is of the first.

    SET is the last part of a source's path, or as many parts as tell it apart.
    """
    name, equals, path = text.partition("=")
    wanted = Path(name).parts
    meant = [i for i, source in enumerate(sources) if wanted and source.absolute().parts[-len(wanted) :] == wanted]
    if not equals or (not meant and name != SHOWN):
        return 0, text
    if len(meant) > 1:
        raise InputError(f"{name} may be {' or '.join(str(sources[i]) for i in meant)}; write more of its path")
    return (meant or [0])[0], path


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
