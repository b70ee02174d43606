"""The figures of a comparison that are not pictures of samples."""

from collections.abc import Sequence

import numpy as np

from candid.report.content import Bars, Counts, Heatmap, Histogram, Line, Lines, Marker, Table
from candid.types import Estimate
from candid.workflows.auditing.part import bar, row, span
from candid.workflows.comparing.compared import Compared
from candid.workflows.comparing.measured import KS, SCALES, Measured

__all__ = [
    "DIVERSITY",
    "FIDELITY",
    "bars",
    "by_class",
    "by_setting",
    "curves",
    "distances",
    "extrapolated",
    "overview",
    "spread",
]

BINS = 20
FIDELITY = ("calibrated_p_precision", "p_precision", "clipped_density", "precision", "symmetric_precision",
            "precision_cover", "realistic", "density", "alpha_precision")  # fmt: skip
DIVERSITY = ("calibrated_p_recall", "p_recall", "clipped_coverage", "coverage", "recall", "symmetric_recall",
             "recall_cover", "beta_recall")  # fmt: skip
DISTANCES = ("frechet", "frechet_extrapolated", "kernel_distance", "cmmd", "vendi")


def overview(every: Sequence[Compared]) -> Table:
    """Every number of every set of fakes."""
    names = [name for name in every[0].found.numbers if all(name in each.found.numbers for each in every)]
    return Table(
        id="overview", title="All numbers", caption="With 95% intervals. Distances compare only at one size of sets.",
        columns=("metric", *(each.fake.name for each in every)),
        rows=tuple((row(name, "", every[0].found.numbers[name]).label,
                    *(_cell(name, each.found.numbers[name]) for each in every)) for name in names),
    )  # fmt: skip


def by_class(each: Compared, key: str) -> Bars:
    """P-recall of every class of the reals."""
    return Bars(
        id=f"{key}-classes", title="P-recall by class of the reals", x_label="P-recall", better="higher",
        caption="Mean over the reals of a class, lowest first; 95% intervals of independent scores.",
        bars=tuple(bar(name, value) for name, value in sorted(each.by_class.items(), key=lambda item: item[1].value)),
        markers=(Marker(axis="x", value=each.found.soft.recall, label="all"),),
    )  # fmt: skip


def bars(each: Compared, names: Sequence[str], key: str, title: str) -> tuple[Bars, ...]:
    """Several metrics of one thing."""
    numbers = {name: each.found.numbers[name] for name in names if name in each.found.numbers}
    if not numbers:
        return ()
    found = tuple(bar(row(name, "", value).label, value) for name, value in numbers.items())
    caption = "What other metrics say of the same; 95% intervals from halves of both sets."
    return (Bars(id=key, title=title, caption=caption, x_label="score", bars=found),)


def spread(scores: np.ndarray, name: str, label: str, key: str) -> Histogram:
    """How the scores of single samples lie."""
    edges = np.linspace(0, 1, BINS + 1)
    shares = np.histogram(np.clip(scores, 0, 1), edges)[0] / len(scores)
    counts = Counts(name=name, shares=tuple(shares.tolist()), n=len(scores))
    return Histogram(id=key, title=f"{label}s of all {name}", caption="Share of samples by score.", x_label=label,
                     edges=tuple(edges.tolist()), series=(counts,))  # fmt: skip


def distances(each: Compared, key: str) -> tuple[Table, ...]:
    """Distances between the sets, before and after both are stored alike where they were not."""
    alike = each.storage.alike if each.storage is not None else {}
    names = [name for name in (*DISTANCES, *(FIDELITY + DIVERSITY if alike else ())) if name in each.found.numbers]
    if not names:
        return ()
    columns = ("metric", "value", *(("both as JPEG",) if alike else ()))
    body = tuple(
        (row(name, "", each.found.numbers[name]).label, _cell(name, each.found.numbers[name]),
         *((_cell(name, alike[name]) if name in alike else None,) if alike else ()))
        for name in names
    )  # fmt: skip
    caption = "Distances fall with the number of samples: compare them at one size only."
    return (
        Table(id=f"{key}-distances", title="Distances between the sets", caption=caption, columns=columns, rows=body),
    )


def by_setting(found: Measured, key: str) -> tuple[Heatmap, ...]:
    """P-precision and P-recall at every k and scale tried."""
    ks = [k for k in KS if (k, SCALES[0]) in found.by_setting]
    if not ks:
        return ()
    return tuple(
        Heatmap(
            id=f"{key}-{name}-settings", title=f"{title} by setting", row_label="scale", column_label="k",
            value_label=title, better="higher", low=0.0, high=1.0,
            caption="The scale decides more than k. Compare only values of one setting.",
            rows=tuple(f"{scale:g}" for scale in SCALES), columns=tuple(str(k) for k in ks),
            values=tuple(tuple(found.by_setting[k, scale][place] for k in ks) for scale in SCALES),
        )
        for place, (name, title) in enumerate((("precision", "P-precision"), ("recall", "P-recall")))
    )  # fmt: skip


def curves(found: Measured, key: str) -> tuple[Lines, ...]:
    """Alpha-precision and beta-recall, where they were asked for."""
    if "alpha_beta" not in found.results:
        return ()
    each = found.results["alpha_beta"]
    alphas = tuple(each.alphas.tolist())
    series = (
        Line(name="alpha-precision", x=alphas, y=tuple(each.precision_curve.tolist())),
        Line(name="beta-recall", x=alphas, y=tuple(each.recall_curve.tolist())),
        Line(name="equal sets", x=(0.0, 1.0), y=(0.0, 1.0)),
    )
    figure = Lines(
        id=f"{key}-curves",
        title="Alpha-precision and beta-recall",
        caption="Share of fakes among the most typical share of reals, and of reals met by the most typical fakes.",
        x_label="most typical share",
        y_label="share found there",
        x_unit="percent",
        y_unit="percent",
        series=series,
    )
    return (figure,)


def extrapolated(found: Measured, key: str) -> tuple[Lines, ...]:
    """The line that leads to infinitely many fakes, where it was asked for."""
    line = found.extrapolated
    if line is None:
        return ()
    x = 1000 / line.sizes
    series = (
        Line(name="measured", x=tuple(x[::-1].tolist()), y=tuple(line.distances[::-1].tolist())),
        Line(
            name="extrapolated",
            x=(0.0, float(x.max())),
            y=(line.value, line.value + line.slope * float(x.max()) / 1000),
        ),
    )
    caption = "The Frechet distance over one by the number of fakes; its value at 0 is what infinitely many would have."
    return (Lines(id=f"{key}-extrapolated", title="The Frechet distance at infinity", caption=caption,
                  x_label="1,000 / fakes", y_label="Frechet distance", series=series),)  # fmt: skip


def _cell(name: str, value: Estimate) -> str:
    return span(row(name, "", value))
