"""Where the capabilities meet: encode once, audit, predict. Each workflow is loaded when it is first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from candid.workflows.adapting.doubted import Doubts
    from candid.workflows.adapting.doubting import Doubted, doubt_labels
    from candid.workflows.adapting.front import Adapted, adapt
    from candid.workflows.adapting.retraining import RetrainedHead, retrain_head
    from candid.workflows.auditing.front import audit
    from candid.workflows.comparing.front import Comparison, compare
    from candid.workflows.comparing.sources import read_side
    from candid.workflows.encoding import encode
    from candid.workflows.episodic.front import test_time_study
    from candid.workflows.feature_cache import cache_folder
    from candid.workflows.feature_files import load_features, save_features
    from candid.workflows.head_files import SavedHead, load_head, save_head
    from candid.workflows.outlier_tuning import fine_tune
    from candid.workflows.outliers.front import energy_study
    from candid.workflows.predictor import Predictor
    from candid.workflows.prompting.front import prompt_study
    from candid.workflows.studying.front import study
    from candid.workflows.studying.plan import Plan, StudyModel, StudySet
    from candid.workflows.view_banks import ViewBank, view_bank
    from candid.workflows.views_for_tuning import TuningViews, tuned_logits, tuning_views

_HOME = {
    "Adapted": "adapting.front",
    "Comparison": "comparing.front",
    "Doubted": "adapting.doubting",
    "Doubts": "adapting.doubted",
    "Plan": "studying.plan",
    "Predictor": "predictor",
    "RetrainedHead": "adapting.retraining",
    "SavedHead": "head_files",
    "StudyModel": "studying.plan",
    "StudySet": "studying.plan",
    "ViewBank": "view_banks",
    "adapt": "adapting.front",
    "audit": "auditing.front",
    "cache_folder": "feature_cache",
    "compare": "comparing.front",
    "doubt_labels": "adapting.doubting",
    "encode": "encoding",
    "energy_study": "outliers.front",
    "fine_tune": "outlier_tuning",
    "load_features": "feature_files",
    "load_head": "head_files",
    "prompt_study": "prompting.front",
    "read_side": "comparing.sources",
    "retrain_head": "adapting.retraining",
    "save_features": "feature_files",
    "save_head": "head_files",
    "study": "studying.front",
    "TuningViews": "views_for_tuning",
    "test_time_study": "episodic.front",
    "tuned_logits": "views_for_tuning",
    "tuning_views": "views_for_tuning",
    "view_bank": "view_banks",
}

__all__ = [
    "Adapted",
    "Comparison",
    "Doubted",
    "Doubts",
    "Plan",
    "Predictor",
    "RetrainedHead",
    "SavedHead",
    "StudyModel",
    "StudySet",
    "TuningViews",
    "ViewBank",
    "adapt",
    "audit",
    "cache_folder",
    "compare",
    "doubt_labels",
    "encode",
    "energy_study",
    "fine_tune",
    "load_features",
    "load_head",
    "prompt_study",
    "read_side",
    "retrain_head",
    "save_features",
    "save_head",
    "study",
    "test_time_study",
    "tuned_logits",
    "tuning_views",
    "view_bank",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"candid.workflows.{_HOME[name]}"), name)
    raise AttributeError(f"module 'candid.workflows' has no attribute {name!r}; workflows: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
