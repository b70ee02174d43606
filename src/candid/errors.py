"""Errors people read: what was expected, what came, what to do. The command line maps them to exit codes."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["CandidError", "GateFailed", "InputError", "MissingExtra", "NoOptimum", "UnreadableImage", "nearest"]


class CandidError(Exception):
    """Root of every error candid raises on purpose; exit code 2 on the command line."""


class InputError(CandidError, ValueError):
    """The caller's data or arguments cannot give a right answer; the message says expected, got, do."""


class NoOptimum(InputError):
    """A fit has no finite optimum on these data. `verdict` names which way it runs off, e.g. "separable"."""

    def __init__(self, message: str, *, verdict: str) -> None:
        super().__init__(message)
        self.verdict = verdict


class UnreadableImage(InputError):
    """One image cannot be decoded. `reason` is the short cause that reports list beside the file's id."""

    def __init__(self, image_id: str, reason: str) -> None:
        super().__init__(f"{image_id}: {reason}")
        self.image_id = image_id
        self.reason = reason


class MissingExtra(CandidError, ImportError):
    """An optional dependency is not installed; the message is the line that installs it."""


class GateFailed(CandidError):
    """A threshold the user set was not met; exit code 1 on the command line."""


def nearest(name: str, known: Iterable[str], *, count: int = 3) -> str:
    """Phrase naming the known spellings closest to `name`, or all known ones where none is close.

    >>> nearest("tempreature", ["temperature", "vector", "matrix"])
    'did you mean temperature?'
    """
    choices = [str(choice) for choice in known]
    close = get_close_matches(name.lower(), [choice.lower() for choice in choices], n=count, cutoff=0.5)
    if close:
        by_lower = {choice.lower(): choice for choice in choices}
        return f"did you mean {' or '.join(by_lower[c] for c in close)}?"
    shown = ", ".join(choices[:10]) + (", ..." if len(choices) > 10 else "")
    return f"known: {shown}"
