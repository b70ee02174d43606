"""Silence for Pillow's warnings while anything decodes, on any number of threads.

`warnings.catch_warnings` is process-wide: two threads that enter and leave it in turn restore each other's filters. So
the first thread in sets the filter and the last one out restores it.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

__all__ = ["quiet"]

_lock = Lock()
_inside = 0
_filters = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """A context in which warnings raised from Pillow's modules are dropped: we report failures, not oddities."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside
    with _lock:
        if _inside == 0:
            _filters.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        _inside += 1


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            _filters.close()
