"""Were both sets stored alike? If not, how far do the numbers move once they are?"""

from collections.abc import Callable
from typing import NamedTuple

from candid.data import Codec, codec_of
from candid.types import Estimate, ImageSet

__all__ = ["Stored", "stored"]

FORMATS = 0.5  # difference in the share of JPEG files that counts
QUALITIES = 10  # difference in JPEG quality that counts
GRID = 0.03  # difference in the trace of the 8 x 8 grid that counts, where it is sure
USUAL = 75  # JPEG quality where none is known


class Stored(NamedTuple):
    """How two sets were stored, whether that differs, the JPEG quality that makes them alike, and what then changes.

    `alike` holds the numbers of a report with both sets as JPEG of that quality, empty where nothing differs.
    """

    real: Codec
    fake: Codec
    differs: str
    quality: int
    alike: dict[str, Estimate]


def stored(real: ImageSet, fake: ImageSet, measure: Callable[[int], dict[str, Estimate]], *, seed: int) -> Stored:
    """What the files say; `measure` gives the numbers with both sets as JPEG of a quality, if they differ."""
    first, second = (codec_of(each, seed=seed) for each in (real, fake))
    differs = _difference(first, second)
    quality = min((each.quality for each in (first, second) if each.quality is not None), default=USUAL)
    return Stored(first, second, differs, quality, measure(quality) if differs else {})


def _difference(real: Codec, fake: Codec) -> str:
    """In words; empty where there is none to speak of."""
    if abs(real.jpeg - fake.jpeg) > FORMATS:
        return f"reals are {_formats(real)}, fakes {_formats(fake)}"
    if real.quality is not None and fake.quality is not None and abs(real.quality - fake.quality) > QUALITIES:
        return f"reals are JPEG of quality {real.quality}, fakes of {fake.quality}"
    if real.grid is None or fake.grid is None:
        return ""
    apart = abs(real.grid.value - fake.grid.value)
    sure = real.grid.low > fake.grid.high or fake.grid.low > real.grid.high
    if apart > GRID and sure:
        more = "reals" if real.grid.value > fake.grid.value else "fakes"
        return f"the 8 x 8 grid of JPEG shows in {more} alone ({real.grid.value:.2f} against {fake.grid.value:.2f})"
    return ""


def _formats(codec: Codec) -> str:
    return ", ".join(f"{kind} {share:.0%}" for kind, share in codec.formats.items())
