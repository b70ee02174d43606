"""Where the capabilities meet: encode once, audit, predict. Each workflow is loaded when it is first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from candid.workflows.auditing.front import audit
    from candid.workflows.encoding import encode
    from candid.workflows.feature_cache import cache_folder
    from candid.workflows.feature_files import load_features, save_features
    from candid.workflows.head_files import SavedHead, load_head, save_head
    from candid.workflows.predictor import Predictor
    from candid.workflows.studying.front import study
    from candid.workflows.studying.plan import Plan, StudyModel, StudySet

_HOME = {
    "Plan": "studying.plan",
    "Predictor": "predictor",
    "SavedHead": "head_files",
    "StudyModel": "studying.plan",
    "StudySet": "studying.plan",
    "audit": "auditing.front",
    "cache_folder": "feature_cache",
    "encode": "encoding",
    "load_features": "feature_files",
    "load_head": "head_files",
    "save_features": "feature_files",
    "save_head": "head_files",
    "study": "studying.front",
}

__all__ = [
    "Plan",
    "Predictor",
    "SavedHead",
    "StudyModel",
    "StudySet",
    "audit",
    "cache_folder",
    "encode",
    "load_features",
    "load_head",
    "save_features",
    "save_head",
    "study",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"candid.workflows.{_HOME[name]}"), name)
    raise AttributeError(f"module 'candid.workflows' has no attribute {name!r}; workflows: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
