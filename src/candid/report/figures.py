"""What a report shows, as data: one class a kind of figure. Nothing here computes or draws.

Every number is finite: what has no value is left out or None, never NaN.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Bar",
    "Bars",
    "Better",
    "Bin",
    "Counts",
    "Figure",
    "Frozen",
    "Heatmap",
    "Histogram",
    "Line",
    "Lines",
    "Marker",
    "Point",
    "PointSeries",
    "Reliability",
    "ReliabilitySeries",
    "Scatter",
    "Table",
    "Thumbnail",
    "Thumbnails",
    "Unit",
]

Better = Literal["higher", "lower", "neither"]
Unit = Literal["number", "percent"]  # percent: the value is a share in [0, 1] that people read as a percentage


class Frozen(BaseModel):
    """A value that never changes, knows all its fields and holds no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Bin(Frozen):
    """One confidence bin: its edges, mean confidence, accuracy with interval, and how many predictions fell in it."""

    low: float
    high: float
    confidence: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    n: int


class ReliabilitySeries(Frozen):
    """The bins of one way of stating confidence, e.g. before the temperature."""

    name: str
    bins: tuple[Bin, ...]


class _Figure(Frozen):
    id: str
    title: str
    caption: str


class Reliability(_Figure):
    """Accuracy against confidence, one panel a series, with the diagonal."""

    kind: Literal["reliability"] = "reliability"
    series: tuple[ReliabilitySeries, ...]


class Marker(Frozen):
    """A labelled line across a chart at a value of one axis."""

    axis: Literal["x", "y"]
    value: float
    label: str


class Line(Frozen):
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


class Counts(Frozen):
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


class Bar(Frozen):
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


class Point(Frozen):
    """One dot, e.g. one model: its name, where it stands, the interval and the n of y where they are known."""

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


class PointSeries(Frozen):
    """Dots of one look, e.g. all models before the temperature."""

    name: str
    points: tuple[Point, ...]


class Scatter(_Figure):
    """One number against another, a dot a thing; best with at most four series and some sixty dots.

    `linked` ties the dots of one label together, series by series. A logarithmic axis needs values above zero, on
    others the axis is even.
    """

    kind: Literal["scatter"] = "scatter"
    x_label: str
    y_label: str
    series: tuple[PointSeries, ...]
    x_unit: Unit = "number"
    y_unit: Unit = "number"
    log_x: bool = False
    log_y: bool = False
    linked: bool = False
    markers: tuple[Marker, ...] = ()


class Heatmap(_Figure):
    """A printed and coloured number for each pair of a row and a column, None where the pair makes no sense.

    `row_label` says what the rows are ("fitted on"), `column_label` the columns ("used on"), `value_label` the number.
    The colour is deepest at the worse end, or at the highest value where `better` is "neither"; `low` and `high` fix
    its ends, so that several heatmaps compare. A cell whose row and column have one name is framed.
    """

    kind: Literal["heatmap"] = "heatmap"
    row_label: str
    column_label: str
    value_label: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    intervals: tuple[tuple[tuple[float, float] | None, ...], ...] = ()  # of the values, in the same places
    unit: Unit = "number"
    better: Better = "neither"
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _one_cell_a_pair(self) -> "Heatmap":
        for grid in (self.values, self.intervals or self.values):
            if len(grid) != len(self.rows) or any(len(row) != len(self.columns) for row in grid):
                found = f"{len(grid)} rows of {sorted({len(row) for row in grid})}"
                raise ValueError(f"{self.title}: {found} cells for {len(self.rows)} rows, {len(self.columns)} columns")
        return self


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


class Thumbnail(Frozen):
    """A small picture as a data URI, what it is said to be, and what it is."""

    uri: str = Field(pattern=r"^data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/=]*$")  # nothing to fetch, ever
    alt: str
    text: str


class Thumbnails(_Figure):
    """Small pictures in a grid."""

    kind: Literal["thumbnails"] = "thumbnails"
    items: tuple[Thumbnail, ...]


Figure = Annotated[
    Reliability | Lines | Histogram | Bars | Scatter | Heatmap | Table | Thumbnails, Field(discriminator="kind")
]
