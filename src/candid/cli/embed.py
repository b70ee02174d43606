"""Encode images once and save their features."""

import json
from pathlib import Path
from typing import Any, Literal

import click

from candid import data, models, workflows
from candid.cli.options import cache_choice, model_options, output, run_options
from candid.cli.progress import bar
from candid.errors import InputError
from candid.files import output_folder

Precision = Literal["auto", "float32", "float16", "bfloat16"]


@click.command()
@click.argument("images", type=click.Path(path_type=Path))
@model_options
@click.option("--split", help="Which split to read, where the data has several.")
@click.option("--num-shards", type=click.IntRange(1), default=1, show_default=True,
              help="Split the images into this many parts by a hash of their ids, for several machines.")  # fmt: skip
@click.option("--shard-index", type=click.IntRange(0), default=0, show_default=True, help="Which part to encode.")
@output("candid-features")
@run_options
def command(
    images: Path, model_name: str | None, revision: str | None, device: str, dtype: Precision, split: str | None,
    num_shards: int, shard_index: int, out: Path, exist_ok: bool, cache: Path | None, no_cache: bool, as_json: bool,
    seed: int, debug: bool, **encoding: Any,
) -> None:  # fmt: skip
    """Encode images once and save their features.

    IMAGES is a folder, a .csv or .parquet manifest, or a saved Hugging Face data set. A run that was stopped goes on
    where it was: finished shards are in the cache.
    """
    if model_name is None:
        raise InputError("expected a model: pass -m HUB_ID, -m FOLDER or -m tiny")
    with output_folder(out, exist_ok=exist_ok), bar() as progress:
        found = data.shard(data.read(images, split=split), num_shards, shard_index)
        model = models.load_encoder(model_name, revision=revision, device=device, dtype=dtype)
        features = workflows.encode(
            model, found, cache=cache_choice(cache, no_cache), progress=progress, **encoding
        )  # fmt: skip
        workflows.save_features(out, features)
    if as_json:
        skipped = [{"id": s.id, "reason": s.reason} for s in features.skipped]
        facts = {"output": str(out), "n": len(features), "dimensions": features.vectors.shape[1]}
        click.echo(json.dumps({**facts, "encoder": features.encoder, "skipped": skipped}))
        return
    click.echo(f"{len(features)} images x {features.vectors.shape[1]} dimensions in {out}")
    for s in features.skipped:
        click.echo(f"skipped {s.id}: {s.reason}", err=True)
