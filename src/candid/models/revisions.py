"""Which revision a name stands for now, without building the model."""

from candid.models import source

__all__ = ["revision"]


def revision(name: str, pinned: str | None = None) -> str | None:
    """The revision `load(name)` would state: the Hub's commit or a local folder's hash; None where only loading tells.

    >>> len(revision("tiny"))
    32
    """
    return None if name.startswith("open_clip:") else source.find(name, pinned).revision
