"""candid makes vision foundation models say what they know and no more.

Importing it loads no framework: each room is loaded when it is first asked for.
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = (
    "calibrate", "data", "detect", "generative", "groups", "metrics", "models", "noise", "report", "tune", "workflows",
)  # fmt: skip

__all__ = ["__version__", *_ROOMS]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return import_module(f"candid.{name}")
    raise AttributeError(f"module 'candid' has no attribute {name!r}; rooms: {', '.join(_ROOMS)}")


def __dir__() -> list[str]:
    return sorted(__all__)
