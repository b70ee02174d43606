"""The rules by which a comparison is judged, applied: whether the numbers can be trusted, and what they say."""

from collections.abc import Sequence

from candid.report.content import Level, Reason, Verdict
from candid.types import Estimate
from candid.workflows.auditing.part import percent, share, span
from candid.workflows.comparing.compared import Compared
from candid.workflows.comparing.measured import Measured

__all__ = ["verdict_of"]

ENOUGH = 1000  # samples of a set
SATURATED = 0.05  # share of pairs within the radius above which P-precision says little
GOOD, POOR = 0.95, 0.5  # calibrated scores
COPIED = 0.4  # authenticity of equal sets is about a half; surely below this there are copies or near copies
WORST: tuple[Level, ...] = ("bad", "unknown", "caution", "good")


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
        text = each.storage.differs or "Files of both sets look alike in format and JPEG traces"
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
