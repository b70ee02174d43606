"""Where the capabilities meet: encode once, audit, predict. Each workflow is loaded when it is first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from candid.workflows.auditing.front import audit
    from candid.workflows.encoding import encode
    from candid.workflows.feature_cache import cache_folder
    from candid.workflows.feature_files import load_features, save_features
    from candid.workflows.predictor import Predictor

_HOME = {
    "Predictor": "predictor",
    "audit": "auditing.front",
    "cache_folder": "feature_cache",
    "encode": "encoding",
    "load_features": "feature_files",
    "save_features": "feature_files",
}

__all__ = ["Predictor", "audit", "cache_folder", "encode", "load_features", "save_features"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"candid.workflows.{_HOME[name]}"), name)
    raise AttributeError(f"module 'candid.workflows' has no attribute {name!r}; workflows: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
