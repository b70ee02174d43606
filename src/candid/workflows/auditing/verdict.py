"""The plain-language answer at the top: a table of stated rules, each a pure function of the report's rows.

The rule text is data and is printed beside what the numbers say; the thresholds are choices, collected here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from candid.report.content import Level, Reason, Row, Verdict
from candid.workflows.auditing.part import percent, span
from candid.workflows.calibrators import spoken

__all__ = ["RULES", "Rule", "verdict"]

ECE_GOOD, ECE_FAIR = 0.03, 0.08
SURE_FACTOR = 1.5  # between the ends of the temperature's interval
GROUP_GOOD, GROUP_FAIR = 0.05, 0.15
FPR_GOOD, FPR_FAIR = 0.10, 0.50
WORDING_GOOD = 0.05
UNREADABLE_FAIR = 0.05
ENOUGH_ROWS = 200
ORDER: tuple[Level, ...] = ("good", "caution", "unknown", "bad")

OWN = (", own temperature", ", own calibrator")

Rows = Mapping[tuple[str, str], Row]
Finding = tuple[Level, str]


@dataclass(frozen=True)
class Rule:
    """What is asked of the rows, and the function that answers; None keeps the rule silent.

    `{calibrator}` in the text stands for what mended the confidence, e.g. "one temperature".
    """

    text: str
    judge: Callable[[Rows], Finding | None]


def verdict(rows: Iterable[Row], *, detector: str, calibrator: str = "temperature") -> Verdict:
    """The worst level of the rules that apply, their reasons, and one sentence with the main numbers."""
    named: Rows = {(row.metric, row.slice): row for row in rows}
    used = spoken(calibrator if ("accuracy", "calibrated") in named else "temperature")
    rules = (*RULES, _detector_rule(detector), *([] if calibrator == "temperature" else [_calibrator_rule(calibrator)]))
    found = [(rule.text.replace("{calibrator}", used), rule.judge(named)) for rule in rules]
    reasons = [Reason(rule=text, text=said[1], level=said[0]) for text, said in found if said is not None]
    reasons.sort(key=lambda reason: -ORDER.index(reason.level))
    level = reasons[0].level if reasons else "unknown"
    return Verdict(level=level, headline=_headline(named, used), reasons=tuple(reasons))


def _accuracy(rows: Rows) -> Finding:
    if ("accuracy", "all") not in rows:
        return "unknown", "Without labels nothing can be said about accuracy."
    found, baseline = rows["accuracy", "all"], rows["majority_share", "all"].value
    text = f"Right on {span(found)}; always answering the most common class would be right on {percent(baseline)}."
    low = found.value if found.low is None else found.low
    if low > 0.5 and low > baseline:
        return "good", text
    return ("caution" if low > baseline else "bad"), text


def _shipped(rows: Rows) -> Finding:
    if ("ece", "raw") not in rows:
        return "unknown", "Without labels nothing can be said about its confidence."
    found, null = rows["ece", "raw"], rows["ece_if_calibrated", "raw"]
    gap = rows["confidence", "raw"].value - (rows["accuracy", "all"].value)
    leaning = "over-confident" if gap > 0 else "under-confident"
    text = f"ECE {span(found)}, {_against(null)}"
    level = _calibrated(found, null)
    return ("good", f"{text}.") if level == "good" else ("caution", f"{text}; {leaning} as shipped.")


def _repaired(rows: Rows) -> Finding | None:
    if ("ece", "calibrated") not in rows:
        return None
    found, null = rows["ece", "calibrated"], rows["ece_if_calibrated", "calibrated"]
    return _calibrated(found, null), f"ECE {span(found)} on rows it has not seen, {_against(null)}."


def _temperature(rows: Rows) -> Finding | None:
    if ("ece", "raw") not in rows or ("accuracy", "calibrated") in rows:  # another calibrator is in use
        return None
    found = rows.get(("temperature", "known"))
    if found is None or found.low is None or found.high is None:
        return "caution", "No temperature could be fitted on these labels; confidences stay as shipped."
    text = f"T = {span(found)} from {found.n:,} labels."
    return ("good" if found.high <= SURE_FACTOR * found.low and found.low > 0 else "caution"), text


def _shifted(rows: Rows) -> Finding | None:
    names = [where for metric, where in rows if metric == "ece" and where.endswith(OWN)]
    if not names:
        return None
    judged = {where: _calibrated(rows["ece", where], rows["ece_if_calibrated", where]) for where in names}
    worst = max(names, key=lambda where: (ORDER.index(judged[where]), rows["ece", where].value))
    name = worst.removeprefix("shift: ").removesuffix(OWN[0]).removesuffix(OWN[1])
    null = rows["ece_if_calibrated", worst]
    return judged[worst], f"On {name} ECE {span(rows['ece', worst])}, {_against(null)}."


def _still_needed(rows: Rows) -> Finding | None:
    found = rows.get(("labels_still_needed", "known"))
    if found is None:
        return None
    over = f"({found.low or 0:,.0f} to {found.high or 0:,.0f} over the draws)"
    if found.value == found.n:
        return "caution", f"The error still falls at {found.n:,} labels: more than {found.n:,} are needed."
    if found.value:
        return "caution", f"{found.value:,.0f} more labels {over} would lower the error by more than 0.01."
    return "good", f"No more labels would lower the error by more than 0.01 {over}; {found.n:,} were tried."


def _sets(rows: Rows) -> Finding | None:
    state = "calibrated" if ("set_coverage", "calibrated") in rows else "raw"
    if ("set_coverage", state) not in rows:
        return None
    found, due = rows["set_coverage", state], rows["set_coverage_expected", state]
    low = due.value if due.low is None else due.low
    text = f"Prediction sets hold the label on {span(found)} of {found.n:,} rows; {percent(low)} or more was due."
    return ("good" if found.value >= low else "caution"), text


def _sets_shifted(rows: Rows) -> Finding | None:
    state = "calibrated" if ("set_coverage", "calibrated") in rows else "raw"
    sets = [
        row
        for (metric, where), row in rows.items()
        if metric == "set_coverage" and where.startswith("shift: ") and where.endswith(f", {state}")
    ]
    if not sets:
        return None
    worst, promised = min(sets, key=lambda row: row.value), rows["set_coverage_expected", state].value
    name = worst.slice.removeprefix("shift: ").removesuffix(f", {state}")
    text = f"On {name} the sets hold the label on {span(worst)}; without a shift {percent(promised)} is promised."
    high = worst.value if worst.high is None else worst.high
    return ("good" if high >= promised else "caution"), text


def _groups(rows: Rows) -> Finding | None:
    worst = next((row for (metric, _), row in rows.items() if metric == "worst_group_accuracy"), None)
    if worst is None:
        return None
    overall = rows["accuracy", "all"].value
    gap = overall - worst.value
    text = f"{worst.slice.removeprefix('group: ')}: {span(worst)}, {100 * gap:.1f} points below all, n = {worst.n}."
    reaches = worst.high is not None and worst.high >= overall
    if gap <= GROUP_GOOD or reaches:
        return "good", text
    return ("caution" if gap <= GROUP_FAIR else "bad"), text


def _leaning(rows: Rows) -> Finding | None:
    gap = next((row for (metric, _), row in rows.items() if metric == "gap_within_class"), None)
    if gap is None:
        return None
    text = f"{gap.slice}: {span(gap)} less than the same class in its best group."
    if gap.low is None or gap.low <= 0:
        return "good", text
    gained = rows.get(("balanced_probe_gain", gap.slice))
    if gained is not None and gained.low is not None and gained.low > 0:
        text += f" A last layer balanced over groups gains {span(gained)} there: candid adapt --method dfr."
    return ("caution" if gap.low <= GROUP_FAIR else "bad"), text


def _detector_rule(detector: str) -> Rule:
    def judge(rows: Rows) -> Finding | None:
        sets = [
            row
            for (metric, where), row in rows.items()
            if metric == "fpr95_known_positive" and where.endswith(f", {detector}")
        ]
        if not sets:
            return None
        worst = max(sets, key=lambda row: row.value)
        name = worst.slice.removesuffix(f", {detector}").removeprefix("ood: ")
        text = f"Keeping 95% of known images lets in {span(worst)} of {name} ({detector})."
        return _level(worst.value, FPR_GOOD, FPR_FAIR), text

    return Rule(
        "Of the unknown set it confuses most, at most "
        f"{percent(FPR_GOOD)} are let in when 95% of known images are kept (caution to {percent(FPR_FAIR)}).",
        judge,
    )


def _calibrator_rule(calibrator: str) -> Rule:
    words = spoken(calibrator)

    def judge(rows: Rows) -> Finding | None:
        if ("ece", "raw") not in rows:
            return None
        if ("accuracy", "calibrated") not in rows:
            return "caution", f"{words[:1].upper()}{words[1:]} could not be fitted on these labels and is not in use."
        right = f"after it the answer is right on {span(rows['accuracy', 'calibrated'])}"
        gained = rows.get(("nll_below_temperature", "all"))
        if gained is None or gained.high is None:
            return "good", f"Fitted, with no temperature to compare it to; {right}."
        text = f"{words[:1].upper()}{words[1:]} gains {span(gained)} nats a row over one temperature; {right}."
        return ("caution" if gained.high < 0 else "good"), text

    return Rule(f"The {words} asked for could be fitted, and is not surely worse than one temperature.", judge)


def _wording(rows: Rows) -> Finding | None:
    found = rows.get(("accuracy_spread", "templates"))
    if found is None:
        return None
    text = f"Accuracies of the templates lie within {100 * found.value:.1f} points."
    return ("good" if found.value <= WORDING_GOOD else "caution"), text


def _files(rows: Rows) -> Finding | None:
    found = rows.get(("unreadable", "all inputs"))
    if found is None:
        return None
    bad = round(found.value * found.n)
    text = f"{bad:,} of {found.n:,} files could not be used." if bad else f"All {found.n:,} files were used."
    return ("good" if not bad else _level(found.value, 0.0, UNREADABLE_FAIR)), text


def _amount(rows: Rows) -> Finding | None:
    found = rows.get(("ece", "raw"))
    if found is None:
        return None
    text = f"{found.n:,} labelled images judge what the others fitted."
    return ("good" if found.n >= ENOUGH_ROWS else "caution"), text


RULES: tuple[Rule, ...] = (
    Rule(
        "Right more often than wrong: the interval of the accuracy lies above one half (caution: above the share of "
        "the most common class).",
        _accuracy,
    ),
    Rule(
        "Calibrated as shipped: ECE within the 95% range an exactly calibrated model shows on as many rows, or at most "
        f"{ECE_GOOD} (never worse than caution, since a temperature may mend it).",
        _shipped,
    ),
    Rule(
        f"Calibrated after {{calibrator}}: ECE within that range or at most {ECE_GOOD} (caution to {ECE_FAIR}).",
        _repaired,
    ),
    Rule(f"The temperature is known: the ends of its interval lie within a factor {SURE_FACTOR}.", _temperature),
    Rule("Enough labels: more would not lower the calibration error by more than 0.01.", _still_needed),
    Rule(
        "Calibrated on the worst shifted set too, after {calibrator}: ECE within the range of a calibrated model or at "
        f"most {ECE_GOOD} (caution to {ECE_FAIR}).",
        _shifted,
    ),
    Rule("Prediction sets hold the right label as often as 95 of 100 draws of exact ones would (else caution).", _sets),
    Rule(
        "On the worst shifted set the interval of their coverage reaches what was promised (else caution).",
        _sets_shifted,
    ),
    Rule(
        f"The worst group is at most {100 * GROUP_GOOD:.0f} points below the overall accuracy, or its interval reaches "
        f"it (caution to {100 * GROUP_FAIR:.0f}).",
        _groups,
    ),
    Rule(
        "Within a class it does not matter what comes with it: no gap between groups of one class is sure (caution: "
        f"surely up to {100 * GROUP_FAIR:.0f} points).",
        _leaning,
    ),
    Rule(f"The wording moves the accuracy by at most {100 * WORDING_GOOD:.0f} points.", _wording),
    Rule(f"Every file could be read (caution to {percent(UNREADABLE_FAIR)} unreadable).", _files),
    Rule(f"At least {ENOUGH_ROWS} labelled images are left to judge by.", _amount),
)


def _calibrated(found: Row, null: Row) -> Level:
    if null.high is not None and found.value <= null.high:  # nothing found; beyond ECE_FAIR the rows are too few to
        return "good" if found.value <= ECE_FAIR else "caution"
    return _level(found.value, ECE_GOOD, ECE_FAIR)


def _level(value: float, good: float, fair: float) -> Level:
    return "good" if value <= good else ("caution" if value <= fair else "bad")


def _against(null: Row) -> str:
    return f"where an exactly calibrated model shows {span(null)}"


def _headline(rows: Rows, calibrator: str) -> str:
    """One sentence from the rows that are there."""
    if ("accuracy", "all") not in rows:
        return "Without labels nothing can be said about how far this model can be trusted; see what can, below."
    parts = [f"It is right on {span(rows['accuracy', 'all'])} of {rows['accuracy', 'all'].n:,} images"]
    if ("confidence", "raw") in rows:
        said = rows["confidence", "raw"].value
        parts.append(f"and says it is {percent(said)} sure")
    text = " ".join(parts)
    before, after = rows.get(("ece", "raw")), rows.get(("ece", "calibrated"))
    fitted = rows.get(("temperature", "known"))
    if before is not None and after is not None:
        one = fitted is not None and ("accuracy", "calibrated") not in rows
        text += f"; {calibrator} (T = {fitted.value:.2f})" if fitted is not None and one else f"; {calibrator}"
        text += f" takes its calibration error from {before.value:.3f} to {after.value:.3f}"
    elif before is not None:
        text += f"; its calibration error is {before.value:.3f} and no temperature could be fitted to mend it"
    let_in = [row for (metric, _), row in rows.items() if metric == "let_in"]
    if let_in:
        worst = max(let_in, key=lambda row: row.value)
        text += f"; of images it does not know it lets in {percent(worst.value)} ({worst.slice.removeprefix('ood: ')})"
    return text + "."
