"""The verdict's rules on rows written by hand, one side and the other of every threshold."""

import pytest

from candid.report.content import Row
from candid.types import Estimate
from candid.workflows.auditing.part import row
from candid.workflows.auditing.verdict import ORDER, RULES, verdict

GOOD = {
    ("accuracy", "all"): (0.80, 0.78, 0.82),
    ("majority_share", "all"): (0.20, 0.18, 0.22),
    ("confidence", "raw"): (0.90, 0.89, 0.91),
    ("ece", "raw"): (0.02, 0.01, 0.03),
    ("ece_if_calibrated", "raw"): (0.02, 0.01, 0.03),
    ("ece", "calibrated"): (0.02, 0.01, 0.03),
    ("ece_if_calibrated", "calibrated"): (0.02, 0.01, 0.03),
    ("temperature", "known"): (1.5, 1.4, 1.6),
    ("ece", "shift: dim, own temperature"): (0.02, 0.01, 0.03),
    ("ece_if_calibrated", "shift: dim, own temperature"): (0.02, 0.01, 0.03),
    ("labels_still_needed", "known"): (0.0, 0.0, 0.0),
    ("set_coverage", "calibrated"): (0.90, 0.88, 0.92),
    ("set_coverage_expected", "calibrated"): (0.901, 0.87, 0.93),
    ("set_coverage", "shift: dim, calibrated"): (0.89, 0.87, 0.91),
    ("worst_group_accuracy", "group: night"): (0.78, 0.75, 0.81),
    ("gap_within_class", "cat, night"): (0.02, -0.03, 0.07),
    ("fpr95_known_positive", "ood: noise, mcm"): (0.05, 0.03, 0.07),
    ("let_in", "ood: noise"): (0.06, 0.03, 0.09),
    ("accuracy_spread", "templates"): (0.02, 0.01, 0.03),
    ("unreadable", "all inputs"): (0.0, 0.0, 0.01),
}


def rows(changes: dict[tuple[str, str], tuple[float, float, float] | None] | None = None, n: int = 1000) -> list[Row]:
    kept = {key: value for key, value in {**GOOD, **(changes or {})}.items() if value is not None}
    return [row(metric, where, Estimate(*value, n)) for (metric, where), value in kept.items()]


def level(changes: dict, n: int = 1000) -> str:
    return verdict(rows(changes, n), detector="mcm").level


def test_all_good_rows_give_a_good_verdict_with_every_rule_stated():
    said = verdict(rows(), detector="mcm")
    assert said.level == "good"
    assert len(said.reasons) == len(RULES) + 1
    assert {reason.level for reason in said.reasons} == {"good"}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (("accuracy", "all"), (0.52, 0.49, 0.55), "caution"),  # cannot exclude wrong more often than right
        (("accuracy", "all"), (0.21, 0.18, 0.24), "bad"),  # not above the most common class
        (("ece", "raw"), (0.20, 0.18, 0.22), "caution"),  # mendable, so never bad
        (("ece", "calibrated"), (0.029, 0.01, 0.04), "good"),
        (("ece", "calibrated"), (0.05, 0.04, 0.06), "caution"),
        (("ece", "calibrated"), (0.09, 0.08, 0.10), "bad"),
        (("temperature", "known"), (1.5, 1.1, 1.8), "caution"),
        (("temperature", "known"), None, "caution"),
        (("ece", "shift: dim, own temperature"), (0.07, 0.06, 0.08), "caution"),
        (("ece", "shift: dim, own temperature"), (0.12, 0.10, 0.14), "bad"),
        (("labels_still_needed", "known"), (60.0, 0.0, 160.0), "caution"),
        (("labels_still_needed", "known"), (1000.0, 0.0, 1000.0), "caution"),  # as many as were tried: more than those
        (("labels_still_needed", "known"), None, "good"),
        (("set_coverage", "calibrated"), (0.871, 0.85, 0.89), "good"),  # within the range of exact sets
        (("set_coverage", "calibrated"), (0.86, 0.84, 0.88), "caution"),
        (
            ("set_coverage", "shift: dim, calibrated"),
            (0.80, 0.78, 0.82),
            "caution",
        ),  # never worse: a shift is no promise
        (("worst_group_accuracy", "group: night"), (0.70, 0.68, 0.72), "caution"),
        (("worst_group_accuracy", "group: night"), (0.60, 0.40, 0.81), "good"),  # its interval reaches the overall
        (("worst_group_accuracy", "group: night"), (0.60, 0.58, 0.62), "bad"),
        (("fpr95_known_positive", "ood: noise, mcm"), (0.30, 0.28, 0.32), "caution"),
        (("fpr95_known_positive", "ood: noise, mcm"), (0.51, 0.48, 0.54), "bad"),
        (("fpr95_known_positive", "ood: noise, mcm"), None, "good"),  # not asked, silent
        (("accuracy_spread", "templates"), (0.06, 0.05, 0.07), "caution"),
        (("unreadable", "all inputs"), (0.01, 0.0, 0.02), "caution"),
        (("unreadable", "all inputs"), (0.06, 0.05, 0.07), "bad"),
    ],
)
def test_each_rule_moves_the_verdict(key, value, expected):
    assert level({key: value}) == expected


def test_an_ece_is_good_where_a_calibrated_model_would_show_as_much_unless_the_rows_are_too_few_to_tell():
    null = {("ece_if_calibrated", "calibrated"): (0.08, 0.05, 0.12)}
    assert level({("ece", "calibrated"): (0.07, 0.02, 0.12), **null}) == "good"
    assert level({("ece", "calibrated"): (0.10, 0.05, 0.15), **null}) == "caution"


def test_a_curve_that_still_falls_is_said_to_need_more_than_was_tried():
    said = verdict(rows({("labels_still_needed", "known"): (1000.0, 0.0, 1000.0)}), detector="mcm")
    assert any("more than 1,000 are needed" in reason.text for reason in said.reasons)


OTHER = {
    ("temperature", "known"): (1.5, 1.0, 2.0),  # the reference, not in use
    ("accuracy", "calibrated"): (0.81, 0.79, 0.83),
    ("nll_below_temperature", "all"): (0.02, 0.01, 0.03),
    ("ece", "shift: dim, own temperature"): None,
    ("ece_if_calibrated", "shift: dim, own temperature"): None,
    ("ece", "shift: dim, own calibrator"): (0.02, 0.01, 0.03),
    ("ece_if_calibrated", "shift: dim, own calibrator"): (0.02, 0.01, 0.03),
}


def test_the_rules_speak_of_the_calibrator_in_use():
    said = verdict(rows(OTHER), detector="mcm", calibrator="vector")
    assert said.level == "good"
    text = " ".join(reason.rule for reason in said.reasons)
    assert "Calibrated after vector scaling" in text
    assert "temperature is known" not in text  # it is not in use
    assert "vector scaling takes its calibration error from 0.020 to 0.020" in said.headline
    assert "T =" not in said.headline
    assert any("gains 0.020 (0.010 to 0.030) nats" in reason.text for reason in said.reasons)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({("nll_below_temperature", "all"): (-0.2, -0.3, -0.1)}, "gains −0.20"),
        ({("ece", "shift: dim, own calibrator"): (0.07, 0.06, 0.08)}, "On dim ECE 0.070"),
        ({("accuracy", "calibrated"): None, ("nll_below_temperature", "all"): None}, "could not be fitted"),
    ],
)
def test_another_calibrator_that_is_worse_or_could_not_be_fitted_is_a_reason_for_caution(changes, text):
    said = verdict(rows({**OTHER, **changes}), detector="mcm", calibrator="vector")
    assert said.level == "caution"
    assert any(reason.level == "caution" and text in reason.text for reason in said.reasons)


def test_few_rows_are_a_reason_for_caution():
    assert level({}, n=150) == "caution"


def test_the_worst_of_several_sets_decides():
    worse = {("fpr95_known_positive", "ood: cells, mcm"): (0.60, 0.55, 0.65), ("let_in", "ood: cells"): (0.6, 0.5, 0.7)}
    said = verdict(rows(worse), detector="mcm")
    assert said.level == "bad"
    assert "cells" in said.reasons[0].text
    assert said.headline.endswith("it lets in 60.0% (cells).")


def test_only_the_detector_in_use_counts():
    other = {("fpr95_known_positive", "ood: noise, energy"): (0.99, 0.98, 1.0)}
    assert level(other) == "good"


def test_reasons_come_worst_first_and_the_verdict_is_the_first():
    said = verdict(
        rows({("ece", "calibrated"): (0.2, 0.1, 0.3), ("accuracy_spread", "templates"): (0.2, 0.1, 0.3)}),
        detector="mcm",
    )
    levels = [ORDER.index(reason.level) for reason in said.reasons]
    assert levels == sorted(levels, reverse=True)
    assert said.reasons[0].level == said.level == "bad"


def test_the_headline_is_a_sentence_with_the_numbers():
    assert verdict(rows({("ece", "raw"): (0.10, 0.09, 0.11)}), detector="mcm").headline == (
        "It is right on 80.0% (78.0% to 82.0%) of 1,000 images and says it is 90.0% sure; one temperature "
        "(T = 1.50) takes its calibration error from 0.100 to 0.020; of images it does not know it lets in 6.0% "
        "(noise)."
    )


def test_without_labels_the_verdict_is_that_it_cannot_say():
    said = verdict(
        [
            row("unreadable", "all inputs", Estimate(0.0, 0.0, 0.1, 50)),
            row("kept", "known", Estimate(0.9, 0.8, 1.0, 25)),
        ],
        detector="mcm",
    )
    assert said.level == "unknown"
    assert said.headline.startswith("Without labels")


def test_over_and_under_confidence_are_told_apart():
    over = verdict(rows({("ece", "raw"): (0.1, 0.09, 0.11)}), detector="mcm")
    under = verdict(rows({("ece", "raw"): (0.1, 0.09, 0.11), ("confidence", "raw"): (0.7, 0.69, 0.71)}), detector="mcm")
    assert any("over-confident" in reason.text for reason in over.reasons)
    assert any("under-confident" in reason.text for reason in under.reasons)
