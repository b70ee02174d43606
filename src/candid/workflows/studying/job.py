"""A study as JSON: which models, sets and prompts. A report keeps it, a file may hold it, and it repeats the run."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from candid import data, models
from candid.errors import InputError
from candid.files import read_json
from candid.types import ImageSet
from candid.workflows.studying.plan import Plan, StudyModel, StudySet

__all__ = ["SAMPLE", "Job", "job_of_file", "models_of_file", "plan_of", "study_models"]

Job = dict[str, Any]  # models, sets, prompts, draws, coverage, seed, device: all of it JSON
SAMPLE = "embedded:"  # before the name of a sample set, in place of a path
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
    for each in job["models"]:
        if not isinstance(each, Mapping) or not {"name", "load"} <= each.keys():
            raise InputError(f"a model of the study needs name and load, got {each!r}")
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
        found = dict(read_json(path, kind=REPORT_KIND, version=1).get("config", {}))
    except InputError:
        return read_json(path, kind=JOB_KIND, version=1)
    if "sets" not in found:
        raise InputError(f"{path} is the report of an audit, expected that of a study; use candid audit --config")
    return found


def models_of_file(path: Path) -> list[dict[str, str]]:
    """The models of a list that can be loaded here; entries without a loader are left out, as the list says."""
    found = read_json(path, kind=MODELS_KIND, version=1).get("models", [])
    chosen = [{"name": each.get("name", each["load"]), "load": each["load"]} for each in found if each.get("load")]
    if not chosen:
        raise InputError(f"{path} lists no model that can be loaded")
    return chosen


def _set(described: Any) -> StudySet:
    if not isinstance(described, Mapping):
        raise InputError(f"a set of the study needs name and path, got {described!r}")
    try:
        levels = {name: tuple(above) for name, above in described.get("levels", {}).items()}
        return StudySet(
            name=described["name"],
            images=_images(described),
            role=described.get("role", "source"),
            of=described.get("of", ""),
            levels=levels,
            own_classes=bool(described.get("own_classes", False)),
        )
    except KeyError as error:
        raise InputError(f"a set of the study lacks {error}; expected name and path") from error


def _images(described: Mapping[str, Any]) -> ImageSet:
    path = described["path"]
    if path.startswith(SAMPLE):
        sample = data.sample()
        return sample.known if path == f"{SAMPLE}known" else sample.shift["bad camera"]
    return data.read(path, split=described.get("split"), classes=described.get("classes"))
