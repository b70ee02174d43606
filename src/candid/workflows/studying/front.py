"""The study's front door: ask every model, keep what each said, and show all of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from candid.errors import InputError
from candid.report import Report
from candid.workflows.studying.asking import ask_all
from candid.workflows.studying.plan import Plan, StudyModel
from candid.workflows.studying.shown import Tables, content

__all__ = ["study"]


def study(
    models: Sequence[StudyModel],
    plan: Plan,
    folder: str | Path,
    *,
    fresh: bool = False,
    cache: bool | Path = True,
    batch_size: int = 64,
    workers: int | None = None,
    strict: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
    command: str = "workflows.study",
    config: dict[str, Any] | None = None,
) -> Report:
    """The report of what these models answer to the plan's questions; save it into the same `folder`.

    Each model's answers are written to `folder`/models as it finishes, so a run that was stopped goes on with the next
    model, and one that fails is listed and asked again by the next run. `fresh` asks again where the folder holds
    another study. Questions, definitions and rules: docs/studies/vlm_calibration.md.
    """
    found = list(
        ask_all(
            models,
            plan,
            Path(folder) / "models",
            progress=progress or _silent,
            fresh=fresh,
            cache=cache,
            batch_size=batch_size,
            workers=workers,
            strict=strict,
        )
    )
    if all(each.failure for each in found):
        raise InputError(f"none of the {len(found)} models could be asked; {found[0].name}: {found[0].failure}")
    shown = content(found, plan, command=command, config=config or {})
    return Report(shown, made={"tables": Tables([finding for each in found for finding in each.findings])})


def _silent(label: str, done: int, total: int) -> None:
    pass
