"""What the studies of `candid reproduce` share: plans from files and flags, folders that go on, reports on stdout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from candid.cli.options import named
from candid.errors import InputError
from candid.files import fresh_folder, read_json
from candid.report import Report

__all__ = ["goes_on", "job_of", "models_of", "numbers", "sharded", "show", "words"]


def sharded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Flags of how a study runs, not of what it asks."""
    for option in reversed((
        click.option("--num-shards", type=click.IntRange(1), default=1, show_default=True,
                     help="Processes that share the work."),
        click.option("--shard-index", type=click.IntRange(0), default=0, show_default=True,
                     help="Which of them this is."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or mps."),
        click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Images a forward."),
        click.option("--workers", type=click.IntRange(1), help="Decoding threads; one a core by default."),
        click.option("--cache", type=click.Path(path_type=Path), help="Folder of the feature cache."),
        click.option("--no-cache", is_flag=True, help="Neither read nor write the feature cache."),
    )):  # fmt: skip
        command = option(command)
    return command


def job_of(config: Path | None, kind: str) -> dict[str, Any]:
    """The plan of a file of this kind, or of an earlier run's report.json; empty where there is none."""
    if config is None:
        return {}
    try:
        found = dict(read_json(config, kind="candid-report", version=1).get("config", {}))
    except InputError:
        found = read_json(config, kind=kind, version=1)
    if "sets" not in found:
        raise InputError(f"{config} is no plan of this study: it names no sets")
    return {name: value for name, value in found.items() if name not in ("format", "version", "about")}


def models_of(given: tuple[str, ...]) -> dict[str, str]:
    """Models by id; local folders go by their short names."""
    folders = {path: short for short, path in named(tuple(Path(n) for n in given if Path(n).is_dir())).items()}
    return {
        folders.get(Path(name), name): str(Path(name).absolute()) if Path(name) in folders else name for name in given
    }


def goes_on(out: Path, job: dict[str, Any], *, exist_ok: bool) -> None:
    """A folder of this study goes on; any other that holds files, and the report of another plan, are refused."""
    if not (out / "runs").is_dir():
        fresh_folder(out, exist_ok=exist_ok)
    if (out / "report.json").exists() and not exist_ok and read_json(
        out / "report.json", kind="candid-report", version=1
    ).get("config") != job:  # fmt: skip
        raise InputError(f"{out} holds the report of another plan; choose another -o or pass --exist-ok")


def show(report: Report, out: Path, *, as_json: bool) -> None:
    """Save the report and print it."""
    page = report.save(out, exist_ok=True)
    if as_json:
        shown = report.content
        rows = [each.model_dump(mode="json") for each in shown.rows]
        verdict = shown.verdict.model_dump(mode="json")
        click.echo(json.dumps({"report": str(page), "verdict": verdict, "rows": rows}))
    else:
        click.echo(report.text())
        click.echo(f"report: {page}")


def words(value: str) -> list[str]:
    """Comma-separated names."""
    return [part.strip() for part in value.split(",") if part.strip()]


def numbers(value: str, flag: str, example: str) -> list[float]:
    """Comma-separated numbers."""
    try:
        return [float(part) for part in value.split(",")]
    except ValueError as error:
        raise InputError(f"{flag} takes numbers like {example}, got {value!r}") from error
