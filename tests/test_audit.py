"""The audit's arithmetic on made-up features whose truth is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from candid import detect, metrics
from candid.arrays import softmax
from candid.calibrate import Temperature
from candid.errors import InputError, NoOptimum
from candid.report.content import Row, Section
from candid.types import Features, Head
from candid.workflows.auditing import resampled
from candid.workflows.auditing.abstaining import own_probability
from candid.workflows.auditing.calibration import calibration, fit_temperature, null_ece
from candid.workflows.auditing.detection import detection
from candid.workflows.auditing.evidence import Evidence, LabelledSet, align
from candid.workflows.auditing.findings import Findings, audit_features
from candid.workflows.auditing.labels import ece_at, sizes
from candid.workflows.auditing.part import NUMBERS, Part
from candid.workflows.auditing.shift import shift
from candid.workflows.auditing.split import stratified_order
from candid.workflows.auditing.verdict import verdict
from candid.workflows.detectors import DETECTORS
from candid.workflows.judged import judge

TRUE_TEMPERATURE = 2.0
CLASSES = tuple("abcdefgh")


def make_head(k: int = 8, d: int = 16, scale: float = 20.0) -> Head:
    directions = np.linalg.qr(np.random.default_rng(7).normal(size=(d, d)))[0][:k]
    return Head(directions.astype(np.float32), CLASSES[:k], scale=scale)


def make_features(
    head: Head, n: int, *, seed: int, temperature: float = TRUE_TEMPERATURE, spread: float = 0.35, name: str = "x"
) -> Features:
    """Vectors around the class directions, with labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    around = head.weights[rng.integers(0, len(head.classes), n)]
    vectors = around + spread * rng.normal(size=around.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    probs = softmax(head(vectors), temperature=temperature)
    labels = (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, len(head.classes) - 1)
    groups = rng.integers(0, 2, n)
    return Features(
        vectors,
        tuple(f"{name}{i}" for i in range(n)),
        "made up",
        labels,
        groups,
        head.classes,
        ("day", "night", "dawn"),
    )


def unknown_features(n: int, d: int = 16, *, seed: int = 5) -> Features:
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return Features(vectors, tuple(f"o{i}" for i in range(n)), "made up")


def make_evidence(n: int = 3000, **changes: object) -> Evidence:
    head = make_head()
    other = Head(head.weights[:5], tuple("vwxyz"), scale=head.scale)
    twisted = make_head()
    noise = 0.15 * np.random.default_rng(3).normal(size=twisted.weights.shape)
    twisted = replace(twisted, weights=(twisted.weights + noise).astype(np.float32))
    return Evidence(
        **{
            "head": head,
            "known": make_features(head, n, seed=0),
            "ood": {"noise": unknown_features(800)},
            "shift": {"dim": make_features(head, 1200, seed=1, spread=0.5, temperature=3.0)},
            "transfer": {"other": LabelledSet(make_features(other, 1000, seed=2), other)},
            "templates": {"a {}.": head, "the {}?": twisted},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return make_evidence()


@pytest.fixture(scope="module")
def findings(evidence: Evidence) -> Findings:
    return audit_features(evidence)


def at(findings: Findings | Part, metric: str, where: str) -> Row:
    found = [row for row in findings.rows if (row.metric, row.slice) == (metric, where)]
    assert len(found) == 1, (metric, where, [row.slice for row in findings.rows if row.metric == metric])
    return found[0]


def section(findings: Findings, name: str) -> Section:
    return next(each for each in findings.sections if each.id == name)


# the split


def test_every_prefix_holds_the_classes_in_their_shares():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = stratified_order(1000, labels, seed=3)
    assert sorted(order.tolist()) == list(range(1000))
    for size in (10, 50, 500, 990):
        counts = np.bincount(labels[order[:size]], minlength=3)
        assert np.abs(counts - size * np.array([0.6, 0.3, 0.1])).max() <= 1.5


def test_the_split_is_a_function_of_the_seed():
    labels = np.arange(100) % 7
    first = stratified_order(100, labels, seed=1)
    assert (first == stratified_order(100, labels, seed=1)).all()
    assert (first != stratified_order(100, labels, seed=2)).any()


def test_calibration_and_evaluation_rows_never_meet(evidence):
    assert not set(evidence.calibration) & set(evidence.evaluation)
    assert len(evidence.calibration) + len(evidence.evaluation) == len(evidence.known)
    assert not set(evidence.threshold_rows) & set(evidence.threshold_judges)


def test_labels_says_how_many_rows_may_fit():
    assert len(make_evidence(labels=40).calibration) == 40
    assert len(make_evidence(labels=40).threshold_rows) == 1500  # the threshold needs no labels
    with pytest.raises(InputError, match="expected 0 to 2990, got 2995"):
        make_evidence(labels=2995)


# one bootstrap for everything


@pytest.fixture(scope="module")
def judged_rows():
    rng = np.random.default_rng(4)
    logits = 2 * rng.normal(size=(700, 6))
    labels = (softmax(logits, temperature=1.5).cumsum(axis=1) < rng.random((700, 1))).sum(axis=1).clip(0, 5)
    return logits, labels


def test_resampled_statistics_equal_the_metrics_when_nothing_is_resampled(judged_rows):
    logits, labels = judged_rows
    probs = softmax(logits)
    found = judge(logits, labels)
    top = (found.confidence, found.correct)
    everything = np.arange(len(labels))[None]
    pairs = [
        (resampled.ece_of(*top), metrics.ece(probs, labels)),
        (resampled.adaptive_ece_of(*top), metrics.adaptive_ece(probs, labels)),
        (resampled.classwise_ece_of(probs, labels), metrics.classwise_ece(probs, labels)),
        (resampled.mean_of(found.nll), metrics.nll(probs, labels)),
        (resampled.mean_of(found.brier), metrics.brier(probs, labels)),
        (resampled.aurc_of(*top), metrics.aurc(*top)),
    ]
    for statistic, value in pairs:
        assert statistic(everything)[0] == pytest.approx(value, abs=1e-12)


def test_a_resample_gives_the_metric_of_the_resampled_rows(judged_rows):
    logits, labels = judged_rows
    probs = softmax(logits)
    rows = next(iter(resampled.resamples(len(labels), seed=9, count=3)))
    found = judge(logits, labels)
    for sample, ece, adaptive, classwise in zip(
        rows,
        resampled.ece_of(found.confidence, found.correct)(rows),
        resampled.adaptive_ece_of(found.confidence, found.correct)(rows),
        resampled.classwise_ece_of(probs, labels)(rows),
        strict=True,
    ):
        assert ece == pytest.approx(metrics.ece(probs[sample], labels[sample]), abs=1e-12)
        assert adaptive == pytest.approx(metrics.adaptive_ece(probs[sample], labels[sample]), abs=2e-3)  # order of ties
        assert classwise == pytest.approx(metrics.classwise_ece(probs[sample], labels[sample]), abs=1e-12)


def test_blocks_of_resamples_do_not_change_the_draws():
    whole = np.concatenate(list(resampled.resamples(50, seed=1, count=20)))
    blocks = list(resampled.resamples(50, seed=1, count=20, block=200))
    assert len(blocks) == 5
    assert (np.concatenate(blocks) == whole).all()


def test_the_interval_of_an_ece_contains_it_and_the_plain_percentiles_often_do_not():
    outside = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        confidence = rng.uniform(0.3, 1, 300)
        statistic = resampled.ece_of(confidence, rng.random(300) < confidence)
        found = resampled.bootstrap_rows(statistic, 300, seed=seed)
        assert found.low <= found.value <= found.high
        draws = np.concatenate([statistic(rows) for rows in resampled.resamples(300, seed=seed)])
        outside += found.value < np.quantile(draws, 0.025)
    assert outside >= 3  # why the interval is shifted


def test_the_interval_of_a_mean_covers_the_truth_about_95_times_in_100():
    covered = 0
    for seed in range(200):
        values = np.random.default_rng(seed).exponential(size=200)
        found = resampled.bootstrap_rows(resampled.mean_of(values), 200, seed=seed)
        covered += found.low <= 1.0 <= found.high
    assert 180 <= covered <= 198


# what the audit says


def test_recovers_the_temperature_that_made_the_labels(findings):
    found = at(findings, "temperature", "known")
    assert found.low < TRUE_TEMPERATURE < found.high
    assert found.n == 1500
    assert findings.temperature is not None
    assert findings.temperature.value == found.value


def test_one_temperature_mends_a_model_that_only_lacks_one(findings):
    raw, mended = at(findings, "ece", "raw"), at(findings, "ece", "calibrated")
    assert raw.value > 0.06
    assert mended.value <= at(findings, "ece_if_calibrated", "calibrated").high
    removed = at(findings, "ece_removed", "all")
    assert removed.value == pytest.approx(raw.value - mended.value)
    assert removed.low > 0


def test_numbers_after_the_temperature_come_from_rows_it_has_not_seen(evidence, findings):
    rows = evidence.evaluation
    probs = softmax(evidence.logits[rows], temperature=findings.temperature.value)
    for name in ("ece", "smooth_ece", "adaptive_ece", "classwise_ece", "nll", "brier"):
        found = at(findings, name, "calibrated")
        assert found.value == pytest.approx(getattr(metrics, name)(probs, evidence.truth[rows]), abs=1e-9)
        assert found.n == 1500


def test_the_null_is_what_a_calibrated_model_shows():
    rng = np.random.default_rng(0)
    found = []
    for seed in range(40):
        logits = 2 * np.random.default_rng(seed).normal(size=(500, 4))
        labels = (softmax(logits).cumsum(axis=1) < rng.random((500, 1))).sum(axis=1).clip(0, 3)
        found.append((judge(logits, labels), metrics.ece(softmax(logits), labels)))
    inside = [null_ece(rows, seed=1).low <= value <= null_ece(rows, seed=1).high for rows, value in found]
    assert sum(inside) >= 34


def test_accuracy_per_class_and_group_counts_what_is_there(evidence, findings):
    correct = evidence.logits.argmax(axis=1) == evidence.truth
    assert at(findings, "accuracy", "all").value == pytest.approx(correct.mean())
    for i, name in enumerate(CLASSES):
        found = at(findings, "accuracy", f"class: {name}")
        assert (found.value, found.n) == (
            pytest.approx(correct[evidence.truth == i].mean()),
            (evidence.truth == i).sum(),
        )
    night = correct[evidence.known.groups == 1]
    assert at(findings, "accuracy", "group: night").value == pytest.approx(night.mean())
    assert not [row for row in findings.rows if row.slice == "group: dawn"]  # no images, so no number
    assert "dawn" in section(findings, "groups").answer


def test_the_worst_group_is_named():
    evidence = make_evidence(800)
    labels = evidence.truth.copy()
    night = evidence.known.groups == 1
    labels[night] = (labels[night] + 1) % 8  # the model is now wrong at night
    found = audit_features(replace(evidence, known=replace(evidence.known, labels=labels)))
    assert [row.slice for row in found.rows if row.metric == "worst_group_accuracy"] == ["group: night"]
    reasons = verdict(found.rows, detector="mcm").reasons
    assert any(reason.level == "bad" and "night" in reason.text for reason in reasons)


def test_an_absent_class_is_absent_not_zero():
    evidence = make_evidence(900)
    keep = evidence.truth != 2
    known = evidence.known
    some = replace(
        known,
        vectors=known.vectors[keep],
        ids=tuple(np.array(known.ids)[keep]),
        labels=known.labels[keep],
        groups=known.groups[keep],
    )
    found = audit_features(replace(evidence, known=some))
    assert not [row for row in found.rows if row.slice == "class: c"]
    assert "No images of: c" in section(found, "accuracy").answer


def test_confusions_count_what_is_taken_for_what(evidence, findings):
    predicted = evidence.logits.argmax(axis=1)
    table = next(each for each in section(findings, "accuracy").figures if each.id == "confusions")
    truth, answer, count, size, _ = table.rows[0]
    places = (evidence.truth == CLASSES.index(truth)) & (predicted == CLASSES.index(answer))
    assert truth != answer
    assert (count, size) == (places.sum(), (evidence.truth == CLASSES.index(truth)).sum())
    assert [row[2] for row in table.rows] == sorted((row[2] for row in table.rows), reverse=True)


# labels, transfer, shift


def test_sizes_climb_to_all_rows():
    assert sizes(9) == []
    assert sizes(10) == [10]
    assert sizes(75) == [10, 20, 40, 50, 75]


def test_the_curve_is_exact_where_there_are_few_temperatures_and_close_where_there_are_many(evidence):
    logits, labels = evidence.logits[:800], evidence.truth[:800]

    def direct(temperature: float) -> float:
        return metrics.ece(softmax(logits, temperature=temperature), labels)

    few = np.array([[0.5, 1.0], [2.0, 3.0]])
    assert ece_at(few, logits, labels) == pytest.approx(np.vectorize(direct)(few), abs=1e-12)
    many = np.random.default_rng(0).uniform(1.5, 2.5, (8, 20))
    assert ece_at(many, logits, labels) == pytest.approx(np.vectorize(direct)(many), abs=5e-3)


def test_few_labels_suffice_and_the_curve_ends_at_the_reports_own_number(findings):
    curve = [row for row in findings.rows if row.metric == "ece_by_labels"]
    assert [row.n for row in curve] == [10, 20, 40, 50, 100, 200, 500, 1000, 1500]
    assert curve[0].value > curve[-1].value
    assert curve[-1].value == pytest.approx(at(findings, "ece", "calibrated").value)
    needed = at(findings, "labels_needed", "known")
    assert 10 <= needed.low <= needed.value <= needed.high <= 1500
    assert next(row for row in curve if row.n == needed.value).value <= min(row.value for row in curve) + 0.01


def test_a_temperature_from_elsewhere_is_read_on_the_same_rows(evidence, findings):
    def ece(temperature: float) -> float:
        rows = evidence.evaluation
        return metrics.ece(softmax(evidence.logits[rows], temperature=temperature), evidence.truth[rows])

    for name in ("shift: dim", "transfer: other"):
        fitted = at(findings, "temperature", name)
        assert at(findings, "ece_with_temperature_of", name).value == pytest.approx(ece(fitted.value))
    assert at(findings, "ece_with_temperature_of", "none").value == pytest.approx(ece(1.0))
    assert at(findings, "ece_with_temperature_of", "own").value == pytest.approx(
        at(findings, "ece", "calibrated").value
    )


def test_transfer_recovers_equal_and_unequal_temperatures(findings):
    other, dim = at(findings, "temperature", "transfer: other"), at(findings, "temperature", "shift: dim")
    assert other.low < TRUE_TEMPERATURE < other.high
    assert dim.low < 3.0 < dim.high
    with_other, with_dim = (
        at(findings, "ece_with_temperature_of", name).value for name in ("transfer: other", "shift: dim")
    )
    assert with_other < 0.04 < with_dim


def test_the_own_temperature_is_tried_on_the_shifted_set(findings):
    raw, own = at(findings, "ece", "shift: dim, raw"), at(findings, "ece", "shift: dim, own temperature")
    assert raw.value > own.value > at(findings, "ece_if_calibrated", "shift: dim, own temperature").high
    assert own.n == 600  # the half that fitted nothing


def test_shifted_classes_are_matched_by_name_not_by_place():
    evidence = make_evidence(600)
    found = evidence.shift["dim"]
    turned = replace(found, classes=found.classes[::-1], labels=7 - found.labels)
    fitted = fit_temperature(evidence.logits, evidence.truth)
    assert shift(replace(evidence, shift={"dim": turned}), fitted).rows == shift(evidence, fitted).rows
    with pytest.raises(InputError, match=r"set dim holds the class 'dog', which is none of the 8 known classes"):
        align(replace(found, classes=("dog", *CLASSES[1:])), CLASSES, name="dim")


# unknown images


def test_detection_numbers_equal_the_metrics(evidence, findings):
    known = detect.energy(evidence.logits)
    unknown = detect.energy(evidence.head(evidence.ood["noise"].vectors))
    found = {row.metric: row.value for row in findings.rows if row.slice == "ood: noise, energy"}
    assert found["auroc"] == pytest.approx(metrics.auroc(known, unknown))
    assert found["fpr95_known_positive"] == pytest.approx(metrics.fpr_at_tpr(known, unknown, positive="known"))
    assert found["fpr95_unknown_positive"] == pytest.approx(metrics.fpr_at_tpr(known, unknown, positive="unknown"))
    assert found["aupr_known_positive"] == pytest.approx(metrics.aupr(known, unknown, positive="known"))
    suited = {name for name in DETECTORS if detect.METHODS[name].suits != "rectified"} - {"neg-label"}
    assert {row.slice.split(", ")[1] for row in findings.rows if row.metric == "auroc"} == suited


def test_the_threshold_keeps_95_of_100_of_the_rows_it_is_from_and_is_judged_on_others(evidence, findings):
    kept = at(findings, "kept", "known")
    assert kept.n == 1500
    assert kept.low < 0.95 < kept.high
    cosines = evidence.known.vectors[evidence.threshold_rows] @ evidence.head.weights.T
    assert (detect.mcm(cosines) <= findings.threshold).mean() == pytest.approx(0.95, abs=1e-3)


def test_labels_of_unknown_sets_are_ignored():
    evidence = make_evidence(300)
    found = evidence.ood["noise"]
    labelled = replace(found, labels=np.full(len(found), 99), classes=("cell",) * 100)
    assert detection(evidence)[0].rows == detection(replace(evidence, ood={"noise": labelled}))[0].rows


def test_a_detector_that_separates_is_read_as_one():
    head = make_head()
    near = make_features(head, 400, seed=0, spread=0.05)
    found = audit_features(Evidence(head=head, known=near, ood={"noise": unknown_features(300)}))
    assert at(found, "auroc", "ood: noise, max_logit").value > 0.999
    assert at(found, "fpr95_known_positive", "ood: noise, max_logit").value < 0.01


# wording, abstaining


def test_wording_is_compared_on_the_same_rows(findings):
    plain, twisted = (at(findings, "accuracy", f"template: {name}") for name in ("a {}.", "the {}?"))
    assert at(findings, "accuracy_spread", "templates").value == pytest.approx(abs(plain.value - twisted.value))
    assert plain.value == at(findings, "accuracy", "all").value
    assert at(findings, "ece", "template: a {}., temperature of the ensemble").value == pytest.approx(
        at(findings, "ece", "calibrated").value
    )


def test_answering_less_is_more_right(findings):
    shares = [at(findings, "selective_accuracy", f"coverage: {share}%").value for share in (100, 90, 80, 50)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_a_sigmoid_model_is_stated_as_what_it_is():
    evidence = make_evidence(400)
    head = replace(evidence.head, bias=-15.0, activation="sigmoid")
    sigmoid = replace(evidence, head=head)
    found = own_probability(sigmoid)
    assert "our normalisation" in found.sections[0].answer
    assert own_probability(evidence) == Part()
    top = 1 / (1 + np.exp(-evidence.head(evidence.known.vectors).max(axis=1).astype(float) + 15.0))
    assert at(found, "own_probability", "all").value == pytest.approx(top.mean(), rel=1e-5)
    assert at(calibration(sigmoid)[0], "ece", "raw").value == pytest.approx(
        at(calibration(evidence)[0], "ece", "raw").value, abs=1e-5
    )  # the bias cancels in the softmax


# what cannot be said


def test_without_labels_it_says_what_it_cannot_say_and_still_gives_a_threshold():
    evidence = make_evidence(500)
    known = replace(evidence.known, labels=None)
    found = audit_features(replace(evidence, known=known))
    text = " ".join(found.cannot_say)
    for topic in ("How accurate", "confidence can be believed", "wording", "abstaining"):
        assert topic in text
    assert found.temperature is None
    assert np.isfinite(found.threshold)
    assert {row.metric for row in found.rows} >= {"auroc", "kept", "let_in"}
    assert not {"ece", "nll"} & {row.metric for row in found.rows if not row.slice.startswith("shift")}
    said = verdict(found.rows, detector="mcm")
    assert said.headline.startswith("Without labels nothing can be said")
    assert said.level in ("unknown", "bad")


def test_data_without_a_best_temperature_are_reported_uncalibrated():
    evidence = make_evidence(400)
    perfect = replace(evidence.known, labels=evidence.logits.argmax(axis=1))
    found = audit_features(replace(evidence, known=perfect))
    assert found.temperature is None
    assert any("separable" in question for question in found.cannot_say)
    assert not [row for row in found.rows if row.slice == "calibrated"]
    assert at(found, "ece", "raw").n == 200
    assert any(
        reason.level == "caution" and "No temperature" in reason.text
        for reason in verdict(found.rows, detector="mcm").reasons
    )


def barely_bounded(logits: np.ndarray) -> np.ndarray:
    """Random labels, the first draw that has an optimum whose interval spans more than a factor of 100."""
    for seed in range(500):
        labels = np.random.default_rng(seed).integers(0, logits.shape[1], len(logits))
        try:
            low, high = Temperature.fit(logits, labels).interval()
        except NoOptimum:
            continue
        if high > 100 * low:
            return labels
    raise AssertionError("no such draw")


def test_a_temperature_the_rows_cannot_tell_is_not_used():
    evidence = make_evidence(400)
    labels = evidence.known.labels.copy()
    labels[evidence.calibration] = barely_bounded(evidence.logits[evidence.calibration])
    assert (
        "cannot tell it" in fit_temperature(evidence.logits[evidence.calibration], labels[evidence.calibration]).reason
    )


@pytest.mark.parametrize("n", [1, 2, 5, 19, 20, 25])
def test_few_images_give_few_answers_and_no_crash(n):
    head = make_head()
    found = audit_features(
        Evidence(head=head, known=make_features(head, n, seed=0), ood={"noise": unknown_features(3)})
    )
    assert at(found, "accuracy", "all").n == n
    assert (found.temperature is None) or n >= 20
    assert found.cannot_say
    assert all(np.isfinite([row.value, row.low, row.high]).all() for row in found.rows)


def test_one_class_is_refused():
    head = make_head(1)
    with pytest.raises(InputError, match="expected at least 2 classes"):
        Evidence(head=head, known=make_features(head, 10, seed=0))


def test_too_few_rows_to_fit_are_said_so():
    logits = np.random.default_rng(0).normal(size=(4, 3))
    assert fit_temperature(logits, np.array([0, 1, 2, 0])).reason == "4 rows are too few, 10 are needed"


def test_every_row_carries_n_an_interval_and_plain_words(findings):
    for row in findings.rows:
        assert row.n > 0, row
        assert row.low <= row.value <= row.high, row
        assert row.label.startswith(NUMBERS[row.metric].label)
    assert len({(row.metric, row.slice) for row in findings.rows}) == len(findings.rows)
    assert 3 <= sum(row.key for row in findings.rows) <= 10


def test_the_same_evidence_gives_the_same_findings(evidence, findings):
    assert audit_features(evidence) == findings


SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the image pack beside the repository")
def test_a_real_network_is_found_over_confident_by_the_published_amount():
    with np.load(SHARED / "real_probs.npz") as pack:
        logits, labels = pack["cifar10_wrn16_4_logp"].astype(np.float32), pack["cifar10_wrn16_4_label"].astype(np.int64)
    head = Head(np.eye(10, dtype=np.float32), tuple("0123456789"))
    known = Features(logits, tuple(map(str, range(len(logits)))), "wide resnet", labels)
    rows, fitted = calibration(Evidence(head=head, known=known))
    assert fitted.value == pytest.approx(2.06, abs=0.1)  # all rows give 2.06, ECE 0.055 before and 0.007 after
    assert at(rows, "ece", "raw").value == pytest.approx(0.055, abs=0.006)
    assert at(rows, "ece", "calibrated").value <= 0.012


def test_the_threshold_s_promise_is_stated_held_to_under_shift_and_given_up_where_rows_are_too_few():
    for guarantee, words in (("rows", "keeps 95% of 1,500"), ("average", "a chance of at most 5%"),
                             ("sure", "95 times in 100 draws")):  # fmt: skip
        found = audit_features(make_evidence(3000, guarantee=guarantee))
        section = next(each for each in found.sections if each.id == "unknown")
        assert words in section.answer
        cut = detect.Threshold.fit(
            found.detected.detector(make_evidence(3000).known.vectors[make_evidence(3000).threshold_rows]),
            guarantee=guarantee,
        )
        assert found.threshold == cut.values[0]
    few = audit_features(make_evidence(60, guarantee="sure"))
    assert any("cannot promise" in each for each in few.cannot_say)
    moved = replace(make_evidence(600), shift={"noise": unknown_features(200)})
    answer = next(each.answer for each in audit_features(moved).sections if each.id == "unknown")
    assert "Of noise it refuses" in answer
    assert "if nothing had changed" in answer


def test_a_choice_that_cannot_be_made_is_said():
    found = audit_features(make_evidence(300, detector="auto"))  # without images made to choose by
    assert found.detected.detector.name == "mcm"
    assert any("Which detector suits best" in each for each in found.cannot_say)
