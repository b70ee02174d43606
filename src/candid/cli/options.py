"""Options that several commands share, spelt once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from candid.errors import InputError

__all__ = ["cache_choice", "debug", "json_output", "lines", "model_options", "named", "output", "run_options"]

Command = TypeVar("Command", bound=Callable[..., object])

debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
json_output = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout instead of tables.")


def model_options(command: Command) -> Command:
    """-m, --revision, --device, --dtype."""
    for option in (
        click.option(
            "--dtype",
            type=click.Choice(["auto", "float32", "float16", "bfloat16"]),
            default="auto",
            show_default=True,
            help="Number format of the weights.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or mps."),
        click.option("--revision", help="Commit, tag or branch of a Hub model."),
        click.option(
            "-m",
            "--model",
            "model_name",
            help="Hub id, local folder, open_clip:NAME/TAG, or tiny (the embedded model).",
        ),
    ):
        command = option(command)
    return command


def run_options(command: Command) -> Command:
    """--batch-size, --workers, --seed, --strict, --cache, --no-cache, --json, --debug."""
    for option in (
        debug,
        json_output,
        click.option("--no-cache", is_flag=True, help="Neither read nor write the feature cache."),
        click.option("--cache", type=click.Path(path_type=Path), help="Folder of the feature cache."),
        click.option("--strict", is_flag=True, help="Stop at the first unreadable image instead of listing it."),
        click.option("--seed", default=0, show_default=True, help="Seed of every random choice."),
        click.option("--workers", type=click.IntRange(1), help="Decoding threads; one a core by default."),
        click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Images a forward."),
    ):
        command = option(command)
    return command


def output(default: str) -> Callable[[Command], Command]:
    """-o and --exist-ok."""

    def add(command: Command) -> Command:
        exist_ok = click.option("--exist-ok", is_flag=True, help="Write over an existing output.")
        place = click.option(
            "-o", "--output", "out", type=click.Path(path_type=Path), default=default, show_default=True,
            help="Folder to write.",
        )  # fmt: skip
        return place(exist_ok(command))

    return add


def cache_choice(cache: Path | None, no_cache: bool) -> bool | Path:
    """What `workflows.encode` takes: a folder, the default one, or none."""
    if cache and no_cache:
        raise InputError("--cache and --no-cache exclude each other; give one")
    return cache or not no_cache


def lines(path: Path) -> list[str]:
    """Class names or templates from a text file (one a line, # comments) or a JSON list."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if path.suffix == ".json":
        try:
            found = json.loads(text)
        except ValueError as error:
            raise InputError(f"{path} is not JSON: {error}") from error
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise InputError(f"expected a JSON list of strings in {path}")
    else:
        found = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not found:
        raise InputError(f"{path} holds no names; write one a line")
    return found


def named(paths: tuple[Path, ...]) -> dict[str, Path]:
    """Paths by short unique names: the last part, or as many parts as it takes to tell them apart.

    >>> sorted(named((Path("a/test"), Path("b/test"), Path("c"))))
    ['a/test', 'b/test', 'c']
    """
    parts = [path.absolute().parts for path in paths]
    depth = 1
    while len({p[-depth:] for p in parts}) < len(set(parts)):
        depth += 1
    if len(set(parts)) < len(parts):
        raise InputError(f"the same folder is given twice: {', '.join(str(path) for path in paths)}")
    taken: dict[str, Path] = {}
    for path, whole in zip(paths, parts, strict=True):
        short = next(d for d in range(1, depth + 1) if sum(p[-d:] == whole[-d:] for p in parts) == 1)
        taken["/".join(whole[-short:])] = path
    return taken
