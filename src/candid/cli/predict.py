"""Label images with a saved predictor, or abstain."""

import json
from pathlib import Path

import click

from candid import data, workflows
from candid.cli.options import debug
from candid.cli.progress import bar
from candid.errors import InputError
from candid.types import ImageSet, Predictions
from candid.workflows import Predictor


@click.command()
@click.argument("predictor", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-m", "--model", help="Where the model is now, if not where the predictor was made.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or mps.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Images a forward.")
@click.option("--test-time", is_flag=True,
              help="Tune the prompt to each image, with a predictor of candid audit --test-time.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Exit with 2 if any image cannot be read.")
@debug
def command(
    predictor: Path,
    images: tuple[Path, ...],
    model: str | None,
    device: str,
    batch_size: int,
    test_time: bool,
    strict: bool,
    debug: bool,
) -> None:
    """Label images with a saved predictor, or abstain.

    Prints one JSON line an image: id, label, calibrated confidence, outlier score (higher = further from what the model
    knows) and accepted; one that is not accepted says why. A predictor with prediction sets adds set, the labels the
    image may be, and coverage, how often such sets hold the right one among images like the calibration rows; an empty
    set says that no label is probable enough. A file that cannot be read gets a line with its error. IMAGES are files
    or folders.
    """
    loaded = workflows.Predictor.load(predictor, model=model, device=device)
    found = data.read(images[0]) if len(images) == 1 else data.read(list(images))
    if not len(found) and not found.skipped:
        raise InputError(f"no image in {', '.join(map(str, images))}")
    if (loaded.calibrated_by if not test_time or loaded.tuning is None else loaded.tuning.temperature) is None:
        click.echo("note: this predictor has no calibrator, its confidence is the model's own", err=True)
    if test_time and loaded.tuning is not None:
        how = loaded.tuning
        click.echo(f"note: {how.method} looks at {how.views} views and took {how.seconds:.2g} s an image where the "
                   f"predictor was made ({how.device})", err=True)  # fmt: skip
    with bar("predicting") as progress:
        predictions = loaded(found, batch_size=batch_size, test_time=test_time, progress=progress)
    sets = loaded.tuning.sets if test_time and loaded.tuning is not None else loaded.sets
    for line in _lines(loaded, predictions, found, None if sets is None else sets.coverage):
        click.echo(json.dumps(line))
    if predictions.skipped and (strict or not predictions.ids):
        first = predictions.skipped[0]
        raise InputError(f"{len(predictions.skipped)} images could not be read, first {first.id}: {first.reason}")


def _lines(
    predictor: Predictor, predictions: Predictions, images: ImageSet, coverage: float | None
) -> list[dict[str, object]]:
    """One line an image, in the order they were given; files that are no images come last."""
    lines: dict[str, dict[str, object]] = {
        image: {
            "id": image,
            "label": predictions.classes[int(predictions.labels[i])],
            "confidence": round(float(predictions.confidence[i]), 6),
            "score": round(float(predictions.scores[i]), 6),
            "accepted": bool(predictions.accepted[i]),
            **({} if predictions.accepted[i] else {"why": predictor.why_refused(predictions, i)}),
            **_set(predictions, i, coverage),
        }
        for i, image in enumerate(predictions.ids)
    }
    lines |= {skipped.id: {"id": skipped.id, "error": skipped.reason} for skipped in predictions.skipped}
    ordered = [lines.pop(image) for image in images.ids if image in lines]
    return ordered + list(lines.values())


def _set(predictions: Predictions, row: int, coverage: float | None) -> dict[str, object]:
    """The labels of a row's set, the answer first, and how often such sets hold the right one."""
    if predictions.sets is None:
        return {}
    inside = sorted(predictions.sets[row].nonzero()[0], key=lambda place: place != predictions.labels[row])
    return {"set": [predictions.classes[place] for place in inside], "coverage": coverage}
