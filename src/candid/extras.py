"""Optional dependencies as rows of a table: what each is for, and the line that installs it."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from candid.errors import InputError, MissingExtra, nearest

__all__ = ["EXTRAS", "Extra", "installed", "require"]


@dataclass(frozen=True)
class Extra:
    """One optional dependency: the module that proves it is there, its purpose, and how to get it."""

    module: str
    purpose: str
    install: str


EXTRAS: dict[str, Extra] = {
    "faiss": Extra(
        "faiss", "approximate nearest neighbours in banks of known images", "pip install 'candid-vision[faiss]'"
    ),
    "openclip": Extra(
        "open_clip", "OpenCLIP checkpoints (open_clip:NAME/TAG)", "pip install 'candid-vision[openclip]'"
    ),
    "fast": Extra(
        "numba",
        "compiled kernels for large logit matrices and for views of images",
        "pip install 'candid-vision[fast]'",
    ),
}


def installed(name: str) -> bool:
    """Whether the extra's module can be found, without importing it."""
    return find_spec(_row(name).module) is not None


def require(name: str) -> ModuleType:
    """The extra's module, or `MissingExtra` with the line that installs it.

    >>> require("openclap")
    Traceback (most recent call last):
    ...
    candid.errors.InputError: no extra named openclap; did you mean openclip?
    """
    row = _row(name)
    try:
        return import_module(row.module)
    except ImportError as error:
        raise MissingExtra(f"{row.purpose} needs {row.module}: {row.install} ({error})") from error


def _row(name: str) -> Extra:
    if name not in EXTRAS:
        raise InputError(f"no extra named {name}; {nearest(name, EXTRAS)}")
    return EXTRAS[name]
