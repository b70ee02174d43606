"""What a report says, as data. JSON, HTML and terminal are views of this; nothing here computes.

`Content` -> verdict, rows of numbers, sections; a section answers one question with text and figures. Every number is
finite: what has no value is left out or None, never NaN.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Bar",
    "Bars",
    "Better",
    "Bin",
    "Content",
    "Counts",
    "Figure",
    "Histogram",
    "Input",
    "Level",
    "Line",
    "Lines",
    "Marker",
    "ModelCard",
    "Reason",
    "Reliability",
    "ReliabilitySeries",
    "Row",
    "Section",
    "SkippedFile",
    "Table",
    "Thumbnail",
    "Thumbnails",
    "Unit",
    "Verdict",
]

Level = Literal["good", "caution", "bad", "unknown"]
Better = Literal["higher", "lower", "neither"]
Unit = Literal["number", "percent"]  # percent: the value is a share in [0, 1] that people read as a percentage


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Row(_Frozen):
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


class Reason(_Frozen):
    """One stated rule of the verdict, applied: `rule` is the rule, `text` what the numbers say, `level` the outcome."""

    rule: str
    text: str
    level: Level


class Verdict(_Frozen):
    """The plain-language answer at the top: the worst level of its reasons, and one sentence."""

    level: Level
    headline: str
    reasons: tuple[Reason, ...]


class SkippedFile(_Frozen):
    """A file that was found and not used, and why."""

    id: str
    reason: str


class Input(_Frozen):
    """One image set that went in: its role, where it came from, a hash of its content, what was skipped."""

    role: Literal["known", "shift", "ood", "transfer"]
    name: str
    path: str
    n: int
    digest: str
    labelled: bool
    skipped: tuple[SkippedFile, ...] = ()


class ModelCard(_Frozen):
    """The model as it was used."""

    id: str
    revision: str
    preprocessing: str
    activation: Literal["softmax", "sigmoid"]
    scale: float
    bias: float
    device: str


class Bin(_Frozen):
    """One confidence bin: its edges, mean confidence, accuracy with interval, and how many predictions fell in it."""

    low: float
    high: float
    confidence: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    n: int


class ReliabilitySeries(_Frozen):
    """The bins of one way of stating confidence, e.g. before the temperature."""

    name: str
    bins: tuple[Bin, ...]


class _Figure(_Frozen):
    id: str
    title: str
    caption: str


class Reliability(_Figure):
    """Accuracy against confidence, one panel a series, with the diagonal."""

    kind: Literal["reliability"] = "reliability"
    series: tuple[ReliabilitySeries, ...]


class Marker(_Frozen):
    """A labelled line across a chart at a value of one axis."""

    axis: Literal["x", "y"]
    value: float
    label: str


class Line(_Frozen):
    """One curve, with an optional band."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _one_length(self) -> "Line":
        lengths = {len(values) for values in (self.x, self.y, self.low, self.high) if values is not None}
        if len(lengths) != 1:
            raise ValueError(f"x, y, low and high need one length, got {sorted(lengths)}")
        return self


class Lines(_Figure):
    """Curves over a common axis."""

    kind: Literal["lines"] = "lines"
    x_label: str
    y_label: str
    series: tuple[Line, ...]
    x_unit: Unit = "number"
    y_unit: Unit = "number"
    log_x: bool = False
    markers: tuple[Marker, ...] = ()


class Counts(_Frozen):
    """How one set spreads over the bins of a histogram."""

    name: str
    shares: tuple[float, ...]  # of this series' n, so that sets of different size compare
    n: int


class Histogram(_Figure):
    """Shares of several sets over common bin edges (len(edges) = len(shares) + 1)."""

    kind: Literal["histogram"] = "histogram"
    x_label: str
    x_unit: Unit = "number"
    edges: tuple[float, ...]
    series: tuple[Counts, ...]
    markers: tuple[Marker, ...] = ()

    @model_validator(mode="after")
    def _one_share_a_bin(self) -> "Histogram":
        for counts in self.series:
            if counts.shares and len(counts.shares) != len(self.edges) - 1:
                raise ValueError(f"{counts.name}: {len(counts.shares)} shares for {len(self.edges)} edges")
        return self


class Bar(_Frozen):
    label: str
    value: float
    low: float | None
    high: float | None
    n: int


class Bars(_Figure):
    """Horizontal values with intervals, one row a label: worst first where `better` says which end is worse."""

    kind: Literal["bars"] = "bars"
    x_label: str
    unit: Unit = "number"
    better: Better = "neither"
    bars: tuple[Bar, ...]
    markers: tuple[Marker, ...] = ()


class Table(_Figure):
    """Rows people read rather than plot. `units[i]` is how floats of column i are printed, else as numbers."""

    kind: Literal["table"] = "table"
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]
    units: tuple[Unit, ...] = ()

    @model_validator(mode="after")
    def _one_cell_a_column(self) -> "Table":
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row of {len(row)} cells for {len(self.columns)} columns")
        return self


class Thumbnail(_Frozen):
    """A small picture as a data URI, what it is said to be, and what it is."""

    uri: str = Field(pattern=r"^data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/=]*$")  # nothing to fetch, ever
    alt: str
    text: str


class Thumbnails(_Figure):
    """Small pictures in a grid."""

    kind: Literal["thumbnails"] = "thumbnails"
    items: tuple[Thumbnail, ...]


Figure = Annotated[Reliability | Lines | Histogram | Bars | Table | Thumbnails, Field(discriminator="kind")]


class Section(_Frozen):
    """One question, its answer in a sentence or two, and the figures behind it."""

    id: str
    title: str
    answer: str
    figures: tuple[Figure, ...] = ()


class Content(_Frozen):
    """Everything a report holds. `config` repeats the run; `cannot_say` lists the questions these data leave open."""

    command: str
    created: str  # ISO 8601, UTC
    config: dict[str, Any]
    inputs: tuple[Input, ...]
    model: ModelCard
    packages: dict[str, str]
    seed: int
    verdict: Verdict
    rows: tuple[Row, ...]
    sections: tuple[Section, ...]
    cannot_say: tuple[str, ...] = ()
