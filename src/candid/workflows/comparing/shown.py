"""A comparison as a report: how real the fakes are, what they lack, whether they copy, how far numbers are trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from candid.generative import Mode
from candid.report.content import (
    Bars,
    Counts,
    Figure,
    Heatmap,
    Histogram,
    Level,
    Line,
    Lines,
    Marker,
    Reason,
    Row,
    Section,
    Table,
    Verdict,
)
from candid.types import Estimate
from candid.workflows.auditing.part import bar, percent, row, share, span
from candid.workflows.comparing import samples
from candid.workflows.comparing.measured import KS, SCALES, Measured
from candid.workflows.comparing.samples import Side
from candid.workflows.comparing.storage import Stored

__all__ = ["Compared", "rows_of", "sections_of", "verdict_of"]

ENOUGH = 1000  # samples of a set
SATURATED = 0.05  # share of pairs within the radius above which P-precision says little
GOOD, POOR = 0.95, 0.5  # calibrated scores
COPIED = 0.4  # authenticity of equal sets is about a half; surely below this there are copies or near copies
BINS = 20
FIDELITY = ("calibrated_p_precision", "p_precision", "clipped_density", "precision", "symmetric_precision",
            "precision_cover", "realistic", "density", "alpha_precision")  # fmt: skip
DIVERSITY = ("calibrated_p_recall", "p_recall", "clipped_coverage", "coverage", "recall", "symmetric_recall",
             "recall_cover", "beta_recall")  # fmt: skip
DISTANCES = ("frechet", "frechet_extrapolated", "kernel_distance", "cmmd", "vendi")
KEY = ("calibrated_p_precision", "calibrated_p_recall", "frechet", "authentic")
WORST: tuple[Level, ...] = ("bad", "unknown", "caution", "good")


@dataclass(frozen=True)
class Compared:
    """One set of fakes: both sides, what was measured, how both were stored, and `cut` if rows were left out."""

    real: Side
    fake: Side
    found: Measured
    storage: Stored | None
    cut: tuple[int, int] | None = None
    by_class: Mapping[str, Estimate] = field(default_factory=dict)


def rows_of(each: Compared) -> list[Row]:
    """Every number as a row of the report, on the slice named after the fakes."""
    found = [row(name, each.fake.name, value, key=name in KEY) for name, value in each.found.numbers.items()]
    found.sort(key=lambda item: KEY.index(item.metric) if item.metric in KEY else len(KEY))
    found += [row("p_recall", f"{each.fake.name}, class: {name}", value) for name, value in each.by_class.items()]
    if each.storage is not None:
        where = f"{each.fake.name}, both as JPEG {each.storage.quality}"
        found += [row(name, where, value) for name, value in each.storage.alike.items()]
    return found


def verdict_of(every: Sequence[Compared]) -> Verdict:
    """Every rule applied to every set of fakes; the worst level counts."""
    reasons = [reason for each in every for reason in _reasons(each, several=len(every) > 1)]
    level = next(level for level in WORST if any(reason.level == level for reason in reasons))
    return Verdict(level=level, headline=" ".join(_headline(each) for each in every), reasons=tuple(reasons))


def _headline(each: Compared) -> str:
    numbers, name = each.found.numbers, each.fake.name
    if each.found.calibrated is None:
        real, there = numbers["p_precision"], numbers["p_recall"]
        return f"{name}: P-precision {span(real)}, P-recall {span(there)}, not calibrated."
    fidelity, diversity = numbers["calibrated_p_precision"], numbers["calibrated_p_recall"]
    return (
        f"{name}: fakes score {span(fidelity)} of what reals score for fidelity, "
        f"and {span(diversity)} of it for diversity."
    )


def _reasons(each: Compared, *, several: bool) -> list[Reason]:
    found, name = each.found, f"{each.fake.name}: " if several else ""
    sizes = f"{found.n:,} reals, {found.m:,} fakes."
    if each.cut is not None:
        sizes += f" Drawn from {each.cut[0]:,} and {each.cut[1]:,}, so that sizes are equal."
    reasons = [
        _reason("A set has 1,000 samples or more.", name + sizes, min(found.n, found.m) >= ENOUGH),
        _reason("Both sets have the same size.", f"{name}{_same(found)}", found.n == found.m),
        _reason(
            "At most 5% of pairs lie within the P-precision radius: beyond, dimension alone makes all scores high.",
            f"{name}{percent(found.soft.saturation)} of pairs lie within the radius of P-precision, "
            f"{percent(found.soft.recall_saturation)} within that of P-recall.",
            max(found.soft.saturation, found.soft.recall_saturation) <= SATURATED,
        ),
    ]
    if each.storage is not None:
        text = each.storage.differs or "files of both sets look alike in format and JPEG traces"
        if each.storage.alike:
            text += f"; both as JPEG {each.storage.quality}: {_moved(each)}"
        rule = "Both sets are stored alike; else a metric measures the codec too."
        reasons.append(_reason(rule, f"{name}{text}.", not each.storage.differs))
    if found.calibrated is not None:
        reasons += [
            _share_reason("fidelity", "P-precision", name, found.numbers["calibrated_p_precision"]),
            _share_reason("diversity", "P-recall", name, found.numbers["calibrated_p_recall"]),
        ]
    repeats = found.numbers["repeats"]
    reasons += [
        _copied(each, name),
        _reason(
            "No fake repeats another: repeats shrink the radius around fakes, and P-recall with it.",
            f"{name}{percent(repeats.value)} of fakes have the vector of another fake.",
            repeats.value == 0,
        ),
    ]
    return reasons


def _same(found: Measured) -> str:
    return "Sizes are equal." if found.n == found.m else f"{found.n:,} reals against {found.m:,} fakes."


def _reason(rule: str, text: str, holds: bool) -> Reason:
    return Reason(rule=rule, text=text, level="good" if holds else "caution")


def _share_reason(what: str, metric: str, name: str, value: Estimate) -> Reason:
    level: Level = "good" if value.high >= GOOD else "bad" if value.high < POOR else "caution"
    rule = f"Good {what}: the interval of {metric} over that of reals reaches {GOOD} (bad: lies below {POOR})."
    return Reason(rule=rule, text=f"{name}{metric} is {span(value)} of that of reals.", level=level)


def _copied(each: Compared, name: str) -> Reason:
    authentic, copies = each.found.numbers["authentic"], each.found.numbers["copies"]
    level: Level = "bad" if copies.value > 0 else "caution" if authentic.high < COPIED else "good"
    text = f"{name}{percent(copies.value)} of fakes have the same vector as a real, {share(authentic)} are authentic."
    rule = f"No fake is a copy of a real, and authenticity is not surely below {COPIED:g} (about 0.5 for equal sets)."
    return Reason(rule=rule, text=text, level=level)


def _moved(each: Compared) -> str:
    assert each.storage is not None
    names = [name for name in ("p_precision", "p_recall", "frechet") if name in each.storage.alike]
    return ", ".join(
        f"{name.replace('_', '-')} {span(each.storage.alike[name])} instead of {span(each.found.numbers[name])}"
        for name in names
    )


def sections_of(every: Sequence[Compared], *, seed: int) -> list[Section]:
    """The report's questions, for every set of fakes."""
    found = [_overview(every)] if len(every) > 1 else []
    for place, each in enumerate(every):
        of = f": {each.fake.name}" if len(every) > 1 else ""
        found += [
            _fidelity(each, f"fidelity-{place}", of, seed),
            _diversity(each, f"diversity-{place}", of, seed),
            _copies(each, f"copies-{place}", of),
            _trust(each, f"trust-{place}", of),
        ]
    return found


def _overview(every: Sequence[Compared]) -> Section:
    names = [name for name in every[0].found.numbers if all(name in each.found.numbers for each in every)]
    table = Table(
        id="overview", title="All numbers", caption="With 95% intervals, all at one size of sets.",
        columns=("metric", *(each.fake.name for each in every)),
        rows=tuple((row(name, "", every[0].found.numbers[name]).label,
                    *(_cell(name, each.found.numbers[name]) for each in every)) for name in names),
    )  # fmt: skip
    best = max(every, key=lambda each: each.found.numbers["p_precision"].value)
    wide = max(every, key=lambda each: each.found.numbers["p_recall"].value)
    answer = f"Most of P-precision has {best.fake.name}, most of P-recall {wide.fake.name}."
    return Section(id="overview", title="How do the sets compare?", answer=answer, figures=(table,))


def _fidelity(each: Compared, key: str, of: str, seed: int) -> Section:
    found, soft = each.found, each.found.soft
    typical = soft.precision if found.calibrated is None else found.calibrated.real_precision
    low, pictures = samples.missing_modes(
        each.fake, soft.fake_scores, typical, key=f"{key}-invented", word="invented mode", seed=seed
    )
    answer = (
        f"P-precision is {span(found.numbers['p_precision'])}, the mean over {found.m:,} fakes. {_modes(low, 'fakes')}"
    )
    figures: list[Figure] = [*_bars(each, FIDELITY, f"{key}-bars", "Fidelity")]
    figures += [_spread(soft.fake_scores, "fakes", "P-precision score", f"{key}-scores")]
    figures += samples.ranked(each.fake, found, best=False, key=key)
    figures += [*pictures, *samples.ranked(each.fake, found, best=True, key=key)]
    return Section(id=key, title=f"How real are the fakes{of}?", answer=answer, figures=tuple(figures))


def _diversity(each: Compared, key: str, of: str, seed: int) -> Section:
    found, soft = each.found, each.found.soft
    typical = soft.recall if found.calibrated is None else found.calibrated.real_recall
    low, pictures = samples.missing_modes(
        each.real, soft.real_scores, typical, key=f"{key}-missing", word="missing mode", seed=seed
    )
    answer = f"P-recall is {span(found.numbers['p_recall'])}, the mean over {found.n:,} reals. {_modes(low, 'reals')}"
    figures: list[Figure] = [*_bars(each, DIVERSITY, f"{key}-bars", "Diversity")]
    if each.by_class:
        figures.append(_classes(each, key))
    figures += [*pictures, _spread(soft.real_scores, "reals", "P-recall score", f"{key}-scores")]
    return Section(id=key, title=f"What do the fakes lack{of}?", answer=answer, figures=tuple(figures))


def _modes(low: Sequence[Mode], what: str) -> str:
    if not low:
        return f"No cluster of {what} lies surely below what is typical."
    share = sum(mode.share for mode in low)
    return f"{len(low)} clusters with {percent(share)} of the {what} score surely lower than is typical."


def _classes(each: Compared, key: str) -> Bars:
    return Bars(
        id=f"{key}-classes", title="P-recall by class of the reals", x_label="P-recall", better="higher",
        caption="Mean over the reals of a class, lowest first; 95% intervals of independent scores.",
        bars=tuple(bar(name, value) for name, value in sorted(each.by_class.items(), key=lambda item: item[1].value)),
        markers=(Marker(axis="x", value=each.found.soft.recall, label="all"),),
    )  # fmt: skip


def _bars(each: Compared, names: Sequence[str], key: str, title: str) -> tuple[Bars, ...]:
    numbers = {name: each.found.numbers[name] for name in names if name in each.found.numbers}
    if not numbers:
        return ()
    bars = tuple(bar(row(name, "", value).label, value) for name, value in numbers.items())
    caption = "What other metrics say of the same; 95% intervals from halves of both sets. Density may exceed 1."
    return (Bars(id=key, title=title, caption=caption, x_label="score", bars=bars),)


def _spread(scores: np.ndarray, name: str, label: str, key: str) -> Histogram:
    edges = np.linspace(0, 1, BINS + 1)
    shares = np.histogram(np.clip(scores, 0, 1), edges)[0] / len(scores)
    counts = Counts(name=name, shares=tuple(shares.tolist()), n=len(scores))
    return Histogram(id=key, title=f"{label}s of all {name}", caption="Share of samples by score.", x_label=label,
                     edges=tuple(edges.tolist()), series=(counts,))  # fmt: skip


def _copies(each: Compared, key: str, of: str) -> Section:
    numbers = each.found.numbers
    answer = (
        f"{percent(numbers['copies'].value)} of fakes have exactly the vector of a real. {share(numbers['authentic'])} "
        "are authentic: farther from their nearest real than that real is from its own nearest. About half are, where "
        "fakes are new samples of the same distribution."
    )
    figures = samples.pairs(each.real, each.fake, each.found, key=key)
    return Section(id=key, title=f"Are fakes copies of reals{of}?", answer=answer, figures=figures)


def _trust(each: Compared, key: str, of: str) -> Section:
    found = each.found
    answer = (
        f"Radii of P-precision: {found.soft.real_radius:.4g} around reals, {found.soft.fake_radius:.4g} around fakes; "
        f"{percent(found.soft.saturation)} of pairs lie within the first."
    )
    if found.calibrated is not None:
        answer += (
            f" Reals against reals, {found.calibrated.size:,} each, score {found.calibrated.real_precision:.3f} and "
            f"{found.calibrated.real_recall:.3f}."
        )
    if found.skipped:
        answer += " Left out: " + "; ".join(f"{name} ({why})" for name, why in found.skipped.items()) + "."
    figures: list[Figure] = [*_bars_table(each, key), *_settings(found, key), *_curves(found, key), *_line(found, key)]
    return Section(id=key, title=f"How far can these numbers be trusted{of}?", answer=answer, figures=tuple(figures))


def _bars_table(each: Compared, key: str) -> tuple[Table, ...]:
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


def _settings(found: Measured, key: str) -> tuple[Heatmap, ...]:
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


def _curves(found: Measured, key: str) -> tuple[Lines, ...]:
    if "alpha_beta" not in found.results:
        return ()
    curves = found.results["alpha_beta"]
    alphas = tuple(curves.alphas.tolist())
    series = (
        Line(name="alpha-precision", x=alphas, y=tuple(curves.precision_curve.tolist())),
        Line(name="beta-recall", x=alphas, y=tuple(curves.recall_curve.tolist())),
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


def _line(found: Measured, key: str) -> tuple[Lines, ...]:
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
