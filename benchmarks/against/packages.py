"""Peers whose package cannot be imported whole: only the modules that are measured are loaded.

torch-uncertainty imports lightning and torchvision, pytorch-ood torchvision, TorchCP torch_geometric, torchvision and
torchsort, on import; what
is measured here uses none of them, and torchvision has no build that goes with every CPU build of torch. So the
package's own `__init__` is left out and its modules run as they are.
"""

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def torch_uncertainty_scalers() -> Any:
    """`torch_uncertainty.post_processing.calibration`."""
    _hollow("torch_uncertainty", "torch_uncertainty.post_processing")
    package = sys.modules["torch_uncertainty.post_processing"]
    abstract = importlib.import_module("torch_uncertainty.post_processing.abstract")
    package.PostProcessing = abstract.PostProcessing  # its scalers take it from there
    return importlib.import_module("torch_uncertainty.post_processing.calibration")


def torch_uncertainty_metrics() -> Any:
    """`torch_uncertainty.metrics.classification.calibration`."""
    _hollow("torch_uncertainty", "torch_uncertainty.metrics", "torch_uncertainty.metrics.classification")
    return importlib.import_module("torch_uncertainty.metrics.classification.calibration")


def pytorch_ood(name: str) -> Any:
    """`pytorch_ood.<name>`, whose package imports data sets and with them torchvision."""
    _hollow("pytorch_ood", "pytorch_ood.detector")
    return importlib.import_module(f"pytorch_ood.{name}")


def torchcp(name: str) -> Any:
    """`torchcp.classification.<name>`."""
    _hollow("torchcp", "torchcp.classification")
    if "torchsort" not in sys.modules and not importlib.util.find_spec("torchsort"):
        empty = ModuleType("torchsort")  # compiles itself on install; only a training loss calls it
        empty.__spec__ = ModuleSpec("torchsort", None)
        empty.soft_rank = empty.soft_sort = None
        sys.modules["torchsort"] = empty
    return importlib.import_module(f"torchcp.classification.{name}")


def _hollow(*names: str) -> None:
    """Packages whose submodules can be imported and whose own code is not run."""
    for name in names:
        if name in sys.modules:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"no module {name}", name=name)
        package = ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations or ())
        package.__spec__ = spec
        sys.modules[name] = package
