"""Measure how far a model can be trusted on your images."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from candid import data, models, workflows
from candid.cli.gates import Gate, check_gates
from candid.cli.options import cache_choice, lines, model_options, named, output, run_options
from candid.cli.progress import bars
from candid.errors import InputError
from candid.files import output_folder
from candid.report import Report
from candid.types import ImageSet
from candid.workflows.calibrators import CALIBRATORS
from candid.workflows.detectors import DETECTORS

EMBEDDED = "tiny"


@dataclass(frozen=True)
class Sets:
    """Where every image set comes from; with no known set, the embedded sample."""

    known: Path | None
    shift: dict[str, Path]
    ood: dict[str, Path]
    transfer: dict[str, Path]


@click.command()
@click.argument("known", required=False, type=click.Path(path_type=Path), metavar="[DATA]")
@model_options
@click.option(
    "--classes", type=click.Path(path_type=Path), help="Class names to choose from: one a line, or a JSON list."
)
@click.option("--templates", type=click.Path(path_type=Path), help="Prompts with {} for the name: one a line, or JSON.")
@click.option(
    "--head", type=click.Path(path_type=Path), help="A head that candid adapt made: judge it instead of prompts."
)
@click.option(
    "--ood", multiple=True, type=click.Path(path_type=Path), help="Images of none of the classes. Repeatable."
)
@click.option(
    "--shift", multiple=True, type=click.Path(path_type=Path), help="Same classes, other conditions. Repeatable."
)
@click.option(
    "--transfer", multiple=True, type=click.Path(path_type=Path), help="Another labelled data set. Repeatable."
)
@click.option("--labels", type=click.IntRange(0), help="Labelled images that may fit the calibrator; half by default.")
@click.option("--keep", type=click.FloatRange(0, 1, min_open=True), default=0.95, show_default=True,
              help="Share of known images the outlier threshold keeps.")  # fmt: skip
@click.option("--detector", default="mcm", show_default=True,
              help=f"Outlier score of the threshold and the predictor: {', '.join(DETECTORS)}; auto chooses among "
              "them by images made from the known ones.")  # fmt: skip
@click.option("--guarantee", type=click.Choice(["rows", "average", "sure"]), default="rows", show_default=True,
              help="What the threshold promises: nothing beyond its own rows, a chance on average, or a share for sure "
              "(docs/detectors.md).")  # fmt: skip
@click.option("--calibrator", default="temperature", show_default=True,
              help=f"What mends the confidence: {', '.join(CALIBRATORS)}.")  # fmt: skip
@click.option("--coverage", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.9, show_default=True,
              help="How often a prediction set holds the right label.")  # fmt: skip
@click.option("--sets", default="lac", show_default=True,
              help="Prediction sets in the report and the predictor: lac, aps, raps, saps or none.")  # fmt: skip
@click.option("--test-time", metavar="METHOD",
              help="Judge tuning the prompt to each image too: tpt, c-tpt, o-tpt, a-tpt, cots, constant.")  # fmt: skip
@click.option("--split", help="Which split of DATA to read, where it has several.")
@click.option("--groups", metavar="COLUMN", help="The column of DATA that holds groups or an attribute.")
@click.option("--gate", "gates", multiple=True, metavar="METRIC[@SLICE]<=VALUE",
              help="Exit with 1 unless this row of the report meets it, e.g. 'accuracy@all>=0.8'.")  # fmt: skip
@click.option(
    "--config", type=click.Path(path_type=Path), help="A report.json: run its audit again. Flags override it."
)
@output("candid-report")
@run_options
@click.pass_context
def command(
    context: click.Context, /, known: Path | None, classes: Path | None, templates: Path | None, head: Path | None,
    ood: tuple[Path, ...], shift: tuple[Path, ...], transfer: tuple[Path, ...], gates: tuple[str, ...],
    config: Path | None, out: Path, exist_ok: bool, cache: Path | None, no_cache: bool, as_json: bool, debug: bool,
    **chosen: Any,
) -> None:  # fmt: skip
    """Measure how far a model can be trusted on your images.

    DATA is a folder of class folders, a .csv or .parquet manifest, or a saved Hugging Face data set; without it the
    embedded photos are used, and without -m on them the embedded model. Writes report.json, index.html and predictor/.
    """
    wanted = [Gate.parse(gate) for gate in gates]
    kept = Report.load(config).content.config if config else {}
    if kept and "known" not in kept:
        raise InputError(f"{config} is no report of an audit; a study is repeated by candid study --config")
    for name, value in kept.items():
        if name in chosen and context.get_parameter_source(name) is ParameterSource.DEFAULT:
            chosen[name] = value
    if chosen["model_name"] is None:
        chosen["model_name"], chosen["revision"] = kept.get("model"), chosen["revision"] or kept.get("revision")
    sets = _sets(known, ood, shift, transfer, kept)
    chosen["head"] = _head(head, kept)
    names = lines(classes) if classes else kept.get("classes")
    wordings = lines(templates) if templates else kept.get("templates")
    with output_folder(out, exist_ok=exist_ok):
        report = _run(sets, chosen, cache_choice(cache, no_cache), names, wordings)
        page = report.save(out, exist_ok=exist_ok)
    if as_json:
        rows = [row.model_dump(mode="json") for row in report.content.rows]
        verdict = report.content.verdict.model_dump(mode="json")
        click.echo(json.dumps({"report": str(page), "verdict": verdict, "rows": rows}))
    else:
        click.echo(report.text())
        click.echo(f"report: {page}")
    check_gates(wanted, report.content.rows)


def _sets(
    known: Path | None, ood: tuple[Path, ...], shift: tuple[Path, ...], transfer: tuple[Path, ...], kept: dict[str, Any]
) -> Sets:
    given = {"shift": named(shift), "ood": named(ood), "transfer": named(transfer)}
    for role, paths in given.items():
        if not paths:
            given[role] = {name: Path(path) for name, path in kept.get(role, {}).items()}
    if known is None and kept:
        known = Path(kept["known"])
    return Sets(known, given["shift"], given["ood"], given["transfer"])


def _head(given: Path | None, kept: dict[str, Any]) -> Path | None:
    if given is None and "head_digest" in kept and "head" not in kept:
        raise InputError("the report judges a tuned head and does not know where it lies; pass --head FOLDER")
    return given or (Path(kept["head"]) if "head" in kept else None)


def _run(
    sets: Sets, chosen: dict[str, Any], cache: bool | Path, classes: list[str] | None, templates: list[str] | None
) -> Report:
    name = chosen.pop("model_name") or (EMBEDDED if sets.known is None else None)
    if name is None:
        raise InputError("expected a model for these images: pass -m HUB_ID or -m FOLDER (-m tiny is the embedded one)")
    chosen["sets"] = None if chosen["sets"] == "none" else chosen["sets"]
    part, loading = (
        {key: chosen.pop(key) for key in ("split", "groups")},
        {key: chosen.pop(key) for key in ("revision", "device", "dtype")},
    )
    folder: Path | None = chosen.pop("head")
    head = None if folder is None else workflows.load_head(folder)
    classes = classes or (None if head is None else list(head.head.classes))
    known, others = _read(sets, part, classes)
    model = models.with_texts(models.load(name, **loading))
    if head is not None:
        head.refuse_other(model)
    with bars() as progress:
        report = workflows.audit(
            model, known, head=head, classes=classes, templates=templates,
            shift=others["shift"], ood=others["ood"], transfer=others["transfer"], **chosen, cache=cache,
            progress=progress, command="candid audit",
        )  # fmt: skip
    # From any folder the run can be repeated: what was given relative to this one is kept whole.
    places = {role: {each: _whole(place) for each, place in report.content.config[role].items()} for role in others}
    config = {
        **report.content.config,
        **places,
        "known": _whole(report.content.config["known"]),
        "model": name if name == EMBEDDED else _whole(name),
        **part,
        "dtype": loading["dtype"],
        **({} if folder is None else {"head": _whole(str(folder))}),
    }
    return Report(report.content.model_copy(update={"config": config}), report.made)


def _whole(place: str) -> str:
    return str(Path(place).expanduser().absolute()) if Path(place).expanduser().exists() else place


def _read(
    sets: Sets, part: dict[str, str | None], classes: list[str] | None
) -> tuple[ImageSet, dict[str, dict[str, ImageSet]]]:
    """The known set, and the others by role; with no known set the embedded sample stands in for what is not given."""
    if sets.known is None:
        sample = data.sample()
        known = sample.known
        shift, ood = {} if sets.shift else dict(sample.shift), {} if sets.ood else dict(sample.ood)
    else:
        known, shift, ood = data.read(sets.known, **part, classes=classes), {}, {}
    names = classes or known.classes
    shift |= {name: data.read(path, classes=names) for name, path in sets.shift.items()}
    ood |= {name: data.read(path) for name, path in sets.ood.items()}
    transfer = {name: data.read(path) for name, path in sets.transfer.items()}
    return known, {"shift": shift, "ood": ood, "transfer": transfer}
