"""Doubted labels as a report: how many are wrong, which they are, and the pictures to judge them by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from candid.report.content import Content, Reason, Section, Table, Thumbnail, Thumbnails, Verdict
from candid.report.wording import number
from candid.types import Encoder, Estimate, Features, ImageSet
from candid.workflows.auditing.part import row, share
from candid.workflows.auditing.provenance import describe_input, describe_model, package_versions, unreadable
from candid.workflows.auditing.thumbnails import thumbnail_uri

__all__ = ["Doubts", "content"]

SHOWN = 24
MOST_PAIRS = 15


@dataclass(frozen=True)
class Doubts:
    """Every labelled image with the likeliest class other than its label, and how doubtful the label is.

    `doubt` in [-1, 1] is the probability of `suggested` less that of the label; `flagged` are the labels that confident
    learning counts as wrong.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    labels: Int[np.ndarray, " n"]
    suggested: Int[np.ndarray, " n"]
    doubt: Float[np.ndarray, " n"]
    flagged: Bool[np.ndarray, " n"]

    @property
    def order(self) -> Int[np.ndarray, " n"]:
        """Rows: the flagged ones first, the most doubtful of either first."""
        return np.lexsort((np.arange(len(self.doubt)), -self.doubt, ~self.flagged))

    def table(self) -> list[dict[str, object]]:
        """One line a label: id, label, suggested, doubt, flagged; in `order`."""
        return [
            {
                "id": self.ids[i],
                "label": self.classes[self.labels[i]],
                "suggested": self.classes[self.suggested[i]],
                "doubt": float(self.doubt[i]),
                "flagged": bool(self.flagged[i]),
            }
            for i in self.order
        ]


def content(
    model: Encoder,
    images: ImageSet,
    features: Features,
    found: Doubts,
    wrong: Estimate,
    agreed: Estimate,
    *,
    asked: dict[str, Any],
    command: str,
) -> Content:
    """What the report says."""
    flagged, n = int(found.flagged.sum()), len(found.labels)
    low, value, high = (number(end * n, decimals=0) for end in (wrong.low, wrong.value, wrong.high))
    headline = (
        f"Confident learning counts about {value} wrong labels in {n:,} ({low} to {high}), the heads' own mistakes "
        f"among them; {flagged:,} are flagged to be looked at."
    )
    who = "zero-shot" if asked["by"] == "zero-shot" else f"{asked['folds']} heads, each asked about images it never saw"
    rule = (
        "The number is the estimate of confident learning, its interval a bootstrap over the images. What the heads "
        "themselves mistake looks to them like a wrong label, so it may be too high."
    )
    answer = f"Doubted by {who}. Confident learning puts the wrong labels at {share(wrong)} of {n:,}."
    answer += f" The likeliest class is the given label on {share(agreed)}."
    figures = [figure for figure in (_pictures(images, found), _pairs(found)) if figure is not None]
    reason = Reason(rule=rule, text=answer, level="caution", word="estimate")
    scarce = [name for i, name in enumerate(found.classes) if 0 < (found.labels == i).sum() < 2]
    return Content(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        title="Which labels are probably wrong?",
        again="",
        config={"model": model.id, "revision": model.revision, "classes": list(found.classes), **asked},
        inputs=(describe_input("known", "images", images, features),),
        model=describe_model(model),
        packages=package_versions(),
        seed=int(asked["seed"]),
        verdict=Verdict(level=None, headline=headline, reasons=(reason,)),
        rows=(
            row("wrong_labels", "all", wrong, key=True),
            row("accuracy", "given labels", agreed, key=True, label="likeliest class is the given label"),
            unreadable([features]),
        ),
        sections=(Section(id="doubt", title="Which labels are doubtful?", answer=answer, figures=tuple(figures)),),
        cannot_say=_open(scarce),
    )


def _open(scarce: Sequence[str]) -> tuple[str, ...]:
    if not scarce:
        return ()
    names = ", ".join(scarce[:10]) + (f" and {len(scarce) - 10} more" if len(scarce) > 10 else "")
    return (f"Whether the labels of classes with a single image are right: {names}.",)


def _pictures(images: ImageSet, found: Doubts) -> Thumbnails | None:
    rows = [i for i in found.order if found.flagged[i]][:SHOWN]
    if not rows:
        return None
    places = {name: place for place, name in enumerate(images.ids)}
    items = tuple(
        Thumbnail(
            uri=thumbnail_uri(images.read(places[found.ids[i]])),
            alt=found.ids[i],
            text=f"labelled {found.classes[found.labels[i]]}, looks like {found.classes[found.suggested[i]]} "
            f"(doubt {found.doubt[i]:.2f})",
        )
        for i in rows
    )
    return Thumbnails(
        id="doubtful",
        title="The most doubtful labels",
        caption=f"The first {len(items)} of {int(found.flagged.sum()):,} flagged labels; doubt.csv has all.",
        items=items,
    )


def _pairs(found: Doubts) -> Table | None:
    k = len(found.classes)
    pairs, counts = np.unique(found.labels[found.flagged] * k + found.suggested[found.flagged], return_counts=True)
    if not len(pairs):
        return None
    sizes = np.bincount(found.labels, minlength=k)
    rows = [
        (found.classes[pairs[i] // k], found.classes[pairs[i] % k], int(counts[i]), int(sizes[pairs[i] // k]))
        for i in np.argsort(-counts, kind="stable")[:MOST_PAIRS]
    ]
    return Table(
        id="doubted-pairs",
        title="Which classes are mixed up",
        caption="Flagged labels by given class and the class the image looks like, the most frequent first.",
        columns=("labelled", "looks like", "flagged", "of"),
        rows=tuple(rows),
    )
