"""The audit with another calibrator, its prediction sets, the comparison of calibrators, and labels still needed."""

from dataclasses import replace

import numpy as np
import pytest

from candid import metrics
from candid.arrays import softmax
from candid.calibrate import ConformalSet
from candid.errors import InputError
from candid.report.content import Row
from candid.types import Estimate, Features, Head
from candid.workflows import calibrators
from candid.workflows.auditing.calibration import calibration
from candid.workflows.auditing.compared import compared
from candid.workflows.auditing.evidence import Evidence, check_calibration
from candid.workflows.auditing.findings import Findings, audit_features
from candid.workflows.auditing.fitted import Fitted, fit_other, fit_temperature, judge_probs
from candid.workflows.auditing.labels import MARGIN, labels_needed, still_needed
from candid.workflows.auditing.part import Part
from candid.workflows.auditing.sets import prediction_sets
from candid.workflows.auditing.verdict import verdict
from candid.workflows.judged import judge

K = 5
CLASSES = tuple("abcde")
LENGTH = 40.0  # of the logits and one number more, so that vectors over it are unit rows
BIAS = np.array([2.5, -2.5, 0.0, 0.0, 0.0])  # what one temperature cannot mend


def evidence_of(
    n: int = 600, *, seed: int = 0, bias: np.ndarray | None = None, temperature: float = 2.0, **changes: object
) -> Evidence:
    """Unit vectors with known logits, and labels drawn from softmax(logits / temperature + bias)."""
    return Evidence(
        **{
            "head": Head(np.eye(K, K + 1, dtype=np.float32), CLASSES, scale=LENGTH),
            "known": features_of(n, seed=seed, bias=bias, temperature=temperature),
            "shift": {"dim": features_of(300, seed=seed + 1000, bias=bias, temperature=4 * temperature)},
            "seed": seed,
            **changes,
        }
    )


def features_of(n: int, *, seed: int, bias: np.ndarray | None, temperature: float) -> Features:
    rng = np.random.default_rng(seed)
    logits = (4 * rng.normal(size=(n, K))).astype(np.float32)
    probs = softmax(logits / temperature + (0 if bias is None else bias))
    labels = (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, K - 1)
    rest = np.sqrt(LENGTH**2 - np.square(logits).sum(axis=1, keepdims=True))
    vectors = (np.concatenate([logits, rest], axis=1) / LENGTH).astype(np.float32)
    return Features(vectors, tuple(map(str, range(n))), "made up", labels, rng.integers(0, 2, n), CLASSES)


def at(found: Findings | Part, metric: str, where: str) -> Row:
    rows = [row for row in found.rows if (row.metric, row.slice) == (metric, where)]
    assert len(rows) == 1, (metric, where)
    return rows[0]


@pytest.fixture(scope="module")
def plain() -> Findings:
    return audit_features(evidence_of(bias=BIAS))


@pytest.fixture(scope="module")
def vector() -> Findings:
    return audit_features(evidence_of(bias=BIAS, calibrator="vector"))


# the calibrator in use


@pytest.mark.parametrize("name", [name for name in calibrators.CALIBRATORS if name != "temperature"])
def test_every_calibrator_is_fitted_on_its_rows_and_judged_on_others(name):
    evidence, fitted = fitted_of(evidence_of(bias=BIAS, calibrator=name))
    logits, truth = evidence.logits[evidence.evaluation], evidence.truth[evidence.evaluation]
    own = calibrators.fit(name, evidence.logits[evidence.fit_rows], evidence.truth[evidence.fit_rows])
    probs = calibrators.probabilities(own, logits)
    found = fitted.judge(logits, truth)
    assert found.nll.mean() == pytest.approx(metrics.nll(probs, truth), abs=1e-9)
    assert found.brier.mean() == pytest.approx(metrics.brier(probs, truth), abs=1e-9)
    assert (found.predicted == probs.argmax(axis=1)).all()
    top, scores = fitted.top_label(logits, truth), fitted.top_scores(logits)
    assert (top.confidence == found.confidence).all()
    assert (scores.confidence == found.confidence).all()
    assert (top.correct == (scores.label == truth)).all()
    assert (fitted.other.name, fitted.rows) == (name, 150)
    assert "-" not in calibrators.spoken(name).replace("per-sample", "").replace("bias-corrected", "")


def test_the_report_names_the_calibrator_and_its_numbers_are_those_of_its_probabilities(vector):
    evidence = evidence_of(bias=BIAS, calibrator="vector")
    truth = evidence.truth[evidence.evaluation]
    probs = vector.fitted.probs(evidence.logits[evidence.evaluation])
    for metric in ("ece", "brier", "nll", "smooth_ece", "adaptive_ece", "classwise_ece"):
        found = at(vector, metric, "calibrated")
        assert found.value == pytest.approx(getattr(metrics, metric)(probs, truth), abs=1e-9)
        assert found.label.endswith("after vector scaling")
    assert at(vector, "accuracy", "calibrated").value == (probs.argmax(axis=1) == truth).mean()
    assert at(vector, "ece_removed", "all").label == "ECE removed by vector scaling"
    for row in vector.rows:
        assert row.low <= row.value <= row.high, row
    assert len({(row.metric, row.slice) for row in vector.rows}) == len(vector.rows)


def test_the_temperature_stays_beside_another_calibrator_as_the_reference(plain, vector):
    assert at(vector, "temperature", "known") == at(plain, "temperature", "known")
    for metric in ("ece", "nll", "brier", "smooth_ece"):
        assert at(vector, metric, "temperature").value == at(plain, metric, "calibrated").value
    gained = at(vector, "nll_below_temperature", "all")
    assert gained.value == pytest.approx(at(vector, "nll", "temperature").value - at(vector, "nll", "calibrated").value)
    assert gained.low > 0  # the labels were made with a bias
    assert at(vector, "accuracy", "calibrated").value > at(plain, "selective_accuracy", "coverage: 100%").value


def test_everything_that_states_a_confidence_uses_the_calibrator(vector):
    evidence = evidence_of(bias=BIAS, calibrator="vector")
    rows, truth = evidence.evaluation, evidence.truth[evidence.evaluation]
    probs = vector.fitted.probs(evidence.logits[rows])
    top = metrics.top_of_probs(probs, truth)
    assert at(vector, "aurc", "all").value == pytest.approx(metrics.aurc(*top))
    assert at(vector, "selective_accuracy", "coverage: 100%").value == top.correct.mean()
    dim = evidence.shift["dim"]
    own = at(vector, "ece", "shift: dim, own calibrator")
    assert own.n == 150
    assert not [row for row in vector.rows if row.slice.endswith("own temperature")]
    assert at(vector, "set_coverage", "shift: dim, calibrated").n == len(dim)
    said = verdict(vector.rows, detector="mcm", calibrator="vector")
    assert "vector scaling takes its calibration error" in said.headline


def test_with_the_temperature_neither_sets_nor_their_absence_change_a_number(plain):
    without = audit_features(evidence_of(bias=BIAS, sets=None))
    numbers = {(row.metric, row.slice): row for row in plain.rows if not row.metric.startswith("set_")}
    assert numbers == {(row.metric, row.slice): row for row in without.rows}
    assert without.sets is None
    assert plain.fitted.other is None


def test_without_sets_another_calibrator_gets_every_calibration_row():
    evidence = evidence_of(calibrator="vector", sets=None)
    assert calibration(evidence)[1].rows == 300  # the report itself, intervals and all
    halves = evidence_of(calibrator="vector")
    assert not set(halves.fit_rows) & set(halves.set_rows)
    assert set(halves.fit_rows) | set(halves.set_rows) == set(halves.calibration)


def separable_at_first(n: int = 400) -> Evidence:
    """Labels that are right wherever the calibrator is fitted and drawn elsewhere: a temperature has an optimum."""
    evidence = evidence_of(n, calibrator="ensemble-temperature")
    labels = evidence.truth.copy()
    for _ in range(20):  # the order depends on the labels, so the rows are looked for again
        first = replace(evidence, known=replace(evidence.known, labels=labels)).fit_rows
        right = evidence.logits[first].argmax(axis=1)
        if (labels[first] == right).all():
            break
        labels[first] = right
    return replace(evidence, known=replace(evidence.known, labels=labels))


def test_a_calibrator_without_an_optimum_is_replaced_by_the_temperature_and_that_is_said():
    evidence = separable_at_first()
    with pytest.raises(InputError):
        calibrators.fit("ensemble-temperature", evidence.logits[evidence.fit_rows], evidence.truth[evidence.fit_rows])
    found = audit_features(evidence)
    assert found.fitted.other is None
    assert found.temperature is not None
    assert any("ensemble temperature scaling could not be fitted" in text for text in found.cannot_say)
    assert any("one temperature is used in its place" in text for text in found.cannot_say)
    said = verdict(found.rows, detector="mcm", calibrator="ensemble-temperature")
    assert any("could not be fitted" in reason.text for reason in said.reasons if reason.level == "caution")
    assert any("Calibrated after one temperature" in reason.rule for reason in said.reasons)
    assert "could not be fitted" in next(each for each in found.sections if each.id == "calibration").answer


@pytest.mark.parametrize(("n", "name"), [(1, "vector"), (19, "spline"), (24, "isotonic"), (40, "vector")])
def test_few_images_fall_back_in_words_and_never_crash(n, name):
    found = audit_features(evidence_of(n, calibrator=name))
    assert (found.fitted.other is None) == (n < 40)
    if n < 40:
        assert any(f"{calibrators.spoken(name)} could not be fitted: {n // 4 if n >= 20 else 0} rows" in text
                   for text in found.cannot_say)  # fmt: skip
    assert all(np.isfinite([row.value, row.low, row.high]).all() for row in found.rows)
    assert all(row.low <= row.value <= row.high for row in found.rows)


def test_without_a_temperature_another_calibrator_may_still_do():
    evidence = evidence_of(calibrator="isotonic")
    perfect = replace(evidence.known, labels=evidence.logits.argmax(axis=1))
    found = audit_features(replace(evidence, known=perfect))
    assert found.temperature is None
    assert found.fitted.other is not None
    assert (
        "No temperature could be fitted beside it"
        in next(each for each in found.sections if each.id == "calibration").answer
    )
    said = verdict(found.rows, detector="mcm", calibrator="isotonic")
    assert "isotonic calibration takes its calibration error" in said.headline


def test_unknown_choices_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean vector"):
        evidence_of(calibrator="vecter")
    with pytest.raises(InputError, match="did you mean lac"):
        check_calibration("vector", coverage=0.9, sets="lca")
    with pytest.raises(InputError, match="did you mean none"):
        check_calibration("vector", coverage=0.9, sets="nome")
    with pytest.raises(InputError, match="between 0 and 1"):
        evidence_of(coverage=90.0)


def test_judging_probabilities_equals_judging_their_logits():
    evidence = evidence_of(50)
    one = judge(evidence.logits, evidence.truth, temperature=1.7)
    two = judge_probs(softmax(evidence.logits, temperature=1.7), evidence.truth)
    for name in ("predicted", "confidence", "correct", "nll", "brier"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), abs=1e-12)
    assert judge_probs(np.array([[1.0, 0.0]]), np.array([1])).nll[0] == np.inf


# prediction sets


@pytest.mark.parametrize("method", ["lac", "aps", "raps", "saps"])
def test_the_sets_are_those_a_reader_would_fit_on_the_same_rows(method):
    evidence = evidence_of(sets=method, coverage=0.8)
    part, sets = prediction_sets(evidence, Fitted(None))
    rows, judges = evidence.calibration, evidence.evaluation
    own = ConformalSet.fit(softmax(evidence.logits[rows]), evidence.truth[rows], 0.8, method)
    inside = own(softmax(evidence.logits[judges]))
    truth = evidence.truth[judges]
    assert (sets.cuts == own.cuts).all()
    assert at(part, "set_coverage", "raw").value == metrics.coverage(inside, truth).value
    assert at(part, "set_size", "raw").value == inside.sum(axis=1).mean()
    assert at(part, "set_single", "raw").value == (inside.sum(axis=1) == 1).mean()
    assert at(part, "set_empty", "raw").value == (~inside.any(axis=1)).mean()
    for place, name in enumerate(CLASSES):
        found, mine = at(part, "set_coverage", f"class: {name}"), truth == place
        assert (found.value, found.n) == (pytest.approx(inside[mine, place].mean()), mine.sum())
    due = at(part, "set_coverage_expected", "raw")
    expected = metrics.expected_coverage(own.n, 0.8, rows=300)
    assert (due.value, due.low, due.high, due.n) == (expected.value, expected.low, expected.high, own.n)


def test_the_sets_of_the_temperature_share_its_rows_and_those_of_others_do_not(plain, vector):
    assert plain.sets.n == 300
    assert vector.sets.n == 150
    evidence = evidence_of(bias=BIAS, calibrator="vector")
    rows = evidence.set_rows
    own = ConformalSet.fit(vector.fitted.probs(evidence.logits[rows]), evidence.truth[rows], 0.9, "lac")
    assert (own.cuts == vector.sets.cuts).all()
    answers = {name: next(each for each in found.sections if each.id == "sets").answer
               for name, found in {"plain": plain, "vector": vector}.items()}  # fmt: skip
    assert "comes from the same rows as the threshold" in answers["plain"]
    assert "so the promise is exact" in answers["vector"]


@pytest.mark.parametrize("name", ["temperature", "vector"])
def test_over_draws_the_sets_hold_the_label_as_often_as_promised(name):
    held = []
    for seed in range(60):
        evidence = evidence_of(200, seed=seed, calibrator=name, shift={})
        _, fitted = calibration_only(evidence)
        part, _ = prediction_sets(evidence, fitted)
        held.append(at(part, "set_coverage", "calibrated").value)
    # 100 or 50 threshold rows and 100 judges a draw: a standard deviation of 0.045 or 0.055
    assert np.mean(held) == pytest.approx(0.9 + 0.5 / (100 if name == "temperature" else 50), abs=0.02)


def calibration_only(evidence: Evidence) -> tuple[Part, Fitted]:
    """What `calibration` fits, without its intervals."""
    logits, labels = evidence.logits, evidence.truth
    fitted = fit_temperature(logits[evidence.calibration], labels[evidence.calibration])
    if evidence.calibrator == "temperature":
        return Part(), fitted
    other = fit_other(evidence.calibrator, logits[evidence.fit_rows], labels[evidence.fit_rows])
    return Part(), replace(fitted, other=other)


def test_a_shift_breaks_the_promise_and_the_report_shows_it(vector):
    held, due = at(vector, "set_coverage", "shift: dim, calibrated"), at(vector, "set_coverage_expected", "calibrated")
    assert held.high < due.value
    said = verdict(vector.rows, detector="mcm", calibrator="vector")
    assert any(
        reason.level == "caution" and "On dim the sets hold the label on" in reason.text for reason in said.reasons
    )
    section = next(each for each in vector.sections if each.id == "sets")
    assert "nothing is promised under a shift" in section.answer
    table = next(each for each in section.figures if each.id == "sets-numbers")
    assert [row[0] for row in table.rows] == [
        f"{rows}, {state}" for rows in ("evaluation rows", "dim") for state in ("as shipped", "after vector scaling")
    ]


@pytest.mark.parametrize(("n", "coverage"), [(10, 0.9), (100, 0.99)])
def test_too_few_rows_for_the_coverage_give_no_sets_and_say_so(n, coverage):
    part, sets = prediction_sets(evidence_of(n, coverage=coverage), Fitted(None))
    assert sets is None
    assert not part.rows
    assert f"at {100 * coverage:.0f}% coverage: it takes {metrics.conformal_rows(coverage)}" in part.cannot_say[0]


def test_without_labels_there_are_no_sets():
    evidence = evidence_of(100)
    found = audit_features(replace(evidence, known=replace(evidence.known, labels=None)))
    assert found.sets is None
    assert any("Which labels an image could have" in text for text in found.cannot_say)


# would another calibrator have done better


def test_the_comparison_judges_all_on_the_same_rows_and_agrees_with_the_report(vector):
    for metric in ("ece", "nll", "accuracy"):
        assert at(vector, metric, "calibrator: vector").value == pytest.approx(at(vector, metric, "calibrated").value)
    assert {row.slice for row in vector.rows if row.slice.startswith("calibrator: ")} == {
        f"calibrator: {name}" for name in calibrators.CALIBRATORS
    }
    table = next(each for each in vector.sections if each.id == "calibrators").figures[0]
    assert table.rows[0][0] == "vector (in use)"


def test_a_calibrator_that_is_needed_is_recommended_and_one_that_is_not_is_not():
    needed = compared(*fitted_of(evidence_of(1000, bias=BIAS))).sections[0].answer
    assert "try --calibrator" in needed
    assert "would flatter" in needed
    fine = compared(*fitted_of(evidence_of(1000))).sections[0].answer
    assert "no reason to change" in fine or "the one in use, one temperature, is the best" in fine


def fitted_of(evidence: Evidence) -> tuple[Evidence, Fitted]:
    return evidence, calibration_only(evidence)[1]


def test_the_rows_held_out_in_turn_miss_no_class_of_evenly_spread_ones():
    """Every class of 8 rows in 160 lies 20 apart in the stratified order: every fourth row would hold whole classes."""
    k = 20
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(k), 16)
    logits = (rng.normal(size=(len(labels), k)) + 3 * np.eye(k)[labels]).astype(np.float32)
    known = Features(logits, tuple(map(str, labels)), "made up", labels)
    evidence = Evidence(head=Head(np.eye(k, dtype=np.float32), tuple(map(str, range(k)))), known=known)
    part = compared(*fitted_of(evidence))
    held_out = next(row for row in part.sections[0].figures[0].rows if row[0] == "vector")[4]
    assert float(held_out.split(" ")[0]) == pytest.approx(at(part, "nll", "calibrator: vector").value, abs=0.15)


def test_calibrators_of_every_pair_of_classes_are_left_out_where_classes_are_many():
    k = 301
    rng = np.random.default_rng(0)
    labels = rng.integers(0, k, 60)
    logits = (rng.normal(size=(60, k)) + 6 * np.eye(k)[labels]).astype(np.float32)
    known = Features(logits, tuple(map(str, range(60))), "made up", labels)
    evidence = Evidence(head=Head(np.eye(k, dtype=np.float32), tuple(map(str, range(k)))), known=known)
    part = compared(*fitted_of(evidence))
    tried = {row[0].removesuffix(" (in use)") for row in part.sections[0].figures[0].rows}
    wide = calibrators.SQUARE & set(calibrators.CALIBRATORS)
    assert tried == set(calibrators.CALIBRATORS) - wide
    assert ("Left out" in part.sections[0].answer) == bool(wide)


def test_too_few_rows_are_not_compared():
    part = compared(*fitted_of(evidence_of(30)))
    assert not part.rows
    assert "15 rows to fit on do not show it" in part.cannot_say[0]


# labels still needed

FLOOR = Estimate(0.02, 0.01, 0.03, 300)
STEPS = [10, 20, 40, 80]


def curve(*means: float, spread: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(len(means), 20))
    return np.array(means)[:, None] + spread * (noise - noise.mean(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("means", "used", "value"),
    [
        ((0.20, 0.10, 0.06, 0.055), 80, 0),  # flat above the floor: more labels would not help
        ((0.20, 0.15, 0.10, 0.028), 80, 0),  # falling, but no more than a calibrated model shows
        ((0.20, 0.15, 0.10, 0.060), 80, 80),  # still falling: as many again, and look
        ((0.20, 0.10, 0.06, 0.055), 20, 20),  # 40 are within the margin of the end, 20 are in use
        ((0.20, 0.10, 0.06, 0.055), 40, 0),
        ((0.03, 0.03, 0.03, 0.080), 80, 0),  # rising: more labels do not help either
    ],
)
def test_labels_still_needed_are_read_off_the_curve(means, used, value):
    (row,), missing = still_needed(curve(*means), STEPS, used, FLOOR, 0)
    assert (row.value, row.low, row.high, row.n) == (value, value, value, 80)
    assert missing == ()
    assert ("more than the 80 tried" in row.label) == (value == 80)


def test_draws_that_disagree_widen_the_interval():
    (row,), _ = still_needed(curve(0.2, 0.15, 0.0705, 0.060, spread=0.02), STEPS, 80, FLOOR, 0)
    assert (row.low, row.high) == (0, 80)


def test_a_curve_without_a_half_cannot_say():
    rows, missing = still_needed(curve(0.1, 0.1), [10, 12], 12, FLOOR, 0)
    assert rows == []
    assert "from 10 to 12 labels is too short" in missing[0]


def test_the_gain_is_counted_by_doubling():
    """From 10 to 80 are three doublings: 0.027 less is 0.009 each, within the margin."""
    assert MARGIN == 0.01
    (row,), _ = still_needed(curve(0.127, 0.100), [10, 80], 80, FLOOR, 0)
    assert row.value == 0
    (row,), _ = still_needed(curve(0.133, 0.100), [10, 80], 80, FLOOR, 0)
    assert row.value == 80


@pytest.mark.parametrize(
    ("n", "calibrator", "words"),
    [(3000, "temperature", "No more labels are needed"), (44, "temperature", "label")],
)
def test_the_report_says_it_in_plain_words(n, calibrator, words):
    evidence = evidence_of(n, calibrator=calibrator)
    part = labels_needed(*fitted_of(evidence))
    assert words in part.sections[0].answer
    assert at(part, "labels_still_needed", "known").n == n // 2


def test_the_curve_of_another_calibrator_is_its_own_and_passes_through_the_reports_number(vector):
    evidence = evidence_of(bias=BIAS, calibrator="vector")
    steps = [row.n for row in vector.rows if row.metric == "ece_by_labels"]
    assert steps == [10, 20, 40, 50, 100, 150, 200, 300]
    everything = calibrators.fit("vector", evidence.logits[evidence.calibration], evidence.truth[evidence.calibration])
    probs = calibrators.probabilities(everything, evidence.logits[evidence.evaluation])
    assert at(vector, "ece_by_labels", "labels: 300").value == pytest.approx(
        metrics.ece(probs, evidence.truth[evidence.evaluation])
    )
    assert "150 were used" in next(each for each in vector.sections if each.id == "labels").answer
    assert at(vector, "labels_needed", "known").label == "labels the vector scaling needed"
