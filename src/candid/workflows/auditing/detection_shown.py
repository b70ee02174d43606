"""How the audit shows what it found about unknown images: the answer in words, the histogram, the tables."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from candid import detect
from candid.report.content import Counts, Histogram, Marker, Row, Table
from candid.workflows.auditing.detecting import Choice, Detectors
from candid.workflows.auditing.evidence import Evidence
from candid.workflows.auditing.part import percent, share, span

__all__ = ["answer", "chosen", "histogram", "tables"]

AnyScores = Float[np.ndarray, "_"]  # each set has its own length
BINS = 40
TAIL = 0.001  # share of scores cut off at each end of the histogram's axis and counted in its end bins
UNLIKELY = 0.01  # chance of as many refusals under a shift, below which the report says so
PROMISES: dict[str, str] = {
    "rows": "keeps {keep}% of {n:,} known images",
    "average": "from {n:,} known images refuses a new one with a chance of at most {refuse:g}%",
    "sure": "from {n:,} known images refuses, 95 times in 100 draws of these, at most {refuse:g}% of all new ones",
}


def answer(
    rows: list[Row], evidence: Evidence, cut: detect.Threshold, choice: Choice,
    shifted: Mapping[str, detect.UnderShift],
) -> str:  # fmt: skip
    """In a few sentences: the score and what its threshold promises, keeps, lets in and refuses."""
    named = {(found.metric, found.slice): found for found in rows}
    promise = PROMISES[cut.guarantee].format(
        keep=f"{100 * cut.keep:.0f}", n=int(cut.counts[0]), refuse=round(100 * (1 - cut.keep), 6)
    )
    text = f"Score: {evidence.detector}, higher = less known. A threshold of {float(cut.values[0]):.4g} {promise}"
    if ("kept", "known") in named:
        kept = named["kept", "known"]
        text += f"{' and' if cut.guarantee == 'rows' else '; it keeps'} {span(kept)} of {kept.n:,} others"
    let_in = [f"{span(named['let_in', f'ood: {name}'])} of {name}" for name in evidence.ood]
    if let_in:
        text += f". It lets in {', '.join(let_in)}"
    for name, under in shifted.items():
        text += f". Of {name} it refuses {share(under.refused)}, where {percent(under.expected)} would be as promised"
        text += f" (chance {under.chance:.1g} if nothing had changed)" if under.chance < UNLIKELY else ""
    alarms = [found for found in rows if found.metric == "false_alarms"]
    if alarms:
        worst = max(alarms, key=lambda found: found.value)
        text += f". It refuses known images of {worst.slice.removeprefix('group: ')} most often: {span(worst)}"
    if choice.auroc:
        text += ". The detector was chosen by images made from known ones, not by any unknown set"
    return text + "."


def chosen(choice: Choice) -> tuple[Table, ...]:
    """What the choice went by; empty where the detector was given."""
    if not choice.auroc:
        return ()
    means = {name: float(np.mean(list(each.values()))) for name, each in choice.auroc.items()}
    order = sorted(means, key=lambda name: -means[name])
    kinds = tuple(choice.auroc[order[0]])
    body = tuple(
        (name + (" (used)" if name == choice.name else ""), f"{means[name]:.3f}",
         *(f"{choice.auroc[name][kind]:.3f}" for kind in kinds))
        for name in order
    )  # fmt: skip
    caption = (
        "AUROC of known images against images made from them so as to be unlike them. It chose the detector; it does "
        "not say how well unknown things are told."
    )
    return (Table(id="chosen-detector", title="How the detector was chosen", caption=caption,
                  columns=("detector", "mean", *kinds), rows=body),)  # fmt: skip


def histogram(known: AnyScores, sets: Mapping[str, AnyScores], threshold: float, detector: str) -> Histogram:
    """Scores of known images and of every unknown set, with the threshold."""
    pooled = np.concatenate([known, *sets.values()])
    pooled = pooled[np.isfinite(pooled)]
    low, high = np.quantile(pooled, [TAIL, 1 - TAIL]) if len(pooled) else (threshold, threshold)
    low, high = min(low, threshold), max(high, threshold)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    series = []
    for name, found in {"known": known, **sets}.items():
        counts, _ = np.histogram(np.clip(found, low, high), edges)
        series.append(Counts(name=name, shares=tuple((counts / len(found)).tolist()), n=len(found)))
    return Histogram(
        id="scores",
        title="Scores of known and unknown images",
        caption="Shares of each set. Right of the threshold the predictor abstains. The end bins hold the tails.",
        x_label=f"{detector} score, higher = less known",
        edges=tuple(edges.tolist()),
        series=tuple(series),
        markers=(Marker(axis="x", value=threshold, label="threshold"),),
    )


def tables(rows: list[Row], evidence: Evidence, detected: Detectors) -> tuple[Table, ...]:
    """Every detector on every unknown set."""
    named = {(found.metric, found.slice): found for found in rows}
    order = {
        "auroc": "AUROC",
        "fpr95_known_positive": "FPR95, known positive",
        "fpr95_unknown_positive": "FPR95, unknown positive",
        "aupr_known_positive": "AUPR, known positive",
        "aupr_unknown_positive": "AUPR, unknown positive",
    }
    tables = []
    for place, (name, found) in enumerate(evidence.ood.items()):
        body = []
        shown = [each for each in detected.usable if ("auroc", f"ood: {name}, {each}") in named]
        for detector in sorted(shown, key=lambda each: -named["auroc", f"ood: {name}, {each}"].value):
            cells = [span(named[metric, f"ood: {name}, {detector}"]) for metric in order]
            known = named["auroc", f"ood: {name}, {detector}"].n - len(found)
            body.append((detector + (" (used)" if detector == evidence.detector else ""), f"{known:,}", *cells))
        tables.append(
            Table(
                id=f"detectors-{place + 1}",
                title=f"Detectors on {name}",
                caption="FPR95, known positive: unknown images let in when 95% of known ones are kept. Unknown "
                "positive: known images thrown out when 95% of unknown ones are caught. AUPR depends on the mix of "
                f"known images, here in their column, with {len(found):,} unknown ones. A detector that learns from "
                "known images is judged on others. The order is that of AUROC on this set, which is no way to choose "
                f"one: --detector auto is.{_left_out(detected)}",
                columns=("detector", "known images", *order.values()),
                rows=tuple(body),
            )
        )
    return tuple(tables)


def _left_out(found: Detectors) -> str:
    """The detectors that do not suit, by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in found.left_out.items():
        by_reason.setdefault(reason, []).append(name)
    return "".join(f" Left out: {', '.join(names)} ({reason})." for reason, names in by_reason.items())
