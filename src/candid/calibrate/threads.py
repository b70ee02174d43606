"""One thread for small matrix products: on a busy machine the threads of a BLAS wait for each other in a loop."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # comes with scikit-learn, untyped

__all__ = ["one_thread"]


@contextmanager
def one_thread(*, small: bool) -> Iterator[None]:
    """Where products are `small`, the BLAS of the whole process runs on one thread meanwhile; else nothing changes."""
    if not small:
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
