"""The audit from image files to a saved report, and the predictor it leaves behind."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from colour_model import COLOURS, ColourModel, colour_folder, grey_folder
from PIL import Image

from candid import data, detect, workflows
from candid.arrays import softmax
from candid.calibrate import ConformalSet, Temperature
from candid.errors import InputError
from candid.report import Report
from candid.types import Features
from candid.workflows import Predictor, audit, calibrators
from candid.workflows.auditing.provenance import content_digest
from candid.workflows.detectors import DETECTORS, fit_detector

TEMPLATES = ("a photo of something {}.", "{}", "the colour {}.")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pictures")
    known = colour_folder(root / "known", each=60)
    (known / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 40)
    return {
        "known": known,
        "shift": colour_folder(root / "shift", each=20, noise=90.0, seed=1),
        "other": colour_folder(root / "other", each=30, seed=2, noise=150.0, names=("red", "yellow")),
        "ood": grey_folder(root / "ood", count=30),
    }


@pytest.fixture(scope="module")
def report(folders) -> Report:
    return audit(
        ColourModel(),
        data.read(folders["known"]),
        templates=TEMPLATES,
        ood={"grey": data.read(folders["ood"])},
        shift={"noisy": data.read(folders["shift"])},
        transfer={"two colours": data.read(folders["other"])},
        cache=False,
    )


@pytest.fixture(scope="module")
def predictor(report) -> Predictor:
    made = report.made["predictor"]
    assert isinstance(made, Predictor)
    return made


# the report


def test_the_audit_answers_every_question_from_image_files(report):
    found = {section.id for section in report.content.sections}
    assert found == {
        "accuracy",
        "calibration",
        "calibrators",
        "labels",
        "sets",
        "transfer",
        "shift",
        "unknown",
        "wording",
        "abstaining",
        "mistakes",
    }
    assert report.content.verdict.headline.startswith("It is right on")
    assert [question for question in report.content.cannot_say if "group" not in question] == []


def test_broken_files_are_listed_and_counted(report):
    known = report.content.inputs[0]
    assert known.n == 240
    assert [file.id for file in known.skipped] == ["red/broken.png"]
    unreadable = next(row for row in report.content.rows if row.metric == "unreadable")
    assert (round(unreadable.value * unreadable.n), unreadable.n) == (1, 241 + 80 + 60 + 30)
    assert any("1 of 411 files" in reason.text for reason in report.content.verdict.reasons)


def test_strict_refuses_broken_files(folders):
    with pytest.raises(InputError, match=r"broken\.png"):
        audit(ColourModel(), data.read(folders["known"]), templates=TEMPLATES, cache=False, strict=True)


def test_the_most_confidently_wrong_image_is_shown_first(report, folders, predictor):
    known = data.read(folders["known"])
    features = workflows.encode(ColourModel(), known, cache=False)
    said = predictor.decide(features)
    wrong = said.labels != features.labels
    worst = np.flatnonzero(wrong)[np.argmax(said.confidence[wrong])]
    figure = next(section for section in report.content.sections if section.id == "mistakes").figures[0]
    assert figure.items[0].alt == features.ids[worst]
    truth, answer = known.classes[features.labels[worst]], known.classes[said.labels[worst]]
    assert f"is {truth}, said {answer}" in figure.items[0].text
    assert len(figure.items) == min(12, wrong.sum())
    shown = [float(item.text.split(" at ")[1].rstrip("%")) for item in figure.items]
    assert shown == sorted(shown, reverse=True)


def test_saving_writes_the_page_the_data_and_the_predictor(report, tmp_path):
    report.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index.html", "report.json", "predictor"}
    assert Report.load(tmp_path / "out").content == report.content
    with pytest.raises(InputError, match="already holds files"):
        report.save(tmp_path / "out")


def test_the_config_repeats_the_run(report, folders):
    config = report.content.config
    sets = {
        role: {name: data.read(Path(path)) for name, path in config[role].items()}
        for role in ("ood", "shift", "transfer")
    }
    again = audit(
        ColourModel(),
        data.read(Path(config["known"])),
        classes=config["classes"],
        templates=config["templates"],
        labels=config["labels"],
        seed=config["seed"],
        keep=config["keep"],
        detector=config["detector"],
        batch_size=config["batch_size"],
        strict=config["strict"],
        cache=False,
        **sets,
    )
    assert again.content.rows == report.content.rows
    assert again.content.config == config


def test_the_input_hash_follows_content_not_names(tmp_path, folders, report):
    def hashed(folder):
        return content_digest(workflows.encode(ColourModel(), data.read(folder), cache=False))

    assert report.content.inputs[0].digest == hashed(folders["known"])
    first = colour_folder(tmp_path / "first", each=6)
    second = colour_folder(tmp_path / "second", each=6)
    (second / "red" / "0.png").rename(second / "red" / "00.png")
    assert hashed(first) == hashed(second)
    pixels = np.asarray(Image.open(second / "red" / "00.png")).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(second / "red" / "00.png")
    assert hashed(first) != hashed(second)


def test_unlabelled_images_need_class_names(folders):
    flat = data.read(folders["ood"])
    with pytest.raises(InputError, match="expected class names"):
        audit(ColourModel(), flat, cache=False)
    found = audit(ColourModel(), flat, classes=list(COLOURS), templates=TEMPLATES, cache=False)
    assert found.content.verdict.level in ("unknown", "bad")
    assert found.made["predictor"].temperature is None


def test_a_set_without_one_readable_image_is_refused(tmp_path):
    folder = tmp_path / "broken" / "red"
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(b"no picture")
    with pytest.raises(InputError):
        audit(ColourModel(), data.read(tmp_path / "broken"), classes=["red", "blue"], cache=False)


def test_progress_names_the_set(folders):
    told = []
    audit(
        ColourModel(),
        data.read(folders["known"]),
        templates=TEMPLATES,
        ood={"grey": data.read(folders["ood"])},
        cache=False,
        progress=lambda name, done, total: told.append((name, done, total)),
    )
    assert {name for name, _, _ in told} == {"known", "ood: grey"}
    assert ("ood: grey", 30, 30) in told


# the predictor


def test_a_saved_predictor_predicts_the_same(predictor, folders, tmp_path):
    predictor.save(tmp_path / "predictor")
    loaded = Predictor.load(tmp_path / "predictor", model=ColourModel())
    assert loaded == replace(predictor, head=loaded.head)
    assert (loaded.head.weights == predictor.head.weights).all()
    images = data.read(folders["shift"])
    first, second = predictor(images), loaded(images)
    for name in ("labels", "confidence", "scores", "accepted"):
        assert (getattr(first, name) == getattr(second, name)).all()


def test_the_confidence_is_the_softmax_at_the_temperature_and_the_score_that_of_the_detector(predictor, folders):
    features = workflows.encode(ColourModel(), data.read(folders["ood"]), cache=False)
    said = predictor.decide(features)
    probs = softmax(predictor.head(features.vectors), temperature=predictor.temperature.value)
    scores = detect.mcm(features.vectors @ predictor.head.weights.T)
    assert said.confidence == pytest.approx(probs.max(axis=1), abs=1e-12)
    assert (said.labels == probs.argmax(axis=1)).all()
    assert said.scores == pytest.approx(scores, abs=1e-6)  # float32 rows
    assert (said.accepted == (said.scores <= predictor.threshold)).all()


def test_a_score_at_the_threshold_is_accepted(predictor, folders):
    features = workflows.encode(ColourModel(), data.read(folders["ood"]), cache=False)
    scores = predictor.decide(features).scores
    at = replace(predictor, threshold=float(np.sort(scores)[9]))
    assert at.decide(features).accepted.sum() == 10


def test_a_minimum_confidence_is_a_second_reason_to_abstain(predictor, folders):
    features = workflows.encode(ColourModel(), data.read(folders["shift"]), cache=False)
    plain, careful = predictor.decide(features), replace(predictor, minimum_confidence=0.7).decide(features)
    assert (careful.accepted == (plain.accepted & (plain.confidence >= 0.7))).all()
    assert careful.accepted.sum() < plain.accepted.sum()


def test_files_sets_and_arrays_get_the_same_answer(predictor, folders):
    paths = sorted((folders["shift"] / "blue").iterdir())[:5]
    arrays = [np.asarray(Image.open(path)) for path in paths]
    from_files, from_arrays = predictor(paths), predictor(arrays)
    from_set = predictor(data.read([str(path) for path in paths]))
    assert (from_files.scores == from_arrays.scores).all()
    assert (from_files.scores == from_set.scores).all()
    assert from_arrays.ids == ("0", "1", "2", "3", "4")


def test_an_unreadable_file_is_listed_and_the_others_are_answered(predictor, folders):
    paths = [folders["known"] / "red" / "0.png", folders["known"] / "red" / "broken.png"]
    said = predictor(paths)
    assert len(said.labels) == 1
    assert [Path(file.id).name for file in said.skipped] == ["broken.png"]


def test_no_images_are_refused(predictor):
    with pytest.raises(InputError, match="at least one image"):
        predictor([])


def test_no_rows_give_no_predictions(predictor):
    none = Features(np.empty((0, 4), dtype=np.float32), (), "colour")
    assert len(predictor.decide(none).labels) == 0


@pytest.mark.parametrize("change", [{"revision": "2"}, {"preprocessing": "mean-9"}])
def test_another_revision_of_the_model_is_refused(predictor, tmp_path, change):
    predictor.save(tmp_path / "predictor")
    with pytest.raises(InputError, match="was fitted for colour at revision 1"):
        Predictor.load(tmp_path / "predictor", model=replace(ColourModel(), **change))


def test_a_predictor_read_without_its_model_says_so(predictor, tmp_path, folders):
    predictor.save(tmp_path / "predictor")
    with pytest.raises(InputError, match="holds no model"):
        Predictor.read(tmp_path / "predictor")(data.read(folders["ood"]))


def test_damaged_predictors_are_refused(predictor, tmp_path):
    folder = predictor.save(tmp_path / "predictor")
    path = folder / "predictor.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in whole.items() if key != "threshold"}))
    with pytest.raises(InputError, match="threshold"):
        Predictor.read(folder)
    path.write_text(json.dumps({**whole, "version": 99}))
    with pytest.raises(InputError, match="upgrade candid"):
        Predictor.read(folder)
    path.write_text(json.dumps(whole))
    (folder / "head.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(InputError, match="not a whole predictor"):
        Predictor.read(folder)


# a predictor with another calibrator, and with sets


@pytest.fixture(scope="module")
def shifted(folders) -> Features:
    return workflows.encode(ColourModel(), data.read(folders["shift"]), cache=False)


@pytest.fixture(scope="module")
def known(folders) -> Features:
    return workflows.encode(ColourModel(), data.read(folders["known"]), cache=False)


@pytest.mark.parametrize("name", calibrators.CALIBRATORS)
def test_every_calibrator_survives_a_save_to_the_last_bit(name, predictor, known, shifted, tmp_path):
    fitted = calibrators.fit(name, predictor.head(known.vectors), known.labels)
    holds = replace(predictor, calibrator=fitted, sets=None)
    loaded = Predictor.read(holds.save(tmp_path / name))
    assert loaded.calibrated_by == name
    said, again = holds.decide(shifted), loaded.decide(shifted)
    assert (said.labels == again.labels).all()
    assert (said.confidence == again.confidence).all()
    probs = calibrators.probabilities(fitted, predictor.head(shifted.vectors))
    assert (said.labels == probs.argmax(axis=1)).all()
    assert said.confidence == pytest.approx(probs.max(axis=1), abs=1e-12)
    assert said.sets is None


@pytest.mark.parametrize("method", ["lac", "aps", "raps", "saps"])
@pytest.mark.parametrize("name", [None, "vector"])
def test_sets_are_those_of_the_calibrated_probabilities_before_and_after_a_save(
    name, method, predictor, known, shifted, tmp_path
):
    logits = predictor.head(known.vectors)
    fitted = calibrators.fit(name, logits, known.labels) if name else None
    holds = replace(predictor, calibrator=fitted, sets=None)
    probs = calibrators.probabilities(fitted or Temperature.fit(logits, known.labels), logits)
    holds = replace(holds, sets=ConformalSet.fit(probs, known.labels, 0.8, method))
    said, again = holds.decide(shifted), Predictor.read(holds.save(tmp_path / "p")).decide(shifted)
    assert (said.sets == again.sets).all()
    new = predictor.head(shifted.vectors)
    probs = calibrators.probabilities(fitted, new) if name else softmax(new, temperature=predictor.temperature.value)
    assert (said.sets == holds.sets(probs)).all()
    assert said.sets.any(axis=1).mean() > 0.5
    assert holds.decide(Features(shifted.vectors[:0], (), "colour")).sets.shape == (0, 4)


def test_numbers_json_cannot_hold_survive_a_save(predictor, known, tmp_path):
    logits = predictor.head(known.vectors)[:5]
    few = ConformalSet.fit(softmax(logits), known.labels[:5], 0.9, "aps")  # threshold infinity: every label is inside
    holds = replace(predictor, sets=few)
    loaded = Predictor.read(holds.save(tmp_path / "p"))
    assert loaded.sets.verdict == few.verdict
    assert loaded.decide(known).sets.all()
    values, arrays = calibrators.pack(Temperature.fit(predictor.head(known.vectors), known.labels))
    assert not arrays
    odd = {**values, "standard_error": {"float": "inf"}}
    assert calibrators.unpack(Temperature, odd, {}).standard_error == np.inf
    with pytest.raises(TypeError, match="expected one of"):
        calibrators.unpack(Temperature, {**values, "nll": {"float": "1"}}, {})


def test_a_predictor_of_the_first_format_is_still_read(predictor, shifted, tmp_path):
    folder = replace(predictor, sets=None).save(tmp_path / "old")
    whole = json.loads((folder / "predictor.json").read_text())
    old = {key: value for key, value in whole.items() if key not in ("calibrator", "sets")}
    (folder / "predictor.json").write_text(json.dumps({**old, "version": 1}))
    (folder / "fitted.safetensors").unlink()
    loaded = Predictor.read(folder)
    assert loaded.calibrated_by == "temperature"
    assert loaded.sets is None
    assert (loaded.decide(shifted).confidence == predictor.decide(shifted).confidence).all()


def test_a_predictor_with_a_strange_calibrator_or_sets_is_refused(predictor, known, tmp_path):
    with pytest.raises(InputError, match="expected a calibrator of"):
        replace(predictor, calibrator=max)
    logits = predictor.head(known.vectors)
    with pytest.raises(InputError, match="expected prediction sets over the 4 classes"):
        replace(predictor, sets=ConformalSet.fit(softmax(logits[:, :3]), known.labels % 3))
    groups = ConformalSet.fit(softmax(logits), known.labels, per="group", groups=known.labels)
    with pytest.raises(InputError, match="ask for no group"):
        replace(predictor, sets=groups)
    holds = replace(predictor, calibrator=calibrators.fit("vector", logits, known.labels))
    folder = holds.save(tmp_path / "p")
    whole = json.loads((folder / "predictor.json").read_text())
    for change, said in (({"method": "vecter"}, "did you mean vector"), ({"values": {"slope": 1}}, "not a whole")):
        (folder / "predictor.json").write_text(json.dumps({**whole, "calibrator": {**whole["calibrator"], **change}}))
        with pytest.raises(InputError, match=said):
            Predictor.read(folder)


# detectors that learn


@pytest.mark.parametrize("name", sorted({*DETECTORS} - {"ash"}))  # ash drops 90 % of 4 activations
def test_every_detector_survives_a_save_to_the_last_bit(name, predictor, known, shifted, tmp_path):
    if detect.METHODS[name].suits == "rectified":
        known, shifted = (replace(each, vectors=np.abs(each.vectors)) for each in (known, shifted))
    words = np.eye(known.vectors.shape[1], dtype=np.float32)
    made = fit_detector(name, predictor.head, known.vectors, known.labels, words if name == "neg-label" else None)
    fitted = replace(predictor, detector=name, detector_fitted=made.fitted, threshold=0.0)
    again = Predictor.read(fitted.save(tmp_path / "saved"))
    assert (
        again.decide(shifted).scores.tolist()
        == fitted.decide(shifted).scores.tolist()
        == made(shifted.vectors).tolist()
    )


def test_a_detector_without_what_it_learnt_is_refused(predictor, tmp_path):
    with pytest.raises(InputError, match="fitted where it learns"):
        replace(predictor, detector="knn")
    with pytest.raises(InputError, match="expected a detector of"):
        replace(predictor, detector="odin")


@pytest.mark.parametrize("name", ["auto", "knn", "relative-mahalanobis"])
def test_an_audit_with_a_detector_that_learns_keeps_its_rows_apart_and_says_why_it_refuses(name, folders):
    told = audit(
        ColourModel(), data.read(folders["known"]), templates=TEMPLATES, ood={"grey": data.read(folders["ood"])},
        detector=name, cache=False,
    )  # fmt: skip
    made = told.made["predictor"]
    section = next(section for section in told.content.sections if section.id == "unknown")
    if name == "auto":
        assert "chosen by images made from known ones" in section.answer
        assert section.figures[1].id == "chosen-detector"
        assert section.figures[1].rows[0][0] == f"{made.detector} (used)"
    else:
        assert made.detector == name
        kept = next(row for row in told.content.rows if (row.metric, row.slice) == ("kept", "known"))
        ranked = next(row for row in told.content.rows if row.slice == f"ood: grey, {name}" and row.metric == "auroc")
        assert ranked.n == kept.n + 30  # judged on the rows that it has not learnt from
    strict = replace(made, threshold=-np.inf, minimum_confidence=1.01)
    found = strict(data.read(folders["ood"]))
    why = strict.why_refused(found, 0)
    assert why.startswith(f"{made.detector} score ")
    assert "above the threshold -inf, within which 95% of known images lie" in why
    assert "below the minimum 101.0%" in why
    assert why.endswith(f"nearest known class: {found.classes[found.labels[0]]}")
    easy = replace(made, threshold=np.inf)
    assert easy.why_refused(easy(data.read(folders["ood"])), 0) == ""
