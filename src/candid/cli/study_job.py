"""A study as JSON: which models, sets and prompts. What the flags say, what a report keeps, what repeats the run."""

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from candid import data, models
from candid.cli.options import lines, named
from candid.errors import InputError
from candid.files import read_json
from candid.types import ImageSet
from candid.workflows import Plan, StudyModel, StudySet
from candid.workflows.studying.plan import PROMPTS

__all__ = [
    "EMBEDDED",
    "Job",
    "job_of_file",
    "models_of_file",
    "models_of_names",
    "plan_of",
    "prompts_of",
    "sets_of",
    "study_models",
]

Job = dict[str, Any]  # models, sets, prompts, draws, coverage, seed, device: all of it JSON
EMBEDDED, SAMPLE = "tiny", "embedded:"
MODELS_KIND, REPORT_KIND, JOB_KIND = "candid-study-models", "candid-report", "candid-study"


def plan_of(job: Job) -> Plan:
    """The plan, with every set read."""
    return Plan(
        sets=tuple(_set(each) for each in job["sets"]),
        prompts={name: tuple(templates) for name, templates in job["prompts"].items()},
        draws=job["draws"],
        coverage=job["coverage"],
        seed=job["seed"],
    )


def study_models(job: Job) -> list[StudyModel]:
    """The models, none of them loaded yet."""
    return [
        StudyModel(
            each["name"],
            partial(models.load, each["load"], revision=each.get("revision"), device=job["device"]),
            each["load"],
            partial(models.revision, each["load"], each.get("revision")),
        )
        for each in job["models"]
    ]


def job_of_file(path: Path) -> Job:
    """The study of a report.json, or of a file of format candid-study."""
    try:
        return dict(read_json(path, kind=REPORT_KIND, version=1)["config"])
    except InputError:
        return read_json(path, kind=JOB_KIND, version=1)


def models_of_file(path: Path) -> list[dict[str, str]]:
    """The models of a list that can be loaded here; entries without a loader are left out, as the list says."""
    found = read_json(path, kind=MODELS_KIND, version=1).get("models", [])
    chosen = [{"name": each["name"], "load": each["load"]} for each in found if each.get("load")]
    if not chosen:
        raise InputError(f"{path} lists no model that can be loaded")
    return chosen


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


def _set(described: Mapping[str, Any]) -> StudySet:
    try:
        levels = {name: tuple(above) for name, above in described.get("levels", {}).items()}
        return StudySet(
            described["name"], _images(described), described.get("role", "source"), described.get("of", ""), levels
        )
    except KeyError as error:
        raise InputError(f"a set of the study lacks {error}; expected name and path") from error


def _images(described: Mapping[str, Any]) -> ImageSet:
    path = described["path"]
    if path.startswith(SAMPLE):
        sample = data.sample()
        return sample.known if path == f"{SAMPLE}known" else sample.shift["bad camera"]
    return data.read(path, split=described.get("split"), classes=described.get("classes"))


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
