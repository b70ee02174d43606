"""What one question of the audit contributes to the report, and how a number becomes a row of it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from candid.report.content import Bar, Better, Row, Section, Unit
from candid.report.wording import number, with_interval
from candid.types import Estimate

__all__ = ["NUMBERS", "Number", "Part", "bar", "percent", "row", "share", "span"]


@dataclass(frozen=True)
class Part:
    """Rows of numbers, the sections that show them, and the questions that stay open."""

    rows: tuple[Row, ...] = ()
    sections: tuple[Section, ...] = ()
    cannot_say: tuple[str, ...] = field(default=())


class Number(NamedTuple):
    """A number in plain words, how it is printed, and which way is better."""

    label: str
    unit: Unit
    better: Better


NUMBERS: dict[str, Number] = {
    "accuracy": Number("right", "percent", "higher"),
    "accuracy_gained": Number("accuracy gained over zero-shot", "percent", "higher"),
    "accuracy_spread": Number("accuracy, best minus worst wording", "percent", "lower"),
    "adaptive_ece": Number("calibration error, bins of equal count", "number", "lower"),
    "alpha_precision": Number("alpha-precision", "number", "higher"),
    "attribute_read": Number("group read from the features by a probe", "percent", "neither"),
    "aupr_known_positive": Number("AUPR, known positive", "percent", "higher"),
    "aupr_unknown_positive": Number("AUPR, unknown positive", "percent", "higher"),
    "aurc": Number("area under the risk-coverage curve", "number", "lower"),
    "auroc": Number("AUROC, unknown against known", "percent", "higher"),
    "authentic": Number("authentic fakes", "percent", "neither"),
    "balanced_probe": Number("right by a probe balanced over groups", "percent", "higher"),
    "balanced_probe_gain": Number("right by that probe, gained", "percent", "neither"),
    "beta_recall": Number("beta-recall", "number", "higher"),
    "brier": Number("Brier score", "number", "lower"),
    "calibrated_p_precision": Number("calibrated P-precision", "number", "higher"),
    "calibrated_p_recall": Number("calibrated P-recall", "number", "higher"),
    "classwise_ece": Number("calibration error, mean over classes", "number", "lower"),
    "clipped_coverage": Number("clipped coverage", "number", "higher"),
    "clipped_density": Number("clipped density", "number", "higher"),
    "cmmd": Number("CMMD", "number", "lower"),
    "confidence": Number("mean stated confidence", "percent", "neither"),
    "copies": Number("exact copies of reals", "percent", "lower"),
    "coverage": Number("coverage", "percent", "higher"),
    "density": Number("density", "number", "higher"),
    "ece": Number("calibration error (ECE)", "number", "lower"),
    "ece_by_labels": Number("ECE by labels used", "number", "lower"),
    "ece_if_calibrated": Number("ECE an exactly calibrated model would show", "number", "neither"),
    "ece_removed": Number("ECE removed by the temperature", "number", "higher"),
    "ece_spread": Number("ECE, worst minus best wording", "number", "lower"),
    "ece_with_temperature_of": Number("ECE with a temperature from", "number", "lower"),
    "false_alarms": Number("known images refused", "percent", "lower"),
    "fpr95_known_positive": Number("unknown let in when 95% of known are kept", "percent", "lower"),
    "fpr95_unknown_positive": Number("known thrown out when 95% of unknown are caught", "percent", "lower"),
    "frechet": Number("Frechet distance", "number", "lower"),
    "frechet_extrapolated": Number("Frechet distance, extrapolated", "number", "lower"),
    "gap_within_class": Number("right, better group less worse one of a class", "percent", "lower"),
    "group_mean_accuracy": Number("right, mean over groups", "percent", "higher"),
    "kept": Number("known images the threshold keeps", "percent", "higher"),
    "kernel_distance": Number("kernel distance (KID), unbiased", "number", "lower"),
    "labels_needed": Number("labels the temperature needed", "number", "lower"),
    "labels_still_needed": Number("labels still needed", "number", "lower"),
    "let_in": Number("unknown images the threshold lets in", "percent", "lower"),
    "majority_share": Number("share of the most common class", "percent", "neither"),
    "nll": Number("negative log-likelihood", "number", "lower"),
    "nll_below_temperature": Number("log-likelihood gained over one temperature", "number", "higher"),
    "nll_removed": Number("log-likelihood gained over zero-shot", "number", "higher"),
    "own_probability": Number("mean sigmoid probability of the answer", "percent", "neither"),
    "p_precision": Number("P-precision", "number", "higher"),
    "p_recall": Number("P-recall", "number", "higher"),
    "precision": Number("improved precision", "percent", "higher"),
    "precision_cover": Number("precision cover", "percent", "higher"),
    "pseudo_label_accuracy": Number("pseudo-labels that are right", "percent", "higher"),
    "pseudo_label_coverage": Number("images predicted as their own class", "percent", "higher"),
    "realistic": Number("realism of 1 or more", "percent", "higher"),
    "recall": Number("improved recall", "percent", "higher"),
    "recall_cover": Number("recall cover", "percent", "higher"),
    "repeats": Number("fakes with the vector of another fake", "percent", "lower"),
    "saturation": Number("pairs within the P-precision radius", "percent", "lower"),
    "seconds": Number("seconds an image takes", "number", "lower"),
    "selective_accuracy": Number("right among the surest", "percent", "higher"),
    "set_coverage": Number("sets that hold the right label", "percent", "higher"),
    "set_coverage_expected": Number("sets that should hold it", "percent", "neither"),
    "set_empty": Number("empty sets", "percent", "lower"),
    "set_single": Number("sets of one label", "percent", "higher"),
    "set_single_right": Number("right among sets of one label", "percent", "higher"),
    "set_size": Number("labels a set", "number", "lower"),
    "smooth_ece": Number("smooth calibration error", "number", "lower"),
    "symmetric_precision": Number("symmetric precision", "percent", "higher"),
    "symmetric_recall": Number("symmetric recall", "percent", "higher"),
    "temperature": Number("temperature T", "number", "neither"),
    "unreadable": Number("files that could not be used", "percent", "lower"),
    "vendi": Number("Vendi score", "number", "neither"),
    "worst_group_accuracy": Number("right in the worst group", "percent", "higher"),
    "worst_group_apart": Number("right in the worst group, picked on other rows", "percent", "higher"),
    "worst_group_gained": Number("right in the worst group, gained", "percent", "higher"),
    "wrong_labels": Number("labels that are probably wrong", "percent", "lower"),
}


def row(metric: str, where: str, estimate: Estimate, *, key: bool = False, label: str = "") -> Row:
    """The estimate as a report row; `key` rows head the report, `label` replaces the metric's own plain words.

    >>> row("accuracy", "all", Estimate(0.5, 0.4, 0.6, 100)).label
    'right'
    """
    words, unit, better = NUMBERS[metric]
    value, low, high, n = estimate.value, estimate.low, estimate.high, estimate.n
    return Row(
        metric=metric,
        slice=where,
        value=value,
        low=low,
        high=high,
        n=n,
        better=better,
        label=label or words,
        unit=unit,
        key=key,
    )


def bar(label: str, estimate: Estimate) -> Bar:
    """The estimate as one bar of a chart."""
    return Bar(label=label, value=estimate.value, low=estimate.low, high=estimate.high, n=estimate.n)


def percent(value: float) -> str:
    """A share as people read it.

    >>> percent(0.0834)
    '8.3%'
    """
    return number(value, "percent")


def span(found: Row | Estimate) -> str:
    """Value with interval; a row is printed in its own unit.

    >>> span(Estimate(1.5, 1.41, 1.62, 100))
    '1.50 (1.41 to 1.62)'
    """
    return with_interval(found.value, found.low, found.high, found.unit if isinstance(found, Row) else "number")


def share(found: Estimate) -> str:
    """A share with interval.

    >>> share(Estimate(0.62, 0.601, 0.639, 100))
    '62.0% (60.1% to 63.9%)'
    """
    return with_interval(found.value, found.low, found.high, "percent")
