"""What wrong labels do to prompts, classifiers and text encoders."""

from pathlib import Path
from typing import Any

import click

from candid import workflows
from candid.cli.options import cache_choice, debug, json_output, output
from candid.cli.progress import bars
from candid.cli.reproducing.shared import goes_on, job_of, models_of, numbers, sharded, show, words
from candid.errors import InputError

SAMPLE: dict[str, Any] = {  # what the embedded photos can show in a minute
    "sets": [{"name": "groceries", "train": "embedded", "test": "embedded"}],
    "variants": ["classifier-random", "classifier-text", "prompt", "cls"],
    "protocols": ["flip-exact"],
    "questions": ["noise", "unlabelled"],
    "rates": [0.0, 0.5],
    "shots": 4,
    "epochs": 6,
    "views": 2,
    "draws": 2,
    "prompts": 2,
}


@click.command()
@click.option("--config", type=click.Path(path_type=Path),
              help="A plan (JSON, candid-ptnl), or the report.json of an earlier run. Flags override it.")  # fmt: skip
@click.option("-m", "--model", "names", multiple=True,
              help="Hub id, local folder, open_clip:NAME/TAG, or tiny. Repeatable.")  # fmt: skip
@click.option("--train", type=click.Path(path_type=Path), help="Labelled images to learn from.")
@click.option("--test", type=click.Path(path_type=Path), help="Labelled images to judge on.")
@click.option(
    "--ood", multiple=True, type=click.Path(path_type=Path), help="Images of none of the classes. Repeatable."
)
@click.option("--given", multiple=True, help="Column of --train with labels that people gave. Repeatable.")
@click.option("--template", help="The hand prompt; {} is the class name.")
@click.option("--questions", help="Comma-separated: noise, losses, gradients, context, names, epochs, unlabelled.")
@click.option("--variants", help="Comma-separated; all six by default.")
@click.option("--losses", help="Comma-separated; ce,gce by default.")
@click.option("--protocols", help="Comma-separated: ptnl, flip-exact, flip-iid, pair, confusion.")
@click.option("--rates", help="Comma-separated shares of wrong labels.")
@click.option("--shots", type=click.IntRange(1), help="Images a class.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs of a training.")
@click.option("--views", type=click.IntRange(1), help="Augmented views an image; epoch e sees view e.")
@click.option("--draws", type=click.IntRange(1), help="Draws of images, noise and initial values.")
@click.option("--seed", type=int, help="Seed of the first draw.")
@sharded
@output("candid-ptnl")
@json_output
@debug
def ptnl(
    config: Path | None, names: tuple[str, ...], train: Path | None, test: Path | None, ood: tuple[Path, ...],
    given: tuple[str, ...], template: str | None, out: Path, exist_ok: bool, num_shards: int, shard_index: int,
    device: str, batch_size: int, workers: int | None, cache: Path | None, no_cache: bool, as_json: bool, debug: bool,
    **chosen: Any,
) -> None:  # fmt: skip
    """What wrong labels do to prompts, classifiers and text encoders (Wu et al., ICCV 2023).

    Sixteen shots a class by default, clean and with wrong labels of several kinds, six ways to train, several losses:
    accuracy, calibration, unknown images, gradients, context length, class names, epochs, and no labels at all. What
    is finished is kept in OUTPUT/runs and the same command goes on where it was stopped. Writes report.json, index.html
    and tables/*.csv. Without --train and --config the embedded model is asked little, on the embedded photos: four
    images a class, six epochs, two draws, half a minute on one core.
    """
    from candid.workflows.prompting.plan import plan_of

    job = job_of(config, "candid-ptnl")
    if (train is None) != (test is None):
        raise InputError("--train and --test belong together; give both, or --config")
    if train is not None and test is not None:
        described = {"name": train.parent.name or train.stem, "train": str(train.absolute()), "given": list(given),
                     "test": str(test.absolute()), "ood": [str(path.absolute()) for path in ood]}  # fmt: skip
        job["sets"] = [described | ({"template": template} if template else {})]
    elif ood or given or template:
        raise InputError("--ood, --given and --template describe --train and --test; give these too")
    if "sets" not in job:
        job = SAMPLE | job
    job |= {name: _listed(name, value) for name, value in chosen.items() if value is not None}
    if names or "models" not in job:
        job["models"] = models_of(names or ("tiny",))
    plan = plan_of(job)
    goes_on(out, job, exist_ok=exist_ok)
    with bars() as progress:
        report = workflows.prompt_study(
            job["models"], plan, out, cache=cache_choice(cache, no_cache), batch_size=batch_size, workers=workers,
            device=device, shard=(shard_index, num_shards), progress=progress, command="candid reproduce ptnl",
            config=job,
        )  # fmt: skip
    show(report, out, as_json=as_json)


def _listed(name: str, value: Any) -> Any:
    if name in ("questions", "variants", "losses", "protocols"):
        return words(value)
    return numbers(value, "--rates", "0,0.25,0.5") if name == "rates" else value
