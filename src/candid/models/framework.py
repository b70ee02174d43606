"""transformers, quiet and whole: no bars, no warnings, no remote code, and never half a checkpoint."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file

from candid.errors import InputError
from candid.models.device import Placement
from candid.models.source import Source, weight_files

__all__ = ["quiet", "read_model", "read_state", "read_tokenizer", "to_device", "transformers"]

TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model", "vocab.txt")
# Buffers that old releases wrote beside the weights and that every release computes again.
BLOCK = re.compile(r"\.\d+\.")  # a layer, block or stage of a network has its number in the name
BUFFERS = ("position_ids", "relative_position_index", "num_batches_tracked")


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no log lines from the framework inside the block: what matters becomes an InputError."""
    level = logging.root.manager.disable
    logging.disable(max(level, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@cache
def transformers() -> ModuleType:
    """The transformers module, made safe against an installed torchvision that cannot be imported.

    A torchvision built for another torch raises on import and takes every vision model of transformers down with it
    (huggingface/transformers#38065), though none of ours needs it.
    """
    with quiet():
        import transformers as module
        from transformers.utils import import_utils

        if find_spec("torchvision") is not None:
            try:
                import torchvision  # type: ignore[import-not-found]  # noqa: F401
            except Exception:  # whatever it raises, it is unusable
                for place in (module.utils, import_utils):
                    setattr(place, "is_torchvision_available", lambda: False)  # noqa: B010  # untyped modules
        return module


def read_model(kind: str, source: Source) -> Any:
    """The checkpoint as the framework's class `kind`, float32 on the CPU, every weight of it read from the files."""
    weight_files(source.folder)  # a clear line where there are none
    try:
        with quiet(), _no_bars():
            model, report = getattr(transformers(), kind).from_pretrained(
                source.folder, local_files_only=True, dtype=torch.float32, weights_only=True, output_loading_info=True
            )
    except Exception as error:  # a dozen kinds: every one of them means that this folder cannot be read
        raise InputError(
            f"cannot read the weights of {source.name}: {_line(error)}; fetch or save them again"
        ) from error
    _whole(report, source.name)
    return model.eval().requires_grad_(False)


def read_state(source: Source) -> dict[str, torch.Tensor]:
    """The arrays of a checkpoint of our own networks by name, on the CPU; "module." of parallel training is dropped."""
    state: dict[str, torch.Tensor] = {}
    for path in weight_files(source.folder):
        try:
            found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
            state |= {name.removeprefix("module."): value for name, value in found.items()}
        except Exception as error:  # torch and safetensors raise what the damaged byte happens to cause
            raise InputError(f"cannot read the weights of {source.name}: {_line(error)}; save them again") from error
    return state


def read_tokenizer(source: Source) -> Any:
    """The checkpoint's own tokenizer."""
    if not any((source.folder / name).is_file() for name in TOKENIZER_FILES):
        raise InputError(
            f"expected a tokenizer ({', '.join(TOKENIZER_FILES[:3])}) in {source.folder}, found none; save it there"
        )
    try:
        with quiet():
            return transformers().AutoTokenizer.from_pretrained(
                source.folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # as above
        raise InputError(
            f"cannot read the tokenizer of {source.name}: {_line(error)}; fetch or save it again"
        ) from error


def to_device(model: Any, placement: Placement) -> Any:
    """The model on its device in its dtype."""
    return model.to(device=placement.device, dtype=placement.dtype)


def _whole(report: dict[str, Any], name: str) -> None:
    """Refuse weights that do not cover the model (the framework would fill the rest with noise) or exceed it."""
    missing = sorted(key for key in report["missing_keys"] if not key.endswith(BUFFERS))
    if missing:
        raise InputError(
            f"the weights of {name} lack {len(missing)} tensors its config asks for, {missing[0]} first; "
            "fetch or save them again"
        )
    wrong = sorted(str(key[0]) for key in report["mismatched_keys"])
    extra = sorted(k for k in report["unexpected_keys"] if BLOCK.search(k) and not k.endswith(BUFFERS))
    if wrong or extra:
        raise InputError(
            f"the weights of {name} do not fit its config, {(wrong + extra)[0]} first; they do not belong together"
        )


@contextmanager
def _no_bars() -> Iterator[None]:
    bars = transformers().utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
