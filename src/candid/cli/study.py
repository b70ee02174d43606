"""Ask many models, on many data sets, what calibrates them."""

import json
from pathlib import Path
from typing import Any

import click

from candid import workflows
from candid.cli import study_flags
from candid.cli.options import cache_choice, output, run_options
from candid.cli.progress import bars
from candid.errors import GateFailed, InputError
from candid.report import Report
from candid.workflows.studying import job as jobs


@click.command()
@click.argument("sets", nargs=-1, type=click.Path(path_type=Path))
@click.option("-m", "--model", "names", multiple=True,
              help="Hub id, local folder, open_clip:NAME/TAG, tiny; also supervised. Repeatable.")  # fmt: skip
@click.option("--models", "listed", type=click.Path(path_type=Path), help="A JSON list of models.")
@click.option("--shift", multiple=True, metavar="[SET=]PATH",
              help="The classes of SET (of the first by default) under other conditions. Repeatable.")  # fmt: skip
@click.option("--generated", multiple=True, metavar="[SET=]PATH",
              help="Made images of the classes of SET, to fit on alone. Repeatable.")  # fmt: skip
@click.option(
    "--own-classes", is_flag=True, help="Shifted sets choose among the classes they hold, not their source's."
)
@click.option("--levels", multiple=True, metavar="[SET=]FILE",
              help="A class hierarchy: JSON, each class with its coarser names. Repeatable.")  # fmt: skip
@click.option("--prompts", multiple=True, metavar="NAME=FILE",
              help="A prompt set; the first is used wherever prompts are not the question. Repeatable.")  # fmt: skip
@click.option("--draws", type=click.IntRange(2), default=20, show_default=True, help="Draws of a few labels.")
@click.option("--coverage", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.9, show_default=True,
              help="Share of labels the prediction sets must cover.")  # fmt: skip
@click.option("--split", help="Which split of every set to read, where it has several.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or mps.")
@click.option("--config", type=click.Path(path_type=Path),
              help="A report.json of a study, or a study written down: run it. Flags override it.")  # fmt: skip
@output("candid-study")
@run_options
@click.pass_context
def command(
    context: click.Context, /, sets: tuple[Path, ...], names: tuple[str, ...], listed: Path | None,
    shift: tuple[str, ...], generated: tuple[str, ...], levels: tuple[str, ...], prompts: tuple[str, ...],
    own_classes: bool, split: str | None, config: Path | None, out: Path, exist_ok: bool, cache: Path | None,
    no_cache: bool, as_json: bool, debug: bool, **chosen: Any,
) -> None:  # fmt: skip
    """Ask many models, on many data sets, what calibrates them.

    SETS are labelled image sets as `candid audit` reads them; without any, the embedded photos are used. What each
    model answers is kept in OUTPUT/models as it finishes, and the same command goes on where it was stopped. Writes
    report.json, index.html and tables/*.csv. Exits with 1 when a model failed; the others are shown all the same.
    """
    job = jobs.job_of_file(config) if config else {}
    for name in ("draws", "coverage", "seed", "device"):
        value = chosen.pop(name)
        if name not in job or context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            job[name] = value
    if names or listed or "models" not in job:
        given = [*(jobs.models_of_file(listed) if listed else []), *study_flags.models_of_names(names)]
        if not given and sets:
            raise InputError("expected models for these sets: pass -m HUB_ID, -m FOLDER or --models FILE")
        job["models"] = given or study_flags.models_of_names([study_flags.EMBEDDED])
    if config and not sets and (shift or generated or levels or own_classes or split):
        raise InputError(
            "--shift, --generated, --levels, --own-classes and --split describe SETS; name those too, or none"
        )
    if sets or "sets" not in job:
        job["sets"] = study_flags.sets_of(sets, {"shift": shift, "generated": generated}, levels, split)
        for each in job["sets"]:
            each["own_classes"] = own_classes and each["role"] == "shift"
    if prompts or "prompts" not in job:
        job["prompts"] = study_flags.prompts_of(prompts)
    plan = jobs.plan_of(job)
    with bars() as progress:
        report = workflows.study(
            jobs.study_models(job), plan, out, fresh=exist_ok, cache=cache_choice(cache, no_cache),
            progress=progress, command="candid study", config=job, **chosen,
        )  # fmt: skip
    page = report.save(out, exist_ok=True)
    _show(report, page, as_json)


def _show(report: Report, page: Path, as_json: bool) -> None:
    content = report.content
    if as_json:
        verdict = content.verdict.model_dump(mode="json")
        rows = [row.model_dump(mode="json") for row in content.rows]
        click.echo(json.dumps({"report": str(page), "verdict": verdict, "rows": rows}))
    else:
        click.echo(report.text())
        click.echo(f"report: {page}")
    failed = len(content.config["models"]) - len(content.models)
    if failed:
        raise GateFailed(f"{failed} of {len(content.config['models'])} models failed; the report says why")
