"""What tuning a prompt at test time does to accuracy and calibration."""

from pathlib import Path
from typing import Any

import click

from candid import workflows
from candid.cli.options import cache_choice, debug, json_output, output
from candid.cli.progress import bars
from candid.cli.reproducing.shared import goes_on, job_of, models_of, numbers, sharded, show, words
from candid.errors import InputError

SAMPLE: dict[str, Any] = {  # what the embedded photos can show in a minute
    "sets": [{"name": "groceries", "test": "embedded"}],
    "images": 60,
    "views": 20,
    "random": 1,
    "draws": 5,
    "prompt_images": 30,
    "prompts": ["a photo of a {}.", "a picture of the {}.", "an image of one {}.", "the snapshot of a {}."],
    "coefficients": [0.0, 5.0, 50.0],
}


@click.command("c-tpt")
@click.option("--config", type=click.Path(path_type=Path),
              help="A plan (JSON, candid-c-tpt), or the report.json of an earlier run. Flags override it.")  # fmt: skip
@click.option("-m", "--model", "names", multiple=True,
              help="Hub id, local folder, open_clip:NAME/TAG, or tiny. Repeatable.")  # fmt: skip
@click.option("--test", "tests", multiple=True, type=click.Path(path_type=Path),
              help="Labelled images to predict. Repeatable.")  # fmt: skip
@click.option("--source", type=click.Path(path_type=Path), help="Labelled images that a prompt is tuned on beforehand.")
@click.option("--template", help="The sets' own hand prompt; {} is the class name.")
@click.option(
    "--augmix/--no-augmix", default=None, help="AugMix on the views: on by default; TPT has none on ImageNet."
)
@click.option("--imagenet", is_flag=True, default=None, help="Weights published for ImageNet: lambda 20, not 50.")
@click.option("--questions", help="Comma-separated: methods, starts, prompts, lambda.")
@click.option("--images", type=click.IntRange(1), help="Images of a set that judge; all by default.")
@click.option("--views", type=click.IntRange(10), help="Views an image, the centre crop among them; 64 by default.")
@click.option("--labels", type=click.IntRange(10), help="Labelled images that fit the temperature; 50 by default.")
@click.option("--draws", type=click.IntRange(1), help="Draws of these labels; 20 by default.")
@click.option("--coefficients", help="Comma-separated weights of the dispersion for the sweep.")
@click.option("--seed", type=int, help="Seed of views and draws.")
@sharded
@output("candid-c-tpt")
@json_output
@debug
def c_tpt(
    config: Path | None, names: tuple[str, ...], tests: tuple[Path, ...], source: Path | None, template: str | None,
    augmix: bool | None, imagenet: bool | None, out: Path, exist_ok: bool, num_shards: int, shard_index: int,
    device: str, batch_size: int, workers: int | None, cache: Path | None, no_cache: bool, as_json: bool, debug: bool,
    **chosen: Any,
) -> None:  # fmt: skip
    """Test-time prompt tuning that stays calibrated (Yoon et al., ICLR 2024), and its family.

    Accuracy, ECE (20 bins) and more of zero-shot, tpt, c-tpt, o-tpt, a-tpt, cots, of one constant move a class list,
    and of zero-shot with a temperature from 50 labels; starts of the prompt; dispersion against ECE over prompts; the
    sweep of lambda. What is finished is kept in OUTPUT/runs and the same command goes on where it was stopped. Writes
    report.json, index.html and tables/*.csv. Without --test and --config the embedded model is asked little, on sixty
    of the embedded photos with twenty views each.
    """
    from candid.workflows.episodic.plan import plan_of

    job = job_of(config, "candid-c-tpt")
    described = {"template": template, "augmix": augmix, "imagenet": imagenet}
    known = {name: value for name, value in described.items() if value is not None}
    if tests:
        job["sets"] = [{"name": path.stem, "test": str(path.absolute()), **known} for path in tests]
    elif known:
        raise InputError("--template, --augmix and --imagenet describe --test; give it too, or write them in the plan")
    if source is not None:
        job["source"] = {"name": source.stem, "train": str(source.absolute())}
    if "sets" not in job:
        job = SAMPLE | job
    job |= {name: _listed(name, value) for name, value in chosen.items() if value is not None}
    if names or "models" not in job:
        job["models"] = models_of(names or ("tiny",))
    plan = plan_of(job)
    goes_on(out, job, exist_ok=exist_ok)
    with bars() as progress:
        report = workflows.test_time_study(
            job["models"], plan, out, cache=cache_choice(cache, no_cache), batch_size=batch_size, workers=workers,
            device=device, shard=(shard_index, num_shards), progress=progress, command="candid reproduce c-tpt",
            config=job,
        )  # fmt: skip
    show(report, out, as_json=as_json)


def _listed(name: str, value: Any) -> Any:
    if name == "questions":
        return words(value)
    return numbers(value, "--coefficients", "0,5,50") if name == "coefficients" else value
