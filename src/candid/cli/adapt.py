"""Tune a head to your images from few, wrong or no labels."""

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from candid import data, models, workflows
from candid.cli.options import cache_choice, lines, model_options, output, run_options
from candid.cli.progress import bars
from candid.errors import InputError
from candid.files import output_folder
from candid.report import Report
from candid.types import ImageSet

EMBEDDED = "tiny"
HEAD, DOUBT = "candid-head", "candid-doubt"
SHOTS, VIEWS = 16, 50
SAMPLE_SHOTS, SAMPLE_VIEWS = 4, 0  # most classes of the embedded photos have ten; the embedded model gains by no views


@click.command()
@click.argument("images", required=False, type=click.Path(path_type=Path), metavar="[DATA]")
@model_options
@click.option("--classes", type=click.Path(path_type=Path), help="Class names: one a line, or a JSON list.")
@click.option("--test", type=click.Path(path_type=Path), help="Labelled images that judge; else those not trained on.")
@click.option("--split", help="Which split of DATA to read, where it has several.")
@click.option("--variant", default="prompt", show_default=True,
              help="What is trained: prompt, full-prompt, cls, classifier-text, classifier-random or "
              "text-encoder.")  # fmt: skip
@click.option("--loss", default="ce", show_default=True,
              help="ce for clean labels, gce for wrong ones; also label-smoothing, mae, nce, nce-rce, nlprompt, "
              "phuber-ce, phuber-gce, sce, unhinged.")  # fmt: skip
@click.option("--loss-option", "loss_options", multiple=True, metavar="NAME=VALUE", help="E.g. q=0.5. Repeatable.")
@click.option("--shots", type=click.IntRange(1), help="Images a class to train on: 16 (4 of the embedded photos).")
@click.option("--unlabelled", is_flag=True, help="Train on the model's own answers; labels, if any, only judge.")
@click.option("--select", default="top", show_default=True,
              help="Which images of a predicted class: top (most confident), random or confident-random.")  # fmt: skip
@click.option("--ask", multiple=True, metavar="MODEL", help="With --unlabelled, a model to ask too. Repeatable.")
@click.option("--template", default="a photo of a {}.", show_default=True, help="Prompt of zero-shot and of starts.")
@click.option("--context", type=click.IntRange(1), default=16, show_default=True, help="Learnt context tokens.")
@click.option("--position", type=click.Choice(["end", "middle", "front"]), default="end", show_default=True,
              help="Where the class name stands.")  # fmt: skip
@click.option("--per-class", is_flag=True, help="A context for each class instead of one for all.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Highest learning rate; else the variant's own.")
@click.option("--epochs", type=click.IntRange(1), default=50, show_default=True, help="Passes over the shots.")
@click.option("--seeds", type=click.IntRange(1), default=4, show_default=True, help="Runs whose logits are averaged.")
@click.option("--views", type=click.IntRange(0),
              help="Augmented views an image, encoded once: 50 (none of the embedded photos).")  # fmt: skip
@click.option("--augment", type=click.Choice(["dassl2021", "dassl"]), default="dassl2021", show_default=True,
              help="How views are made; dassl2021 squashes the image to a square first.")  # fmt: skip
@click.option(
    "--method", help="Retrain the last layer for the worst group instead: dfr (needs --groups), afr, jtt or self."
)
@click.option("--groups", metavar="COLUMN", help="With --method, the column of DATA that holds groups or an attribute.")
@click.option("--exclude", multiple=True, metavar="GROUP", help="With --method, a group to leave out. Repeatable.")
@click.option("--tuning-splits", type=click.IntRange(1), default=5, show_default=True,
              help="With --method, halvings that settings are chosen by.")  # fmt: skip
@click.option("--doubt", is_flag=True, help="Tune nothing: list the labels of DATA that are most likely wrong.")
@click.option("--doubt-by", default="classifier-text", show_default=True,
              help="Who doubts: heads of a variant, each on images it was not trained on, or zero-shot.")  # fmt: skip
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True, help="Parts of DATA for --doubt.")
@output(HEAD)
@run_options
@click.pass_context
def command(
    context: click.Context, /, images: Path | None, classes: Path | None, test: Path | None, split: str | None,
    loss_options: tuple[str, ...], ask: tuple[str, ...], method: str | None, groups: str | None,
    exclude: tuple[str, ...], tuning_splits: int, doubt: bool, doubt_by: str, folds: int, out: Path,
    exist_ok: bool, cache: Path | None, no_cache: bool, as_json: bool, debug: bool, **chosen: Any,
) -> None:  # fmt: skip
    """Tune a head to your images, or retrain its last layer for the worst group.

    Few labels, wrong ones or none will do for tuning.

    DATA is as for `candid audit`; without it the embedded photos are used, and without -m on them the embedded model.
    Writes head.json, head.safetensors, index.html, report.json and tables as CSV; `candid audit --head OUTPUT` judges
    the head and makes a predictor of it. With --doubt it writes index.html, report.json and doubt.csv. With --method
    the model may be a supervised classifier too, half of every group judges unless there is --test, and tuning
    options have no effect.
    """
    _check_method(context, method)
    _check(context, unlabelled=chosen["unlabelled"], doubt=doubt, ask=ask)
    if doubt and context.get_parameter_source("out") is ParameterSource.DEFAULT:
        out = Path(DOUBT)
    chosen["cache"] = cache_choice(cache, no_cache)
    chosen["loss_options"] = dict(_option(each) for each in loss_options)
    with output_folder(out, exist_ok=exist_ok):
        name = _name(chosen.pop("model_name"), images)
        names = lines(classes) if classes else None
        found, judge = _read(images, test, split, names, groups, chosen)
        loading = {key: chosen.pop(key) for key in ("revision", "device", "dtype")}
        if method is not None:
            _retrain(models.load(name, **loading), found, judge, names, out, exist_ok, as_json, chosen,
                     method=method, exclude=exclude, tuning_splits=tuning_splits)  # fmt: skip
            return
        model = models.with_texts(models.load(name, **loading))
        if doubt:
            _doubt(model, found, names, doubt_by, folds, out, exist_ok, as_json, chosen)
            return
        asked = [models.with_texts(models.load(each, device=loading["device"])) for each in ask]
        with bars() as progress:
            adapted = workflows.adapt(
                model, found, classes=names, test=judge, models=asked, **chosen, progress=progress,
                command="candid adapt",
            )  # fmt: skip
        page = adapted.save(out, exist_ok=exist_ok)
    _show(adapted.report, page, as_json, head=str(out))


def _doubt(
    model: Any, images: ImageSet, names: list[str] | None, by: str, folds: int, out: Path, exist_ok: bool,
    as_json: bool, chosen: dict[str, Any],
) -> None:  # fmt: skip
    used = ("loss", "loss_options", "template", "epochs", "rate", "seed", "cache", "batch_size", "workers", "strict")
    with bars() as progress:
        doubted = workflows.doubt_labels(
            model, images, classes=names, by=by, folds=folds, **{name: chosen[name] for name in used},
            progress=progress, command="candid adapt --doubt",
        )  # fmt: skip
    page = doubted.save(out, exist_ok=exist_ok)
    _show(doubted.report, page, as_json, table=str(out / "doubt.csv"))


def _retrain(
    model: Any, images: ImageSet, test: ImageSet | None, names: list[str] | None, out: Path, exist_ok: bool,
    as_json: bool, chosen: dict[str, Any], **options: Any,
) -> None:  # fmt: skip
    used = ("template", "seed", "cache", "batch_size", "workers", "strict")
    with bars() as progress:
        found = workflows.retrain_head(
            model, images, test=test, classes=names, **{name: chosen[name] for name in used}, **options,
            progress=progress, command=f"candid adapt --method {options['method']}",
        )  # fmt: skip
    page = found.save(out, exist_ok=exist_ok)
    _show(found.report, page, as_json, head=str(out))


def _show(report: Report, page: Path, as_json: bool, **made: str) -> None:
    if as_json:
        rows = [row.model_dump(mode="json") for row in report.content.rows]
        verdict = report.content.verdict.model_dump(mode="json")
        click.echo(json.dumps({"report": str(page), **made, "verdict": verdict, "rows": rows}))
        return
    click.echo(report.text())
    for what, place in {"report": str(page), **made}.items():
        click.echo(f"{what}: {place}")


def _check(context: click.Context, *, unlabelled: bool, doubt: bool, ask: tuple[str, ...]) -> None:
    """Refuse flags that would be without effect."""
    selected = context.get_parameter_source("select") is not ParameterSource.DEFAULT
    if (selected or ask) and not unlabelled:
        raise InputError("--select and --ask choose pseudo-labels; pass --unlabelled too")
    if doubt and unlabelled:
        raise InputError("--doubt judges given labels, --unlabelled has none; give one")
    if context.get_parameter_source("doubt_by") is not ParameterSource.DEFAULT and not doubt:
        raise InputError("--doubt-by says who doubts; pass --doubt too")


def _check_method(context: click.Context, method: str | None) -> None:
    """Refuse flags of retraining without it, and with it flags that only tuning heeds."""
    given = {name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    if method is None and (flags := sorted(given & {"groups", "exclude", "tuning_splits"})):
        raise InputError(f"--{flags[0].replace('_', '-')} is for retraining a last layer; pass --method too")
    tuning = {"variant", "loss", "loss_options", "shots", "unlabelled", "select", "ask", "context", "position",
              "per_class", "rate", "epochs", "seeds", "views", "augment", "doubt", "doubt_by", "folds"}  # fmt: skip
    if method is not None and (flags := sorted(given & tuning)):
        raise InputError(f"--{flags[0].replace('_', '-')} has no effect on --method {method}; leave one of them out")


def _name(given: str | None, images: Path | None) -> str:
    if given is None and images is not None:
        raise InputError("expected a model for these images: pass -m HUB_ID or -m FOLDER (-m tiny is the embedded one)")
    return given or EMBEDDED


def _read(
    images: Path | None,
    test: Path | None,
    split: str | None,
    classes: list[str] | None,
    groups: str | None,
    chosen: dict[str, Any],
) -> tuple[ImageSet, ImageSet | None]:
    """The images to tune on and those that judge; shots and views as these images allow where they were not given."""
    shots, views = (SAMPLE_SHOTS, SAMPLE_VIEWS) if images is None else (SHOTS, VIEWS)
    chosen["shots"] = shots if chosen["shots"] is None else chosen["shots"]
    chosen["views"] = views if chosen["views"] is None else chosen["views"]
    if images is None and (split is not None or groups is not None):
        raise InputError(f"--{'groups' if split is None else 'split'} is about DATA; give DATA too")
    found = data.sample().known if images is None else data.read(images, split=split, classes=classes, groups=groups)
    return found, None if test is None else data.read(test, classes=classes or found.classes, groups=groups)


def _option(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise InputError(f"expected --loss-option NAME=NUMBER, got {text!r}") from error
