"""A comparison as a report: how real the fakes are, what they lack, whether they copy, how far numbers are trusted."""

from collections.abc import Sequence

from candid.generative import Mode
from candid.report.content import Figure, Row, Section
from candid.workflows.auditing.part import percent, row, share, span
from candid.workflows.comparing import figures, samples
from candid.workflows.comparing.compared import Compared

__all__ = ["rows_of", "sections_of"]

KEY = ("calibrated_p_precision", "calibrated_p_recall", "frechet", "authentic")


def rows_of(each: Compared) -> list[Row]:
    """Every number as a row of the report, on the slice named after the fakes."""
    found = [row(name, each.fake.name, value, key=name in KEY) for name, value in each.found.numbers.items()]
    found.sort(key=lambda item: KEY.index(item.metric) if item.metric in KEY else len(KEY))
    found += [row("p_recall", f"{each.fake.name}, class: {name}", value) for name, value in each.by_class.items()]
    if each.storage is not None:
        where = f"{each.fake.name}, both as JPEG {each.storage.quality}"
        found += [row(name, where, value) for name, value in each.storage.alike.items()]
    return found


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
    best = max(every, key=lambda each: each.found.numbers["p_precision"].value)
    wide = max(every, key=lambda each: each.found.numbers["p_recall"].value)
    answer = f"Most of P-precision has {best.fake.name}, most of P-recall {wide.fake.name}."
    return Section(id="overview", title="How do the sets compare?", answer=answer, figures=(figures.overview(every),))


def _fidelity(each: Compared, key: str, of: str, seed: int) -> Section:
    found, soft = each.found, each.found.soft
    typical = soft.precision if found.calibrated is None else found.calibrated.real_precision
    low, pictures = samples.missing_modes(
        each.fake, soft.fake_scores, typical, key=f"{key}-invented", word="invented mode", seed=seed
    )
    answer = (
        f"P-precision is {span(found.numbers['p_precision'])}, the mean over {found.m:,} fakes. {_modes(low, 'fakes')}"
    )
    shown: list[Figure] = [*figures.bars(each, figures.FIDELITY, f"{key}-bars", "Fidelity")]
    shown += [figures.spread(soft.fake_scores, "fakes", "P-precision score", f"{key}-scores")]
    shown += samples.ranked(each.fake, found, best=False, key=key)
    shown += [*pictures, *samples.ranked(each.fake, found, best=True, key=key)]
    return Section(id=key, title=f"How real are the fakes{of}?", answer=answer, figures=tuple(shown))


def _diversity(each: Compared, key: str, of: str, seed: int) -> Section:
    found, soft = each.found, each.found.soft
    typical = soft.recall if found.calibrated is None else found.calibrated.real_recall
    low, pictures = samples.missing_modes(
        each.real, soft.real_scores, typical, key=f"{key}-missing", word="missing mode", seed=seed
    )
    answer = f"P-recall is {span(found.numbers['p_recall'])}, the mean over {found.n:,} reals. {_modes(low, 'reals')}"
    shown: list[Figure] = [*figures.bars(each, figures.DIVERSITY, f"{key}-bars", "Diversity")]
    if each.by_class:
        shown.append(figures.by_class(each, key))
    shown += [*pictures, figures.spread(soft.real_scores, "reals", "P-recall score", f"{key}-scores")]
    return Section(id=key, title=f"What do the fakes lack{of}?", answer=answer, figures=tuple(shown))


def _modes(low: Sequence[Mode], what: str) -> str:
    if not low:
        return f"No cluster of {what} lies surely below what is typical."
    share = sum(mode.share for mode in low)
    return f"{len(low)} clusters with {percent(share)} of the {what} score surely lower than is typical."


def _copies(each: Compared, key: str, of: str) -> Section:
    numbers = each.found.numbers
    answer = (
        f"{percent(numbers['copies'].value)} of fakes have exactly the vector of a real. {share(numbers['authentic'])} "
        "are authentic: farther from their nearest real than that real is from its own nearest. About half are, where "
        "fakes are new samples of the same distribution."
    )
    shown = samples.pairs(each.real, each.fake, each.found, key=key)
    return Section(id=key, title=f"Are fakes copies of reals{of}?", answer=answer, figures=shown)


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
    shown: list[Figure] = [
        *figures.distances(each, key),
        *figures.by_setting(found, key),
        *figures.curves(found, key),
        *figures.extrapolated(found, key),
    ]
    return Section(id=key, title=f"How far can these numbers be trusted{of}?", answer=answer, figures=tuple(shown))
