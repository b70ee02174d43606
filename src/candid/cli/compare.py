"""Judge generated images against real ones."""

import json
from pathlib import Path
from typing import Any

import click

from candid import models, workflows
from candid.cli.gates import Gate, check_gates
from candid.cli.options import cache_choice, model_options, named, output, run_options
from candid.cli.progress import bars
from candid.errors import InputError
from candid.files import output_folder
from candid.types import Features
from candid.workflows.comparing.measured import CHOICES

EMBEDDED = "tiny"


@click.command()
@click.argument("real", type=click.Path(path_type=Path))
@click.argument("fakes", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FAKE...")
@model_options
@click.option("--metrics", help=f"Which, with commas: {', '.join(CHOICES)}. All by default.")
@click.option("-k", default=5, show_default=True, type=click.IntRange(1), help="Neighbours of the ball metrics.")
@click.option("--p-k", default=4, show_default=True, type=click.IntRange(1), help="Neighbours of P-precision.")
@click.option("--p-scale", default=1.2, show_default=True, type=click.FloatRange(0, min_open=True),
              help="Times the mean distance to that neighbour, the radius of P-precision.")  # fmt: skip
@click.option("--repeats", default=20, show_default=True, type=click.IntRange(2),
              help="Halves of both sets that the intervals rest on.")  # fmt: skip
@click.option("--unequal", is_flag=True, help="Keep sets of different sizes instead of cutting them to the smallest.")
@click.option("--memory", default=512, show_default=True, type=click.IntRange(1),
              help="Megabytes that distances may take beyond the vectors.")  # fmt: skip
@click.option("--split", help="Which split of REAL to read, where it has several.")
@click.option("--gate", "gates", multiple=True, metavar="METRIC[@SLICE]<=VALUE",
              help="Exit with 1 unless this row of the report meets it, e.g. 'p_recall>=0.5'.")  # fmt: skip
@output("candid-comparison")
@run_options
def command(
    real: Path, fakes: tuple[Path, ...], model_name: str | None, revision: str | None, device: str, dtype: Any,
    metrics: str | None, unequal: bool, split: str | None, gates: tuple[str, ...], out: Path, exist_ok: bool,
    cache: Path | None, no_cache: bool, as_json: bool, debug: bool, **chosen: Any,
) -> None:  # fmt: skip
    """Judge generated images against real ones.

    REAL and every FAKE are folders of images, manifests, folders that candid embed wrote, or .npy and .npz files of
    vectors. Images are encoded by the model of -m, by default the embedded one, which is small. Writes report.json,
    index.html, and a table with the scores of every sample.
    """
    wanted = [Gate.parse(gate) for gate in gates]
    names = CHOICES if metrics is None else tuple(name.strip() for name in metrics.split(",") if name.strip())
    with output_folder(out, exist_ok=exist_ok), bars() as progress:
        sides = {name: workflows.read_side(path) for name, path in named(fakes).items()}
        reals = workflows.read_side(real, split=split)
        images = any(not isinstance(each, Features) for each in (reals, *sides.values()))
        if model_name is not None and not images:
            raise InputError("these are features already; leave -m out, or give the images")
        loading: dict[str, Any] = {"revision": revision, "device": device, "dtype": dtype}
        model = models.load_encoder(model_name or EMBEDDED, **loading) if images else None
        found = workflows.compare(
            model, reals, sides, metrics=names, equal=not unequal, cache=cache_choice(cache, no_cache),
            engine_device=_engine(device, model), progress=progress, command="candid compare", **chosen,
        )  # fmt: skip
        page = found.save(out, exist_ok=True)
    report = found.report
    if as_json:
        rows = [row.model_dump(mode="json") for row in report.content.rows]
        verdict = report.content.verdict.model_dump(mode="json")
        click.echo(json.dumps({"report": str(page), "verdict": verdict, "rows": rows}))
    else:
        click.echo(report.text())
        click.echo(f"report: {page}")
    check_gates(wanted, report.content.rows)


def _engine(device: str, model: Any) -> str | None:
    """Where distances are computed: on the accelerator that encodes, or that was named; else by numpy."""
    place = str(getattr(model, "device", device)) if device == "auto" else device
    return None if place in ("auto", "cpu") else place
