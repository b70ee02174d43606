"""Energy scores and energy-bounded fine-tuning on your models and sets."""

from pathlib import Path
from typing import Any

import click

from candid import workflows
from candid.cli.options import cache_choice, debug, json_output, output
from candid.cli.progress import bars
from candid.cli.reproducing.shared import goes_on, job_of, models_of, sharded, show, words
from candid.errors import InputError

SAMPLE: dict[str, Any] = {"sets": [{"name": "groceries", "test": "embedded"}]}


@click.command("energy")
@click.option("--config", type=click.Path(path_type=Path),
              help="A plan (JSON, candid-energy), or an earlier run's report.json. Flags override it.")  # fmt: skip
@click.option("-m", "--model", "names", multiple=True,
              help="Classifier or vision-language model: Hub id, local folder, or tiny. Repeatable.")  # fmt: skip
@click.option("--test", type=click.Path(path_type=Path), help="Labelled known images that judge.")
@click.option("--train", type=click.Path(path_type=Path),
              help="Labelled known images that detectors learn from and that fine-tuning needs.")  # fmt: skip
@click.option("--outliers", type=click.Path(path_type=Path),
              help="Auxiliary unknown images to fine-tune with; none of an --near or --far set.")  # fmt: skip
@click.option("--near", multiple=True, type=click.Path(path_type=Path),
              help="Unknown images that resemble the known. Repeatable.")  # fmt: skip
@click.option("--far", multiple=True, type=click.Path(path_type=Path),
              help="Unknown images that do not. Repeatable.")  # fmt: skip
@click.option("--objectives", help="Comma-separated fine-tunings of every classifier: energy, outlier-exposure, ce.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training images; 10 by default.")
@click.option("--steps", type=click.IntRange(1), help="Steps of fine-tuning, instead of epochs.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Learning rate at the start; 0.001 by default.")
@click.option(
    "--detectors", help="Comma-separated detectors; by default all that suit and need vectors alone. Also odin, gl-mcm."
)
@click.option("--questions", help="Comma-separated: detectors, temperature, identity, threshold.")
@click.option("--images", type=click.IntRange(1), help="Known images that judge; all by default.")
@click.option("--fit-images", type=click.IntRange(1), help="Training images detectors learn from; 5,000 by default.")
@click.option("--seed", type=int, help="Seed of draws and of fine-tuning.")
@sharded
@output("candid-energy")
@json_output
@debug
def energy(
    config: Path | None, names: tuple[str, ...], test: Path | None, train: Path | None, outliers: Path | None,
    near: tuple[Path, ...], far: tuple[Path, ...], out: Path, exist_ok: bool, num_shards: int, shard_index: int,
    device: str, batch_size: int, workers: int | None, cache: Path | None, no_cache: bool, as_json: bool, debug: bool,
    **chosen: Any,
) -> None:  # fmt: skip
    """Energy-based detection of the unknown (Liu et al., NeurIPS 2020).

    Softmax score against energy and every other detector that suits, on near and far unknown sets, both FPR95
    directions with intervals; the energy's temperature; thresholds that keep a promise; and what fine-tuning with
    bounded energies does, beside outlier exposure and beside training on without outliers. What is finished is kept in
    OUTPUT/runs and OUTPUT/networks, and the same command goes on where it was stopped. Writes report.json, index.html
    and tables/*.csv. Without --test and --config the embedded model is asked on the embedded photos.
    """
    from candid.workflows.outliers.plan import plan_of

    job = job_of(config, "candid-energy")
    unknown = [{"name": path.stem, "path": str(path.absolute()), "kind": kind}
               for kind, paths in (("near", near), ("far", far)) for path in paths]  # fmt: skip
    if test is not None:
        more = {"train": train, "outliers": outliers}
        paths = {name: str(path.absolute()) for name, path in more.items() if path is not None}
        job["sets"] = [{"name": test.stem, "test": str(test.absolute()), "ood": unknown, **paths}]
    elif unknown or train or outliers:
        raise InputError(
            "--train, --outliers, --near and --far describe --test; give it too, or write them in the plan"
        )
    if "sets" not in job:
        job = SAMPLE | job
    lists = ("objectives", "detectors", "questions")
    job |= {name: words(value) if name in lists else value for name, value in chosen.items() if value is not None}
    if names or "models" not in job:
        job["models"] = models_of(names or ("tiny",))
    plan = plan_of(job)
    goes_on(out, job, exist_ok=exist_ok)
    with bars() as progress:
        report = workflows.energy_study(
            job["models"], plan, out, cache=cache_choice(cache, no_cache), batch_size=batch_size, workers=workers,
            device=device, shard=(shard_index, num_shards), progress=progress, command="candid reproduce energy",
            config=job,
        )  # fmt: skip
    show(report, out, as_json=as_json)
