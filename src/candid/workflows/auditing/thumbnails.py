"""The most confidently wrong images as small pictures inside the report."""

from base64 import b64encode
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image as Picture

from candid.report.content import Section, Thumbnail, Thumbnails
from candid.types import Image
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.fitted import Fitted
from candid.workflows.auditing.part import Part, percent

__all__ = ["mistakes", "thumbnail_uri"]

MOST = 12
SIDE = 160  # pixels of the longer side
QUALITY = 80


def mistakes(evidence: Evidence, fitted: Fitted, picture: Callable[[str], Image] | None = None) -> Part:
    """Section with the wrong answers stated most confidently, worst first; `picture` reads an image by its id."""
    if evidence.known.labels is None:
        return Part()
    label, confidence = fitted.top_scores(evidence.logits)
    wrong = np.flatnonzero(label != evidence.truth)
    if picture is None or not len(wrong):
        return Part()
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")[:MOST]]
    names = evidence.head.classes
    items = []
    for place in worst:
        truth, answer = names[evidence.truth[place]], names[label[place]]
        text = f"is {truth}, said {answer} at {percent(float(confidence[place]))}"
        items.append(
            Thumbnail(uri=thumbnail_uri(picture(evidence.known.ids[place])), alt=evidence.known.ids[place], text=text)
        )
    stated = "calibrated" if fitted.mends else "stated"
    figure = Thumbnails(
        id="mistakes",
        title="Most confidently wrong",
        caption=f"The {len(items)} wrong answers of highest {stated} confidence. Some may be wrong labels.",
        items=tuple(items),
    )
    answer = f"{len(wrong):,} of {len(label):,} answers are wrong; these are the ones it was surest of."
    section = Section(id="mistakes", title="Where is it confidently wrong?", answer=answer, figures=(figure,))
    return Part(sections=(section,))


def thumbnail_uri(image: Image) -> str:
    """A JPEG data URI of at most 160 px a side.

    >>> thumbnail_uri(np.zeros((400, 200, 3), dtype=np.uint8))[:23]
    'data:image/jpeg;base64,'
    """
    small = Picture.fromarray(image)
    small.thumbnail((SIDE, SIDE))
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode("ascii")
