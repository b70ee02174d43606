"""One thread for small matrix products: on a busy machine the threads of a BLAS wait for each other in a loop."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]

SMALL = 128  # classes up to which a block's product takes less time than threads may wait for each other


@contextmanager
def one_thread(classes: int) -> Iterator[None]:
    """Up to 128 classes the BLAS of the whole process runs on one thread meanwhile; for more nothing changes."""
    if classes > SMALL:
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
