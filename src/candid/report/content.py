"""What a report says, as data. JSON, HTML and terminal are views of this; nothing here computes.

`Content` -> verdict, rows of numbers, sections; a section answers one question with text and figures. Every number is
finite: what has no value is left out or None, never NaN.
"""

from typing import Any, Literal

from candid.report.figures import (
    Bar,
    Bars,
    Better,
    Bin,
    Counts,
    Figure,
    Frozen,
    Heatmap,
    Histogram,
    Line,
    Lines,
    Marker,
    Point,
    PointSeries,
    Reliability,
    ReliabilitySeries,
    Scatter,
    Table,
    Thumbnail,
    Thumbnails,
    Unit,
)

__all__ = [
    "Bar",
    "Bars",
    "Better",
    "Bin",
    "Content",
    "Counts",
    "Figure",
    "Heatmap",
    "Histogram",
    "Input",
    "Level",
    "Line",
    "Lines",
    "Marker",
    "ModelCard",
    "Point",
    "PointSeries",
    "Reason",
    "Reliability",
    "ReliabilitySeries",
    "Row",
    "Scatter",
    "Section",
    "SkippedFile",
    "Table",
    "Thumbnail",
    "Thumbnails",
    "Unit",
    "Verdict",
]

Level = Literal["good", "caution", "bad", "unknown"]


class Row(Frozen):
    """One number: `metric` on `slice` ("all", "class: cat", "ood: clothing", ...), its 95 % interval and its n.

    `label` is the number in plain words, `unit` how it is printed; rows with `key` head the report, in their order.
    """

    metric: str
    slice: str
    value: float
    low: float | None
    high: float | None
    n: int
    better: Better
    label: str = ""
    unit: Unit = "number"
    key: bool = False


class Reason(Frozen):
    """One stated rule of the verdict, applied: `rule` is the rule, `text` what the numbers say, `level` the outcome.

    `word` stands for the level where its own word does not fit, e.g. "holds" beside a finding of a study.
    """

    rule: str
    text: str
    level: Level
    word: str = ""


class Verdict(Frozen):
    """The plain-language answer at the top: the worst level of its reasons, and one sentence.

    A study judges no single model: its level is None, and its reasons are findings.
    """

    level: Level | None
    headline: str
    reasons: tuple[Reason, ...]


class SkippedFile(Frozen):
    """A file that was found and not used, and why."""

    id: str
    reason: str


class Input(Frozen):
    """One image set that went in: its role, where it came from, a hash of its content, what was skipped."""

    role: Literal["known", "shift", "ood", "transfer", "source", "generated"]
    name: str
    path: str
    n: int
    digest: str
    labelled: bool
    skipped: tuple[SkippedFile, ...] = ()


class ModelCard(Frozen):
    """The model as it was used."""

    id: str
    revision: str
    preprocessing: str
    activation: Literal["softmax", "sigmoid"]
    scale: float
    bias: float
    device: str


class Section(Frozen):
    """One question, its answer in a sentence or two, and the figures behind it."""

    id: str
    title: str
    answer: str
    figures: tuple[Figure, ...] = ()


class Content(Frozen):
    """Everything a report holds. `config` repeats the run; `cannot_say` lists the questions these data leave open.

    An audit has one `model`, a study has `models`. `title` is the question the page answers, by default how far the
    model can be trusted; `again` is the command that repeats the run from its report.json, empty where there is none.
    """

    command: str
    created: str  # ISO 8601, UTC
    config: dict[str, Any]
    inputs: tuple[Input, ...]
    model: ModelCard | None = None
    models: tuple[ModelCard, ...] = ()
    packages: dict[str, str]
    seed: int
    verdict: Verdict
    rows: tuple[Row, ...]
    sections: tuple[Section, ...]
    cannot_say: tuple[str, ...] = ()
    title: str = ""
    again: str = "candid audit --config report.json -o again"
