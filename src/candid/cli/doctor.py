"""Say what is installed, what is missing and how to get it."""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from candid import __version__
from candid.cli.options import debug, json_output
from candid.extras import EXTRAS, installed

PACKAGES = (
    "torch", "transformers", "huggingface-hub", "safetensors", "tokenizers", "sentencepiece", "numpy", "scipy",
    "scikit-learn", "pillow", "pyarrow", "pydantic", "click", "rich", "jinja2", "jaxtyping",
)  # fmt: skip


@click.command()
@json_output
@debug
def command(as_json: bool, debug: bool) -> None:
    """Say what is installed, what is missing and how to get it."""
    facts = _facts()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for title, rows in facts.items():
        click.secho(title, bold=True)
        for name, value in rows.items():
            click.echo(f"  {name:<18} {value}")


def _facts() -> dict[str, dict[str, str]]:
    return {
        "candid": {"version": __version__, "python": sys.version.split()[0], "platform": platform.platform()},
        "packages": {name: _version(name) for name in PACKAGES},
        "device": _device(),
        "models": _models(),
        "cache": _cache(),
        "extras": {
            name: "installed" if installed(name) else f"missing: {row.purpose}; {row.install}"
            for name, row in EXTRAS.items()
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return f"missing; pip install {package}"


def _device() -> dict[str, str]:
    from candid.models.device import available  # imports torch

    return available()


def _models() -> dict[str, str]:
    from candid.models import MODELS
    from candid.models.source import EMBEDDED

    folder = EMBEDDED["tiny"]
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    return {
        "embedded": str(folder) if folder.exists() else "missing; reinstall candid-vision",
        "adapters": ", ".join(sorted(MODELS)),
        "hub": "offline (HF_HUB_OFFLINE is set)" if offline else "asked for ids that are not local",
    }


def _cache() -> dict[str, str]:
    from candid.workflows import cache_folder

    folder = cache_folder()
    parent = next(p for p in (folder, *folder.parents) if p.exists())
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.exists() else 0
    return {
        "features": str(folder),
        "size": f"{size / 1e6:.1f} MB",
        "writable": "yes" if os.access(parent, os.W_OK) else f"no; set CANDID_CACHE (now {Path(parent)})",
    }
