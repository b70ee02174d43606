"""One set of fakes held against the reals, with everything that was found."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from candid.types import Estimate
from candid.workflows.comparing.measured import Measured
from candid.workflows.comparing.samples import Side
from candid.workflows.comparing.storage import Stored

__all__ = ["Compared"]


@dataclass(frozen=True)
class Compared:
    """One set of fakes: both sides, what was measured, how both were stored, and `cut` if rows were left out."""

    real: Side
    fake: Side
    found: Measured
    storage: Stored | None
    cut: tuple[int, int] | None = None
    by_class: Mapping[str, Estimate] = field(default_factory=dict)
